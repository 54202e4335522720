"""State history from mail.tracking.value: exact times where granted, the last write where not."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.odoo.history import codes_of, entry_of
from apps.simulator.odoo_store import OdooStore
from tests.collectors.odoo.conftest import Clock, Tower
from tests.collectors.odoo.recordings import folder
from tests.collectors.odoo.test_following import open_findings, order, types

STATES = {"draft": "Quotation", "sent": "Quotation Sent", "sale": "Sales Order", "cancel": "Cancelled"}


def tracked(store: OdooStore, model: str, id_: int, old: str, new: str) -> None:
    """What the chatter notes of a change, now."""
    message = store.create("mail.message", {"model": model, "res_id": id_, "date": store.clock()})
    store.create(
        "mail.tracking.value",
        {
            "mail_message_id": [message, False],
            "field_id": [8129, "Status (Sales Order)"],
            "old_value_char": old,
            "new_value_char": new,
        },
    )


@pytest.mark.django_db
def test_a_state_is_dated_by_its_history_not_by_the_last_write(tower: Tower, store: OdooStore, clock: Clock) -> None:
    store.hidden.clear()
    tower.set(reconcile_hours=1)
    tower.poll(clock.forward(hours=2))  # what could not be read is asked for again now and then
    sale = order(store)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    cancelled = clock.forward(seconds=10)
    store.write("sale.order", sale, {"state": "cancel"})
    tracked(store, "sale.order", sale, "Quotation", "Cancelled")
    clock.forward(seconds=20)
    store.write("sale.order", sale, {"amount_total": 1.0})
    tower.poll(clock.forward(seconds=10))
    (event,) = tower.take()
    assert (event.type, event.happened_at) == ("order.cancelled", cancelled)
    assert event.booked_at == cancelled + timedelta(seconds=20)


@pytest.mark.django_db
def test_a_state_passed_between_two_readings_is_told(tower: Tower, store: OdooStore, clock: Clock) -> None:
    store.hidden.clear()
    tower.set(extras=["mail.tracking.value"])
    sale = order(store)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    confirmed = clock.forward(seconds=5)
    tracked(store, "sale.order", sale, "Quotation", "Sales Order")
    cancelled = clock.forward(seconds=5)
    tracked(store, "sale.order", sale, "Sales Order", "Cancelled")
    store.write("sale.order", sale, {"state": "cancel"})
    tower.poll(clock.forward(seconds=10))
    told = [(event.type, event.happened_at) for event in tower.take()]
    assert told == [("order.confirmed", confirmed), ("order.cancelled", cancelled)]
    clock.forward(seconds=60)
    store.write("sale.order", sale, {"amount_total": 5.0})
    tower.poll(clock.forward(seconds=5))
    assert types(tower) == ["order.changed"], "told once"


@pytest.mark.django_db
def test_without_the_right_the_last_write_stands_in(tower: Tower, store: OdooStore, clock: Clock) -> None:
    """As delivered only administrators read it: nothing fails, and it is not asked for every minute."""
    sale = order(store)
    tower.poll(clock.forward(seconds=60))
    tower.take()
    clock.forward(seconds=5)
    tracked(store, "sale.order", sale, "Quotation", "Cancelled")
    written = clock.forward(seconds=5)
    store.write("sale.order", sale, {"state": "cancel"})
    assert tower.poll(clock.forward(seconds=5)).error == ""
    assert [event.happened_at for event in tower.take()] == [written]
    asked = len(tower.server.requests)
    store.write("sale.order", sale, {"state": "draft"})
    tower.poll(clock.forward(seconds=60))
    assert not [path for path, _ in tower.server.requests[asked:] if "mail." in path]
    assert open_findings() == []


@pytest.mark.parametrize("file", ["sale.order_so3", "sale.order_so", "stock.picking_pk", "stock.picking_it"])
def test_recorded_histories_are_understood(file: str) -> None:
    at = folder(19) / "04_incremental" / "tracking" / f"tracking_{file}_admin.json"
    if not at.exists():
        pytest.skip(f"the recording is absent: {at}")
    model = file.split("_")[0]
    fields = json.loads((folder(19) / "02_fields" / f"{model}.json").read_text())
    found = fields["response"]["body"] if "response" in fields else fields
    codes = codes_of(dict(found["state"]["selection"]))
    values = json.loads(at.read_text())["response"]["body"]
    entered = [entry[0] for value in values if (entry := entry_of(value, codes))]
    assert (
        entered
        == {
            "sale.order_so3": ["sale", "cancel"],
            "sale.order_so": ["sent", "sale"],
            "stock.picking_pk": ["confirmed", "assigned", "done"],
            "stock.picking_it": ["assigned", "done"],
        }[file]
    )


def test_ambiguous_and_foreign_labels_say_nothing() -> None:
    codes = codes_of({"a": "Open", "b": "Open", "c": "Done", "d": "Draft"})
    assert codes == {"Done": "c", "Draft": "d"}
    value = {"id": 1, "old_value_char": "Draft", "new_value_char": "Done", "create_date": "2026-11-23 08:00:00"}
    assert entry_of(value, codes) == ("c", "2026-11-23 08:00:00")
    for wrong in ({"old_value_char": "Brouillon"}, {"new_value_char": "Open"}, {"create_date": False},
                  {"new_value_char": False}, {"new_value_char": "Draft"}):  # fmt: skip
        assert entry_of(value | wrong, codes) is None


@given(st.dictionaries(st.sampled_from(["old_value_char", "new_value_char", "create_date"]),
                       st.none() | st.booleans() | st.integers() | st.sampled_from(list(STATES.values())) | st.text()))  # fmt: skip
def test_any_value_gives_an_entry_or_none(value: dict[str, Any]) -> None:
    found = entry_of(value, codes_of(STATES))
    assert found is None or found[0] in STATES
