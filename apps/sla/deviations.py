"""Keeps what checks find in step with the facts, and tells people of what still holds after its wait.

The pipeline writes deviations (`refresh`): they are a function of the flow. The sweep (`tell`) raises their findings, once
their wait is over and whoever should have told what is missing can be heard.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.db import transaction

from apps.flows.canonical import key_of
from apps.flows.sets import columns, raw_cursor
from apps.flows.states import FlowState
from apps.incidents.workflow import FindingDraft, clear_findings, raise_findings
from apps.sla.check_words import sentence, title
from apps.sla.checks import Deviation
from apps.sla.rules import Book, BoundRule, LaneStop
from apps.sla.sources import Hearing
from apps.sla.teams import Teams

CLAIM = 500
_COLUMNS = (
    ("flow_id", "bigint"),
    ("milestone", "text"),
    ("kind", "text"),
    ("rule_id", "bigint"),
    ("definition_id", "bigint"),
    ("partner_id", "bigint"),
    ("at", "timestamptz"),
    ("tell_at", "timestamptz"),
    ("awaited", "jsonb"),
    ("facts", "jsonb"),
    ("backfill", "boolean"),
)
_NAMES = [name for name, _ in _COLUMNS]
_KEEP = ("rule_id", "at", "awaited", "facts", "backfill", "partner_id", "tell_at")
_STORE = f"""
INSERT INTO sla_deviation ({", ".join(_NAMES)})
SELECT {", ".join(f"{name}::{cast}" for name, cast in _COLUMNS)}
FROM unnest({", ".join(f"%b::{'text' if cast == 'jsonb' else cast}[]" for _, cast in _COLUMNS)}) AS t ({", ".join(_NAMES)})
ON CONFLICT (flow_id, milestone, kind) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _KEEP)},
    told_at = CASE WHEN sla_deviation.ended_at IS NULL THEN sla_deviation.told_at END, ended_at = NULL
WHERE sla_deviation.ended_at IS NOT NULL OR ({", ".join(f"sla_deviation.{name}" for name in _KEEP)})
   IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _KEEP)})
"""
_LAPSED = """
SELECT d.id, d.told_at IS NOT NULL, d.finding_id IS NOT NULL FROM sla_deviation d
WHERE d.flow_id = ANY(%b::bigint[]) AND d.ended_at IS NULL AND NOT EXISTS (
    SELECT FROM unnest(%b::bigint[], %b::text[], %b::text[]) AS t (flow_id, milestone, kind)
    WHERE (t.flow_id, t.milestone, t.kind) = (d.flow_id, d.milestone, d.kind))
ORDER BY d.id FOR UPDATE OF d
"""
_CLAIM = """
SELECT d.id, d.flow_id, d.milestone, d.kind, d.rule_id, d.definition_id, d.partner_id, d.tell_at, d.awaited::text,
       d.facts::text, f.label
FROM sla_deviation d JOIN flows_flow f ON f.id = d.flow_id
WHERE d.told_at IS NULL AND d.ended_at IS NULL AND NOT d.backfill AND d.tell_at <= %b AND d.id <> ALL(%b::bigint[])
ORDER BY d.tell_at, d.id LIMIT %b::int FOR UPDATE OF d SKIP LOCKED
"""
_TELL = """
UPDATE sla_deviation AS d SET told_at = %b, finding_id = t.finding_id
FROM unnest(%b::bigint[], %b::bigint[]) AS t (id, finding_id) WHERE d.id = t.id
"""


class Claimed(NamedTuple):
    """A deviation whose time to be told has come."""

    id: int
    flow_id: int
    milestone: str
    kind: str
    rule_id: int
    definition_id: int
    partner_id: int | None
    tell_at: datetime
    awaited: str
    facts: str
    label: str


def derive(state: FlowState, book: Book) -> list[tuple[BoundRule, str, Deviation]]:
    """(rule, milestone, what it found) of one flow: for each milestone and kind of check by the first rule that matches."""
    if state.status == "merged":
        return []
    found = []
    for stop in book.layout(state.definition_id, state.partner).checks:
        one = judge(stop, state)
        if one is not None:
            found.append((one[0], stop.milestone, one[1]))
    return found


def judge(stop: LaneStop, state: FlowState) -> tuple[BoundRule, Deviation] | None:
    rule = stop.rule_for(state)
    if rule is None or rule.spec.check is None:
        return None
    deviation = rule.spec.check.find(state, stop.milestone, stop.ordinal, rule.setting)
    return None if deviation is None else (rule, deviation)


def refresh(cursor: Any, states: Sequence[FlowState], book: Book, now: datetime) -> None:
    """Writes what the facts say; what no longer holds goes, or ends with its finding when people were told.

    Flows of definitions no check speaks for are not looked at.
    """
    looked_at = [state for state in states if _checked(state, book)]
    if not looked_at:
        return
    rows = []
    for state in looked_at:
        for rule, milestone, one in derive(state, book):
            rows.append(
                (
                    state.flow_id,
                    milestone,
                    one.kind,
                    rule.row.id,
                    state.definition_id,
                    state.partner_id,
                    one.at,
                    max(one.at, one.heard_at) + one.wait,
                    _json(list(one.awaited)),
                    _json({**one.facts, "rule": rule.row.name, "version": rule.row.version, "zone": rule.told["zone"]}),
                    state.backfill,
                )
            )
    rows.sort(key=lambda row: row[:3])
    flows = sorted(state.flow_id for state in looked_at)
    cursor.execute(_LAPSED, [flows, *columns([row[:3] for row in rows], 3)], binary=True)
    lapsed = cursor.fetchall()
    if rows:
        cursor.execute(_STORE, columns(rows, len(_COLUMNS)), binary=True)
    if lapsed:
        cursor.execute(
            "DELETE FROM sla_deviation WHERE id = ANY(%b::bigint[])", [[i for i, told, _ in lapsed if not told]]
        )
        ended = [i for i, told, _ in lapsed if told]
        cursor.execute("UPDATE sla_deviation SET ended_at = %b WHERE id = ANY(%b::bigint[])", [now, ended])
        keys = [finding_key(i) for i, _, found in lapsed if found]
        if keys:
            clear_findings(keys, "It does not hold any more by what was heard since", now)


def _checked(state: FlowState, book: Book) -> bool:
    definition = book.definitions.get(state.definition_id)
    return definition is not None and definition.slug in book.checked


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


def finding_key(deviation_id: int) -> uuid.UUID:
    return key_of("deviation", str(deviation_id))


def tell(hearing: Hearing, book: Book, teams: Teams, now: datetime) -> int:
    """Raises the findings of what still holds; returns how many. What misses a source we cannot hear waits on."""
    aside: list[int] = []
    count = 0
    while True:
        with transaction.atomic(), raw_cursor() as cursor:
            cursor.execute(_CLAIM, [now, aside, CLAIM], binary=True)
            claimed = [Claimed._make(row) for row in cursor.fetchall()]
            ready = []
            for row in claimed:
                owed = [book.owed_by(row.definition_id, row.partner_id, name) for name in orjson.loads(row.awaited)]
                if all(hearing.knows(source, row.tell_at) for source in owed if source is not None):
                    ready.append(row)
                else:
                    aside.append(row.id)
            if ready:
                drafts = [_draft_of(row, book, teams) for row in ready]
                found = {finding.key: finding.pk for finding in raise_findings(drafts, now)}
                cursor.execute(
                    _TELL,
                    [now, [row.id for row in ready], [found.get(finding_key(row.id)) for row in ready]],
                    binary=True,
                )
                count += len(ready)
        if len(claimed) < CLAIM:
            return count


def _draft_of(row: Claimed, book: Book, teams: Teams) -> FindingDraft:
    definition = book.definitions[row.definition_id]
    labels = {one.name: one.label for one in definition.milestones}
    partner = book.partner_ids.get(row.partner_id or 0)
    rule = book.rule_ids[row.rule_id]
    facts = orjson.loads(row.facts)
    label = labels.get(row.milestone, row.milestone)
    who = f" from {partner.name}" if partner else f" ({definition.name})"
    return FindingDraft(
        key=finding_key(row.id),
        kind=f"sla.{row.kind}",
        cause=key_of("deviation", definition.slug, row.milestone, row.kind, partner.slug if partner else ""),
        incident_title=f"{title(row.kind, facts)}: {label}{who}"[:200],
        severity=rule.severity,
        sentence=f"{sentence(row.kind, label, facts, labels)} ({row.label}).",
        evidence={
            "flow": row.label,
            "milestone": row.milestone,
            "rule": rule.slug,
            "version": rule.version,
            "facts": facts,
        },
        flow_id=row.flow_id,
        partner_id=row.partner_id,
        team_id=teams.of(row.definition_id, None, row.partner_id),
    )
