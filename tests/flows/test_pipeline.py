"""Recording, correlation and projection through PostgreSQL: one story at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apps.flows.models import Event, Flow, FlowLink, Milestone, Orphan
from apps.flows.pipeline import take
from apps.integrations.models import Integration
from tests.flows.builders import T0, event, incoming, load_definitions, load_register

pytestmark = pytest.mark.django_db


@pytest.fixture
def register() -> dict[str, Integration]:
    load_definitions()
    return load_register()


def give(register: dict[str, Integration], *events: object, source: str = "odoo") -> None:
    for one in events:
        take([incoming(one, register[source])], T0)  # type: ignore[arg-type]


def flow(label: str) -> Flow:
    return Flow.objects.exclude(status="merged").get(label=label)


def reached(label: str) -> dict[str, float]:
    rows = Milestone.objects.filter(flow=flow(label), actual_at__isnull=False)
    return {m.name: (m.actual_at - T0).total_seconds() / 60 for m in rows}


def test_an_order_with_two_parcels_is_delivered_with_the_last(register: dict[str, Integration]) -> None:
    give(
        register,
        event("order.placed", 0, "co:1", "so:1", data={"value": "120.50", "currency": "EUR", "service": "next-day"}),
        event("shipment.dispatched", 60, "so:1", "pick:1"),
        event("label.created", 50, "pick:1", "trk:1"),
        event("label.created", 51, "pick:1", "trk:2"),
    )
    give(register, event("transport.picked_up", 90, "trk:1"), source="swift-parcel")
    give(register, event("delivery.completed", 200, "trk:1"), source="swift-parcel")
    assert "delivered" not in reached("SO-1")
    assert flow("SO-1").status == "open"
    give(register, event("delivery.completed", 300, "trk:2"), source="swift-parcel")
    assert reached("SO-1")["delivered"] == 300
    assert flow("SO-1").status == "completed"
    assert str(flow("SO-1").value) == "120.50"
    assert flow("TRK-1").partner.slug == "swift-parcel"  # type: ignore[union-attr]
    assert set(FlowLink.objects.filter(parent=flow("SO-1")).values_list("child__label", flat=True)) == {"PICK-1"}
    assert set(FlowLink.objects.filter(parent=flow("PICK-1")).values_list("child__label", flat=True)) == {
        "TRK-1",
        "TRK-2",
    }


def test_a_scan_waits_on_the_bench_until_its_label_is_known(register: dict[str, Integration]) -> None:
    give(register, event("transport.picked_up", 90, "trk:7"), source="swift-parcel")
    assert Orphan.objects.count() == 1
    assert not Flow.objects.exists()
    give(register, event("order.placed", 0, "so:7"), event("picking.created", 5, "so:7", "pick:7"))
    assert Orphan.objects.count() == 1
    give(register, event("pack.completed", 40, "pick:7", "trk:7"))
    assert Orphan.objects.count() == 0
    assert reached("SO-7")["first_scan"] == 90
    assert reached("TRK-7")["first_scan"] == 90


def test_links_that_came_before_any_flow_are_followed_when_it_opens(register: dict[str, Integration]) -> None:
    give(
        register,
        event("delivery.completed", 300, "trk:3"),
        event("pack.completed", 40, "pick:3", "trk:3"),
        event("picking.created", 5, "so:3", "pick:3"),
    )
    assert not Flow.objects.filter(label="SO-3").exists()
    give(register, event("order.placed", 0, "so:3"))
    assert reached("SO-3") == {"placed": 0, "packed": 40, "delivered": 300}
    assert Orphan.objects.count() == 0


def test_two_halves_of_one_order_merge_when_a_link_shows_it(register: dict[str, Integration]) -> None:
    give(register, event("order.placed", 0, "co:5"), event("order.created", 4, "so:5"))
    assert Flow.objects.count() == 2
    give(register, event("order.released", 6, "so:5", "co:5"))
    assert Flow.objects.exclude(status="merged").count() == 1
    assert Flow.objects.filter(status="merged", merged_into=flow("SO-5")).count() == 1
    assert reached("SO-5") == {"placed": 0, "in_odoo": 4, "released": 6}


def test_one_advice_covers_two_orders_and_a_receipt_counts_for_the_one_it_names(
    register: dict[str, Integration],
) -> None:
    give(register, event("purchase_order.sent", 0, "po:1"), event("purchase_order.sent", 0, "po:2"))
    give(
        register,
        event("asn.received", 60, "asn:9", "po:1", id="a1"),
        event("asn.received", 60, "asn:9", "po:2", id="a2"),
        source="metalworks",
    )
    give(register, event("goods.received", 100, "asn:9", "po:2"))
    assert reached("PO-1") == {"sent": 0, "asn": 60}
    assert reached("PO-2") == {"sent": 0, "asn": 60, "received": 100}
    assert FlowLink.objects.filter(child=flow("ASN-9")).count() == 2
    assert flow("ASN-9").partner.slug == "metalworks"  # type: ignore[union-attr]


def test_a_backward_state_undoes_and_a_cancelled_picking_leaves_the_count(register: dict[str, Integration]) -> None:
    give(
        register,
        event("order.placed", 0, "so:4"),
        event("stock.allocated", 5, "so:4", "pick:41"),
        event("stock.unallocated", 6, "so:4", "pick:41"),
        event("picking.created", 7, "so:4", "pick:42"),
        event("shipment.dispatched", 9, "so:4", "pick:41"),
    )
    assert "allocated" not in reached("SO-4")
    assert "shipped" not in reached("SO-4")
    give(register, event("picking.cancelled", 10, "so:4", "pick:42"))
    assert reached("SO-4")["shipped"] == 9
    assert flow("PICK-42").status == "cancelled"


def test_the_same_id_with_other_content_is_kept_and_shown(register: dict[str, Integration]) -> None:
    give(
        register,
        event("order.placed", 0, "so:8", id="e1"),
        event("order.placed", 0, "so:8", id="e1"),
        event("order.placed", 3, "so:8", id="e1"),
    )
    assert Event.objects.count() == 2
    assert Event.objects.filter(flags=Event.CONFLICT).count() == 1
    assert flow("SO-8").conflicts == 1


def test_an_event_from_the_future_is_kept_and_moves_nothing(register: dict[str, Integration]) -> None:
    give(register, event("order.placed", 0, "so:6"))
    late = event("delivery.completed", 60 * 24 * 30, "so:6")
    one = incoming(late, register["odoo"])
    one = type(one)(late, one.integration_id, "", None, T0, False)
    take([one], T0)
    assert reached("SO-6") == {"placed": 0}
    assert flow("SO-6").suspects == 1
    assert Event.objects.get(type="delivery.completed").flags == Event.CLOCK_SUSPECT


def test_a_trace_brings_its_failed_hop_to_the_order(register: dict[str, Integration]) -> None:
    give(register, event("order.placed", 0, "so:9"), event("hop.completed", 1, "so:9", "trace:a"))
    give(register, event("hop.failed", 2, "trace:a"))
    assert flow("SO-9").failed_hops == 1


def test_taking_a_batch_again_changes_nothing(register: dict[str, Integration]) -> None:
    batch = [
        incoming(event("order.placed", 0, "so:10", id="p"), register["odoo"]),
        incoming(event("order.placed", 0, "so:10", id="p"), register["odoo"]),
    ]
    first = take(batch, T0)
    assert (len(first.new), first.duplicates, len(first.states)) == (1, [None], 1)
    again = take(batch, T0 + timedelta(hours=1))
    assert (again.new, len(again.duplicates), again.states) == ([], 2, [])


def test_what_names_nothing_waits_for_nobody(register: dict[str, Integration]) -> None:
    """A summary of calls or the depth of a queue is no lost message of some flow."""
    give(register, event("queue.depth", 0, data={"depth": 12}), event("pick.completed", 1, "pick:1"))
    assert list(Orphan.objects.values_list("type", flat=True)) == ["pick.completed"]
