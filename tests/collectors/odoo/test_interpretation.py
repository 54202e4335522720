"""Properties of telling: repeats say nothing, the same change has the same identity, nothing raises."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.odoo.interpretation import READERS, parse_batch, read
from apps.collectors.odoo.rows import BadRow, Row, content_hash
from apps.collectors.odoo.story import Lens
from apps.flows.canonical import ParseFailure

LENS = Lens(base_url="https://odoo.example", roles={9: "pick", 10: "pack", 11: "store"})
SECONDS = st.integers(0, 20).map(lambda s: f"2026-11-23 08:00:{s:02}")
MAYBE_TIME = st.one_of(st.just(False), SECONDS)
QUANTITY = st.sampled_from([0.0, 1.0, 2.5, 4.0])
NAME = st.sampled_from(["A1", "A2", "A3"])


def link(*ids: int) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(False), st.sampled_from([[id_, f"X{id_:05} (Y)"] for id_ in ids]))


MOVE = st.fixed_dictionaries(
    {
        "id": st.integers(1, 5),
        "state": st.sampled_from(["assigned", "partially_available", "done", "cancel"]),
        "product_uom_qty": QUANTITY,
        "quantity": QUANTITY,
        "picked": st.booleans(),
        "write_date": SECONDS,
    }
)
RECORDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "sale.order": st.fixed_dictionaries(
        {
            "id": st.just(7),
            "name": NAME,
            "state": st.sampled_from(["draft", "sent", "sale", "cancel", "hold"]),
            "locked": st.booleans(),
            "client_order_ref": st.one_of(st.just(False), NAME),
            "date_order": MAYBE_TIME,
            "commitment_date": MAYBE_TIME,
            "amount_total": QUANTITY,
            "create_date": SECONDS,
            "write_date": SECONDS,
        }
    ),
    "purchase.order": st.fixed_dictionaries(
        {
            "id": st.just(7),
            "name": NAME,
            "state": st.sampled_from(["draft", "sent", "to approve", "purchase", "done", "cancel", "lost"]),
            "locked": st.booleans(),
            "acknowledged": st.booleans(),
            "date_approve": MAYBE_TIME,
            "date_planned": MAYBE_TIME,
            "amount_total": QUANTITY,
            "create_date": SECONDS,
            "write_date": SECONDS,
        }
    ),
    "stock.picking": st.fixed_dictionaries(
        {
            "id": st.just(7),
            "name": NAME,
            "state": st.sampled_from(["draft", "waiting", "confirmed", "assigned", "done", "cancel", "frozen"]),
            "picking_type_id": link(2, 9, 10, 11),
            "picking_type_code": st.sampled_from(
                ["incoming", "outgoing", "internal", "dropship", "mrp_operation", "odd"]
            ),
            "sale_id": link(3),
            "purchase_id": link(4),
            "return_id": link(5),
            "backorder_ids": st.sampled_from([[], [8]]),
            "carrier_tracking_ref": st.sampled_from([False, "T1", "T1,T2", "T2 T3"]),
            "scheduled_date": MAYBE_TIME,
            "date_deadline": MAYBE_TIME,
            "date_done": MAYBE_TIME,
            "create_date": SECONDS,
            "write_date": SECONDS,
            "moves": st.lists(MOVE, max_size=3),
        }
    ),
    "account.move": st.fixed_dictionaries(
        {
            "id": st.just(7),
            "name": st.sampled_from([False, "/", "INV/1"]),
            "move_type": st.sampled_from(["out_invoice", "in_invoice", "out_refund", "entry", "odd"]),
            "state": st.sampled_from(["draft", "posted", "cancel", "odd"]),
            "payment_state": st.sampled_from(["not_paid", "paid", "partial", "odd"]),
            "invoice_origin": st.sampled_from([False, "A1", "A1, A2,A1"]),
            "amount_total": QUANTITY,
            "create_date": SECONDS,
            "write_date": SECONDS,
        }
    ),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def stored(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as they come back from the database."""
    return json.loads(json.dumps(facts))


@pytest.mark.parametrize("model", sorted(RECORDS))
@given(data=st.data())
@settings(max_examples=50)
def test_reading_a_record_again_tells_nothing(model: str, data: st.DataObject) -> None:
    record = data.draw(RECORDS[model])
    first = read(model, record, None, LENS)
    again = read(model, record, stored(first.facts), LENS)
    assert again.events == []
    assert not [issue for issue in again.issues if issue.severity == "error"]
    without_moment = {key: value for key, value in first.facts.items() if key != "moment"}
    assert {key: value for key, value in again.facts.items() if key != "moment"} == without_moment


@pytest.mark.parametrize("model", sorted(RECORDS))
@given(data=st.data())
@settings(max_examples=50)
def test_a_life_is_told_in_order_with_identities_of_its_own(model: str, data: st.DataObject) -> None:
    """Any sequence of states, forwards and backwards, several within one second."""
    records = data.draw(st.lists(RECORDS[model], min_size=1, max_size=6))
    records.sort(key=lambda record: record["write_date"])
    facts: dict[str, Any] | None = None
    steps: list[tuple[datetime, str]] = []
    for record in records:
        record["create_date"] = records[0]["write_date"]
        for name in ("date_order", "date_approve", "date_done"):
            if record.get(name):
                record[name] = record["write_date"]
        for move in record.get("moves", []):
            move["write_date"] = record["write_date"]
        reading = read(model, record, facts, LENS)
        assert read(model, record, facts, LENS).events == reading.events
        facts = stored(reading.facts)
        steps += [(event.happened_at, event.source_event_id) for event in reading.events]
        assert all(event.booked_at is not None for event in reading.events)
        assert all(ref.value for event in reading.events for ref in event.references)
    moments = [moment for moment, _ in steps]
    assert moments == sorted(set(moments)), "each step after the one before it"
    assert sum(id_.endswith(":created") for _, id_ in steps) <= 1


@pytest.mark.parametrize("model", sorted(READERS))
@given(record=st.dictionaries(st.sampled_from(["id", "state", "name", "write_date", "moves", "x"]), JSON), known=JSON)
@settings(max_examples=60)
def test_any_record_gives_a_reading(model: str, record: dict[str, Any], known: Any) -> None:
    reading = read(model, record, known if isinstance(known, dict) else None, LENS)
    assert reading.events or reading.issues or reading.facts is not None


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["model", "records", "previous", "deleted", "labels", "roles", "names"]), JSON))
def test_any_document_gives_a_result_or_a_failure(document: dict[str, Any]) -> None:
    for model in ("sale.order", document.get("model")):
        with contextlib.suppress(ParseFailure):
            parse_batch(orjson.dumps({**document, "model": model}), {})


def test_times_are_utc_and_other_shapes_are_refused() -> None:
    assert Row({"t": "2026-11-23 08:00:00"}).time("t") == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert Row({"t": False}).time("t") is None
    for bad in ("2026-11-23", "2026-11-23T08:00:00", "2026-13-01 00:00:00", "2026-11-23 08:00:00Z", 5, [], True):
        with pytest.raises(BadRow):
            Row({"t": bad}).time("t")


def test_a_date_set_into_the_future_by_hand_does_not_date_the_step() -> None:
    record = {
        "id": 1,
        "name": "S1",
        "state": "sale",
        "date_order": "2027-01-01 00:00:00",
        "create_date": "2026-11-23 08:00:00",
        "write_date": "2026-11-23 08:05:00",
    }
    created, confirmed = read("sale.order", record, None, LENS).events
    assert confirmed.happened_at - created.happened_at == timedelta(minutes=5)


def test_free_text_references_join_no_orders_unless_declared() -> None:
    record = {
        "id": 1,
        "name": "S1",
        "state": "draft",
        "client_order_ref": "urgent",
        "write_date": "2026-11-23 08:00:00",
    }
    batch = orjson.dumps({"model": "sale.order", "records": [record]})
    kinds = {ref.kind for ref in parse_batch(batch, {}).events[0].references}
    assert kinds == {"sales_order"}
    for declared, issuer in (({"channel_orders": True}, ""), ({"channel_issuer": "webshop"}, "webshop")):
        channel = parse_batch(batch, declared).events[0].references[1]
        assert (channel.kind, channel.value, channel.issuer) == ("channel_order", "urgent", issuer)


def test_the_hash_sees_what_is_stored_and_nothing_else() -> None:
    record = {
        "id": 1,
        "state": "sale",
        "partner_id": [9, "Old"],
        "write_date": "2026-11-23 08:00:00",
        "order_line": [1, 2],
    }
    same = {
        **record,
        "partner_id": [9, "New"],
        "write_date": "2026-11-23 09:00:00",
        "expected_date": "2026-11-24 08:00:00",
    }
    assert content_hash(record) == content_hash(same)
    assert content_hash(record) != content_hash({**record, "partner_id": [10, "Old"]})
    assert content_hash(record) != content_hash({**record, "order_line": [1, 3]})
    assert content_hash({**record, "moves": [{"id": 1, "quantity": 1.0}]}) != content_hash(record)
