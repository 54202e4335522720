"""A small network of fictional companies for the pages' tests: ``n`` of everything that lists show."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.accounts.models import Team, User
from apps.anomalies.models import FeedCount
from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.flows.models import Flow, FlowDefinition, FlowReference, Milestone, Reference
from apps.integrations.models import Integration, Partner, SourceState
from apps.sla.models import Expectation, SlaRule

NOW = datetime(2026, 3, 18, 11, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

ORDER: dict[str, Any] = {
    "identified_by": ["sales_order"],
    "opened_by": ["order.placed"],
    "completed_by": ["delivered"],
    "milestones": [
        {"name": "placed", "label": "Placed", "reached_by": ["order.placed"]},
        {"name": "shipped", "label": "Shipped", "reached_by": ["shipment.dispatched"]},
        {"name": "delivered", "label": "Delivered", "reached_by": ["delivery.completed"]},
    ],
}
ORIGIN = {
    "at": "2026-03-17T23:00:00Z",
    "day": "2026-03-18",
    "form": "date",
    "time": "end_of_day",
    "zone": "Europe/Berlin",
    "clock": "document",
    "anchor": ["date", "ship_by"],
    "rule": "Shipped in time",
    "version": 1,
}


def definitions() -> FlowDefinition:
    return FlowDefinition.objects.get_or_create(
        slug="order-to-ship", defaults={"version": 1, "name": "Order to ship", "spec": ORDER}
    )[0]


def rule(**changes: Any) -> SlaRule:
    values: dict[str, Any] = {
        "slug": "ship-in-time",
        "name": "Shipped in time",
        "flow_slug": "order-to-ship",
        "milestone": "shipped",
        "target": Decimal(98),
        "spec": {},
        **changes,
    }
    return SlaRule.objects.get_or_create(slug=values.pop("slug"), defaults=values)[0]


def partner(name: str = "Acme Metals", **changes: Any) -> Partner:
    slug = name.lower().replace(" ", "-")
    return Partner.objects.get_or_create(slug=slug, defaults={"name": name, "kind": "3pl", **changes})[0]


def integration(name: str = "Acme events", **changes: Any) -> Integration:
    values: dict[str, Any] = {"name": name, "kind": "webhook", "settings": {"scheme": "bearer"}, **changes}
    return Integration.objects.get_or_create(slug=name.lower().replace(" ", "-"), defaults=values)[0]


def flow(label: str, who: Partner | None = None, **changes: Any) -> Flow:
    values: dict[str, Any] = {
        "key": uuid.uuid4(),
        "definition": definitions(),
        "partner": who,
        "label": label,
        "stage": "placed",
        "awaiting": "shipped",
        "opened_at": NOW - 2 * DAY,
        "last_happened_at": NOW - DAY,
        "last_received_at": NOW - DAY,
        "value": Decimal("100.00"),
        "currency": "EUR",
        "digest": uuid.uuid4(),
        **changes,
    }
    made = Flow.objects.create(**values)
    Milestone.objects.create(flow=made, name="placed", ordinal=0, actual_at=made.opened_at, received_at=made.opened_at)
    key = uuid.uuid5(uuid.NAMESPACE_URL, label)
    Reference.objects.get_or_create(id=key, defaults={"kind": "sales_order", "value": label})
    FlowReference.objects.create(reference_id=key, flow=made, own=True)
    return made


def promise(of: Flow, state: str, due_at: datetime, **changes: Any) -> Expectation:
    settled = state in ("MET", "MET_LATE", "WAIVED")
    values: dict[str, Any] = {
        "flow": of,
        "definition": of.definition,
        "partner": of.partner,
        "milestone": "shipped",
        "rule": rule(),
        "due_at": due_at,
        "state": state,
        "origin": ORIGIN,
        "settled_at": due_at if settled else None,
        **changes,
    }
    return Expectation.objects.create(**values)


def told(of: Integration, bodies: Sequence[Any], at: datetime = NOW, process_at: datetime | None = None) -> list[int]:
    """Deliveries through the real receiving and processing; bytes as they are, anything else as JSON."""
    made = [
        NewReceipt(
            of.pk, "http", one if isinstance(one, bytes) else json.dumps(one).encode(), "application/json", {}, "", at
        )
        for one in bodies
    ]
    ids = store(made)
    while process(process_at or at, limit=500).receipts:
        pass
    return ids


def event(number: int, type_: str = "transport.in_transit", **changes: Any) -> dict[str, Any]:
    """An event in the tower's own form, about a parcel that no flow knows."""
    return {
        "type": type_,
        "id": f"e{number}",
        "happened_at": (NOW - HOUR).isoformat(),
        "references": [{"kind": "tracking_number", "value": f"1Z{number:06d}"}],
        **changes,
    }


def fill(n: int, now: datetime = NOW) -> None:
    """``n`` partners, integrations, flows (late, open, kept), dead letters and orphans, around ``now``."""
    team = Team.objects.get_or_create(slug="logistics", defaults={"name": "Logistics"})[0]
    for number in range(n):
        who = partner(f"Partner {number}")
        source = integration(f"Source {number}", partner=who, team=team)
        SourceState.objects.update_or_create(integration=source, defaults={"last_received_at": now - HOUR})
        FeedCount.objects.get_or_create(
            integration=source, event_type="order.placed", hour=now.replace(minute=0), defaults={"n": number + 1}
        )
        late = flow(f"SO-L{number}", who, opened_at=now - 2 * DAY)
        promise(late, "BREACHED", now - (number % 24 + 1) * HOUR)
        kept = flow(f"SO-K{number}", who, opened_at=now - 2 * DAY, status="completed", closed_at=now - DAY)
        promise(kept, "MET", now - DAY, met_at=now - 2 * DAY)
        waived = flow(f"SO-W{number}", who, opened_at=now - 2 * DAY)
        promise(waived, "WAIVED", now - DAY, waived_reason=f"Strike {number % 3}")
        told(source, [b"{", event(number), event(number, happened_at=(NOW - 2 * HOUR).isoformat())], now)


def person(role: str) -> User:
    return User.objects.get_or_create(username=role, defaults={"role": role, "first_name": role.title()})[0]
