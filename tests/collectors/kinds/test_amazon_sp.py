"""Amazon SP-API notifications: types, envelopes, identities, hostile input, real payloads."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.kinds.amazon_sp import AmazonSellingPartner
from apps.collectors.shops import amazon
from apps.flows.canonical import ParseFailure, ParseResult, Reference
from apps.flows.catalogue import EVENT_TYPES
from tests.collectors.samples import FOLDER, samples_of
from tests.collectors.test_contract import well_formed

NOW = datetime(2026, 2, 20, 12, tzinfo=UTC)
PAYLOADS = settings.BASE_DIR.parent / "shared" / "data" / "webhooks" / "payloads"
CHANGE: dict[str, Any] = json.loads((FOLDER / "amazon_sp" / "order_change.json").read_text())


def parse(value: Any, **more: Any) -> ParseResult:
    source = SourceContext("amazon", "amazon-de", "Europe/Berlin", more)
    return AmazonSellingPartner().parse(RawDelivery(json.dumps(value).encode(), "application/json", {}, NOW), source)


def notification(kind: str, body: dict[str, Any], number: str = "n-1") -> dict[str, Any]:
    return {
        "NotificationType": kind,
        "EventTime": "2026-02-10T08:00:00Z",
        "Payload": {f"{kind.title().replace('_', '')}Notification": body},
        "NotificationMetadata": {"NotificationId": number, "PublishTime": "2026-02-10T08:00:01Z"},
    }


def status_change(status: str, channel: str = "MFN") -> dict[str, Any]:
    body = {"AmazonOrderId": "302-1", "OrderStatus": status, "PurchaseDate": 1770708600000}
    return notification("ORDER_STATUS_CHANGE", body | {"FulfillmentChannel": channel})


def sqs(*messages: Any) -> Any:
    return {"Messages": [{"MessageId": str(n), "Body": json.dumps(one)} for n, one in enumerate(messages)]}


def sns(message: Any) -> Any:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:sp", "Message": json.dumps(message)}


def bridge(message: Any) -> Any:
    return {"id": "e", "detail-type": "ORDER_CHANGE", "time": "2026-02-10T08:00:00Z", "detail": message}


def records(message: Any) -> Any:
    return {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(message)}]}


def lower(value: Any) -> Any:
    """The spelling of the newer notification types."""
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: lower(inner) for name, inner in value.items()}
    return [lower(one) for one in value] if isinstance(value, list) else value


ENVELOPES: list[Any] = [
    sqs,
    sns,
    bridge,
    records,
    lower,
    lambda one: [one],
    lambda one: {"MessageId": "1", "Body": json.dumps(one)},
    lambda one: sqs(sns(one)),
    lambda one: sqs(bridge(one)),
    lambda one: {"Records": [{"EventSource": "aws:sns", "Sns": sns(one)}]},
]


@pytest.mark.parametrize("wrap", range(len(ENVELOPES)))
def test_every_envelope_gives_the_same_events(wrap: int) -> None:
    bare, wrapped = parse(CHANGE), parse(ENVELOPES[wrap](CHANGE))
    assert [event.type for event in bare.events] == ["order.placed", "order.released"]
    assert wrapped.issues == ()
    assert [(e.source_event_id, e.content_key()) for e in wrapped.events] == [
        (e.source_event_id, e.content_key()) for e in bare.events
    ]
    assert all(event.position.startswith("$") for event in wrapped.events)


def test_promises_references_and_clocks() -> None:
    placed, released = parse(CHANGE, issuer="amazon").events
    assert placed.references == released.references == (Reference("channel_order", "302-1112223-4445556", "amazon"),)
    assert placed.happened_at == datetime(2026, 2, 10, 7, 30, tzinfo=UTC)
    assert released.happened_at == datetime(2026, 2, 10, 7, 59, 58, tzinfo=UTC)
    assert released.sent_at == datetime(2026, 2, 10, 8, 0, 2, 500_000, tzinfo=UTC)
    assert released.dates == {
        "promised_delivery": datetime(2026, 2, 14, 22, 59, 59, tzinfo=UTC),
        "ship_by": datetime(2026, 2, 11, 22, 59, 59, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("status", "channel", "expected"),
    [
        ("Pending", "MFN", ["order.placed"]),
        ("Unshipped", "MFN", ["order.placed", "order.released"]),
        ("PartiallyShipped", "MFN", ["order.changed"]),
        ("Shipped", "MFN", ["shipment.announced"]),
        ("Shipped", "AFN", ["shipment.dispatched"]),
        ("Canceled", "MFN", ["order.cancelled"]),
    ],
)
def test_order_statuses(status: str, channel: str, expected: list[str]) -> None:
    result = parse(status_change(status, channel))
    assert [event.type for event in result.events] == expected
    assert result.issues == ()


@pytest.mark.parametrize(
    ("event_type", "body", "expected"),
    [
        ("Order", {"FulfillmentOrderStatus": "Received"}, "warehouse_order.acknowledged"),
        ("ORDER", {"FulfillmentOrderStatus": "CANCELLED"}, "warehouse_order.cancelled"),
        ("Order", {"FulfillmentOrderStatus": "Unfulfillable"}, "warehouse_order.rejected"),
        ("Order", {"FulfillmentOrderStatus": "Planning"}, ""),
        ("Shipment", {"FulfillmentShipment": {"FulfillmentShipmentStatus": "SHIPPED"}}, "shipment.dispatched"),
        (
            "Shipment",
            {"FulfillmentShipment": {"FulfillmentShipmentStatus": "CANCELLED_BY_SELLER"}},
            "warehouse_order.cancelled",
        ),
        ("Return", {"FulfillmentReturnItem": {"SellerSKU": "A"}}, "return.received"),
    ],
)
@pytest.mark.parametrize("kind", ["warehouse_order", "sales_order"])
def test_fulfilment_orders(event_type: str, body: dict[str, Any], expected: str, kind: str) -> None:
    body = {"EventType": event_type, "SellerFulfillmentOrderId": "S1", **body}
    result = parse(notification("FULFILLMENT_ORDER_STATUS", body), fulfillment_orders=kind)
    assert [event.type for event in result.events] == [one for one in [expected] if one]
    assert result.issues == ()
    for event in result.events:
        assert event.references == (Reference(kind, "S1", "amazon-de" if kind == "warehouse_order" else ""),)


def test_what_is_of_no_interest_is_counted_and_what_is_unknown_is_named() -> None:
    offers = [notification("ANY_OFFER_CHANGED", {}, str(n)) for n in range(12)]
    prices = [notification("PRICING_HEALTH", {}, str(n)) for n in range(3)]
    result = parse(sqs(*offers, status_change("Shipped"), *prices))
    assert [event.type for event in result.events] == ["shipment.announced"]
    [issue] = result.issues
    assert (issue.code, issue.severity) == ("amazon.ignored_types", "warning")
    assert "ANY_OFFER_CHANGED (12), PRICING_HEALTH (3)" in issue.sentence
    [issue] = parse(notification("MOON_PHASE", {})).issues
    assert (issue.code, issue.severity) == ("amazon.unmapped_type", "warning")
    assert "MOON_PHASE" in issue.sentence
    [issue] = parse(status_change("OnTheMoon")).issues
    assert (issue.code, issue.severity) == ("amazon.unmapped_status", "warning")
    assert "OnTheMoon" in issue.sentence


def test_one_broken_message_of_a_batch_takes_no_other_down() -> None:
    batch = sqs(status_change("Shipped"), status_change("Canceled"))
    batch["Messages"].insert(1, {"MessageId": "x", "Body": '{"cut'})
    result = parse(batch)
    assert [event.type for event in result.events] == ["shipment.announced", "order.cancelled"]
    [issue] = result.issues
    assert (issue.code, issue.severity) == ("json.syntax", "error")
    assert issue.position.startswith("$.Messages[1].Body, line 1")


def test_a_subscription_is_confirmed_by_a_person() -> None:
    [issue] = parse({"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.example/?x=1"}).issues
    assert issue.code == "amazon.subscription_unconfirmed"
    assert issue.fragment == "https://sns.example/?x=1"


def test_history_told_again_is_the_same() -> None:
    value = json.loads((FOLDER / "amazon_sp" / "tracking_milestones.json").read_text())
    first = {event.source_event_id: event.content_key() for event in parse(value).events}
    value["notificationMetadata"] = {"notificationId": "n-11", "publishTime": "2026-02-13T10:00:00Z"}
    value["eventTime"] = "2026-02-13T10:00:00Z"
    detail = value["payload"]["shipmentTrackingMilestoneChangedNotification"]["trackingDetail"]
    detail["milestoneHistory"].insert(0, {"status": {"code": "DELIVERED"}, "occurredAt": "2026-02-12T12:00:00Z"})
    second = {event.source_event_id: event.content_key() for event in parse(value).events}
    assert first.items() < second.items()
    assert len(second) == len(first) + 1


def test_tables_name_the_catalogue() -> None:
    tables = (amazon.ORDER_STATUS, amazon.FULFILLMENT_STATUS, amazon.FULFILLMENT_SHIPMENT, amazon.FBA_SHIPMENT)
    assert {kind for table in (*tables, amazon.MILESTONES) for kind in table.values()} - {""} <= set(EVENT_TYPES)


def test_who_forwards_shows_a_key() -> None:
    collector = COLLECTORS.get("amazon_sp")

    def accepted(header: str, settings: dict[str, Any], *secrets: str) -> bool:
        name = str(settings.get("token_header") or "authorization").lower()
        return collector.authenticate({name: header}, b"{}", secrets, NOW, settings).accepted

    def basic(pair: str) -> str:
        return "Basic " + base64.b64encode(pair.encode()).decode()

    assert accepted("Bearer key-1", {}, "key-0", "key-1")
    assert accepted(basic("sns:key-1"), {}, "key-1")
    assert accepted(basic("sns:key-1"), {}, "sns:key-1")
    assert not accepted(basic("other:key-1"), {}, "sns:key-1")
    assert not accepted(basic("sns:key-2"), {}, "key-1")
    assert not accepted(basic("sns:"), {}, "")
    assert not accepted("Basic %%%", {}, "key-1")
    assert accepted("key-1", {"token_header": "X-Api-Key"}, "key-1")
    assert not accepted("key-2", {"token_header": "X-Api-Key"}, "key-1")
    # a header agreed upon is the only way in
    assert not collector.authenticate(
        {"authorization": "Bearer key-1"}, b"{}", ["key-1"], NOW, {"token_header": "X-Api-Key"}
    ).accepted


@given(
    st.sampled_from([sample.name for sample in samples_of("amazon_sp")]),
    st.data(),
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}), st.just([[{}]])),
)
def test_wrong_values_anywhere_are_issues_and_never_crashes(name: str, data: st.DataObject, wrong: Any) -> None:
    sample = next(one for one in samples_of("amazon_sp") if one.name == name)
    value = json.loads(sample.path.read_text())
    holder: Any = value
    while isinstance(holder, dict | list) and holder:
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            holder[key] = wrong
            break
        holder = holder[key]
    try:
        well_formed(parse(value))
        well_formed(parse(sqs(value)))
    except ParseFailure as failure:
        well_formed(ParseResult((), (failure.issue,)))


def payloads() -> list[Any]:
    if not PAYLOADS.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs shared/data/webhooks/payloads"))]
    return [pytest.param(path, id=path.stem) for path in sorted(PAYLOADS.glob("amazon_*.json"))]


@pytest.mark.parametrize("path", payloads())
def test_real_payloads(path: Path) -> None:
    result = parse(json.loads(path.read_text()))
    assert result.events
    assert result.issues == ()
    assert all(event.references for event in result.events)
