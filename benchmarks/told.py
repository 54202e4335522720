"""Events to measure with: orders to ship, ten events each, interleaved as life interleaves them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.recording import IncomingEvent
from apps.integrations.models import Integration

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
#: (type, minutes after the order, which references it names)
STORY = (
    ("order.placed", 0, "co"),
    ("order.created", 2, "so co"),
    ("order.released", 9, "so"),
    ("stock.allocated", 14, "so pick"),
    ("pick.completed", 70, "pick"),
    ("label.created", 95, "pick trk"),
    ("shipment.dispatched", 240, "so pick"),
    ("transport.picked_up", 300, "trk"),
    ("transport.out_for_delivery", 1400, "trk"),
    ("delivery.completed", 1700, "trk"),
)
KINDS = {"so": "sales_order", "co": "channel_order", "pick": "picking", "trk": "tracking_number"}
FILLER = "x" * 380
#: orders after which times begin anew
MOST_APART = 1_000_000


def load_definitions() -> Integration:
    """The shipped flows and rules, and one integration that tells everything."""
    call_command("load_config", str(Path(settings.BASE_DIR) / "apps/flows/definition_files"), verbosity=0)
    return Integration.objects.create(slug="bench", name="Bench", kind="webhook")


def orders(count: int, first: int = 0) -> list[CanonicalEvent]:
    """Events of ``count`` orders placed two seconds apart, by the time they happened."""
    told = [event for number in range(first, first + count) for event in _order(number)]
    return sorted(told, key=lambda event: event.happened_at)


def _order(number: int) -> Iterator[CanonicalEvent]:
    # whatever their number, no longer ago and no later than a month: what is told of years ahead is not believed
    placed = START + timedelta(seconds=2 * (number % MOST_APART))
    dates = {"promised_delivery": placed + timedelta(days=3), "ship_by": placed + timedelta(days=1)}
    for type_, minutes, names in STORY:
        yield CanonicalEvent(
            type=type_,
            happened_at=placed + timedelta(minutes=minutes),
            references=tuple(Reference(KINDS[name], f"{name.upper()}{number}") for name in names.split()),
            source_event_id=f"{type_}/{number}",
            dates=dates if type_ == "order.placed" else {},
            data={"note": FILLER, "value": "120.50", "currency": "EUR", "lane_to": "DE"},
        )


def incoming(events: list[CanonicalEvent], integration: Integration) -> list[IncomingEvent]:
    return [
        IncomingEvent(event, integration.pk, "", None, event.happened_at + timedelta(seconds=3)) for event in events
    ]
