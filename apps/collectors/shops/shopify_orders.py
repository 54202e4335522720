"""Shopify's order, fulfilment and refund resources as facts. Pure.

Shape: the REST Admin API's resources, which webhooks send bare and the comparison reads in lists. Every fact's identity
is that of the change, not of the message: the webhook and the comparison tell the same event, word for word, as long as
the order has not changed in between.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apps.collectors.shops.reading import Reader, digest, id_of, length, number, record, records, stamp, text
from apps.flows.canonical import Reference

#: what an order can tell
PLACED, PAID, CANCELLED, CLOSED, SHIPPED, REFUNDED, CHANGED = (
    *("placed", "paid", "cancelled", "closed", "shipped", "refunded", "changed"),
)
#: an order as it stands, without a webhook that says what happened
STATE = frozenset({PLACED, PAID, CANCELLED, CLOSED, SHIPPED, REFUNDED})

#: financial_status -> whether the whole amount was received
FINANCIAL = {
    "pending": False,
    "authorized": False,
    "partially_paid": False,
    "paid": True,
    "partially_refunded": True,
    "refunded": True,
    "voided": False,
    "expired": False,
}
#: status of a shipment, by its carrier -> event type ('' is known and of no interest)
SHIPMENT = {
    "label_printed": "label.created",
    "label_purchased": "label.created",
    "confirmed": "",
    "carrier_picked_up": "transport.picked_up",
    "in_transit": "transport.in_transit",
    "ready_for_pickup": "transport.arrived",
    "out_for_delivery": "transport.out_for_delivery",
    "attempted_delivery": "delivery.attempted",
    "delivered": "delivery.completed",
    "picked_up": "delivery.completed",
    "delayed": "transport.exception",
    "failure": "transport.exception",
}


def read_order(r: Reader, order: dict[str, Any], at: str, wanted: frozenset[str], promised: str = "") -> None:
    """Facts of an order. wanted: which of them; promised: note attribute that holds the promised delivery date."""
    own = id_of(order)
    if not own:
        r.missing("The order's id", f"{at}.id", order)
        return
    number = {"name": order.get("name"), "number": order.get("order_number"), "id": own}.get(r.order_by)
    references = r.order(number, own)
    updated = r.moment(order.get("updated_at"), f"{at}.updated_at")
    if PLACED in wanted:
        _placed(r, order, own, references, at, promised)
    if PAID in wanted:
        _paid(r, order, own, references, at, updated, always=wanted == {PAID})
    if CANCELLED in wanted and (cancelled := r.moment(order.get("cancelled_at"), f"{at}.cancelled_at")):
        data = {"reason": text(order.get("cancel_reason"))}
        r.add(
            "order.cancelled", cancelled, references, f"order:{own}:cancelled", at, data=data, topic="orders/cancelled"
        )
    if CLOSED in wanted and (closed := r.moment(order.get("closed_at"), f"{at}.closed_at")):
        r.add("order.closed", closed, references, f"order:{own}:closed:{stamp(closed)}", at)
    if SHIPPED in wanted:
        for place, one in records(order.get("fulfillments"), f"{at}.fulfillments"):
            read_fulfillment(r, one, place, own)
    if REFUNDED in wanted:
        for place, one in records(order.get("refunds"), f"{at}.refunds"):
            read_refund(r, one, place, own)
    if CHANGED in wanted:
        _changed(r, order, own, references, at, updated)


def _placed(
    r: Reader, order: dict[str, Any], own: str, references: tuple[Reference, ...], at: str, promised: str
) -> None:
    placed = r.moment(order.get("created_at"), f"{at}.created_at")
    if placed is None:
        r.missing("The time the order was placed (created_at)", f"{at}.created_at", order.get("created_at"))
        return
    service = next((text(one.get("title")) for _, one in records(order.get("shipping_lines"), "")), "")
    data = {
        "value": number(order.get("total_price")),
        "currency": text(order.get("currency")),
        "lines": length(order.get("line_items")),
        "channel": text(order.get("source_name")),
        "service": service,
        "lane_to": text(record(order.get("shipping_address")).get("country_code")),
        "test": order.get("test") is True or None,
    }
    dates = {"promised_delivery": _promised(r, order, at, promised)}
    identity = f"order:{own}:placed"
    r.add("order.placed", placed, references, identity, at, data=data, dates=dates, topic="orders/create")


def _promised(r: Reader, order: dict[str, Any], at: str, name: str) -> datetime | None:
    if not name:
        return None
    for place, one in records(order.get("note_attributes"), f"{at}.note_attributes"):
        if text(one.get("name")) == name:
            return r.day(one.get("value"), place)
    return None


def _paid(
    r: Reader,
    order: dict[str, Any],
    own: str,
    references: tuple[Reference, ...],
    at: str,
    updated: datetime | None,
    always: bool,
) -> None:
    """An order says that it is paid, not since when: at the latest when it was last changed."""
    status = text(order.get("financial_status")).lower()
    if status and status not in FINANCIAL:
        sentence = f"The financial status “{status[:60]}” is unknown; whether the order is paid was not taken from it."
        r.warn("unmapped_status", sentence, f"{at}.financial_status", status)
    if not (always or FINANCIAL.get(status)):
        return
    when = updated or r.moment(order.get("processed_at"), f"{at}.processed_at") or r.triggered_at
    if when is None:
        r.missing("The time the order was paid (updated_at)", f"{at}.updated_at", order.get("updated_at"))
        return
    r.add("order.released", when, references, f"order:{own}:paid", at, data={"reason": "paid"}, topic="orders/paid")


def _changed(
    r: Reader, order: dict[str, Any], own: str, references: tuple[Reference, ...], at: str, updated: datetime | None
) -> None:
    when = updated or r.triggered_at
    if when is None:
        r.missing("The time of the change (updated_at)", f"{at}.updated_at", order.get("updated_at"))
        return
    data = {
        "value": number(order.get("current_total_price")) or number(order.get("total_price")),
        "currency": text(order.get("currency")),
        "financial_status": text(order.get("financial_status")),
        "fulfillment_status": text(order.get("fulfillment_status")),
        "lines": length(order.get("line_items")),
    }
    r.add("order.changed", when, references, f"order:{own}:changed:{stamp(when)}:{digest(data)}", at, data=data)


def read_fulfillment(r: Reader, one: dict[str, Any], at: str, order_id: str = "") -> None:
    """A fulfilment: told to the customer with its tracking numbers, and what its carrier said last."""
    own, order = id_of(one), text(one.get("order_id")) or order_id
    if not own or not order:
        r.missing("The fulfilment's id or its order_id", f"{at}.id", one)
        return
    created = r.moment(one.get("created_at"), f"{at}.created_at")
    updated = r.moment(one.get("updated_at"), f"{at}.updated_at") or r.triggered_at or created
    if created is None or updated is None:
        r.missing("The fulfilment's created_at", f"{at}.created_at", one.get("created_at"))
        return
    numbers = tracking_numbers(one)
    references = (*by_id(r, order), *(Reference("tracking_number", value) for value in numbers))
    data = {"fulfillment": own, "carrier": text(one.get("tracking_company")), "service": text(one.get("service"))}
    status = text(one.get("status")).lower()
    if status == "success":
        said = digest([sorted(numbers), data])
        identity = f"fulfillment:{own}:announced:{said}"
        r.add("shipment.announced", created, references, identity, at, data=data, topic="fulfillments/create")
    elif status == "pending":
        r.add("warehouse_order.sent", created, references, f"fulfillment:{own}:pending", at, data=data)
    elif status in ("open", "cancelled", "error", "failure"):
        kinds = {"open": "warehouse_order.acknowledged", "cancelled": "order.changed"}
        kind = kinds.get(status, "warehouse_order.rejected")
        told = data | {"fulfillment_status": status}
        r.add(kind, updated, references, f"fulfillment:{own}:{status}:{stamp(updated)}", at, data=told)
    else:
        sentence = f"The fulfilment's status “{status[:60]}” is unknown and gave no event."
        r.warn("unmapped_status", sentence, f"{at}.status", one.get("status"))
    _carried(r, one, at, own, references, updated)


def _carried(
    r: Reader, one: dict[str, Any], at: str, own: str, references: tuple[Reference, ...], updated: datetime
) -> None:
    """The carrier's last word. A fulfilment says no time of it: at the latest when it was last changed."""
    status = text(one.get("shipment_status")).lower()
    kind = shipment_kind(r, status, f"{at}.shipment_status")
    if kind:
        data = {"status": status, "carrier": text(one.get("tracking_company"))}
        r.add(kind, updated, references, f"fulfillment:{own}:shipment:{status}:{stamp(updated)}", at, data=data)


def by_id(r: Reader, order_id: str) -> tuple[Reference, ...]:
    """An order of which only the id is known."""
    return r.order(order_id if r.order_by == "id" else "", order_id)


def shipment_kind(r: Reader, status: str, position: str) -> str:
    """Event type of a shipment status; '' for none, with a warning when it is unknown."""
    if status and status not in SHIPMENT:
        sentence = f"The shipment status “{status[:60]}” is not mapped and gave no event."
        r.warn("unmapped_status", sentence, position, status)
    return SHIPMENT.get(status, "")


def tracking_numbers(one: dict[str, Any]) -> list[str]:
    """Tracking numbers of a fulfilment, each once, as written."""
    several = one.get("tracking_numbers")
    values = [*(several if isinstance(several, list) else []), one.get("tracking_number")]
    return list(dict.fromkeys(filter(None, (text(value) for value in values))))


def read_refund(r: Reader, one: dict[str, Any], at: str, order_id: str = "") -> None:
    own, order = id_of(one), text(one.get("order_id")) or order_id
    if not own or not order:
        r.missing("The refund's id or its order_id", f"{at}.id", one)
        return
    times = ("processed_at", "created_at")
    when = next(filter(None, (r.moment(one.get(name), f"{at}.{name}") for name in times)), r.triggered_at)
    if when is None:
        r.missing("The refund's created_at", f"{at}.created_at", one.get("created_at"))
        return
    paid = [t for _, t in records(one.get("transactions"), "") if text(t.get("kind")) in ("refund", "")]
    amounts = [number(t.get("amount")) for t in paid]
    data = {
        "refund": own,
        "refunded": amounts[0] if len(amounts) == 1 else list(filter(None, amounts)),
        "currency": next((text(t.get("currency")) for t in paid), ""),
        "lines": length(one.get("refund_line_items")),
    }
    r.add("refund.posted", when, by_id(r, order), f"refund:{own}", at, data=data, topic="refunds/create")
