"""Writes what the fold says: reads all events of the touched flows, folds each flow, stores the difference.

The only module that writes Flow and Milestone rows.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from apps.flows.canonical import key_of
from apps.flows.correlation import Touched
from apps.flows.folding import FoldEvent, RefTuple, digest_of, fold
from apps.flows.models import Event
from apps.flows.registry import Register
from apps.flows.sets import columns, raw_cursor
from apps.flows.states import FlowState

_OWN = """
SELECT fr.flow_id, r.kind, r.issuer, r.value FROM flows_flowreference fr JOIN flows_reference r ON r.id = fr.reference_id
WHERE fr.own AND fr.flow_id = ANY(%b::bigint[])
"""
_SLUGS = """
SELECT f.id, d.slug, f.digest FROM flows_flow f JOIN flows_flowdefinition d ON d.id = f.definition_id
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


def _upsert(table: str, spec: Sequence[tuple[str, str]], keys: Sequence[str]) -> str:
    """INSERT .. SELECT unnest .. ON CONFLICT DO UPDATE where a column differs."""
    names = [name for name, _ in spec]
    # jsonb and numeric arrays travel as text: one cast in the server is cheaper than adapting each value
    arrays = ", ".join(f"%b::{'text' if cast in ('jsonb', 'numeric') else cast}[]" for _, cast in spec)
    selected = ", ".join(f"{name}::{cast}" if cast in ("jsonb", "numeric") else name for name, cast in spec)
    rest = [name for name in names if name not in keys]
    changed = ", ".join(f"{name} = excluded.{name}" for name in rest)
    mine, theirs = ", ".join(f"{table}.{n}" for n in rest), ", ".join(f"excluded.{n}" for n in rest)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {selected} FROM unnest({arrays}) AS t ({', '.join(names)}) "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed} WHERE ({mine}) IS DISTINCT FROM ({theirs})"
    )


_UPSERT_FLOWS = _upsert("flows_flow", _FLOW_COLUMNS, ["id"])
_UPSERT_MILESTONES = _upsert("flows_milestone", _MILESTONE_COLUMNS, ["flow_id", "name"])
_DROP_MILESTONES = """
DELETE FROM flows_milestone m USING unnest(%b::bigint[]) AS f (id)
WHERE m.flow_id = f.id AND NOT EXISTS (
    SELECT FROM unnest(%b::bigint[], %b::text[]) AS kept (flow_id, name) WHERE kept.flow_id = m.flow_id AND kept.name = m.name)
"""
_MERGE = """
UPDATE flows_flow f SET status = 'merged', merged_into_id = m.survivor, key = m.key, awaiting = '', closed_at = coalesce(closed_at, last_happened_at)
FROM unnest(%b::bigint[], %b::bigint[], %b::uuid[]) AS m (loser, survivor, key) WHERE f.id = m.loser
"""
_MERGED = """
SELECT f.id, f.definition_id, d.slug, f.key, f.label, f.partner_id, f.opened_at, f.closed_at, f.last_happened_at, f.last_received_at
FROM flows_flow f JOIN flows_flowdefinition d ON d.id = f.definition_id WHERE f.id = ANY(%b::bigint[])
"""


def project(touched: Touched, register: Register) -> list[FlowState]:
    """Folds and stores the touched flows inside the caller's transaction; returns their states, merged ones included."""
    merged = _tombstones(touched)
    flows = touched.flows
    if not flows:
        return merged
    slugs, digests = dict(touched.new), {}
    with raw_cursor() as cursor:
        cursor.execute(_SLUGS, [flows], binary=True)
        for flow, slug, digest in cursor.fetchall():
            slugs[flow], digests[flow] = slug, digest
        own: dict[int, set[RefTuple]] = defaultdict(set)
        cursor.execute(_OWN, [flows], binary=True)
        for flow, kind, issuer, value in cursor.fetchall():
            own[flow].add((kind, issuer, value))
    events = read_events(flows)
    states: list[FlowState] = []
    for flow in flows:
        state = fold(register.catalogue, slugs[flow], frozenset(own[flow]), events.get(flow, []), register.resolve)
        if state is not None:
            states.append(replace(state, flow_id=flow, partner_id=register.partner_ids.get(state.partner)))
    _write(states, digests)
    return merged + states


def read_events(flows: Sequence[int]) -> dict[int, list[FoldEvent]]:
    """flow id -> every event that carries a reference in its scope. Events are found by primary key, partition pruned."""
    with raw_cursor() as cursor:
        cursor.execute(_PLACES, [list(flows)], binary=True)
        places = cursor.fetchall()
        wanted = sorted({(event_id, received_at) for _, event_id, received_at in places})
        cursor.execute(_EVENTS, columns(wanted, 2), binary=True)
        loaded = {row[0]: _event(row) for row in cursor.fetchall()}
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


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS).decode()


def _write(states: Sequence[FlowState], digests: dict[int, uuid.UUID]) -> None:
    rows: list[tuple[Any, ...]] = []
    changed: list[FlowState] = []
    for state in states:
        digest = digest_of(state)
        if digests.get(state.flow_id) != digest:
            changed.append(state)
        rows.append(
            (
                state.flow_id,
                state.key,
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
                _json(dict(state.attributes)),
                _json(dict(state.dates)),
                state.failed_hops,
                state.conflicts,
                state.suspects,
                state.event_count,
                state.backfill,
                digest,
            )
        )
    with raw_cursor() as cursor:
        if rows:
            cursor.execute(_UPSERT_FLOWS, columns(rows, len(_FLOW_COLUMNS)), binary=True)
        if not changed:
            return
        known = [state.flow_id for state in changed if state.flow_id in digests]
        kept = list(_milestone_rows(changed))
        if known:
            names = columns([(row[0], row[1]) for row in kept], 2)
            cursor.execute(_DROP_MILESTONES, [known, *names], binary=True)
        if kept:
            cursor.execute(_UPSERT_MILESTONES, columns(kept, len(_MILESTONE_COLUMNS)), binary=True)


def _milestone_rows(states: Iterable[FlowState]) -> Iterable[tuple[Any, ...]]:
    for state in states:
        for m in state.milestones.values():
            yield (
                state.flow_id,
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
