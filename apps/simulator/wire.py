"""Writes the pretend network's messages in each sender's own format, signed as that sender signs. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from apps.simulator import edi_writer
from apps.simulator.formats.registry import FORMATS
from apps.simulator.formats.shops import end_of
from apps.simulator.formats.signing import SIGNERS
from apps.simulator.world import CARRIERS, Message

#: what the bus calls each step of Odoo -> (canonical type, which references it names)
BUS = {
    "order.created": ("order.created", ("sales_order", "channel_order")),
    "order.released": ("order.released", ("sales_order",)),
    "stock.allocated": ("stock.allocated", ("sales_order", "picking")),
    "invoice.posted": ("invoice.posted", ("sales_order", "invoice")),
    "purchase.sent": ("purchase_order.sent", ("purchase_order", "control_number")),
    "purchase.acknowledged": ("purchase_order.acknowledged", ("purchase_order",)),
    "goods.received": ("goods.received", ("purchase_order", "despatch_advice")),
}
#: shops whose format has no field for the day of dispatch: Odoo says it with the order
PROMISED_BY_ODOO = ("shopify-outlet", "woocommerce-trade")
WMS_STEPS = {"accepted": "ORDER_ACCEPTED", "picked": "PICK_DONE", "packed": "PARCEL_PACKED", "shipped": "TRUCK_LEFT"}
SWIFT_CODES = {
    "picked_up": ("PU", "Collected from sender"),
    "in_transit": ("IT", "Processed at hub"),
    "out_for_delivery": ("OD", "Out for delivery"),
    "delivered": ("DL", "Delivered"),
    "unknown": ("HLD7", "Held at depot"),
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request of the network. key names the delivery; headers: the sender's own; sign adds those of the secret."""

    integration: str
    arrives_at: datetime
    body: bytes
    content_type: str
    key: str
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def stamp(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def payload(message: Message) -> dict[str, Any]:
    """A JSON sender's words; EDI senders are written by `edi_writer`."""
    return _WRITERS[message.integration](message)


def is_json(integration: str) -> bool:
    return integration in _WRITERS


def _shop(message: Message) -> dict[str, Any]:
    f = message.facts
    return {
        "id": f"evt_{f['channel']}",
        "topic": "orders/create",
        "sent_at": stamp(message.sent_at),
        "order": {
            "number": f["channel"],
            "created_at": stamp(message.at),
            "total": f"{f['value']:.2f}",
            "currency": "EUR",
            "line_count": f["lines"],
            "ship_to": {"country": f["country"]},
            "shipping": {"service": f["service"], "ship_by": f["ship_by"], "deliver_by": f["promise"]},
        },
    }


def _bus(message: Message) -> dict[str, Any]:
    f = message.facts
    type_, kinds = BUS[message.what]
    data: dict[str, Any] = {"references": [_reference(kind, f) for kind in kinds], "sent_at": stamp(message.sent_at)}
    if message.what == "purchase.sent" and f["supplier"] != "oakline":
        # a 997 acknowledges the group as well as the order in it
        data["references"].append(
            {"kind": "control_number", "value": f"GS {int(f['control'])}", "issuer": f["supplier"]}
        )
    data["booked_at"] = stamp(message.at)
    if "order" in f:
        data["parties"] = {"warehouse": f["warehouse"], "carrier": f["carrier"]}
        if message.what == "order.created":
            data["data"] = {
                "value": f"{f['value']:.2f}",
                "currency": "EUR",
                "lane_to": f["country"],
                "lines": f["lines"],
            }
            if f["shop"] in PROMISED_BY_ODOO:
                data["dates"] = {"ship_by": end_of(f["ship_by"])}
    else:
        data["parties"] = {"supplier": f["supplier"]}
        if message.what == "purchase.sent":
            data["dates"] = {"expected_receipt": f["expected"]}
            data["data"] = {"value": f"{f['value']:.2f}", "currency": "EUR"}
    return {
        "specversion": "1.0",
        "id": f"{f.get('order') or f['purchase']}/{message.what}",
        "source": "/odoo/harbor-and-pine",
        "type": type_,
        "time": stamp(message.at),
        "datacontenttype": "application/json",
        "data": data,
    }


def _reference(kind: str, f: dict[str, Any]) -> dict[str, str]:
    values = {
        "sales_order": ("order", ""),
        "channel_order": ("channel", f.get("issuer", "")),
        "picking": ("picking", ""),
        "purchase_order": ("purchase", ""),
        "despatch_advice": ("advice", f.get("supplier", "")),
    }
    if kind == "invoice":
        return {"kind": kind, "value": f"INV/{f['order']}"}
    if kind == "control_number":
        # as the supplier's acknowledgment will name it: group and transaction set, or interchange
        control = f["control"]
        named = f"UNB {control}" if f["supplier"] == "oakline" else f"GS {int(control)} / ST {control}"
        return {"kind": kind, "value": named, "issuer": f["supplier"]}
    field, issuer = values[kind]
    return {"kind": kind, "value": f[field], **({"issuer": issuer} if issuer else {})}


def _wms(message: Message) -> dict[str, Any]:
    f = message.facts
    if message.what == "goods_arrived":
        return {
            "event_id": f"{f['advice']}-ARR",
            "event": "GOODS_ARRIVED",
            "time": stamp(message.at),
            "transmitted": stamp(message.sent_at),
            "advice": f["advice"],
            "supplier": f["supplier"],
            "purchase_order": f["purchase"],
        }
    body = {
        "event_id": f"{f['picking']}-{message.what}-{f.get('parcel', '')}",
        "event": WMS_STEPS[message.what],
        "time": stamp(message.at),
        "transmitted": stamp(message.sent_at),
        "order": f["order"],
        "picking": f["picking"],
    }
    if message.what == "packed":
        body |= {"parcel": {"tracking": f["parcel"], "carrier": CARRIERS[f["carrier"]]}}
    elif message.what == "shipped":
        body |= {"parcels": [{"tracking": parcel} for parcel in f["parcels"]], "carrier": CARRIERS[f["carrier"]]}
    return body


def _swift(message: Message) -> dict[str, Any]:
    code, words = SWIFT_CODES[message.what]
    return {
        "notification": f"{message.facts['parcel']}-{code}",
        "tracking_number": message.facts["parcel"],
        "status": {"code": code, "description": words},
        "event_time": stamp(message.at),
        "sent_time": stamp(message.sent_at),
    }


def _trace(message: Message) -> dict[str, Any]:
    """OTLP/JSON: one server span of the middleware and one client span to Odoo (names of the OTLP JSON mapping)."""
    f = message.facts
    start = int(message.at.timestamp() * 1e9)
    failed = f["failed"]
    end = start + (30_000_000_000 if failed else 800_000_000)
    attributes = [{"key": "order.reference", "value": {"stringValue": f["order"]}}]

    def span(name: str, number: int, kind: int, parent: str, status: dict[str, Any]) -> dict[str, Any]:
        return {
            "traceId": f["trace"],
            "spanId": hashlib.sha256(f"{f['trace']}{number}{failed}".encode()).hexdigest()[:16],
            "parentSpanId": parent,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": str(start + number * 5_000_000),
            "endTimeUnixNano": str(end - number * 5_000_000),
            "attributes": attributes,
            "status": status,
        }

    bad = {"code": 2, "message": "timeout after 30 s waiting for Odoo"} if failed else {}
    first = span("orders receive", 1, 2, "", bad)
    second = span("POST sale.order/create", 2, 3, first["spanId"], bad)
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "middleware"}}]}
    return {
        "resourceSpans": [
            {"resource": resource, "scopeSpans": [{"scope": {"name": "orders"}, "spans": [first, second]}]}
        ]
    }


_WRITERS: dict[str, Callable[[Message], dict[str, Any]]] = {
    "bright-shop-orders": _shop,
    "odoo-bus": _bus,
    "north-wms": _wms,
    "rhein-wms": _wms,
    "swift-tracking": _swift,
    "middleware-traces": _trace,
}

EDI_SENDERS = ("blue-edi", "metalworks-edi", "oakline-edi", "nordtex-edi")
#: everybody who sends: these JSON senders, those whose EDI `edi_writer` writes, those with a format of `formats`
SENDERS = frozenset({*_WRITERS, *EDI_SENDERS, *FORMATS})


def deliveries(messages: Sequence[Message], *, bundle: int = 1) -> list[Delivery]:
    """Requests for messages in order of arrival. bundle: how many messages of one JSON sender may share a request."""
    made: list[Delivery] = []
    waiting: dict[str, list[Message]] = {}

    def flush(integration: str) -> None:
        told = waiting.pop(integration, [])
        if told:
            made.append(_request(integration, told))

    for message in messages:
        group = waiting.setdefault(message.integration, [])
        group.append(message)
        if len(group) >= (bundle if _bundles(message.integration) else 1):
            flush(message.integration)
    for integration in list(waiting):
        flush(integration)
    return sorted(made, key=lambda d: d.arrives_at)


def _bundles(integration: str) -> bool:
    if integration in FORMATS:
        return FORMATS[integration].bundles
    return integration in _WRITERS and integration != "middleware-traces"


def _request(integration: str, told: Sequence[Message]) -> Delivery:
    last = told[-1]
    if integration in FORMATS:
        return _formatted(integration, told)
    if integration not in _WRITERS:
        body = edi_writer.write(integration, last)
        return Delivery(integration, last.arrives_at, body, "application/edi", _key(body))
    words = [payload(message) for message in told]
    body = orjson.dumps(words if len(words) > 1 else words[0])
    if integration == "odoo-bus":
        media = "application/cloudevents-batch+json" if len(words) > 1 else "application/cloudevents+json"
        return Delivery(integration, last.arrives_at, body, media, _key(body))
    path = "v1/traces" if integration == "middleware-traces" else ""
    return Delivery(integration, last.arrives_at, body, "application/json", _key(body), path)


def _formatted(integration: str, told: Sequence[Message]) -> Delivery:
    own, last = FORMATS[integration], told[-1]
    words = [own.write(message) for message in told]
    body = words[0] if isinstance(words[0], bytes) else orjson.dumps(words if len(words) > 1 else words[0])
    return Delivery(integration, last.arrives_at, body, own.media, _key(body), own.path, own.headers(last))


def _key(body: bytes) -> str:
    return "msg_" + hashlib.sha256(body).hexdigest()[:24]


def sign(delivery: Delivery, scheme: str, secret: str, now: datetime) -> dict[str, str]:
    """Headers that prove the sender: its format's own scheme, else Standard Webhooks, HMAC in hexadecimal, or a bearer
    token as the settings say."""
    headers = {"content-type": delivery.content_type, **delivery.headers}
    if delivery.integration in FORMATS:
        return headers | SIGNERS[FORMATS[delivery.integration].scheme](secret, delivery.body, now)
    if scheme == "standard":
        seconds = str(int(now.timestamp()))
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{delivery.key}.{seconds}.".encode() + delivery.body
        signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        headers |= {"webhook-id": delivery.key, "webhook-timestamp": seconds, "webhook-signature": f"v1,{signature}"}
    elif scheme == "hmac_sha256_hex":
        headers["x-signature"] = hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()
    else:
        headers["authorization"] = f"Bearer {secret}"
    return headers
