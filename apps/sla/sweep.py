"""The sweep: what only the passing of time can tell. Reads what is due through a partial index, so that its cost does
not grow with the number of open flows.

A round: hear the sources, suspend and resume clocks, judge what is overdue, mark what is at risk, compact the tallies.
Any number of sweeps may run at once; what one has claimed the others skip. A clock set back only makes it wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import structlog
from django.db import DatabaseError, OperationalError, connection, transaction

from apps.core.clock import whole_second
from apps.core.heartbeats import beat
from apps.flows.canonical import key_of
from apps.flows.sets import columns, raw_cursor
from apps.incidents.workflow import FindingDraft, raise_findings
from apps.sla import children, deviations, library, pauses, sources, tally
from apps.sla.expectations import finding_key
from apps.sla.explaining import sentence
from apps.sla.rules import Book
from apps.sla.teams import Teams

log = structlog.get_logger(__name__)

CLAIM = 1000

#: the claim; tests hold it to the partial index on due_at
CLAIM_DUE = """
SELECT e.id, e.flow_id, e.definition_id, e.partner_id, e.milestone, e.rule_id, e.source_id, e.due_at, e.origin::text,
       e.backfill, f.label, f.status, f.closed_at
FROM sla_expectation e JOIN flows_flow f ON f.id = e.flow_id
WHERE e.state = 'PENDING' AND e.due_at < %b::timestamptz AND e.id <> ALL(%b::bigint[])
ORDER BY e.due_at LIMIT %b::int FOR UPDATE OF e SKIP LOCKED
"""
_JUDGE = """
UPDATE sla_expectation AS e
SET state = t.state, at_risk = false, settled_at = t.settled_at, finding_id = coalesce(t.finding_id, e.finding_id),
    source_id = coalesce(e.source_id, t.source_id),
    suspended_at = CASE WHEN t.state = 'SUSPENDED' THEN %b::timestamptz END
FROM unnest(%b::bigint[], %b::text[], %b::timestamptz[], %b::bigint[], %b::bigint[])
  AS t (id, state, settled_at, source_id, finding_id)
WHERE e.id = t.id
"""
_WARN = """
UPDATE sla_expectation SET at_risk = true
WHERE id IN (
    SELECT id FROM sla_expectation WHERE state = 'PENDING' AND NOT at_risk AND warn_at <= %s
    ORDER BY warn_at LIMIT %s FOR UPDATE SKIP LOCKED)
"""


@dataclass(slots=True)
class SweepSummary:
    """What a round did. breached: judged late; ended: of these, flows that had ended without it; findings: raised for these; deviations: told;

    unknown: overdue, but we cannot hear whether it came; suspended, resumed: clocks; taken_back: breaches unsaid;
    fell_silent, spoke_again: slugs of sources; failed: rows that could not be judged and were left for the next round.
    """

    breached: int = 0
    ended: int = 0
    findings: int = 0
    deviations: int = 0
    unknown: int = 0
    at_risk: int = 0
    suspended: int = 0
    resumed: int = 0
    taken_back: int = 0
    fell_silent: tuple[str, ...] = ()
    spoke_again: tuple[str, ...] = ()
    failed: int = 0
    compacted: int = 0


class Overdue(NamedTuple):
    """A claimed row."""

    id: int
    flow_id: int
    definition_id: int
    partner_id: int | None
    milestone: str
    rule_id: int
    source_id: int | None
    due_at: datetime
    origin: str
    backfill: bool
    label: str
    status: str
    closed_at: datetime | None


def run(now: datetime) -> SweepSummary:
    """One round of the sweep as of `now`. Leaves the heartbeat `sweep`."""
    summary = SweepSummary()
    hearing = sources.listen(now)
    summary.fell_silent, summary.spoke_again = hearing.fell_silent, hearing.spoke_again
    summary.suspended, taken_back = sources.suspend(now)
    summary.taken_back = len(taken_back)
    summary.resumed = sources.resume(hearing, now)
    book, teams = library.load(now).book, Teams.load()
    _judge_all(hearing, book, teams, now, summary)
    summary.deviations = deviations.tell(hearing, book, teams, now)
    summary.at_risk = _warn(now)
    summary.compacted = tally.compact()
    beat("sweep", now, {name: value for name, value in asdict(summary).items() if value})
    return summary


def _judge_all(hearing: sources.Hearing, book: Book, teams: Teams, now: datetime, summary: SweepSummary) -> None:
    """Batch after batch until nothing is overdue; a row that cannot be judged is set aside and does not hold up others."""
    before = whole_second(now)
    if now - hearing.horizon <= sources.BACKLOG_TOLERANCE:
        before = min(before, whole_second(hearing.horizon))  # wait the moment until it is read
    aside: list[int] = []
    limit = CLAIM
    while True:
        claimed: list[Overdue] = []
        try:
            with transaction.atomic():
                claimed = _claim(before, limit, aside)
                _judge(claimed, hearing, book, teams, now, summary)
        except OperationalError:
            raise
        except (DatabaseError, ValueError, KeyError, TypeError, AttributeError) as error:
            if limit > 1:
                limit = max(1, limit // 10)
                continue
            log.exception("sla_row_not_judged", expectation=claimed[0].id if claimed else None, error=str(error))
            aside += [row.id for row in claimed]
            summary.failed += len(claimed)
            if not claimed:
                raise
            limit = CLAIM
            continue
        if len(claimed) < limit:
            return


def _claim(before: datetime, limit: int, aside: Sequence[int]) -> list[Overdue]:
    with raw_cursor() as cursor:
        cursor.execute(CLAIM_DUE, [before, list(aside), limit], binary=True)
        return [Overdue._make(row) for row in cursor.fetchall()]


def _judge(
    claimed: Sequence[Overdue],
    hearing: sources.Hearing,
    book: Book,
    teams: Teams,
    now: datetime,
    summary: SweepSummary,
) -> None:
    """Says of each claimed row whether it is late, ended late, or unknown; findings in the same transaction."""
    if not claimed:
        return
    verdicts: list[tuple[int, str, datetime | None, int | None]] = []
    drafts: list[FindingDraft] = []
    ended = unknown = 0
    for row in _with_sources(claimed, hearing, book):
        if not hearing.knows(row.source_id, row.due_at):
            verdicts.append((row.id, "SUSPENDED", None, row.source_id))
            unknown += 1
        elif row.status != "open" and row.closed_at is not None and whole_second(row.closed_at) > row.due_at:
            verdicts.append((row.id, "BREACHED", row.closed_at, row.source_id))
            ended += 1
        else:
            verdicts.append((row.id, "BREACHED", None, row.source_id))
            if not row.backfill:
                drafts.append(draft_of(row, book, teams))
    found = {finding.key: finding.pk for finding in raise_findings(drafts, now)}
    rows = sorted((*verdict, found.get(finding_key(verdict[0]))) for verdict in verdicts)
    with raw_cursor() as cursor:
        cursor.execute(_JUDGE, [now, *columns(rows, 5)], binary=True)
        pauses.follow(cursor, [row[0] for row in rows if row[1] == "SUSPENDED"], now)
    summary.unknown += unknown
    summary.breached += len(verdicts) - unknown
    summary.ended += ended
    summary.findings += len(found)


def _with_sources(claimed: Sequence[Overdue], hearing: sources.Hearing, book: Book) -> list[Overdue]:
    """What waits for a child flow waits for whom that one waits for; of several, for one that cannot be heard."""
    awaited = children.sources_of([row.id for row in claimed if row.source_id is None], book)
    found = []
    for row in claimed:
        known = awaited.get(row.id, [])
        mute = [one for one in known if not hearing.knows(one, row.due_at)]
        chosen = next(iter(mute or known), None)
        found.append(row if chosen is None else row._replace(source_id=chosen))
    return found


def draft_of(row: Overdue, book: Book, teams: Teams) -> FindingDraft:
    """The finding of one late milestone; its cause is the same for all flows of a definition, milestone and partner."""
    definition = book.definitions[row.definition_id]
    partner = book.partner_ids.get(row.partner_id or 0)
    rule = book.rule_ids[row.rule_id]
    label = definition.label_of(row.milestone)
    origin: dict[str, Any] = orjson.loads(row.origin)
    return FindingDraft(
        key=finding_key(row.id),
        kind="sla.breach",
        cause=key_of("breach", definition.slug, row.milestone, partner.slug if partner else ""),
        incident_title=f"Late: {label} from {partner.name}" if partner else f"Late: {label} ({definition.name})",
        severity=rule.severity,
        sentence=f"{label} of {row.label} has not come. {sentence(origin, row.due_at)}.",
        evidence={
            "flow": row.label,
            "milestone": row.milestone,
            "due_at": row.due_at.isoformat(),
            "rule": rule.slug,
            "version": rule.version,
            "origin": origin,
        },
        flow_id=row.flow_id,
        integration_id=row.source_id,
        partner_id=row.partner_id,
        team_id=teams.of(row.definition_id, row.source_id, row.partner_id),
        due_at=row.due_at,
    )


def _warn(now: datetime) -> int:
    """Marks what is pending and past its warning as at risk."""
    count = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_WARN, [now, CLAIM])
            changed = cursor.rowcount
        count += changed
        if changed < CLAIM:
            return count
