"""Writes the pauses of the ledger: what stops a clock by a flow's events or by maintenance, and what could not be heard.

The first kind is a function of the flow and is set against the stored rows as a whole; the second is begun and ended by
whoever finds that a source cannot be heard, or can be again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apps.flows.sets import columns
from apps.sla.pausing import Pause as Span

#: (flow id, milestone, pause)
Row = tuple[int, str, Span]

_STORE = """
WITH wanted AS (
    SELECT e.id AS expectation_id, t.kind, t.begin, t.until, t.reason
    FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::timestamptz[], %b::timestamptz[], %b::text[])
      AS t (flow_id, milestone, kind, begin, until, reason)
    JOIN sla_expectation e ON e.flow_id = t.flow_id AND e.milestone = t.milestone
), gone AS (
    DELETE FROM sla_pause p USING sla_expectation e
    WHERE e.id = p.expectation_id AND e.flow_id = ANY(%b::bigint[]) AND e.waived_by_id IS NULL AND p.kind <> 'unheard'
      AND NOT EXISTS (SELECT FROM wanted w
                      WHERE (w.expectation_id, w.kind, w.begin) = (p.expectation_id, p.kind, p.begin))
)
INSERT INTO sla_pause (expectation_id, kind, begin, until, reason)
SELECT expectation_id, kind, begin, until, reason FROM wanted
ON CONFLICT (expectation_id, kind, begin) DO UPDATE SET until = excluded.until, reason = excluded.reason
WHERE (sla_pause.until, sla_pause.reason) IS DISTINCT FROM (excluded.until, excluded.reason)
"""
_FOLLOW = """
WITH ended AS (
    UPDATE sla_pause p SET until = greatest(coalesce(least(e.settled_at, %b::timestamptz), %b::timestamptz), p.begin)
    FROM sla_expectation e
    WHERE e.id = p.expectation_id AND p.kind = 'unheard' AND p.until IS NULL
      AND (e.state <> 'SUSPENDED' OR e.paused <> '') AND {which}
)
INSERT INTO sla_pause (expectation_id, kind, begin, reason)
SELECT e.id, 'unheard', e.suspended_at, coalesce(nullif(s.stale_reason, ''), 'What we received is not read yet')
FROM sla_expectation e LEFT JOIN integrations_sourcestate s ON s.integration_id = e.source_id
WHERE e.state = 'SUSPENDED' AND e.paused = '' AND e.suspended_at IS NOT NULL AND {which}
  AND NOT EXISTS (SELECT FROM sla_pause p WHERE p.expectation_id = e.id AND p.kind = 'unheard' AND p.until IS NULL)
ON CONFLICT (expectation_id, kind, begin) DO NOTHING
"""
_OF_FLOWS = _FOLLOW.format(which="e.flow_id = ANY(%b::bigint[])")
_OF_ROWS = _FOLLOW.format(which="e.id = ANY(%b::bigint[])")


def store(cursor: Any, flows: Sequence[int], rows: Sequence[Row]) -> None:
    """Sets the pauses of these flows against what stands: rows is everything that should. A waived one keeps its own."""
    if flows:
        told = sorted((flow, milestone, one.kind, one.begin, one.until, one.label) for flow, milestone, one in rows)
        cursor.execute(_STORE, [*columns(told, 6), sorted(flows)], binary=True)


def follow(cursor: Any, expectation_ids: Sequence[int], now: datetime) -> None:
    """Begins the pauses of expectations that are unknown now, and ends those of what is known again."""
    if expectation_ids:
        ids = list(expectation_ids)
        cursor.execute(_OF_ROWS, [now, now, ids, ids], binary=True)


def follow_flows(cursor: Any, flows: Sequence[int], now: datetime) -> None:
    """The same for every expectation of these flows."""
    if flows:
        ids = sorted(flows)
        cursor.execute(_OF_FLOWS, [now, now, ids, ids], binary=True)
