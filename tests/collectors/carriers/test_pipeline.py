"""A parcel through the whole pipeline: label, scans told again and again in growing histories, delivery."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.collectors.models import DeadLetter
from apps.collectors.processing import Processed, process
from apps.collectors.receiving import NewReceipt, store
from apps.flows.models import Event, Flow
from apps.integrations.models import Integration, Partner
from tests.collectors.carriers.parsing import sample
from tests.flows.builders import load_definitions

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)


@pytest.fixture
def feeds() -> dict[str, Integration]:
    load_definitions()
    partner = Partner.objects.create(slug="acme", name="Acme", kind="carrier")
    return {
        kind: Integration.objects.create(slug=kind, name=kind, kind=kind, partner=partner, time_zone="Europe/Berlin")
        for kind in ("aftership", "api_calls", "fedex", "webhook")
    }


def take(feed: Integration, *documents: Any) -> Processed:
    for document in documents:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        store([NewReceipt(feed.pk, "http", body, "application/json", {}, "", NOW)])
    return process(NOW + timedelta(seconds=1))


def grown(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages a platform sends: one after each scan, each with the history so far."""
    messages = []
    for number in range(1, len(document["msg"]["checkpoints"]) + 1):
        message = copy.deepcopy(document)
        message["ts"] += number
        message["msg"]["checkpoints"] = message["msg"]["checkpoints"][:number]
        messages.append(message)
    return messages


def test_growing_histories_give_each_scan_once(feeds: dict[str, Integration]) -> None:
    messages = grown(sample("aftership", "delivered"))
    done = take(feeds["aftership"], *messages, *messages, messages[0])
    assert (done.dead, done.conflicts) == (0, 0)
    scans = Event.objects.exclude(type="transport.eta_changed")
    assert list(scans.order_by("happened_at").values_list("type", flat=True)) == [
        "shipment.manifested",
        "transport.picked_up",
        "transport.departed",
        "delivery.attempted",
        "delivery.completed",
    ]
    assert Event.objects.count() == 5 + 4, "an estimate with each message before the delivery"
    assert not DeadLetter.objects.exists()


def test_a_parcel_from_its_label_to_its_delivery(feeds: dict[str, Integration]) -> None:
    order = {
        "type": "order.created",
        "happened_at": "2026-01-13T08:00:00Z",
        "references": [{"kind": "sales_order", "value": "SO-10021"}],
    }
    call = {
        "id": "c1",
        "time": "2026-01-13T08:05:00Z",
        "service": "hub",
        "operation": "label",
        "status": 201,
        "references": {"sales_order": "SO-10021", "picking": "WH/OUT/21", "tracking_number": "FJ556677889NO"},
    }
    take(feeds["webhook"], order)
    take(feeds["api_calls"], call)
    take(feeds["aftership"], *reversed(grown(sample("aftership", "delivered"))))
    flows = {flow.definition.slug: flow for flow in Flow.objects.select_related("definition")}
    assert set(flows) >= {"order-to-ship", "parcel"}
    for slug, name in (
        ("parcel", "labelled"),
        ("parcel", "first_scan"),
        ("parcel", "delivered"),
        ("order-to-ship", "delivered"),
    ):
        assert flows[slug].milestones.get(name=name).actual_at is not None, (slug, name)
    assert flows["parcel"].milestones.get(name="delivered").actual_at == datetime(2026, 1, 16, 9, 59, tzinfo=UTC)
    assert Flow.objects.filter(definition__slug="parcel").count() == 1


def test_two_labels_for_one_picking_can_be_found(feeds: dict[str, Integration]) -> None:
    """As a detector would: two tracking numbers in label.created events of one label_key, none of them voided."""
    call = {"time": "2026-01-13T08:05:00Z", "service": "hub", "operation": "label", "status": 201}
    for number in ("T1", "T2"):
        references = {"picking": "WH/OUT/21", "tracking_number": number}
        take(feeds["api_calls"], {**call, "id": number, "references": references})
    made: dict[str, set[str]] = {}
    for data, references in Event.objects.filter(type="label.created").values_list("data", "references"):
        made.setdefault(data["label_key"], set()).update(
            value for kind, _, value in references if kind == "tracking_number"
        )
    assert made == {"WH/OUT/21/1": {"T1", "T2"}}


def test_an_unknown_status_is_kept_and_listed(feeds: dict[str, Integration]) -> None:
    done = take(feeds["fedex"], sample("fedex", "delivered"))
    assert (done.events, done.dead) == (3, 0)
    letters = DeadLetter.objects.filter(code="fedex.unmapped_status", severity="warning")
    assert {"ZZ" in letter.sentence or "YY" in letter.sentence for letter in letters} == {True}
    assert letters.count() == 2
