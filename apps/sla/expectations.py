"""Keeps the ledger in step with the flows of a batch: reads what is written of them, writes what differs, set-wise.

Runs in the pipeline's transaction. Locks expectations in order of (flow, milestone) first, incidents after them.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apps.flows.canonical import key_of
from apps.flows.sets import columns, raw_cursor
from apps.flows.states import FlowState
from apps.incidents.workflow import clear_findings
from apps.sla import deviations, library, pauses, shadows
from apps.sla.derivation import BREACHED, DECIDING, MET, MET_LATE, SUSPENDED, WAIVED, Existing, Write, by_flow, compare

#: column, type; in the order of `derivation.Write`
COLUMNS = (
    ("flow_id", "bigint"),
    ("milestone", "text"),
    ("rule_id", "bigint"),
    ("definition_id", "bigint"),
    ("partner_id", "bigint"),
    ("source_id", "bigint"),
    ("due_at", "timestamptz"),
    ("warn_at", "timestamptz"),
    ("state", "text"),
    ("at_risk", "boolean"),
    ("anchor", "text"),
    ("anchor_at", "timestamptz"),
    ("met_at", "timestamptz"),
    ("settled_at", "timestamptz"),
    ("waived_reason", "text"),
    ("backfill", "boolean"),
    ("paused", "text"),
    ("as_of", "timestamptz"),
    ("suspended_at", "timestamptz"),
    ("origin", "text"),
)
_NAMES = [name for name, _ in COLUMNS]
_EXISTING = (
    f"SELECT {', '.join(_NAMES[:DECIDING])}, id, as_of, suspended_at, finding_id, waived_by_id "
    "FROM sla_expectation WHERE flow_id = ANY(%b::bigint[])"
)
# an empty origin means: where it came from has not changed
_UPSERT = f"""
WITH written AS (
    INSERT INTO sla_expectation ({", ".join(_NAMES)})
    SELECT {", ".join(_NAMES[:-1])}, CASE WHEN origin = '' THEN '{{}}'::jsonb ELSE origin::jsonb END
    FROM unnest({", ".join(f"%b::{cast}[]" for _, cast in COLUMNS)}) AS t ({", ".join(_NAMES)})
    ON CONFLICT (flow_id, milestone) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in _NAMES[2:-1])},
        origin = CASE WHEN excluded.origin = '{{}}'::jsonb THEN sla_expectation.origin ELSE excluded.origin END
    WHERE sla_expectation.waived_by_id IS NULL
    RETURNING id, state, settled_at, finding_id
)
SELECT id, state FROM written
WHERE finding_id IS NOT NULL AND (state <> 'BREACHED' OR settled_at IS NOT NULL) ORDER BY id
"""
_DELETE = "DELETE FROM sla_expectation WHERE id = ANY(%b::bigint[]) RETURNING id, finding_id"
_WAIVE = """
UPDATE sla_expectation AS e
SET state = 'WAIVED', settled_at = %b, at_risk = false, waived_reason = t.reason, suspended_at = NULL
FROM unnest(%b::bigint[], %b::text[]) AS t (id, reason)
WHERE e.id = t.id AND e.waived_by_id IS NULL
"""
_WHY = {
    MET: "It came, and had happened in time",
    MET_LATE: "It came late",
    BREACHED: "The flow ended without it",
    WAIVED: "The flow was cancelled or went on without it",
}
MOVED = "The deadline moved"
MERGED = "The flow turned out to be part of another one"


def refresh(states: Sequence[FlowState], now: datetime) -> int:
    """Writes what the facts say about every measured milestone of these flows; what is right already is not touched.

    Idempotent; the outcome does not depend on how events were batched. Findings of what came, moved or fell away are
    cleared. Call it once per transaction. Returns how many expectations changed.
    """
    if not states:
        return 0
    shelf = library.load(now)
    flows = {state.flow_id: state for state in states}
    writes: list[Write] = []
    gone: list[int] = []
    waived: list[tuple[int, str]] = []
    paused: list[pauses.Row] = []
    stopping = [flow_id for flow_id, state in flows.items() if shelf.book.pauses(state)]
    with raw_cursor() as cursor:
        cursor.execute(_EXISTING, [sorted(flows)], binary=True)
        known = by_flow([Existing._make(row) for row in cursor.fetchall()])
        for flow_id, state in flows.items():
            change = compare(state, shelf.book, known.get(flow_id, {}), shelf.silent, now)
            writes += change.writes
            gone += change.gone
            waived += change.waived
            paused += [(flow_id, milestone, one) for milestone, one in change.pauses]
        told = _store(cursor, writes, gone, waived, now)
        pauses.store(cursor, stopping, paused)
        unheard = {write.flow_id for write in writes if write.state == SUSPENDED and not write.paused}
        unheard |= {row.flow_id for rows in known.values() for row in rows.values() if row.state == SUSPENDED}
        pauses.follow_flows(cursor, sorted(unheard), now)
        deviations.refresh(cursor, states, shelf.book, now)
        shadows.refresh(cursor, states, shelf.book)
    if told:
        clear_findings([finding_key(expectation_id) for expectation_id, _ in told], _reason(told), now)
    return len(writes) + len(gone) + len(waived)


def finding_key(expectation_id: int) -> uuid.UUID:
    """The key of an expectation's finding."""
    return key_of("expectation", str(expectation_id))


def _store(
    cursor: Any, writes: list[Write], gone: list[int], waived: list[tuple[int, str]], now: datetime
) -> list[tuple[int, str]]:
    """Writes the difference; returns (expectation id, why) of those whose findings end."""
    told: list[tuple[int, str]] = []
    if writes:
        writes.sort(key=lambda write: write[:2])
        cursor.execute(_UPSERT, columns(writes, len(COLUMNS)), binary=True)
        told += [(row[0], _WHY.get(row[1], MOVED)) for row in cursor.fetchall()]
    if waived:
        waived.sort()
        cursor.execute(_WAIVE, [now, *columns(waived, 2)], binary=True)
        told += waived
    if gone:
        cursor.execute(_DELETE, [sorted(gone)], binary=True)
        told += [(row[0], MERGED) for row in cursor.fetchall() if row[1] is not None]
    return told


def _reason(told: list[tuple[int, str]]) -> str:
    """One sentence for the timeline, the most frequent reason first."""
    counts = Counter(why for _, why in told)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{why} ({count})" for why, count in counts.most_common())
