"""What belongs to orders and transfers (lines, packages), stock levels and master data."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.models import OdooRecord, Receipt
from apps.collectors.odoo.masters import identities, master_facts
from apps.collectors.odoo.pickings import sscc_of
from apps.collectors.processing import process
from apps.flows.models import Event
from apps.simulator.odoo_store import OdooStore, standard_store
from tests.collectors.odoo.conftest import Clock, Tower
from tests.collectors.odoo.test_following import open_findings, order, picking, types

pytestmark = pytest.mark.django_db

SSCC = "106141412345678908"


def line(store: OdooStore, sale: int, quantity: float = 5.0, **values: Any) -> int:
    base = {"order_id": [sale, f"S{sale:05}"], "product_id": [7, "Crate"], "product_uom_qty": quantity}
    return store.create("sale.order.line", {**base, "product_uom_id": [1, "Units"], "qty_delivered": 0.0, **values})


def test_lines_are_read_with_their_order(tower: Tower, store: OdooStore, clock: Clock) -> None:
    sale = order(store, state="sale")
    line(store, sale)
    line(store, sale, 2.5, product_id=[8, "Lid"])
    line(store, sale, 0.0, product_id=False, display_type="line_section")
    tower.poll(clock.forward(seconds=60))
    created, confirmed = tower.take()
    assert (created.data["ordered"], created.data["delivered"]) == ("7.5", "0")
    assert [(one["product"], one["quantity"], one["unit"]) for one in confirmed.data["order_lines"]] == [
        ("Crate", "5", "Units"),
        ("Lid", "2.5", "Units"),
    ]


def test_a_changed_quantity_is_told_a_delivered_one_is_not(tower: Tower, store: OdooStore, clock: Clock) -> None:
    """A line does not touch its order when only it is written."""
    sale = order(store, state="sale")
    first = line(store, sale)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    clock.forward(seconds=300)
    tower.poll(clock.now)
    kept = Receipt.objects.count()
    store.write("sale.order.line", first, {"qty_delivered": 5.0})
    tower.poll(clock.forward(seconds=60))
    assert types(tower) == []
    assert Receipt.objects.count() == kept + 1, "kept, though nothing is told of it"
    store.write("sale.order.line", first, {"product_uom_qty": 6.0})
    tower.poll(clock.forward(seconds=60))
    (event,) = tower.take()
    assert (event.type, event.data["changed"], event.data["was"]) == ("order.changed", ["items"], {})
    assert event.data["order_lines"][0]["quantity"] == "6"
    tower.poll(clock.forward(seconds=60))
    assert types(tower) == []


def test_purchase_lines(tower: Tower, store: OdooStore, clock: Clock) -> None:
    purchase = store.create("purchase.order", {"name": "P1", "state": "purchase", "date_approve": clock.now})
    store.create(
        "purchase.order.line",
        {"order_id": [purchase, "P1"], "product_id": [7, "Crate"], "product_qty": 12.0, "qty_received": 4.0},
    )
    tower.poll(clock.forward(seconds=60))
    _, confirmed = tower.take()
    assert confirmed.data["order_lines"][0] | {"line": 0} == {
        "line": 0,
        "product": "Crate",
        "quantity": "12",
        "received": "4",
        "unit": "",
    }


def test_lines_nobody_may_read_cost_nothing_else(tower: Tower, store: OdooStore, clock: Clock) -> None:
    """Odoo describes the fields all the same; only the search is refused."""
    store.hidden |= {"sale.order.line", "stock.quant"}
    sale = order(store, state="sale")
    line(store, sale)
    assert tower.poll(clock.forward(seconds=60)).error != "", "it was read before"
    assert types(tower) == ["order.created", "order.confirmed"]
    assert open_findings() == ["source.partial"]


def test_extras_that_were_never_readable_are_no_trouble(connect: Callable[..., Tower], clock: Clock) -> None:
    store = five_models()
    store.clock = clock
    tower = connect(store, "demo-key", "tower")
    assert tower.poll(clock.forward(seconds=5)).error == ""
    asked = len(tower.server.requests)
    order(store)
    assert tower.poll(clock.forward(seconds=60)).error == ""
    assert types(tower) == ["order.created"]
    again = [path for path, _ in tower.server.requests[asked:] if "stock.quant" in path or "queue.job" in path]
    assert again == [], "what is not there is not asked for every minute"
    tower.set(extras=["stock.quant", "queue.job"])
    summary = tower.poll(clock.forward(seconds=60))
    assert "stock.quant was not read" in summary.error
    assert "queue.job was not read" in summary.error
    assert "sale.order.line" not in summary.error, "not chosen"


def five_models() -> OdooStore:
    """An Odoo of the five models, whose user may read nothing else; without OCA's modules."""
    from_scratch = OdooStore(19, "demo", {"demo-key": "tower"})
    described = standard_store().fields
    for model in ("sale.order", "purchase.order", "stock.picking", "stock.move", "account.move", "stock.warehouse"):
        from_scratch.define(model, described[model])
    from_scratch.define("stock.quant", described["stock.quant"])
    from_scratch.hidden.add("stock.quant")
    return from_scratch


def test_packages_and_lots(tower: Tower, store: OdooStore, clock: Clock) -> None:
    sale = order(store, state="sale")
    out = picking(store, sale)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    clock.forward(seconds=300)
    tower.poll(clock.now)
    values = {"picking_id": [out, "x"], "move_id": [1, "y"], "product_id": [7, "Crate"], "quantity": 5.0}
    store.create("stock.move.line", {**values, "result_package_id": [3, SSCC], "lot_id": [4, "LOT-9"]})
    store.write("stock.move", 1, {"picked": True})
    tower.poll(clock.forward(seconds=60))
    (event,) = tower.take()
    assert event.type == "pick.completed"
    assert (event.data["packages"], event.data["lots"]) == ([SSCC], ["LOT-9"])
    assert [ref.value for ref in event.references if ref.kind == "sscc"] == [SSCC]


@given(st.integers(0, 10**17 - 1))
def test_an_sscc_is_told_by_its_check_digit(number: int) -> None:
    good = [code for last in range(10) if (code := sscc_of(f"{number:017}{last}"))]
    assert len(good) == 1
    assert sscc_of(f"(00){good[0]}") == sscc_of(f"00{good[0]}") == good[0]


@pytest.mark.parametrize("name", ["", "PACK0001", "106141412345678909", "10614141234567890", "１06141412345678908"])
def test_other_names_are_no_sscc(name: str) -> None:
    assert sscc_of(name) == ""
    assert sscc_of(SSCC) == SSCC


def test_stock_levels_are_remembered_and_told_only_if_asked(tower: Tower, store: OdooStore, clock: Clock) -> None:
    values = {"product_id": [7, "Crate"], "location_id": [8, "WH/Stock"], "quantity": 40.0, "reserved_quantity": 5.0}
    level = store.create("stock.quant", values)
    tower.poll(clock.forward(seconds=60))
    assert OdooRecord.objects.get(model="stock.quant").facts["quantity"] == "40"
    store.write("stock.quant", level, {"quantity": 35.0})
    tower.poll(clock.forward(seconds=60))
    assert types(tower) == []
    assert OdooRecord.objects.get(model="stock.quant").facts["quantity"] == "35"
    tower.set(stock_events=True)
    tower.read()
    store.write("stock.quant", level, {"quantity": 30.0})
    tower.poll(clock.forward(seconds=60))
    (event,) = tower.take()
    assert (event.type, event.data["quantity"], event.data["was"]) == ("stock.adjusted", "30", {"quantity": "35"})
    assert (event.data["product"], event.data["location"]) == ("Crate", "WH/Stock")
    while process(clock.now).moved:
        pass
    assert list(Event.objects.values_list("type", flat=True)) == ["stock.adjusted", "stock.adjusted"]
    store.unlink("stock.quant", level)
    tower.poll(clock.forward(hours=7))
    assert types(tower) == []
    assert [issue.code for issue in tower.issues] == []
    assert OdooRecord.objects.get(model="stock.quant").deleted_at is not None


def test_master_data_name_the_other_side(tower: Tower, store: OdooStore, clock: Clock) -> None:
    store.put("res.partner", {"id": 9, "name": "Birchwood Interiors", "is_company": True, "active": True,
                              "vat": "DE129273398", "ref": "K-77", "write_date": clock.now})  # fmt: skip
    store.put("res.partner", {"id": 10, "name": "Jo Doe", "is_company": False, "write_date": clock.now})
    store.put("delivery.carrier", {"id": 5, "name": "Swift Parcel", "delivery_type": "fixed", "write_date": clock.now})
    tower.poll(clock.forward(seconds=60))
    assert Receipt.objects.count() == 0, "master data give no receipt"
    assert set(OdooRecord.objects.values_list("model", "record_id")) == {("res.partner", 9), ("delivery.carrier", 5)}
    order(store, partner_id=[9, "Birchwood Interiors"])
    order(store, partner_id=[10, "Jo Doe"])
    tower.poll(clock.forward(seconds=60))
    company, person = tower.take()
    assert company.data["customer_ids"] == {"vat": "DE129273398", "ref": "K-77"}
    assert "customer_ids" not in person.data
    assert company.parties == {"customer": "odoo:9"}


@given(st.dictionaries(st.sampled_from(["name", "vat", "ref", "country_id", "active", "is_company"]), st.none() | st.text()
                       | st.booleans() | st.lists(st.integers(), max_size=2)))  # fmt: skip
def test_any_partner_can_be_remembered(record: dict[str, Any]) -> None:
    facts = json.loads(json.dumps(master_facts("res.partner", record)))
    assert set(identities(facts)) <= {"vat", "gln", "registry", "ref"}
    assert all(identities(facts).values())


def test_a_first_load_knows_all_levels_and_companies(connect: Callable[..., Tower], clock: Clock) -> None:
    """However long ago they were written last."""
    store = standard_store()
    store.clock = clock
    old = clock.now - timedelta(days=2_000)
    store.put("stock.quant", {"id": 1, "quantity": 3.0, "product_id": [7, "Crate"], "write_date": old})
    store.put("res.partner", {"id": 9, "name": "Birchwood", "is_company": True, "write_date": old})
    store.put("sale.order", {"id": 1, "name": "S1", "state": "sale", "date_order": old, "write_date": old})
    tower = connect(store, "demo-key", "tower")
    assert tower.poll(clock.forward(seconds=5)).error == ""
    assert set(OdooRecord.objects.values_list("model", flat=True)) == {"stock.quant", "res.partner"}
    assert types(tower) == []
