"""Whose silence suspends a clock when nobody named the source: the partner's only integration, for what it owes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.pipeline import IncomingEvent, take
from apps.incidents.models import Finding
from apps.integrations.models import Integration, Partner, SourceState
from apps.sla import sweep
from apps.sla.expectations import refresh
from apps.sla.models import Expectation

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SENT = NOW - timedelta(days=3)
BASE = Path(settings.BASE_DIR) / "apps"


@pytest.fixture
def shipped() -> None:
    """The catalogue and the demo just as they are delivered."""
    call_command("load_config", str(BASE / "flows/definition_files"), str(BASE / "simulator/demo"), verbosity=0)


def order(number: int = 1) -> None:
    """A purchase from Oakline whose ASN was due an hour ago and whose goods are due tomorrow."""
    told = CanonicalEvent(
        "purchase_order.sent",
        SENT,
        (Reference("purchase_order", f"PO-{number}"),),
        parties={"supplier": "oakline"},
        dates={"expected_receipt": NOW + timedelta(hours=5)},
    )
    bus = Integration.objects.get(slug="odoo-bus")
    refresh(take([IncomingEvent(told, bus.pk, "", None, SENT)], SENT).states, SENT)


def sources() -> dict[str, str | None]:
    return dict(Expectation.objects.values_list("milestone", "source__slug"))


def fall_silent(slug: str) -> None:
    SourceState.objects.create(
        integration=Integration.objects.get(slug=slug), last_received_at=SENT, stale_since=SENT, stale_reason="drill"
    )


def test_what_the_partner_owes_hangs_on_its_only_integration(shipped: None) -> None:
    order()
    found = sources()
    assert found["asn"] == "oakline-edi"
    assert found["acknowledged"] == "oakline-edi"
    assert found["received"] == "odoo-bus", "our own step is told by our own bus, which the demo names"


def test_with_the_delivered_configuration_a_dead_feed_makes_the_deadline_unknown_not_late(shipped: None) -> None:
    order()
    fall_silent("oakline-edi")
    sweep.run(NOW)
    assert Expectation.objects.get(milestone="asn").state == "SUSPENDED"
    assert not Finding.objects.filter(kind="sla.breach").exists()


def test_one_message_missing_in_a_feed_that_speaks_is_a_breach(shipped: None) -> None:
    order()
    sweep.run(NOW)
    assert Expectation.objects.get(milestone="asn").state == "BREACHED"
    assert Finding.objects.filter(kind="sla.breach").count() >= 1


def test_another_partners_silence_changes_nothing(shipped: None) -> None:
    order()
    fall_silent("nordtex-edi")
    sweep.run(NOW)
    assert Expectation.objects.get(milestone="asn").state == "BREACHED"


def test_of_two_integrations_none_is_guessed_and_the_book_notices_the_second(shipped: None) -> None:
    order(1)
    oakline = Partner.objects.get(slug="oakline")
    second = Integration.objects.create(slug="oakline-portal", name="Portal", kind="webhook", partner=oakline)
    order(2)
    assert Expectation.objects.get(milestone="asn", flow__label="PO-2").source is None
    second.lifecycle = Integration.Lifecycle.RETIRED
    second.save()
    order(3)
    found = Expectation.objects.get(milestone="asn", flow__label="PO-3").source
    assert found is not None
    assert found.slug == "oakline-edi"


def sold(tracking: str = "SW-1") -> None:
    """An order promised for yesterday, its parcel handed to Swift Parcel and not delivered."""
    order_ref, picking = Reference("sales_order", "S1"), Reference("picking", "WH/OUT/1")
    parcel = Reference("tracking_number", tracking)
    promise = {"promised_delivery": NOW - timedelta(days=1)}
    told = [
        ("odoo-bus", CanonicalEvent("order.placed", SENT, (order_ref,), dates=promise)),
        ("odoo-bus", CanonicalEvent("order.created", SENT, (order_ref,))),
        ("odoo-bus", CanonicalEvent("picking.created", SENT, (order_ref, picking))),
        ("north-wms", CanonicalEvent("label.created", SENT, (picking, parcel), parties={"carrier": "scac:SWFT"})),
        ("north-wms", CanonicalEvent("shipment.dispatched", SENT, (order_ref, picking))),
        ("swift-tracking", CanonicalEvent("transport.picked_up", SENT, (parcel,))),
    ]
    for slug, event in told:
        source = Integration.objects.get(slug=slug)
        partner = source.partner.slug if source.partner else ""
        refresh(take([IncomingEvent(event, source.pk, partner, None, SENT)], SENT).states, SENT)


def delivery_of_order() -> Expectation:
    return Expectation.objects.get(milestone="delivered", flow__definition__slug="order-to-ship")


def test_an_order_waits_for_its_parcels_carrier(shipped: None) -> None:
    """Nobody's silence is named for the order itself: its parcel's carrier is the one to tell."""
    sold()
    assert delivery_of_order().source is None
    fall_silent("swift-tracking")
    sweep.run(NOW)
    found = delivery_of_order()
    assert found.state == "SUSPENDED"
    assert found.source is not None
    assert found.source.slug == "swift-tracking"
    assert not Finding.objects.filter(kind="sla.breach", flow=found.flow).exists()


def test_while_the_carrier_is_mute_other_news_of_the_order_does_not_make_it_late(shipped: None) -> None:
    sold()
    fall_silent("swift-tracking")
    sweep.run(NOW)
    bus = Integration.objects.get(slug="odoo-bus")
    news = CanonicalEvent("invoice.posted", NOW, (Reference("sales_order", "S1"),))
    refresh(take([IncomingEvent(news, bus.pk, "", None, NOW)], NOW).states, NOW)
    assert delivery_of_order().state == "SUSPENDED"


def test_an_order_is_late_when_its_carrier_speaks_and_says_nothing_of_the_parcel(shipped: None) -> None:
    sold()
    fall_silent("north-wms")
    sweep.run(NOW)
    assert delivery_of_order().state == "BREACHED"


def test_a_breach_told_before_the_carriers_silence_was_noticed_is_taken_back(shipped: None) -> None:
    sold()
    Expectation.objects.filter(milestone="delivered").update(due_at=NOW - timedelta(hours=1))
    sweep.run(NOW)
    assert delivery_of_order().state == "BREACHED"
    fall_silent("swift-tracking")
    sweep.run(NOW + timedelta(minutes=1))
    assert delivery_of_order().state == "SUSPENDED"
    assert not Finding.objects.filter(flow=delivery_of_order().flow, kind="sla.breach", cleared_at=None).exists()
