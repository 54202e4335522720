"""Following changes: late commits, ties, paging, repeats, deletions, and what is no change."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from apps.collectors.models import OdooRecord, Receipt, ReceiptState
from apps.incidents.models import Finding
from apps.simulator.odoo_store import OdooStore, standard_store
from tests.collectors.odoo.conftest import Clock, Tower

pytestmark = pytest.mark.django_db


def open_findings() -> list[str]:
    return list(Finding.objects.filter(cleared_at=None).values_list("kind", flat=True))


def order(store: OdooStore, **values: Any) -> int:
    """A draft order; its name follows its id."""
    id_ = store.create("sale.order", {"state": "draft", "amount_total": 10.0, **values})
    store.records["sale.order"][id_].setdefault("name", f"S{id_:05}")
    return id_


def picking(store: OdooStore, sale: int, demand: float = 5.0, reserved: float = 5.0, **values: Any) -> int:
    base = {"state": "assigned", "picking_type_code": "outgoing", "sale_id": [sale, f"S{sale:05}"]}
    id_ = store.create("stock.picking", {**base, **values})
    store.records["stock.picking"][id_].setdefault("name", f"WH/OUT/{id_:05}")
    move = {"picking_id": [id_, "x"], "product_uom_qty": demand, "quantity": reserved, "picked": False}
    store.create("stock.move", {"state": "assigned", **move})
    return id_


def types(tower: Tower) -> list[str]:
    return [event.type for event in tower.take()]


def test_a_record_committed_late_within_the_overlap_is_found(tower: Tower, store: OdooStore, clock: Clock) -> None:
    order(store)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    started = clock.now - timedelta(seconds=90)  # write_date is the start of a transaction that lasted 95 s
    tower.poll(clock.forward(seconds=5))
    late = order(store, write_date=started, create_date=started)
    tower.poll(clock.forward(seconds=20))
    assert [event.source_event_id for event in tower.take()] == [f"sale.order:{late}:created"]


def test_a_record_committed_after_the_overlap_is_found_by_comparing(
    tower: Tower, store: OdooStore, clock: Clock
) -> None:
    known = order(store)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    clock.forward(hours=1)
    tower.poll(clock.now)
    hour_ago = clock.now - timedelta(minutes=30)
    late = order(store, write_date=hour_ago, create_date=hour_ago)
    store.records["sale.order"][known] |= {"state": "cancel", "write_date": hour_ago}
    tower.poll(clock.forward(seconds=60))
    assert types(tower) == []
    tower.poll(clock.forward(hours=6))
    found = {event.source_event_id.split("@")[0] for event in tower.take()}
    assert found == {f"sale.order:{late}:created", f"sale.order:{known}:state=cancel"}


@pytest.mark.parametrize("major", [18, 19])
def test_many_records_of_one_second_are_paged_completely(
    connect: Callable[..., Tower], clock: Clock, major: int
) -> None:
    store = standard_store(major)
    store.clock = clock
    tower = connect(store, "demo-key", "tower", page_size=7)
    tower.poll(clock.now)
    clock.forward(seconds=30)
    for number in range(50):  # written in an order that is not that of their ids
        order(store, write_date=clock.now + timedelta(microseconds=(number * 7919) % 50))
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == ["order.created"] * 50
    tower.poll(clock.forward(seconds=30))
    assert types(tower) == []


def test_rows_that_change_while_paging_are_not_lost(tower: Tower, store: OdooStore, clock: Clock) -> None:
    tower.set(page_size=5)
    clock.forward(seconds=30)
    ids = [order(store) for _ in range(20)]
    calls = 0

    def meanwhile(path: str) -> None:
        nonlocal calls
        if path.endswith("sale.order/search_read"):
            calls += 1
            clock.forward(seconds=2)
            if calls == 3:  # one read already, one still to come, a new one
                store.write("sale.order", ids[0], {"state": "sale", "date_order": clock.now})
                store.write("sale.order", ids[-1], {"state": "sale", "date_order": clock.now})
                ids.append(order(store))

    tower.server.before = meanwhile
    tower.poll(clock.now)
    tower.poll(clock.forward(seconds=30))
    told = types(tower)
    assert told.count("order.created") == 21
    assert told.count("order.confirmed") == 2


def test_what_is_no_change_tells_nothing(tower: Tower, store: OdooStore, clock: Clock) -> None:
    sale = order(store, partner_id=[9, "Birchwood"], state="sale")
    picking(store, sale)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    kept = Receipt.objects.count()
    clock.forward(seconds=60)
    store.write("sale.order", sale, {})  # a write without effect
    store.write("sale.order", sale, {"partner_id": [9, "Birchwood Interiors"]})  # renamed
    assert tower.poll(clock.now).receipts == 0
    assert Receipt.objects.count() == kept
    assert OdooRecord.objects.get(model="sale.order").write_date == clock.now, "remembered, or comparing would read it"


def test_a_move_leads_to_its_picking(tower: Tower, store: OdooStore, clock: Clock) -> None:
    sale = order(store, state="sale")
    out = picking(store, sale, demand=5, reserved=5)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    clock.forward(seconds=300)
    tower.poll(clock.now)
    store.write("stock.move", 1, {"quantity": 2.0})  # does not touch the picking
    tower.poll(clock.forward(seconds=60))
    (event,) = tower.take()
    assert (event.type, event.data["quantity"], event.data["partly"]) == ("stock.unallocated", "2", True)
    assert event.booked_at == clock.now - timedelta(seconds=60), "when the move was written"
    store.write("stock.move", 1, {"quantity": 5.0})
    tower.poll(clock.forward(seconds=60))
    store.write("stock.picking", out, {"state": "confirmed"})
    tower.poll(clock.forward(seconds=60))
    store.write("stock.picking", out, {"state": "assigned"})
    tower.poll(clock.forward(seconds=60))
    assert types(tower) == ["stock.allocated", "stock.unallocated", "stock.allocated"]


def test_deleted_records_are_told_and_can_come_back(tower: Tower, store: OdooStore, clock: Clock) -> None:
    sale = order(store)
    out = picking(store, sale)
    kept = dict(store.records["sale.order"][sale])
    tower.poll(clock.forward(seconds=60))
    tower.take()
    store.unlink("sale.order", sale)
    store.unlink("stock.picking", out)
    tower.poll(clock.forward(hours=7))
    changed, cancelled = tower.take()
    assert (changed.type, changed.data["deleted"]) == ("order.changed", True)
    assert (cancelled.type, cancelled.data["deleted"]) == ("picking.cancelled", True)
    assert [issue.code for issue in tower.issues] == ["odoo.record_deleted"] * 2
    assert {issue.severity for issue in tower.issues} == {"warning"}
    store.put("sale.order", kept)
    tower.poll(clock.forward(hours=7))
    (back,) = tower.take()
    assert (back.type, back.data["restored"]) == ("order.changed", True)


def test_lost_rights_are_not_taken_for_deletions(tower: Tower, store: OdooStore, clock: Clock) -> None:
    for _ in range(30):
        order(store)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    hidden = dict(store.records["sale.order"])
    for id_ in range(1, 25):
        store.unlink("sale.order", id_)
    summary = tower.poll(clock.forward(hours=7))
    assert "no longer shows 24 of 30" in summary.error
    assert types(tower) == []
    assert open_findings() == ["source.partial"]
    store.records["sale.order"].update(hidden)
    assert tower.poll(clock.forward(minutes=30)).error == ""
    assert open_findings() == []
    for id_ in range(1, 25):
        store.unlink("sale.order", id_)
    tower.set(accept_mass_deletion=True)
    tower.poll(clock.forward(hours=7))
    assert len(tower.take()) == 24


def test_a_large_comparison_goes_on_in_the_next_rounds(
    tower: Tower, store: OdooStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.collectors.odoo.comparing.COMPARED", 4)
    for _ in range(30):
        order(store)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    for id_ in (3, 17, 29, 30):
        store.unlink("sale.order", id_)
    clock.forward(hours=7)
    for _ in range(4):
        tower.poll(clock.forward(seconds=60))
    assert sorted(event.data["odoo_id"] for event in tower.take()) == [3, 17, 29, 30]
    assert "done" in tower.state.cursor["reconcile"]


def test_the_first_load_reads_no_further_back_than_asked(connect: Callable[..., Tower], clock: Clock) -> None:
    store = standard_store()
    store.clock = clock
    old = clock.now - timedelta(days=40)
    order(store, write_date=old, create_date=old)
    new = order(store)
    tower = connect(store, "demo-key", "tower", history_days=30)
    tower.poll(clock.forward(seconds=5))
    assert [event.source_event_id for event in tower.take()] == [f"sale.order:{new}:created"]
    tower.poll(clock.forward(hours=7))
    assert types(tower) == [], "comparing does not bring it either"


def test_a_first_load_is_history_except_for_what_is_still_to_come(connect: Callable[..., Tower], clock: Clock) -> None:
    store = standard_store()
    store.clock = clock
    stamp = "%Y-%m-%d %H:%M:%S"
    past, ahead = (f"{clock.now + timedelta(days=days):{stamp}}" for days in (-5, 5))
    awaited = order(store, state="sale", commitment_date=ahead)
    over = order(store, state="sale", commitment_date=ahead, delivery_status="full")
    overdue = order(store, state="sale", commitment_date=past)
    out = picking(store, awaited, scheduled_date=ahead)
    late = picking(store, overdue, scheduled_date=past)
    tower = connect(store, "demo-key", "tower", page_size=2)
    assert tower.poll(clock.forward(seconds=5)).error == ""
    history: dict[bool, set[tuple[str, int]]] = {True: set(), False: set()}
    for status in ReceiptState.objects.filter(integration=tower.integration):
        batch = json.loads(bytes(Receipt.objects.get(pk=status.receipt_id).body))
        history[status.backfill] |= {(batch["model"], record["id"]) for record in batch["records"]}
    assert history[False] == {("sale.order", awaited), ("stock.picking", out)}
    assert history[True] == {("sale.order", over), ("sale.order", overdue), ("stock.picking", late)}
    assert tower.state.cursor["windows"]["sale.order"]["done"]
    kept = Receipt.objects.count()
    tower.poll(clock.forward(minutes=1))
    assert Receipt.objects.count() == kept


def test_odoos_clock_counts_not_ours(connect: Callable[..., Tower], clock: Clock) -> None:
    """The tower's clock runs an hour ahead: windows end by Odoo's Date header, so nothing is skipped."""
    store = standard_store()
    store.clock = clock
    tower = connect(store, "demo-key", "tower")
    tower.poll(clock.now + timedelta(hours=1))
    order(store)
    clock.forward(seconds=30)
    tower.poll(clock.now + timedelta(hours=1))
    assert types(tower) == ["order.created"]


def test_only_fields_that_exist_are_asked_for(tower: Tower, store: OdooStore, clock: Clock) -> None:
    del store.fields["sale.order"]["locked"]
    del store.fields["stock.move"]["picked"]
    sale = order(store, state="sale")
    picking(store, sale)
    assert tower.poll(clock.forward(seconds=60)).error == ""
    assert "order.created" in types(tower)


def test_context_is_pinned(tower: Tower, store: OdooStore, clock: Clock) -> None:
    tower.set(company_ids=[1, 4], lang="de_DE")
    tower.server.requests.clear()
    tower.poll(clock.forward(seconds=60))
    contexts = [json.loads(body).get("context") for path, body in tower.server.requests if "search_read" in path]
    assert contexts
    assert all(one == {"lang": "de_DE", "active_test": False, "allowed_company_ids": [1, 4]} for one in contexts)


def test_a_reply_that_is_too_large_is_asked_for_in_smaller_pages(
    tower: Tower, store: OdooStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.collectors.odoo.settings.MIB", 6_000)
    tower.set(reply_limit_mib=1)
    for _ in range(60):
        order(store)
    assert tower.poll(clock.forward(seconds=60)).error == ""
    assert types(tower) == ["order.created"] * 60


def test_a_missing_app_or_right_stops_only_its_own_model(tower: Tower, store: OdooStore, clock: Clock) -> None:
    del store.fields["purchase.order"], store.records["purchase.order"]
    store.denied.add("account.move")
    order(store)
    summary = tower.poll(clock.forward(seconds=60))
    assert types(tower) == ["order.created"]
    assert "purchase.order was not read" in summary.error
    assert "account.move was not read" in summary.error
    assert tower.state.stale_since is None, "most of it is heard"
    assert open_findings() == ["source.partial"]
    assert tower.state.next_poll_at == clock.now + timedelta(seconds=60), "the rest keeps its pace"
