"""What a flow is after folding its events: the values that projection writes and the SLA floor reads. No database."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

#: name of the attribute that holds a flow's pauses: [name, label, begin, until or None], times in ISO 8601
PAUSES = "pauses"


@dataclass(frozen=True, slots=True)
class MilestoneState:
    """One milestone: planned, estimated, actual, and the four clocks of the actual (happened = actual_at)."""

    name: str
    ordinal: int
    planned_at: datetime | None = None
    estimated_at: datetime | None = None
    actual_at: datetime | None = None
    sent_at: datetime | None = None
    received_at: datetime | None = None
    booked_at: datetime | None = None
    event_id: int | None = None
    integration_id: int | None = None


@dataclass(frozen=True, slots=True)
class FlowState:
    """A folded flow. flow_id is 0 until projection has written it. status: open, completed, cancelled.

    partner: slug of the partner the flow belongs to ('' if none); partner_id is filled in by projection.
    sources: ids of the integrations its events came from, sorted.
    backfill: every event known of it came by backfill.
    """

    definition_id: int
    definition_slug: str
    key: uuid.UUID
    label: str
    partner: str
    status: str
    stage: str
    awaiting: str
    opened_at: datetime
    closed_at: datetime | None
    last_happened_at: datetime
    last_received_at: datetime
    milestones: Mapping[str, MilestoneState]
    dates: Mapping[str, datetime] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    value: Decimal | None = None
    currency: str = ""
    sources: tuple[int, ...] = ()
    event_count: int = 0
    failed_hops: int = 0
    conflicts: int = 0
    suspects: int = 0
    backfill: bool = False
    flow_id: int = 0
    partner_id: int | None = None
