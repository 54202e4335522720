"""WooCommerce without a database: topics, statuses, times, identities, hostile input, real payloads."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.kinds.woocommerce import TOPICS, WooCommerce
from apps.collectors.shops.settings import WooCommerceForm
from apps.collectors.shops.woocommerce_orders import STATUSES, own_statuses
from apps.flows.canonical import ParseFailure, ParseResult, Reference
from apps.flows.catalogue import EVENT_TYPES
from tests.collectors.samples import FOLDER, samples_of
from tests.collectors.shops.servers import woo_order
from tests.collectors.test_contract import well_formed

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
PAYLOADS = settings.BASE_DIR.parent / "shared" / "data" / "webhooks" / "payloads"


def parse(value: Any, topic: str = "", **more: Any) -> ParseResult:
    source = SourceContext("shop", "papierlaterne", "Europe/Berlin", more)
    headers = {"x-wc-webhook-topic": topic} if topic else {}
    return WooCommerce().parse(RawDelivery(json.dumps(value).encode(), "application/json", headers, NOW), source)


def order(**changes: Any) -> dict[str, Any]:
    return woo_order(727, datetime(2026, 1, 19, 9, tzinfo=UTC), **changes)


def types(result: ParseResult) -> list[str]:
    return [event.type for event in result.events]


def test_a_signature_is_of_the_body_and_the_secret() -> None:
    raw, secret = b'{"id": 1}', "woo secret"
    signature = base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256)).decode()
    headers = {"x-wc-webhook-signature": signature, "x-wc-webhook-delivery-id": "55"}
    woo = COLLECTORS.get("woocommerce")
    verdict = woo.authenticate(headers, raw, [secret], NOW, {})
    assert (verdict.accepted, verdict.delivery_id) == (True, "55")
    assert not woo.authenticate(headers, raw + b" ", [secret], NOW, {}).accepted
    # the ping of a new webhook carries no signature
    assert not woo.authenticate({}, b"webhook_id=142", [secret], NOW, {}).accepted


def test_number_and_id_are_told_apart() -> None:
    """A plug-in's order number may be another order's id."""
    [placed] = parse(order(), "order.created").events
    assert placed.references == (
        Reference("channel_order", "PL-727", "papierlaterne"),
        Reference("channel_order_id", "727", "papierlaterne"),
    )
    [other] = parse(order() | {"id": 812, "number": "727"}, "order.created").events
    assert not set(placed.references) & set(other.references)


def test_times_are_in_gmt_and_local_ones_only_stand_in() -> None:
    local = {"date_created": "2026-07-01T10:00:00"}
    [placed] = parse(order(date_created_gmt="2026-07-01T08:30:00", **local), "order.created").events
    assert placed.happened_at == datetime(2026, 7, 1, 8, 30, tzinfo=UTC)
    bare = order(**local)
    del bare["date_created_gmt"]
    [placed] = parse(bare, "order.created").events
    assert placed.happened_at == datetime(2026, 7, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "pending"}, []),
        ({"status": "on-hold"}, ["order.held"]),
        # held after it was paid, and going on now
        (
            {
                "status": "processing",
                "date_paid_gmt": "2026-01-19T08:30:00",
                "date_modified_gmt": "2026-01-19T11:00:00",
            },
            ["order.released", "order.resumed"],
        ),
        ({"status": "failed"}, []),
        ({"status": "wc-processing"}, ["order.released"]),
        ({"status": "processing", "date_paid_gmt": "2026-01-19T09:30:00"}, ["order.released"]),
        (
            {
                "status": "completed",
                "date_paid_gmt": "2026-01-19T09:30:00",
                "date_completed_gmt": "2026-01-20T09:30:00",
            },
            ["order.released", "shipment.announced"],
        ),
        ({"status": "cancelled"}, ["order.cancelled"]),
        ({"status": "trash"}, ["order.cancelled"]),
        ({"status": "refunded", "refunds": [{"id": 5, "total": "-84.90"}]}, ["refund.posted"]),
        # reopened: the date stayed, the order is not sent
        ({"status": "on-hold", "date_completed_gmt": "2026-01-20T09:30:00"}, ["order.held"]),
    ],
)
def test_statuses(changes: dict[str, Any], expected: list[str]) -> None:
    result = parse(order(**changes), "order.updated")
    assert types(result) == [*expected, "order.changed"]
    assert result.issues == ()
    # as it stands, it was also placed
    assert types(parse(order(**changes))) == ["order.placed", *expected]


@pytest.mark.parametrize("status", ["checkout-draft", "auto-draft"])
@pytest.mark.parametrize("topic", ["order.created", "order.updated", ""])
def test_a_draft_is_no_order(status: str, topic: str) -> None:
    assert parse(order(status=status), topic) == ParseResult()


def test_own_statuses() -> None:
    [issue] = parse(order(status="ready-to-ship"), "order.updated").issues
    assert (issue.code, issue.severity, issue.position) == ("woocommerce.unmapped_status", "warning", "$.status")
    assert "ready-to-ship" in issue.sentence
    mapped = parse(order(status="ready-to-ship"), "order.updated", statuses=["ready-to-ship=pack.completed"])
    assert types(mapped) == ["pack.completed", "order.changed"]
    silent = parse(order(status="ready-to-ship"), "order.updated", statuses=["ready-to-ship="])
    assert (types(silent), silent.issues) == (["order.changed"], ())
    assert own_statuses(["a=order.moon", "b", "wc-c=order.closed", 7]) == {"c": "order.closed"}
    assert WooCommerceForm({"statuses": "shipped=shipment.dispatched, gate="}).is_valid()
    assert not WooCommerceForm({"statuses": "shipped"}).is_valid()
    assert set(STATUSES.values()) - {""} <= set(EVENT_TYPES)


def test_tracking_numbers_of_the_plug_in() -> None:
    item = {"tracking_provider": "dhl", "tracking_number": "JJD0001"}
    meta = [{"key": "_wc_shipment_tracking_items", "value": [item, item, {"tracking_number": ""}, 7]}]
    sent = order(status="completed", date_completed_gmt="2026-01-20T09:30:00", meta_data=meta)
    announced = parse(sent, "order.updated").events[0]
    assert announced.references[2:] == (Reference("tracking_number", "JJD0001"),)
    assert announced.data == {"carrier": "dhl"}
    # a number that is added later is told anew, at the same time
    more = order(
        status="completed",
        date_completed_gmt="2026-01-20T09:30:00",
        meta_data=[{"key": "_wc_shipment_tracking_items", "value": [item, {"tracking_number": "JJD0002"}]}],
    )
    again = parse(more, "order.updated").events[0]
    assert again.happened_at == announced.happened_at
    assert again.source_event_id != announced.source_event_id


def test_deleted_orders_and_notes() -> None:
    [deleted] = parse({"id": 727}, "order.deleted").events
    assert (deleted.type, deleted.happened_at) == ("order.cancelled", NOW)
    assert deleted.references == (Reference("channel_order_id", "727", "papierlaterne"),)
    note = json.loads((FOLDER / "woocommerce" / "order_note.json").read_text())
    assert types(parse(note)) == types(parse(note, "order_note.created")) == ["notification.sent"]
    assert parse(note | {"customer_note": False}) == ParseResult()


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("product.updated", "woocommerce.ignored_topic"),
        ("action.woocommerce_add_to_cart", "woocommerce.ignored_topic"),
        ("order.teleported", "woocommerce.unmapped_topic"),
    ],
)
def test_other_topics_are_named(topic: str, code: str) -> None:
    [issue] = parse({"id": 1}, topic).issues
    assert (issue.code, issue.severity) == (code, "warning")
    assert topic in issue.sentence


TIME = st.sampled_from([None, "2026-01-19T09:30:00", "2026-01-20T09:30:00"])


@given(
    st.fixed_dictionaries(
        {"status": st.sampled_from(sorted(STATUSES)), "date_paid_gmt": TIME, "date_completed_gmt": TIME},
    )
)
def test_webhooks_and_comparison_tell_the_same_events_word_for_word(changes: dict[str, Any]) -> None:
    now = order(**changes)
    state = {event.source_event_id: event.content_key() for event in parse(now).events}
    told = {
        event.source_event_id: event.content_key()
        for topic in ("order.created", "order.updated")
        for event in parse(now, topic).events
        if event.type != "order.changed"
    }
    assert state == told


@given(
    st.sampled_from([sample.name for sample in samples_of("woocommerce")]),
    st.data(),
    st.one_of(st.none(), st.integers(), st.text(max_size=8), st.just([]), st.just({"a": 1}), st.just([[{}]])),
)
def test_wrong_values_are_issues_and_never_crashes(name: str, data: st.DataObject, wrong: Any) -> None:
    sample = next(one for one in samples_of("woocommerce") if one.name == name)
    value = json.loads(sample.path.read_text())
    if isinstance(value, dict):
        value[data.draw(st.sampled_from(sorted(value)))] = wrong
    for topic in ("", *TOPICS):
        try:
            well_formed(parse(value, topic))
        except ParseFailure as failure:
            well_formed(ParseResult((), (failure.issue,)))


def payloads() -> list[Any]:
    if not PAYLOADS.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs shared/data/webhooks/payloads"))]
    return [pytest.param(path, id=path.stem) for path in sorted(PAYLOADS.glob("woocommerce_*.json"))]


@pytest.mark.parametrize("path", payloads())
def test_real_payloads(path: Path) -> None:
    value = json.loads(path.read_text())
    result = parse(value)
    assert "order.placed" in types(result)
    assert {issue.severity for issue in result.issues} <= {"warning"}
    assert all(Reference("channel_order", value["number"], "papierlaterne") in e.references for e in result.events)
