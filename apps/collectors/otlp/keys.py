"""Business keys and exceptions in the attributes of spans and log records (OpenTelemetry semantic conventions). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.collectors import jsonbody
from apps.collectors.mapping_rules import plain
from apps.collectors.otlp.requests import plain_value, value_of
from apps.flows.canonical import Reference
from apps.flows.catalogue import REFERENCE_KINDS

#: attribute -> kind of the business key it holds; `Integration.settings["references"]` adds and replaces
REFERENCES = {
    "order.reference": "sales_order",
    "purchase_order.reference": "purchase_order",
    "picking.reference": "picking",
    "shipment.tracking_number": "tracking_number",
    "messaging.message.conversation_id": "control_number",
}
#: attributes worth keeping beside the hop
KEPT = (
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "server.address",
    "rpc.method",
    "messaging.system",
    "messaging.destination.name",
    "messaging.message.id",
    "error.type",
)
TEXT = 300


def attributes_of(holder: Any) -> dict[str, Any]:
    """Attributes of a span, a record or a resource as plain values."""
    return {each.key: plain_value(each.value) for each in holder.attributes}


def references(attributes: Mapping[str, Any], kinds: Mapping[str, str], partner: str) -> list[Reference]:
    """The business keys among attributes; kinds that are unique only with their issuer get our partner."""
    found = []
    for name, kind in kinds.items():
        value = attributes.get(name)
        for text in map(plain, value if isinstance(value, list) else [value]):
            if text and "\0" not in text and len(text) <= 200:
                found.append(Reference(kind, text, partner if REFERENCE_KINDS.get(kind, ("", False))[1] else ""))
    return found


def kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: attributes[name] for name in KEPT if attributes.get(name) is not None}


def exception(attributes: Any) -> str:
    """Type and message of an exception (semantic conventions for exceptions), '' without one."""
    parts = [plain(value_of(attributes, f"exception.{name}")) for name in ("type", "message")]
    return jsonbody.excerpt(": ".join(part for part in parts if part), TEXT)
