"""Shopify without a database: topics, identities, hostile input, real payloads."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.kinds.shopify import Shopify
from apps.collectors.shops.comparing import CONTENT_TYPE
from apps.collectors.shops.settings import ShopifyForm
from apps.collectors.shops.shopify_orders import FINANCIAL, SHIPMENT
from apps.collectors.shops.shopify_topics import FULFILLMENT_ORDERS, ORDERS, OTHERS, RETURNS
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseResult, Reference
from apps.flows.catalogue import EVENT_TYPES
from tests.collectors.samples import FOLDER, samples_of
from tests.collectors.shops.servers import shopify_order
from tests.collectors.test_contract import well_formed

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
PLACED_AT = datetime(2026, 1, 19, 9, tzinfo=UTC)
PAYLOADS = settings.BASE_DIR.parent / "shared" / "data" / "webhooks" / "payloads"
TRIGGERED = {"x-shopify-triggered-at": "2026-01-19T10:00:00.5Z"}


def parse(value: Any, topic: str = "", content_type: str = "application/json", **more: Any) -> ParseResult:
    headers = ({"x-shopify-topic": topic} | TRIGGERED) if topic else {}
    source = SourceContext("shop", "fjordlicht", "Europe/Oslo", more)
    return Shopify().parse(RawDelivery(json.dumps(value).encode(), content_type, headers, NOW), source)


def body(name: str) -> Any:
    return json.loads((FOLDER / "shopify" / f"{name}.json").read_text())


def by_id(events: tuple[CanonicalEvent, ...]) -> dict[str, CanonicalEvent]:
    return {event.source_event_id: event for event in events}


def test_a_signature_is_of_the_body_and_the_secret() -> None:
    raw, secret = b'{"id": 1}', "shpss_0815"
    signature = base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256)).decode()
    headers = {"x-shopify-hmac-sha256": signature, "x-shopify-webhook-id": "b54557e4"}
    shopify = COLLECTORS.get("shopify")
    verdict = shopify.authenticate(headers, raw, ["another", secret], NOW, {})
    assert (verdict.accepted, verdict.delivery_id) == (True, "b54557e4")
    assert not shopify.authenticate(headers, raw + b" ", [secret], NOW, {}).accepted
    assert not shopify.authenticate(headers, raw, ["another"], NOW, {}).accepted


@pytest.mark.parametrize(
    ("topic", "name", "types"),
    [
        ("orders/create", "order_create", ["order.placed"]),
        ("orders/paid", "order_paid", ["order.released"]),
        ("orders/updated", "order_updated", ["order.changed"]),
        ("orders/cancelled", "order_cancelled", ["order.cancelled"]),
        ("orders/create", "order_paid", ["order.placed"]),
        ("fulfillments/create", "fulfillment_create", ["shipment.announced"]),
        ("fulfillments/update", "fulfillment_update", ["shipment.announced", "transport.out_for_delivery"]),
        ("fulfillment_events/create", "fulfillment_event", ["delivery.completed"]),
        ("refunds/create", "refund_create", ["refund.posted"]),
        ("ORDERS/CREATE", "order_create", ["order.placed"]),
    ],
)
def test_a_topic_tells_what_happened_and_nothing_else(topic: str, name: str, types: list[str]) -> None:
    result = parse(body(name), topic)
    assert [event.type for event in result.events] == types
    assert result.issues == ()


def test_references_times_money_and_promise() -> None:
    [placed] = parse(body("order_create"), "orders/create", promised_attribute="Delivery-Date").events
    assert placed.references == (
        Reference("channel_order", "#FL2041", "fjordlicht"),
        Reference("channel_order_id", "5940139491234", "fjordlicht"),
    )
    for chosen, number in (("number", "2041"), ("id", "5940139491234")):
        [event] = parse(body("order_create"), "orders/create", order_number=chosen).events
        assert event.references[0] == Reference("channel_order", number, "fjordlicht")
    [sent] = parse(body("fulfillment_create"), "fulfillments/create", order_number="id").events
    assert sent.references[0] == Reference("channel_order", "5940139491234", "fjordlicht")
    assert placed.happened_at == datetime(2026, 1, 19, 9, 12, 30, tzinfo=UTC)
    assert placed.dates == {"promised_delivery": datetime(2026, 1, 22, 23, tzinfo=UTC)}
    assert (placed.data["value"], placed.data["currency"], placed.zone) == ("1499.00", "NOK", "Europe/Oslo")
    [own] = parse(body("order_create"), "orders/create", issuer="fjordlicht-no").events
    assert {reference.issuer for reference in own.references} == {"fjordlicht-no"}
    [announced] = parse(body("fulfillment_create"), "fulfillments/create").events
    assert announced.references[1:] == (
        Reference("tracking_number", "NP0047110815NO"),
        Reference("tracking_number", "NP0047110816NO"),
    )


def test_every_mapped_name_is_in_the_catalogue() -> None:
    named = {*SHIPMENT.values(), *FULFILLMENT_ORDERS.values(), *RETURNS.values()} - {""}
    assert named <= set(EVENT_TYPES)
    assert not OTHERS & {topic.partition("/")[0] for topic in ORDERS}


@pytest.mark.parametrize("action", sorted(FULFILLMENT_ORDERS))
def test_fulfilment_orders(action: str) -> None:
    value = {"fulfillment_order": {"id": "gid://shopify/FulfillmentOrder/77", "status": "open"}}
    result = parse(value, f"fulfillment_orders/{action}")
    assert result.issues == ()
    assert [event.type for event in result.events] == [kind for kind in [FULFILLMENT_ORDERS[action]] if kind]
    for event in result.events:
        assert event.references == (Reference("warehouse_order", "77", "fjordlicht"),)
        assert event.happened_at == datetime(2026, 1, 19, 10, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("action", sorted(RETURNS))
def test_returns(action: str) -> None:
    result = parse(body("return_request"), f"returns/{action}")
    assert result.issues == ()
    assert [event.type for event in result.events] == [kind for kind in [RETURNS[action]] if kind]


def test_deleted_and_edited_orders() -> None:
    [deleted] = parse({"id": 42}, "orders/delete").events
    assert (deleted.type, deleted.source_event_id) == ("order.cancelled", "order:42:deleted")
    assert deleted.happened_at == datetime(2026, 1, 19, 10, 0, 0, 500_000, tzinfo=UTC)
    edit = {"order_edit": {"id": 7, "order_id": 42, "created_at": "2026-01-19T11:00:00+01:00"}}
    [edited] = parse(edit, "orders/edited").events
    assert (edited.type, edited.source_event_id) == ("order.changed", "edit:7")


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("products/update", "shopify.ignored_topic"),
        ("app/uninstalled", "shopify.ignored_topic"),
        ("orders/teleported", "shopify.unmapped_topic"),
        ("moon/phase", "shopify.unmapped_topic"),
        ("fulfillment_orders/teleported", "shopify.unmapped_topic"),
    ],
)
def test_other_topics_are_named(topic: str, code: str) -> None:
    [issue] = parse({"id": 1}, topic).issues
    assert (issue.code, issue.severity) == (code, "warning")
    assert topic in issue.sentence


@pytest.mark.parametrize(
    ("topic", "name", "changes", "code", "position"),
    [
        ("orders/create", "order_create", {"created_at": "yesterday"}, "shopify.bad_time", "$.created_at"),
        ("orders/create", "order_create", {"created_at": None}, "shopify.missing", "$.created_at"),
        ("orders/create", "order_create", {"id": None, "admin_graphql_api_id": 1}, "shopify.missing", "$.id"),
        ("orders/paid", "order_paid", {"financial_status": "moon"}, "shopify.unmapped_status", "$.financial_status"),
        ("fulfillments/create", "fulfillment_create", {"status": "moon"}, "shopify.unmapped_status", "$.status"),
        (
            "fulfillments/update",
            "fulfillment_update",
            {"shipment_status": "teleported"},
            "shopify.unmapped_status",
            "$.shipment_status",
        ),
        ("fulfillment_events/create", "fulfillment_event", {"status": "beamed"}, "shopify.unmapped_status", "$.status"),
        ("fulfillment_events/create", "fulfillment_event", {"happened_at": None}, "shopify.missing", "$.happened_at"),
        ("refunds/create", "refund_create", {"order_id": None}, "shopify.missing", "$.id"),
    ],
)
def test_what_cannot_be_read_is_said(topic: str, name: str, changes: dict[str, Any], code: str, position: str) -> None:
    result = parse(body(name) | changes, topic)
    assert (code, position) in [(issue.code, issue.position) for issue in result.issues]
    named = next((value for value in changes.values() if value in ("moon", "teleported", "beamed")), "")
    assert any(str(named) in issue.sentence for issue in result.issues)


def test_a_webhook_of_another_shop_is_refused() -> None:
    delivery = RawDelivery(
        json.dumps(body("order_create")).encode(),
        "application/json",
        {"x-shopify-topic": "orders/create", "x-shopify-shop-domain": "another.myshopify.com"},
        NOW,
    )
    source = SourceContext("s", "p", "UTC", {"shop": "fjordlicht.myshopify.com"})
    with pytest.raises(ParseFailure) as failure:
        Shopify().parse(delivery, source)
    assert failure.value.issue.code == "shopify.other_shop"
    assert len(Shopify().parse(delivery, SourceContext("s", "p", "UTC")).events) == 1


MINUTES = st.integers(0, 5_000).map(lambda n: (PLACED_AT + timedelta(minutes=n)).isoformat())
FULFILLMENT = st.fixed_dictionaries(
    {
        "id": st.integers(1, 9),
        "status": st.sampled_from(["success", "pending", "open", "cancelled", "failure"]),
        "created_at": MINUTES,
        "updated_at": MINUTES,
        "tracking_company": st.sampled_from(["Nordpost", None]),
        "tracking_numbers": st.lists(st.sampled_from(["A1", "B2", "C3"]), max_size=3),
        "shipment_status": st.sampled_from([None, *SHIPMENT]),
    }
)
REFUND = st.fixed_dictionaries({"id": st.integers(1, 9), "created_at": MINUTES})
CHANGES = st.fixed_dictionaries(
    {
        "financial_status": st.sampled_from(sorted(FINANCIAL)),
        "updated_at": MINUTES,
        "cancelled_at": st.one_of(st.none(), MINUTES),
        "fulfillments": st.lists(FULFILLMENT, max_size=3, unique_by=lambda one: one["id"]),
        "refunds": st.lists(REFUND, max_size=2, unique_by=lambda one: one["id"]),
    }
)


@given(CHANGES)
def test_webhooks_and_comparison_tell_the_same_events_word_for_word(changes: dict[str, Any]) -> None:
    order = shopify_order(1, PLACED_AT, **changes)
    state = by_id(parse(order).events)
    told: dict[str, CanonicalEvent] = {}
    topics = ["orders/create", "orders/fulfilled"]
    topics += ["orders/paid"] if FINANCIAL[order["financial_status"]] else []
    topics += ["orders/cancelled"] if order["cancelled_at"] else []
    for topic in topics:
        told |= by_id(parse(order, topic).events)
    for one in order["fulfillments"]:
        told |= by_id(parse(one | {"order_id": order["id"]}, "fulfillments/create").events)
    for one in order["refunds"]:
        told |= by_id(parse(one | {"order_id": order["id"]}, "refunds/create").events)
    assert set(state) == set(told)
    assert [state[one].content_key() for one in state] == [told[one].content_key() for one in state]
    reading = {"orders": [{"order": order, "new": list(state), "missed": []}]}
    assert by_id(parse(reading, content_type=CONTENT_TYPE).events).keys() == state.keys()
    # a different change is a different event
    other = parse(order | {"updated_at": (PLACED_AT + timedelta(days=9)).isoformat()}, "orders/updated").events
    assert other[0].source_event_id != parse(order, "orders/updated").events[0].source_event_id


@given(
    st.sampled_from([sample.name for sample in samples_of("shopify")]),
    st.data(),
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}), st.just([[{}]])),
)
def test_wrong_values_anywhere_are_issues_and_never_crashes(name: str, data: st.DataObject, wrong: Any) -> None:
    sample = next(one for one in samples_of("shopify") if one.name == name)
    value = copy.deepcopy(json.loads(sample.path.read_text()))
    holder = value
    while isinstance(holder, dict | list) and holder:
        keys = sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            holder[key] = wrong
            break
        holder = inner
    try:
        raw = json.dumps(value).encode()
        well_formed(Shopify().parse(sample.delivery(raw), sample.source()))
    except ParseFailure as failure:
        well_formed(ParseResult((), (failure.issue,)))


def payloads() -> list[Any]:
    if not PAYLOADS.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs shared/data/webhooks/payloads"))]
    return [pytest.param(path, id=path.stem) for path in sorted(PAYLOADS.glob("shopify_*.json"))]


@pytest.mark.parametrize("path", payloads())
def test_real_payloads(path: Path) -> None:
    value = json.loads(path.read_text())
    result = parse(value)
    assert result.events
    assert {issue.severity for issue in result.issues} <= {"warning"}
    numbers = {ref.value for event in result.events for ref in event.references if ref.kind == "channel_order_id"}
    assert str(value.get("order_id") or value["id"]) in numbers


def test_settings() -> None:
    form = ShopifyForm({"shop": "fjordlicht.myshopify.com"})
    assert form.is_valid(), form.errors
    assert form.cleaned_data["base_url"] == "https://fjordlicht.myshopify.com"
    for wrong in (
        {"shop": "fjordlicht.example"},
        {"base_url": "http://10.0.0.7"},
        {"base_url": "https://user@host"},
        {"base_url": "ftp://host"},
        {"allow_networks": "10.0.0.0/99"},
        {"api_version": "latest"},
    ):
        assert not ShopifyForm(wrong).is_valid(), wrong
    assert ShopifyForm({"base_url": "http://10.0.0.7", "allow_networks": "10.0.0.0/8"}).is_valid()
