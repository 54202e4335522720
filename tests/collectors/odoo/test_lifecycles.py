"""The recorded life cycles A to J of Odoo 19.0 and 18.0, and 18.0's as 17 tells them.

The collector polls after each step and tells what happened.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.collectors.models import Receipt
from apps.collectors.processing import process
from apps.flows.canonical import CanonicalEvent
from apps.flows.models import Event, Flow, FlowLink
from tests.collectors.odoo.conftest import Tower
from tests.collectors.odoo.recordings import KEY, LOGIN, Recording
from tests.flows.builders import load_definitions

pytestmark = pytest.mark.django_db

#: step -> the events it must give, in order; a step left out gives none
EXPECTED: dict[str, list[str]] = {
    "A_sale__created_draft": ["order.created"],
    "A_sale__quotation_sent": ["order.changed"],
    "A_sale__confirmed": ["order.confirmed", "picking.created", "stock.allocated"],
    "A_sale__unreserved": ["stock.unallocated"],
    "A_sale__reserved": ["stock.allocated"],
    "A_sale__tracking_ref_set": ["label.created"],
    "A_sale__rescheduled_after_deadline": ["picking.changed"],
    "A_sale__picked": ["pick.completed"],
    "A_sale__validated": ["shipment.dispatched"],
    "A_sale__invoice_draft": ["invoice.created"],
    "A_sale__invoice_posted": ["invoice.posted"],
    "A_sale__invoice_paid": ["invoice.paid"],
    "B_purchase__rfq_created": ["purchase_order.created"],
    "B_purchase__confirmed": ["purchase_order.confirmed", "picking.created"],
    "B_purchase__vendor_delay_date_planned_moved": ["purchase_order.changed", "picking.changed"],
    "B_purchase__received": ["purchase_order.acknowledged", "goods.received"],
    "C_backorder__confirmed": ["order.created", "order.confirmed", "picking.created", "stock.allocated"],
    "C_backorder__picked_4_of_10": ["pick.short"],
    "C_backorder__backorder_created": ["shipment.dispatched", "picking.created", "stock.allocated"],
    "C_backorder__backorder_delivered": ["shipment.dispatched"],
    "D_return__return_created": ["return.authorized"],
    "D_return__return_received": ["return.received", "shipment.returned"],
    "E_cancel__confirmed": ["order.created", "order.confirmed", "picking.created", "stock.allocated"],
    "E_cancel__cancelled": ["order.cancelled", "picking.cancelled"],
    "F_late__confirmed_short_stock_past_commitment": [
        "order.created",
        "order.confirmed",
        "picking.created",
        "stock.partly_allocated",
    ],
    "G_po_late__confirmed_late": ["purchase_order.created", "purchase_order.confirmed", "picking.created"],
    "G_po_late__other_po_cancelled": [
        "purchase_order.created",
        "purchase_order.confirmed",
        "purchase_order.cancelled",
        "picking.created",
        "picking.cancelled",
    ],
    "I_two_step__confirmed": ["order.created", "order.confirmed", "picking.created", "stock.allocated"],
    "I_two_step__pick_validated_ship_created": ["pick.completed", "picking.created", "stock.allocated"],
    "I_two_step__ship_validated": ["shipment.dispatched"],
}
#: 18 has no field for the vendor's acknowledgement
EXPECTED_18 = EXPECTED | {"B_purchase__received": ["goods.received"]}

WAYS = [(19, "auto"), (19, "jsonrpc"), (19, "xmlrpc"), (18, "auto"), (18, "xmlrpc"), (17, "auto"), (17, "xmlrpc")]


Told = dict[str, list[CanonicalEvent]]


def play(connect: Callable[..., Tower], major: int, protocol: str) -> tuple[Recording, Tower, Told]:
    """A recording played to its end with a poll after every step: (recording, tower, step -> its events)."""
    recording = Recording(major)
    tower = connect(recording.store, KEY, LOGIN, protocol=protocol)
    assert tower.poll(recording.now).error == ""
    told: Told = {}
    for path in recording.steps:
        name = recording.play(path)
        summary = tower.poll(recording.now)
        assert summary.error == "", name
        told[name] = tower.take()
    return recording, tower, told


@pytest.mark.parametrize(("major", "protocol"), WAYS)
def test_each_step_is_told_once_and_rightly(connect: Callable[..., Tower], major: int, protocol: str) -> None:
    recording, tower, told = play(connect, major, protocol)
    expected = EXPECTED if major >= 19 else EXPECTED_18
    assert {name: [event.type for event in events] for name, events in told.items() if events} == expected
    assert tower.issues == []
    ids = [event.source_event_id for events in told.values() for event in events]
    assert len(ids) == len(set(ids))
    protocols = {path.split("/")[1] for path, _ in tower.server.requests}
    chosen = {"auto": "json" if major >= 19 else "jsonrpc"}.get(protocol, protocol)
    # without JSON-2's page of versions the version itself is asked by JSON-RPC
    assert protocols - {"jsonrpc"} == {chosen} - {"jsonrpc"}
    check_what_the_events_say(told)
    check_polling_again_tells_nothing(recording, tower)
    check_the_deleted_draft_is_found(recording, tower)


def check_what_the_events_say(told: Told) -> None:
    confirmed, created, _ = told["A_sale__confirmed"]
    assert refs(told["A_sale__created_draft"][0]) == {"sales_order": refs(confirmed)["sales_order"]}
    assert confirmed.data["value"] == "1380"
    assert confirmed.data["currency"] == "USD"
    assert confirmed.data["customer_reference"] == "CUST-PO-4711"
    assert len(confirmed.data["order_lines"]) == confirmed.data["lines"] == 2
    assert sum(float(one["quantity"]) for one in confirmed.data["order_lines"]) == float(confirmed.data["ordered"])
    assert confirmed.data["state_label"] == "Sales Order"
    assert confirmed.dates["promised_delivery"] - confirmed.happened_at == timedelta(days=5, seconds=-3)
    assert created.dates["ship_by"] == confirmed.dates["promised_delivery"]
    moved = told["A_sale__rescheduled_after_deadline"][0]
    assert moved.dates["ship_by"] == created.dates["ship_by"], "rescheduling does not move the promise"
    assert moved.dates["scheduled_ship"] > created.dates["scheduled_ship"]
    label = told["A_sale__tracking_ref_set"][0]
    assert refs(label)["tracking_number"] == "1Z999AA10123456784"
    planned, delayed = told["B_purchase__confirmed"][0], told["B_purchase__vendor_delay_date_planned_moved"][0]
    assert planned.dates["expected_receipt"].date().isoformat() == "2026-11-30"
    assert delayed.dates["expected_receipt"].date().isoformat() == "2026-12-05"
    assert refs(told["B_purchase__confirmed"][1])["purchase_order"] == refs(planned)["purchase_order"], (
        "no display name"
    )
    short = told["C_backorder__picked_4_of_10"][0]
    assert (short.data["demand"], short.data["quantity"], short.data["missing"]) == ("10", "4", "6")
    first, rest, _ = told["C_backorder__backorder_created"]
    assert rest.data["backorder_of"] == refs(first)["picking"]
    assert refs(rest)["sales_order"] == refs(first)["sales_order"]
    assert first.booked_at is not None
    assert first.happened_at >= first.booked_at, "done during the transaction that was booked at its start"
    partly = told["F_late__confirmed_short_stock_past_commitment"][3]
    assert (partly.data["demand"], partly.data["quantity"]) == ("50", "4")
    pick, out, _ = told["I_two_step__pick_validated_ship_created"]
    assert refs(pick)["warehouse_task"].startswith("TW2/PICK/")
    assert "picking" not in refs(pick)
    assert refs(out)["picking"].startswith("TW2/OUT/")
    cancelled = told["G_po_late__other_po_cancelled"][:3]
    assert [one.happened_at for one in cancelled] == sorted(one.happened_at for one in cancelled)
    assert len({one.happened_at for one in cancelled}) == 3, "created, approved and cancelled within one second"


@pytest.mark.parametrize("major", [19, 18])
def test_flows_backorder_return_and_cancellation(connect: Callable[..., Tower], major: int) -> None:
    """Through the whole pipeline: milestones, child flows, the cancelled order closed."""
    recording, _, told = play(connect, major, "auto")
    load_definitions()
    later = recording.now + timedelta(minutes=1)
    while process(later).moved:
        pass

    def flow(event: CanonicalEvent, kind: str, slug: str) -> Flow:
        return Flow.objects.get(definition__slug=slug, label=refs(event)[kind])

    def reached(one: Flow) -> dict[str, datetime]:
        return {m.name: m.actual_at for m in one.milestones.all() if m.actual_at}

    def children(one: Flow, slug: str) -> set[str]:
        links = FlowLink.objects.filter(parent=one, child__definition__slug=slug)
        return set(links.values_list("child__label", flat=True))

    sale = told["A_sale__confirmed"][0]
    order = flow(sale, "sales_order", "order-to-ship")
    assert {"in_odoo", "released", "allocated", "picked", "labelled", "shipped", "invoiced"} <= set(reached(order))
    assert reached(order)["allocated"] == told["A_sale__reserved"][0].happened_at, (
        "the undone reservation does not count"
    )
    back = told["D_return__return_created"][0]
    assert children(order, "return") == {refs(back)["return_order"]}
    assert children(order, "shipment") == {refs(told["A_sale__confirmed"][1])["picking"]}
    assert flow(back, "return_order", "return").status == "completed"

    backorder = flow(told["C_backorder__confirmed"][0], "sales_order", "order-to-ship")
    first, rest = (refs(event)["picking"] for event in told["C_backorder__backorder_created"][:2])
    assert children(backorder, "shipment") == {first, rest}
    assert reached(backorder)["shipped"] == told["C_backorder__backorder_delivered"][0].happened_at, "with the last one"

    gone = flow(told["E_cancel__cancelled"][0], "sales_order", "order-to-ship")
    assert gone.status == "cancelled"
    assert gone.closed_at == told["E_cancel__cancelled"][0].happened_at
    po = flow(told["G_po_late__other_po_cancelled"][0], "purchase_order", "purchase")
    assert po.status == "cancelled", "created, approved and cancelled within one second"
    late = flow(told["F_late__confirmed_short_stock_past_commitment"][0], "sales_order", "order-to-ship")
    assert "allocated" not in reached(late), "4 of 50 is not allocated"
    two_step = flow(told["I_two_step__ship_validated"][0], "sales_order", "order-to-ship")
    assert {"picked", "shipped"} <= set(reached(two_step))
    assert children(two_step, "shipment") == {refs(told["I_two_step__ship_validated"][0])["picking"]}
    assert set(Event.objects.values_list("backfill", flat=True)) == {False}


def check_polling_again_tells_nothing(recording: Recording, tower: Tower) -> None:
    kept = Receipt.objects.count()
    for _ in range(3):
        recording.now += timedelta(seconds=20)
        assert tower.poll(recording.now).receipts == 0
    assert Receipt.objects.count() == kept


def check_the_deleted_draft_is_found(recording: Recording, tower: Tower) -> None:
    recording.now += timedelta(hours=7)
    assert tower.poll(recording.now).receipts == 1
    assert [issue.code for issue in tower.issues] == ["odoo.record_deleted"]
    assert "WH/INT/00002" in tower.issues[0].sentence
    assert tower.take() == [], "an internal transfer of no order belongs to no flow"
    recording.now += timedelta(hours=7)
    assert tower.poll(recording.now).receipts == 0, "told once"


@pytest.mark.parametrize("major", [19, 18])
def test_one_poll_at_the_end_tells_the_same_outcome(connect: Callable[..., Tower], major: int) -> None:
    """Steps between two polls collapse; what remains visible in the records is told with the same identity."""
    recording = Recording(major)
    tower = connect(recording.store, KEY, LOGIN)
    tower.poll(recording.now)
    for path in recording.steps:
        recording.play(path)
    assert tower.poll(recording.now).error == ""
    once = outcome(tower.take())
    expected = {
        "order.created": 5,
        "order.confirmed": 4,  # of the cancelled one nothing says any more that it was confirmed
        "order.cancelled": 1,
        "purchase_order.cancelled": 1,
        "goods.received": 1,
        "shipment.dispatched": 4,
        "return.received": 1,
        "picking.cancelled": 2,
        "invoice.posted": 1,
        "invoice.paid": 1,
        "pick.short": 1,
        "pick.completed": 1,
    }
    assert {type_: once.get(type_, 0) for type_ in expected} == expected
    assert all(event.happened_at <= recording.now for event in tower.events)


def test_the_first_load_is_history(connect: Callable[..., Tower]) -> None:
    recording = Recording(19)
    for path in recording.steps:
        recording.play(path)
    tower = connect(recording.store, KEY, LOGIN, page_size=3)
    assert tower.poll(recording.now).error == ""
    load_definitions()
    while process(recording.now).moved:
        pass
    assert set(Event.objects.values_list("backfill", flat=True)) == {True}
    recording.store.create("sale.order", {"name": "S09999", "state": "draft", "date_order": False})
    recording.now += timedelta(minutes=1)
    tower.poll(recording.now)
    while process(recording.now).moved:
        pass
    assert Event.objects.filter(backfill=False).count() == 1


def refs(event: CanonicalEvent) -> dict[str, str]:
    return {ref.kind: ref.value for ref in event.references}


def outcome(events: list[CanonicalEvent]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for event in events:
        assert event.happened_at.tzinfo is UTC
        counts[event.type] = counts.get(event.type, 0) + 1
    return counts
