"""Shopify's webhook topics, and resources without one (files, the comparison), dispatched to their readers. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from apps.collectors.shops.reading import Reader, gid, id_of, record, records, stamp, text
from apps.collectors.shops.shopify_orders import (
    CANCELLED,
    CHANGED,
    PAID,
    PLACED,
    SHIPPED,
    STATE,
    by_id,
    read_fulfillment,
    read_order,
    read_refund,
    shipment_kind,
)
from apps.flows.canonical import Reference

#: topic -> what is taken from the order it carries
ORDERS = {
    "orders/create": frozenset({PLACED}),
    "orders/paid": frozenset({PAID}),
    "orders/cancelled": frozenset({CANCELLED}),
    "orders/fulfilled": frozenset({SHIPPED}),
    "orders/partially_fulfilled": frozenset({SHIPPED}),
    "orders/updated": frozenset({CHANGED}),
}
#: fulfilment order topics -> event type ('' is known and of no interest)
FULFILLMENT_ORDERS = {
    "fulfillment_request_submitted": "warehouse_order.sent",
    "fulfillment_request_accepted": "warehouse_order.acknowledged",
    "fulfillment_request_rejected": "warehouse_order.rejected",
    "fulfillment_service_failed_to_complete": "warehouse_order.rejected",
    "cancellation_request_accepted": "warehouse_order.cancelled",
    "cancelled": "warehouse_order.cancelled",
    "line_items_prepared_for_pickup": "pack.completed",
    "line_items_prepared_for_local_delivery": "pack.completed",
    "placed_on_hold": "order.held",
    "hold_released": "order.resumed",
    "rescheduled": "order.changed",
    "moved": "order.changed",
    "cancellation_request_submitted": "",
    "cancellation_request_rejected": "",
    "order_routing_complete": "",
    "scheduled_fulfillment_order_ready": "",
    "manually_reported_progress_stopped": "",
    "progress_reported": "",
    "merged": "",
    "split": "",
}
#: actions that stop the work on an order, and let it go on
HOLDS = frozenset({"placed_on_hold", "hold_released"})
#: request_status of a fulfilment order as it stands -> topic that would have told it
REQUESTS = {
    "submitted": "fulfillment_request_submitted",
    "accepted": "fulfillment_request_accepted",
    "rejected": "fulfillment_request_rejected",
    "cancellation_accepted": "cancellation_request_accepted",
    "cancellation_requested": "cancellation_request_submitted",
    "cancellation_rejected": "cancellation_request_rejected",
    "unsubmitted": "order_routing_complete",
    "closed": "merged",
}
RETURNS = {
    "request": "return.requested",
    "approve": "return.authorized",
    "process": "return.received",
    "decline": "return.cancelled",
    "cancel": "return.cancelled",
    "close": "",
    "reopen": "",
    "update": "",
}
#: status of a return as it stands -> topic that would have told it
RETURN_STATUS = {
    "requested": "request",
    "open": "approve",
    "declined": "decline",
    "canceled": "cancel",
    "cancelled": "cancel",
    "closed": "close",
}
#: resources of no interest, by the first part of their topics
OTHERS = frozenset(
    (
        *("app", "app_subscriptions", "bulk_operations", "carts", "checkouts", "collections", "customers", "domains"),
        *("disputes", "draft_orders", "inventory_items", "inventory_levels", "locales", "locations", "markets"),
        *("order_transactions", "payment_schedules", "product_listings", "products", "profiles", "shop", "themes"),
        *("subscription_contracts", "tender_transactions", "variants", "selling_plan_groups", "segments", "companies"),
    )
)
_HOLDERS = (
    "fulfillment_order",
    "submitted_fulfillment_order",
    "original_fulfillment_order",
    "resulting_fulfillment_order",
)
#: REST wrappers of single resources and lists of them
_WRAPPERS = ("order", "fulfillment", "refund", "fulfillment_event", "return")
_BY_GID = {
    "Order": "order",
    "Fulfillment": "fulfillment",
    "FulfillmentEvent": "fulfillment_event",
    "FulfillmentOrder": "fulfillment_order",
    "Refund": "refund",
    "Return": "return",
}


def read_topic(r: Reader, topic: str, value: dict[str, Any], at: str, promised: str) -> None:
    """One webhook of a topic (``orders/create``)."""
    resource, _, action = topic.partition("/")
    if topic in ORDERS:
        read_order(r, value, at, ORDERS[topic], promised)
    elif topic == "orders/edited":
        _edited(r, record(value.get("order_edit")) or value, at)
    elif topic == "orders/delete":
        _deleted(r, value, at)
    elif topic in ("fulfillments/create", "fulfillments/update"):
        read_fulfillment(r, value, at)
    elif topic == "fulfillment_events/create":
        read_fulfillment_event(r, value, at)
    elif resource == "fulfillment_orders" and action in FULFILLMENT_ORDERS:
        read_fulfillment_order(r, value, at, action)
    elif topic == "refunds/create":
        read_refund(r, value, at)
    elif resource == "returns" and action in RETURNS:
        read_return(r, value, at, action)
    elif resource in OTHERS or topic in ("fulfillment_events/delete", "orders/risk_assessment_changed"):
        sentence = f"Webhooks of the topic “{topic[:80]}” are not of interest here: cancel this subscription."
        r.warn("ignored_topic", sentence, at, topic)
    else:
        sentence = f"The topic “{topic[:80]}” is not mapped; the delivery is kept and gave no event."
        r.warn("unmapped_topic", sentence, at, topic)


def read_resource(r: Reader, value: Any, at: str, promised: str) -> None:
    """A resource without a topic, or REST's wrapping of one or many: what it says by its state."""
    value = record(value)
    for name in _WRAPPERS if "id" not in value else ():
        if isinstance(value.get(name), dict):
            return read_resource(r, value[name], f"{at}.{name}", promised)
        if isinstance(value.get(f"{name}s"), list):
            for index, one in enumerate(value[f"{name}s"]):
                read_resource(r, one, f"{at}.{name}s[{index}]", promised)
            return None
    return _READERS[_kind_of(value)](r, value, at, promised)


def _kind_of(value: dict[str, Any]) -> str:
    kind = _BY_GID.get(gid(value.get("admin_graphql_api_id"))[0] or gid(value.get("id"))[0], "")
    if kind:
        return kind
    if "fulfillment_id" in value and "happened_at" in value:
        return "fulfillment_event"
    if "request_status" in value or any(isinstance(value.get(name), dict) for name in _HOLDERS):
        return "fulfillment_order"
    if "refund_line_items" in value:
        return "refund"
    if "return_line_items" in value:
        return "return"
    if "order_id" in value and ("tracking_numbers" in value or "tracking_company" in value):
        return "fulfillment"
    return "order" if {"financial_status", "order_number", "line_items"} & set(value) else ""


def _unknown(r: Reader, value: dict[str, Any], at: str, promised: str) -> None:
    sentence = "This is no order, fulfilment, fulfilment order, refund or return of Shopify."
    r.error("unknown_resource", sentence, at, value)


_READERS: dict[str, Callable[[Reader, dict[str, Any], str, str], None]] = {
    "order": lambda r, value, at, promised: read_order(r, value, at, STATE, promised),
    "fulfillment": lambda r, value, at, promised: read_fulfillment(r, value, at),
    "fulfillment_event": lambda r, value, at, promised: read_fulfillment_event(r, value, at),
    "fulfillment_order": lambda r, value, at, promised: read_fulfillment_order(r, value, at, ""),
    "refund": lambda r, value, at, promised: read_refund(r, value, at),
    "return": lambda r, value, at, promised: read_return(r, value, at, ""),
    "": _unknown,
}


def _when(r: Reader, value: dict[str, Any], at: str) -> datetime:
    """When it was: as the sender says, as the resource says, or at the latest when we received it (with a warning)."""
    if r.triggered_at is not None:
        return r.triggered_at
    for name in ("updated_at", "created_at"):
        found = r.moment(value.get(name), f"{at}.{name}")
        if found is not None:
            return found
    r.warn("no_time", "The delivery names no time; the time of its receipt stands in.", at)
    return r.received_at


def _identity(r: Reader, name: str, when: datetime) -> str:
    """It may happen again; a time that is only our own does not tell one from the other."""
    return name if when == r.received_at else f"{name}:{stamp(when)}"


def _edited(r: Reader, value: dict[str, Any], at: str) -> None:
    own, order = id_of(value), text(value.get("order_id"))
    if not own or not order:
        r.missing("The edit's id or its order_id", at, value)
        return
    when = r.moment(value.get("created_at"), f"{at}.created_at") or _when(r, value, at)
    r.add("order.changed", when, by_id(r, order), f"edit:{own}", at, data={"change": "edited"})


def _deleted(r: Reader, value: dict[str, Any], at: str) -> None:
    own = id_of(value)
    if not own:
        r.missing("The order's id", f"{at}.id", value)
        return
    data = {"reason": "deleted in the shop"}
    r.add("order.cancelled", _when(r, {}, at), by_id(r, own), f"order:{own}:deleted", at, data=data)


def read_fulfillment_event(r: Reader, value: dict[str, Any], at: str) -> None:
    """What a carrier or an app said about a fulfilment."""
    own, order = id_of(value), text(value.get("order_id"))
    if not own or not order:
        r.missing("The fulfilment event's id or its order_id", f"{at}.id", value)
        return
    status = text(value.get("status")).lower()
    kind = shipment_kind(r, status, f"{at}.status")
    when = r.moment(value.get("happened_at"), f"{at}.happened_at")
    if not kind:
        if not status:
            r.missing("The fulfilment event's status", f"{at}.status", value)
        return
    if when is None:
        r.missing("The time happened_at", f"{at}.happened_at", value.get("happened_at"))
        return
    places = filter(None, (text(value.get(name)) for name in ("city", "province", "country")))
    data = {"status": status, "fulfillment": text(value.get("fulfillment_id")), "place": ", ".join(places)}
    eta = r.moment(value.get("estimated_delivery_at"), f"{at}.estimated_delivery_at")
    r.add(kind, when, by_id(r, order), f"fulfillment_event:{own}", at, data=data, dates={"eta": eta})


def read_fulfillment_order(r: Reader, value: dict[str, Any], at: str, action: str) -> None:
    """What a location or fulfilment service is asked to send. Without an action its request_status counts."""
    holder = next((name for name in _HOLDERS if isinstance(value.get(name), dict)), "")
    one, at = (value[holder], f"{at}.{holder}") if holder else (value, at)
    own = id_of(one)
    if not own:
        r.missing("The fulfilment order's id", f"{at}.id", one)
        return
    if not action:
        status = text(one.get("request_status")).lower()
        action = REQUESTS.get(status, "")
        if not action:
            sentence = f"The request status “{status[:60]}” is not mapped and gave no event."
            r.warn("unmapped_status", sentence, f"{at}.request_status", status)
            return
    kind = FULFILLMENT_ORDERS[action]
    if not kind:
        return
    order = text(one.get("order_id")) or gid(record(one.get("order")).get("id"))[1]
    references = (Reference("warehouse_order", own, r.issuer), *by_id(r, order))
    when = _when(r, one, at)
    dates = {"ship_by": r.moment(one.get("fulfill_by"), f"{at}.fulfill_by")}
    identity = _identity(r, f"fulfillment_order:{own}:{action}", when)
    data = {"change": action}
    if action in HOLDS:
        kind, data = _held(value, one, kind, data)
    r.add(kind, when, references, identity, at, data=data, dates=dates)


def _held(value: dict[str, Any], one: dict[str, Any], kind: str, data: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Why it is held. Since 2025-01 several holds may lie on one: with one gone, another may hold it still.

    A hold that was taken away at once is told by `created_fulfillment_hold` only (2024-10).
    """
    still = [hold for _, hold in records(one.get("fulfillment_holds"), "")]
    if kind == "order.resumed" and (still or text(one.get("status")).lower() == "on_hold"):
        return "order.changed", data
    hold = record(value.get("created_fulfillment_hold")) or next(iter(still), {})
    return kind, data | {"reason": text(hold.get("reason")).lower(), "note": text(hold.get("reason_notes"))[:200]}


def read_return(r: Reader, value: dict[str, Any], at: str, action: str) -> None:
    """A return: asked for, approved, processed, or declined. Without an action its status counts."""
    own = id_of(value)
    order = record(value.get("order"))
    order_id = text(value.get("order_id")) or id_of(order)
    if not own:
        r.missing("The return's id", f"{at}.id", value)
        return
    if not action:
        status = text(value.get("status")).lower()
        action = RETURN_STATUS.get(status, "")
        if not action:
            sentence = f"The return's status “{status[:60]}” is not mapped and gave no event."
            r.warn("unmapped_status", sentence, f"{at}.status", status)
            return
    kind = RETURNS[action]
    if not kind:
        return
    references = (Reference("return_order", own), *by_id(r, order_id))
    when = _when(r, value, at)
    data = {"return": text(value.get("name")), "change": action}
    r.add(kind, when, references, _identity(r, f"return:{own}:{action}", when), at, data=data)
