"""Writes what the fold says: reads all events of the touched flows, folds each flow, stores the difference.

The only module that writes Flow and Milestone rows.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from apps.flows.canonical import Key, key_of
from apps.flows.correlation import Touched
from apps.flows.folding import FoldEvent, RefTuple, digest_of, fold
from apps.flows.models import Event
from apps.flows.recording import NewEvent
from apps.flows.registry import Register
from apps.flows.sets import Stage, columns, jsonb, raw_cursor
from apps.flows.states import FlowState, MilestoneState

_OWN = """
SELECT fr.flow_id, r.kind, r.issuer, r.value FROM flows_flowreference fr JOIN flows_reference r ON r.id = fr.reference_id
WHERE fr.own AND fr.flow_id = ANY(%b::bigint[])
"""
_SLUGS = """
SELECT f.id, d.slug, f.marks FROM flows_flow f JOIN flows_flowdefinition d ON d.id = f.definition_id
WHERE f.id = ANY(%b::bigint[])
"""
_PLACES = """
SELECT DISTINCT fr.flow_id, er.event_id, er.event_received_at
FROM flows_flowreference fr JOIN flows_eventreference er ON er.reference_id = fr.reference_id
WHERE fr.flow_id = ANY(%b::bigint[])
"""
_EVENTS = """
SELECT e.id, e.type, e.happened_at, e.sent_at, e.received_at, e.booked_at, e."references"::text, e.dates::text,
       e.parties::text, e.data::text, e.integration_id, coalesce(p.slug, ''), e.source_key, e.content_key, e.flags, e.backfill
FROM unnest(%b::bigint[], %b::timestamptz[]) AS w (id, received_at)
JOIN flows_event e ON e.id = w.id AND e.received_at = w.received_at
JOIN integrations_integration i ON i.id = e.integration_id
LEFT JOIN integrations_partner p ON p.id = i.partner_id
"""
_FLOW_COLUMNS = (
    ("id", "bigint"),
    ("key", "uuid"),
    ("definition_id", "bigint"),
    ("partner_id", "bigint"),
    ("label", "text"),
    ("status", "text"),
    ("stage", "text"),
    ("awaiting", "text"),
    ("opened_at", "timestamptz"),
    ("closed_at", "timestamptz"),
    ("last_happened_at", "timestamptz"),
    ("last_received_at", "timestamptz"),
    ("value", "numeric"),
    ("currency", "text"),
    ("attributes", "jsonb"),
    ("dates", "jsonb"),
    ("failed_hops", "int"),
    ("conflicts", "int"),
    ("suspects", "int"),
    ("event_count", "int"),
    ("backfill", "boolean"),
    ("digest", "uuid"),
    ("marks", "bytea"),
)
_MILESTONE_COLUMNS = (
    ("flow_id", "bigint"),
    ("name", "text"),
    ("ordinal", "smallint"),
    ("planned_at", "timestamptz"),
    ("estimated_at", "timestamptz"),
    ("actual_at", "timestamptz"),
    ("sent_at", "timestamptz"),
    ("received_at", "timestamptz"),
    ("booked_at", "timestamptz"),
    ("event_id", "bigint"),
    ("integration_id", "bigint"),
)


_FLOWS = Stage("flow", _FLOW_COLUMNS)
_UPSERT_FLOWS = _FLOWS.upsert("flows_flow", ["id"])
_MILESTONES = Stage("milestone", _MILESTONE_COLUMNS)
_UPSERT_MILESTONES = _MILESTONES.upsert("flows_milestone", ["flow_id", "name"])
_DROP_MILESTONES = """
DELETE FROM flows_milestone m USING unnest(%b::bigint[], %b::smallint[]) AS gone (flow_id, ordinal)
WHERE m.flow_id = gone.flow_id AND m.ordinal = gone.ordinal
"""
_MERGE = """
UPDATE flows_flow f SET status = 'merged', merged_into_id = m.survivor, key = m.key, awaiting = '', closed_at = coalesce(closed_at, last_happened_at)
FROM unnest(%b::bigint[], %b::bigint[], %b::uuid[]) AS m (loser, survivor, key) WHERE f.id = m.loser
"""
_MERGED = """
SELECT f.id, f.definition_id, d.slug, f.key, f.label, f.partner_id, f.opened_at, f.closed_at, f.last_happened_at, f.last_received_at
FROM flows_flow f JOIN flows_flowdefinition d ON d.id = f.definition_id WHERE f.id = ANY(%b::bigint[])
"""


def project(touched: Touched, register: Register, new: Sequence[NewEvent] = ()) -> list[FlowState]:
    """Folds and stores the touched flows inside the caller's transaction; returns their states, merged ones included.

    new: events recorded just now; what of them reads from the database as it is in memory is not read again.
    """
    merged = _tombstones(touched)
    flows = touched.flows
    if not flows:
        return merged
    slugs: dict[int, str] = dict(touched.new)
    stored: dict[int, bytes] = {}
    with raw_cursor() as cursor:
        cursor.execute(_SLUGS, [flows], binary=True)
        for flow, slug, marks in cursor.fetchall():
            slugs[flow], stored[flow] = slug, marks
        own: dict[int, set[RefTuple]] = defaultdict(set)
        cursor.execute(_OWN, [flows], binary=True)
        for flow, kind, issuer, value in cursor.fetchall():
            own[flow].add((kind, issuer, value))
    events = read_events(flows, at_hand(new))
    states: list[FlowState] = []
    for flow in flows:
        state = fold(
            register.catalogue,
            slugs[flow],
            frozenset(own[flow]),
            events.get(flow, []),
            register.resolve,
            flow,
            register.partner_ids,
        )
        if state is not None:
            states.append(state)
    _write(states, stored)
    return merged + states


#: values a jsonb column gives back as they were; a number with a fraction may come back as a whole one
_FAITHFUL = frozenset({str, int, bool, type(None)})


def at_hand(new: Sequence[NewEvent]) -> dict[int, FoldEvent]:
    """event id -> the event as the database would give it, for those whose words certainly survive the way there and back."""
    found: dict[int, FoldEvent] = {}
    for one in new:
        event = one.incoming.event
        if (
            one.source_key is None
            or one.content_key is None
            or not _FAITHFUL.issuperset(map(type, event.data.values()))
        ):
            continue
        found[one.id] = FoldEvent(
            one.id,
            event.type,
            event.happened_at,
            event.sent_at,
            one.received_at,
            event.booked_at,
            tuple([(ref.kind, ref.issuer, ref.value) for ref in event.references]),
            event.dates,
            event.parties,
            event.data,
            one.incoming.integration_id,
            one.incoming.partner,
            one.source_key,
            one.content_key,
            bool(one.flags & Event.CLOCK_SUSPECT),
            one.incoming.backfill,
        )
    return found


def read_events(flows: Sequence[int], known: Mapping[int, FoldEvent] | None = None) -> dict[int, list[FoldEvent]]:
    """flow id -> every event that carries a reference in its scope. Events are found by primary key, partition pruned.

    known: events that need not be read.
    """
    with raw_cursor() as cursor:
        cursor.execute(_PLACES, [list(flows)], binary=True)
        places = cursor.fetchall()
        loaded = dict(known or {})
        wanted = sorted({(event_id, received_at) for _, event_id, received_at in places if event_id not in loaded})
        if wanted:
            cursor.execute(_EVENTS, columns(wanted, 2), binary=True)
            loaded.update((row[0], _event(row)) for row in cursor.fetchall())
    found: dict[int, list[FoldEvent]] = defaultdict(list)
    for flow, event_id, _ in places:
        if event_id in loaded:
            found[flow].append(loaded[event_id])
    return found


def _event(row: tuple[Any, ...]) -> FoldEvent:
    return FoldEvent(
        id=row[0],
        type=row[1],
        happened_at=row[2],
        sent_at=row[3],
        received_at=row[4],
        booked_at=row[5],
        references=tuple(tuple(ref) for ref in orjson.loads(row[6])),
        dates={} if row[7] == "{}" else {k: datetime.fromisoformat(v) for k, v in orjson.loads(row[7]).items()},
        parties={} if row[8] == "{}" else orjson.loads(row[8]),
        data={} if row[9] == "{}" else orjson.loads(row[9]),
        integration_id=row[10],
        partner=row[11],
        source_key=row[12],
        content_key=row[13],
        suspect=bool(row[14] & Event.CLOCK_SUSPECT),
        backfill=row[15],
    )


def _mark(m: MilestoneState) -> int:
    """64 bits that differ when a milestone's row does; equal in every process (numbers hash alike everywhere)."""
    times = (m.planned_at, m.estimated_at, m.actual_at, m.sent_at, m.booked_at)
    return hash((*(0.0 if t is None else t.timestamp() for t in times), m.event_id or 0)) & 0xFFFFFFFFFFFFFFFF or 1


def _marks(state: FlowState) -> bytes:
    """One 8-byte mark for each milestone in order, zero where there is none."""
    if not state.milestones:
        return b""
    marks = [0] * (max(m.ordinal for m in state.milestones.values()) + 1)
    for m in state.milestones.values():
        marks[m.ordinal] = _mark(m)
    return struct.pack(f"<{len(marks)}Q", *marks)


def _write(states: Sequence[FlowState], stored: Mapping[int, bytes]) -> None:
    """stored: the marks each flow's milestones had; only milestones whose mark differs are written."""
    if not states:
        return
    flows: list[tuple[Any, ...]] = []
    milestones: list[tuple[Any, ...]] = []
    gone: list[tuple[int, int]] = []
    for state in states:
        marks, before = _marks(state), stored.get(state.flow_id, b"")
        flows.append(_flow_row(state, marks))
        if marks == before:
            continue
        for m in state.milestones.values():
            place = slice(m.ordinal * 8, m.ordinal * 8 + 8)
            if marks[place] != before[place]:
                milestones.append(_milestone_row(state.flow_id, m))
        for ordinal in range(len(before) // 8):
            place = slice(ordinal * 8, ordinal * 8 + 8)
            if before[place] != _NONE and marks[place] in (_NONE, b""):
                gone.append((state.flow_id, ordinal))
    with raw_cursor() as cursor:
        _FLOWS.fill(cursor, flows)
        cursor.execute(_UPSERT_FLOWS)
        if gone:
            cursor.execute(_DROP_MILESTONES, columns(gone, 2), binary=True)
        if milestones:
            _MILESTONES.fill(cursor, milestones)
            cursor.execute(_UPSERT_MILESTONES)


_NONE = bytes(8)


def _flow_row(state: FlowState, marks: bytes) -> tuple[Any, ...]:
    return (
        state.flow_id,
        Key(state.key.bytes),
        state.definition_id,
        state.partner_id,
        state.label[:200],
        state.status,
        state.stage,
        state.awaiting,
        state.opened_at,
        state.closed_at,
        state.last_happened_at,
        state.last_received_at,
        None if state.value is None else str(state.value),
        state.currency,
        jsonb(dict(state.attributes)),
        jsonb(dict(state.dates)),
        state.failed_hops,
        state.conflicts,
        state.suspects,
        state.event_count,
        state.backfill,
        digest_of(state),
        marks,
    )


def _milestone_row(flow_id: int, m: MilestoneState) -> tuple[Any, ...]:
    return (
        flow_id,
        m.name,
        m.ordinal,
        m.planned_at,
        m.estimated_at,
        m.actual_at,
        m.sent_at,
        m.received_at,
        m.booked_at,
        m.event_id,
        m.integration_id,
    )


def _tombstones(touched: Touched) -> list[FlowState]:
    """Marks flows that a link showed to be another one; their key makes room for the survivor's."""
    if not touched.merged:
        return []
    losers = sorted(touched.merged)
    with raw_cursor() as cursor:
        rows = [(loser, touched.merged[loser], key_of("merged", str(loser))) for loser in losers]
        cursor.execute(_MERGE, columns(rows, 3), binary=True)
        cursor.execute("DELETE FROM flows_milestone WHERE flow_id = ANY(%b::bigint[])", [losers])
        cursor.execute(_MERGED, [losers], binary=True)
        return [
            FlowState(
                definition_id=row[1],
                definition_slug=row[2],
                key=row[3],
                label=row[4],
                partner="",
                status="merged",
                stage="",
                awaiting="",
                opened_at=row[6],
                closed_at=row[7],
                last_happened_at=row[8],
                last_received_at=row[9],
                milestones={},
                flow_id=row[0],
                partner_id=row[5],
            )
            for row in cursor.fetchall()
        ]
