"""Flow states as projection stored them, read back for judging again: backtests, and what a changed rule re-derives."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from apps.flows.states import FlowState, MilestoneState

NOBODY = uuid.UUID(int=0)
#: the columns `state_of` reads, of flows_flow f and integrations_partner p
FLOW_COLUMNS = """f.id, f.definition_id, coalesce(p.slug, ''), f.partner_id, f.label, f.status, f.opened_at, f.closed_at,
       f.dates::text, f.attributes::text, f.value::text, f.currency, f.backfill"""
_MILESTONES = """
SELECT flow_id, name, ordinal, planned_at, estimated_at, actual_at, sent_at, received_at, booked_at, event_id, integration_id
FROM flows_milestone WHERE flow_id = ANY(%b::bigint[])
"""


def states_of(cursor: Any, rows: Sequence[Sequence[Any]], names: Sequence[str] | None = None) -> list[FlowState]:
    """The states of rows of `FLOW_COLUMNS`, in their order. names: of the milestones to read; None: all."""
    statement, values = _MILESTONES, [[row[0] for row in rows]]
    if names is not None:
        statement, values = statement + " AND name = ANY(%b::text[])", [*values, list(names)]
    cursor.execute(statement, values, binary=True)
    milestones: dict[int, dict[str, MilestoneState]] = defaultdict(dict)
    for flow_id, name, *rest in cursor.fetchall():
        milestones[flow_id][name] = MilestoneState(name, *rest)
    return [_state_of(row, milestones.get(row[0], {})) for row in rows]


def _state_of(row: Sequence[Any], milestones: Mapping[str, MilestoneState]) -> FlowState:
    flow_id, definition_id, partner, partner_id, label, status, opened_at, closed_at, *told, backfill = row
    dates, attributes, value, currency = told
    return FlowState(
        definition_id=definition_id,
        definition_slug="",
        key=NOBODY,
        label=label,
        partner=partner,
        status=status,
        stage="",
        awaiting="",
        opened_at=opened_at,
        closed_at=closed_at,
        last_happened_at=opened_at,
        last_received_at=opened_at,
        milestones=milestones,
        dates={} if dates == "{}" else {name: datetime.fromisoformat(at) for name, at in orjson.loads(dates).items()},
        attributes={} if attributes == "{}" else orjson.loads(attributes),
        value=None if value is None else Decimal(value),
        currency=currency,
        backfill=backfill,
        flow_id=flow_id,
        partner_id=partner_id,
    )
