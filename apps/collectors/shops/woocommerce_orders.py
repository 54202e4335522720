"""WooCommerce's orders and notes as facts. Pure.

Shape: REST API v3, which webhooks send and the comparison reads. Times are those in GMT; without one the local time
counts in the integration's zone. Order numbers may be a plug-in's own, so the number and the id are told apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from apps.collectors.shops.reading import Reader, digest, id_of, length, number, record, records, stamp, text
from apps.flows.canonical import Reference
from apps.flows.catalogue import EVENT_TYPES

#: status -> event type told at the time of change ('' is told otherwise, or of no interest)
STATUSES = {
    "pending": "",
    "processing": "",
    "on-hold": "order.held",
    "completed": "",
    "failed": "",
    "refunded": "",
    "cancelled": "order.cancelled",
    "trash": "order.cancelled",
}
#: a change so soon after the payment is the payment's own
_PAYING = timedelta(minutes=1)
#: not yet an order
DRAFTS = frozenset({"checkout-draft", "auto-draft", "draft", "new"})
_TRACKING = ("_wc_shipment_tracking_items", "wc_shipment_tracking_items")
_ORDER_LINK = re.compile(r"/orders/([0-9]+)/?$")


def own_statuses(written: Any) -> dict[str, str]:
    """``shipped=shipment.dispatched`` -> {"shipped": "shipment.dispatched"}; what is no such text is left out."""
    found = {}
    for one in written if isinstance(written, list) else []:
        status, equals, kind = text(one).partition("=")
        if equals and (not kind or kind in EVENT_TYPES):
            found[status.strip().removeprefix("wc-")] = kind.strip()
    return found


def references_of(r: Reader, order: Mapping[str, Any]) -> tuple[Reference, ...]:
    return r.order(order.get("number"), id_of(order))


def read_order(
    r: Reader, order: dict[str, Any], at: str, topic: str, statuses: Mapping[str, str], promised: str = ""
) -> None:
    """Facts of an order. topic: of the webhook, '' for an order as it stands; statuses: the shop's own."""
    own, status = id_of(order), text(order.get("status")).removeprefix("wc-")
    if not own:
        r.missing("The order's id", f"{at}.id", order)
        return
    references = references_of(r, order)
    if topic == "order.deleted":
        data = {"reason": "deleted in the shop"}
        r.add("order.cancelled", r.received_at, references, f"order:{own}:deleted", at, data=data)
        return
    if status in DRAFTS:
        return
    if topic != "order.updated":
        _placed(r, order, own, references, at, promised)
    changed = _gmt(r, order, "date_modified", at)
    _states(r, order, own, references, at, changed, status, statuses)
    if topic in ("order.updated", "order.restored"):
        _changed(r, order, own, references, at, changed)


def _gmt(r: Reader, order: Mapping[str, Any], name: str, at: str) -> datetime | None:
    """A time by its field in GMT, else by its local one."""
    if f"{name}_gmt" in order:
        return r.moment(order[f"{name}_gmt"], f"{at}.{name}_gmt", zone="UTC")
    return r.moment(order.get(name), f"{at}.{name}")


def _placed(
    r: Reader, order: dict[str, Any], own: str, references: tuple[Reference, ...], at: str, promised: str
) -> None:
    placed = _gmt(r, order, "date_created", at)
    if placed is None:
        r.missing("The time the order was placed (date_created_gmt)", f"{at}.date_created_gmt", order)
        return
    data = {
        "value": number(order.get("total")),
        "currency": text(order.get("currency")),
        "lines": length(order.get("line_items")),
        "channel": text(order.get("created_via")),
        "service": next((text(one.get("method_title")) for _, one in records(order.get("shipping_lines"), "")), ""),
        "lane_to": text(record(order.get("shipping")).get("country")),
    }
    dates = {"promised_delivery": _promised(r, order, at, promised)}
    r.add("order.placed", placed, references, f"order:{own}:placed", at, data=data, dates=dates, topic="order.created")


def _promised(r: Reader, order: dict[str, Any], at: str, name: str) -> datetime | None:
    if not name:
        return None
    for place, one in records(order.get("meta_data"), f"{at}.meta_data"):
        if text(one.get("key")) == name:
            return r.day(one.get("value"), place)
    return None


def _states(
    r: Reader,
    order: dict[str, Any],
    own: str,
    references: tuple[Reference, ...],
    at: str,
    changed: datetime | None,
    status: str,
    statuses: Mapping[str, str],
) -> None:
    """What the status and the dates say. A status without a date of its own holds since the last change at the latest."""
    paid = _gmt(r, order, "date_paid", at)
    if paid is not None:
        identity, data = f"order:{own}:paid:{stamp(paid)}", {"reason": "paid"}
        r.add("order.released", paid, references, identity, at, data=data, topic="order.updated")
    elif status == "processing" and changed is not None:
        # an order to be paid on delivery: released, never paid
        data = {"reason": "to be sent without payment"}
        r.add("order.released", changed, references, f"order:{own}:processing:{stamp(changed)}", at, data=data)
    if paid is not None and changed is not None and changed > paid + _PAYING and status == "processing":
        # payment ends a hold by itself; of one after it only is told that the order is in work again
        identity, data = f"order:{own}:resumed:{stamp(changed)}", {"status": status}
        r.add("order.resumed", changed, references, identity, at, data=data)
    completed = _gmt(r, order, "date_completed", at)
    if completed is not None and status in ("completed", "refunded"):
        _completed(r, order, own, references, at, completed)
    kind = statuses.get(status, STATUSES.get(status))
    if kind is None:
        sentence = f"The order status “{status[:60]}” is not mapped: name it in the settings (statuses)."
        r.warn("unmapped_status", sentence, f"{at}.status", order.get("status"))
    elif kind and changed is None:
        r.missing("The time of the change (date_modified_gmt)", f"{at}.date_modified_gmt", order)
    elif kind and changed is not None:
        r.add(kind, changed, references, f"order:{own}:{status}:{stamp(changed)}", at, data={"status": status})
    if changed is not None:
        for place, one in records(order.get("refunds"), f"{at}.refunds"):
            _refund(r, one, own, references, place, changed)


def _completed(
    r: Reader, order: dict[str, Any], own: str, references: tuple[Reference, ...], at: str, completed: datetime
) -> None:
    """The shop has sent the order and told the customer; a plug-in may have noted the tracking numbers."""
    parcels = [one for _, meta in records(order.get("meta_data"), "") for one in _parcels(meta)]
    numbers = dict.fromkeys(filter(None, (text(one.get("tracking_number")) for one in parcels)))
    carriers = ("custom_tracking_provider", "tracking_provider")
    carrier = next(filter(None, (text(one.get(name)) for one in parcels for name in carriers)), "")
    known = (*references, *(Reference("tracking_number", value) for value in numbers))
    identity = f"order:{own}:completed:{stamp(completed)}:{digest([sorted(numbers), carrier])}"
    data = {"carrier": carrier}
    r.add("shipment.announced", completed, known, identity, at, data=data, topic="order.updated")


def _parcels(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    if text(meta.get("key")) not in _TRACKING:
        return []
    return [one for _, one in records(meta.get("value"), "")]


def _refund(
    r: Reader, one: dict[str, Any], own: str, references: tuple[Reference, ...], at: str, changed: datetime
) -> None:
    refund = id_of(one)
    if not refund:
        r.missing("The refund's id", f"{at}.id", one)
        return
    data = {"refund": refund, "refunded": number(one.get("total")).removeprefix("-")}
    r.add("refund.posted", changed, references, f"refund:{refund}:{stamp(changed)}", at, data=data)


def _changed(
    r: Reader, order: dict[str, Any], own: str, references: tuple[Reference, ...], at: str, changed: datetime | None
) -> None:
    if changed is None:
        r.missing("The time of the change (date_modified_gmt)", f"{at}.date_modified_gmt", order)
        return
    data = {
        "status": text(order.get("status")),
        "value": number(order.get("total")),
        "currency": text(order.get("currency")),
        "lines": length(order.get("line_items")),
    }
    r.add("order.changed", changed, references, f"order:{own}:changed:{stamp(changed)}:{digest(data)}", at, data=data)


def read_note(r: Reader, note: dict[str, Any], at: str) -> None:
    """A note to the customer is a notice sent; the shop's own notes are of no interest."""
    own = id_of(note)
    order = text(note.get("order_id")) or _linked(note)
    if not own or not order:
        r.missing("The note's id or the order it belongs to", at, note)
        return
    if note.get("customer_note") is not True:
        return
    when = _gmt(r, note, "date_created", at)
    if when is None:
        r.missing("The note's date_created_gmt", f"{at}.date_created_gmt", note)
        return
    r.add("notification.sent", when, r.order(own=order), f"note:{own}", at, data={"channel": "order note"})


def _linked(note: Mapping[str, Any]) -> str:
    for _, one in records(record(note.get("_links")).get("up"), ""):
        match = _ORDER_LINK.search(text(one.get("href")))
        if match:
            return match[1]
    return ""
