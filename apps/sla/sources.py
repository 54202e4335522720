"""How far we can hear each source, and what happens to its clocks when we cannot.

Absence can be asserted only up to a moment until which we have heard. A source that is stale, or catching up after an
outage, lets us assert nothing: what is overdue is unknown, not late. So does our own backlog of unread receipts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from apps.core.clock import whole_second
from apps.core.wording import duration
from apps.flows.canonical import key_of
from apps.flows.sets import raw_cursor
from apps.incidents.workflow import FindingDraft, clear_findings, raise_findings
from apps.sla import pauses

#: after an outage what is overdue stays unknown, since it may still come: this share of the outage, within bounds
CATCH_UP_SHARE = 0.25
LONGEST_CATCH_UP = timedelta(hours=12)
#: a source that must speak at least so often is asked first: what is due after its last word is unknown, not late
ASK_FIRST = timedelta(hours=1)
#: unread receipts younger than this only delay the judgement; older ones make it unknown
BACKLOG_TOLERANCE = timedelta(minutes=1)
NEVER = datetime(1900, 1, 1, tzinfo=UTC)
CLAIM = 1000

_SOURCES = """
SELECT i.id, i.slug, i.name, i.enabled, i.criticality, i.team_id, i.partner_id,
       i.lifecycle NOT IN ('planned', 'retired'), i.stale_after,
       greatest(s.last_received_at, s.last_success_at), s.stale_since, s.catching_up_until
FROM integrations_integration i LEFT JOIN integrations_sourcestate s ON s.integration_id = i.id
ORDER BY i.id
"""
_BACKLOG = """
SELECT min(received_at) FROM (
    SELECT received_at FROM collectors_receiptstate
    WHERE status = 'waiting' AND attempts = 0 AND NOT backfill AND next_at <= %s ORDER BY next_at LIMIT 1) AS oldest
"""
_FALL_SILENT = """
INSERT INTO integrations_sourcestate (integration_id, last_error, failures, cursor, stale_since, stale_reason)
VALUES (%s, '', 0, '{}'::jsonb, %s, %s)
ON CONFLICT (integration_id) DO UPDATE
SET stale_since = excluded.stale_since, stale_reason = excluded.stale_reason, catching_up_until = NULL
WHERE integrations_sourcestate.stale_since IS NULL RETURNING integration_id
"""
_SPEAK_AGAIN = """
UPDATE integrations_sourcestate SET stale_since = NULL, stale_reason = '', catching_up_until = %s
WHERE integration_id = %s AND stale_since = %s RETURNING integration_id
"""
_SUSPEND = """
UPDATE sla_expectation SET state = 'SUSPENDED', suspended_at = %s, at_risk = false
WHERE id IN (
    SELECT id FROM sla_expectation
    WHERE source_id = %s AND settled_at IS NULL
      AND state IN ('PENDING', 'BREACHED') AND (state = 'PENDING' OR due_at >= %s)
    LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id, finding_id
"""
_WITH_UNKNOWN = """
SELECT s.id FROM unnest(%s::bigint[]) AS s (id)
WHERE EXISTS (SELECT FROM sla_expectation e WHERE e.state = 'SUSPENDED' AND e.source_id = s.id)
"""
_RESUME = """
UPDATE sla_expectation SET state = 'PENDING', suspended_at = NULL
WHERE id IN (
    SELECT id FROM sla_expectation
    WHERE state = 'SUSPENDED' AND paused = '' AND source_id {which} AND (due_at < %s OR due_at >= %s)
    LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Source:
    """An integration as the sweep hears it. heard_at: the last message processed, or the last successful poll.

    watched: not planned nor retired; of such nobody expects a word. One never heard yet is not silent either.
    """

    id: int
    slug: str
    name: str
    enabled: bool
    criticality: str
    team_id: int | None
    partner_id: int | None
    watched: bool
    stale_after: timedelta | None
    heard_at: datetime | None
    stale_since: datetime | None
    catching_up_until: datetime | None

    def is_overdue(self, now: datetime) -> bool:
        """Without a word for longer than was agreed."""
        return self.stale_after is not None and self.heard_at is not None and now - self.heard_at > self.stale_after

    def speaks_again(self, now: datetime) -> bool:
        if not self.watched:
            return self.stale_since is not None
        return (
            self.enabled
            and self.stale_since is not None
            and self.heard_at is not None
            and self.heard_at > self.stale_since
            and not self.is_overdue(now)
        )

    def heard_until(self, now: datetime) -> datetime:
        """The moment up to which we can say that something did not come."""
        if self.stale_since is not None or (self.catching_up_until is not None and self.catching_up_until > now):
            return NEVER
        if self.watched and self.stale_after and self.stale_after <= ASK_FIRST and self.heard_at is not None:
            return min(self.heard_at, now)
        return now


@dataclass(frozen=True, slots=True)
class Hearing:
    """Up to when absence can be asserted: by source, and at most (`horizon`) because of receipts not read yet."""

    until: dict[int, datetime]
    horizon: datetime
    fell_silent: tuple[str, ...]
    spoke_again: tuple[str, ...]

    def knows(self, source_id: int | None, due_at: datetime) -> bool:
        """Whether what was due then and is not here is late, and not merely unheard."""
        until = self.horizon if source_id is None else min(self.until.get(source_id, self.horizon), self.horizon)
        return due_at < whole_second(until)


def listen(now: datetime) -> Hearing:
    """Marks sources that fell silent or speak again (one finding each), and says how far we can hear."""
    with connection.cursor() as cursor:
        cursor.execute(_SOURCES)
        sources = [Source(*row) for row in cursor.fetchall()]
        cursor.execute(_BACKLOG, [now])
        (oldest,) = cursor.fetchone()
    fell, spoke = [], []
    until = {}
    for source in sources:
        if source.watched and source.stale_since is None and (not source.enabled or source.is_overdue(now)):
            if _fall_silent(source, now):
                fell.append(source.slug)
            until[source.id] = NEVER
        elif source.speaks_again(now):
            if _speak_again(source, now):
                spoke.append(source.slug)
            until[source.id] = NEVER  # catching up from now on
        else:
            until[source.id] = source.heard_until(now)
    return Hearing(until, min(oldest or now, now), tuple(fell), tuple(spoke))


@transaction.atomic
def _fall_silent(source: Source, now: datetime) -> bool:
    since = source.heard_at or now
    if source.enabled:
        assert source.stale_after is not None
        agreed = duration(source.stale_after)
        reason = f"Nothing heard for more than {agreed}"
    else:
        since, reason = now, "Switched off"
    with connection.cursor() as cursor:
        cursor.execute(_FALL_SILENT, [source.id, since, reason])
        if cursor.fetchone() is None:
            return False  # another sweep was faster
    if source.enabled:
        key = key_of("source.stale", source.slug)
        raise_findings(
            [
                FindingDraft(
                    key=key,
                    kind="source.stale",
                    cause=key,
                    incident_title=f"Nothing heard from {source.name}",
                    severity=source.criticality,
                    sentence=f"{source.name} was last heard {since:%a} {since.day} {since:%b %H:%M} UTC; it should be "
                    f"heard at least every {agreed}. What depends on it counts as unknown until it speaks again.",
                    evidence={"last_heard_at": since.isoformat(), "stale_after": agreed},
                    integration_id=source.id,
                    partner_id=source.partner_id,
                    team_id=source.team_id,
                )
            ],
            now,
        )
    return True


@transaction.atomic
def _speak_again(source: Source, now: datetime) -> bool:
    assert source.stale_since is not None
    with connection.cursor() as cursor:
        cursor.execute(_SPEAK_AGAIN, [now + catch_up(now - source.stale_since), source.id, source.stale_since])
        if cursor.fetchone() is None:
            return False
    clear_findings([key_of("source.stale", source.slug)], f"{source.name} is heard again", now)
    return True


def catch_up(outage: timedelta) -> timedelta:
    """How long a source may take to tell what it kept back: a quarter of the outage, at least settings.SLA_CATCH_UP."""
    least: timedelta = settings.SLA_CATCH_UP
    return max(least, min(outage * CATCH_UP_SHARE, LONGEST_CATCH_UP))


def suspend(now: datetime) -> tuple[int, list[int]]:
    """Suspends the live clocks of sources that cannot be heard; (how many, ids of breaches taken back).

    A breach judged after the source had fallen silent, before anybody could notice, is taken back.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT integration_id, stale_since FROM integrations_sourcestate WHERE stale_since IS NOT NULL")
        stale = cursor.fetchall()
    count, taken_back = 0, []
    for source_id, since in stale:
        while True:
            with transaction.atomic(), raw_cursor() as cursor:
                cursor.execute(_SUSPEND, [now, source_id, since, CLAIM])
                rows = cursor.fetchall()
                pauses.follow(cursor, [row[0] for row in rows], now)
                told = [row[0] for row in rows if row[1] is not None]
                if told:
                    keys = [key_of("expectation", str(expectation_id)) for expectation_id in told]
                    clear_findings(keys, "Its source had fallen silent: nobody knows whether it came", now)
                    taken_back += told
            count += len(rows)
            if len(rows) < CLAIM:
                break
    return count, taken_back


def resume(hearing: Hearing, now: datetime) -> int:
    """Takes up suspended clocks again as far as we can hear: what is not due yet, and what can now be judged."""
    second = whole_second(now)
    with connection.cursor() as cursor:
        cursor.execute("SELECT integration_id FROM integrations_sourcestate WHERE stale_since IS NOT NULL")
        stale = {row[0] for row in cursor.fetchall()}
        cursor.execute(_WITH_UNKNOWN, [[source for source in hearing.until if source not in stale]])
        sources: list[int | None] = [row[0] for row in cursor.fetchall()]
    count = 0
    for source_id in [*sources, None]:
        until = min(hearing.until[source_id], hearing.horizon) if source_id is not None else hearing.horizon
        count += _resume_one(source_id, whole_second(until), second, now)
    return count


def _resume_one(source_id: int | None, until: datetime, second: datetime, now: datetime) -> int:
    which: Iterable[int] = [] if source_id is None else [source_id]
    statement = _RESUME.format(which="IS NULL" if source_id is None else "= %s")
    count = 0
    while True:
        with transaction.atomic(), raw_cursor() as cursor:
            cursor.execute(statement, [*which, until, second, CLAIM])
            ids = [row[0] for row in cursor.fetchall()]
            pauses.follow(cursor, ids, now)
            changed = len(ids)
        count += changed
        if changed < CLAIM:
            return count
