"""Amazon SP-API notifications as facts. Pure.

Source: the schemas of the notification types (``NotificationType``, ``EventTime``, ``Payload``, ``NotificationMetadata``),
newer ones with names in lower camel case. A notification may be delivered more than once, with the same NotificationId.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from apps.collectors.shops.reading import Reader, length, record, records, stamp, text
from apps.collectors.times import EPOCH_MS, ISO
from apps.flows.canonical import Reference

#: status of an order -> event type ('' is said by the purchase alone); Shipped depends on who sends
ORDER_STATUS = {
    "UPCOMING": "order.changed",
    "PENDING": "",
    "PENDINGAVAILABILITY": "",
    "UNSHIPPED": "order.released",
    "PARTIALLYSHIPPED": "order.changed",
    "SHIPPED": "shipment.announced",
    "CANCELED": "order.cancelled",
    "CANCELLED": "order.cancelled",
    "UNFULFILLABLE": "order.changed",
    "INVOICEUNCONFIRMED": "order.changed",
}
#: status of an order in Amazon's warehouses that the seller asked for ('' is known and of no interest)
FULFILLMENT_STATUS = {
    "NEW": "",
    "RECEIVED": "warehouse_order.acknowledged",
    "PLANNING": "",
    "PROCESSING": "",
    "CANCELLED": "warehouse_order.cancelled",
    "COMPLETE": "",
    "COMPLETEPARTIALLED": "",
    "UNFULFILLABLE": "warehouse_order.rejected",
    "INVALID": "warehouse_order.rejected",
}
FULFILLMENT_SHIPMENT = {
    "PENDING": "",
    "SHIPPED": "shipment.dispatched",
    "CANCELLEDBYFULFILLER": "warehouse_order.cancelled",
    "CANCELLEDBYSELLER": "warehouse_order.cancelled",
}
FBA_SHIPMENT = {
    "CREATED": "warehouse_order.acknowledged",
    "READYFORPICKUP": "pack.completed",
    "SHIPPED": "shipment.dispatched",
    "OUTFORDELIVERY": "transport.out_for_delivery",
    "DELIVERED": "delivery.completed",
    "CANCELLED": "warehouse_order.cancelled",
    "CANCELED": "warehouse_order.cancelled",
}
MILESTONES = {
    "ORDERPREPARING": "",
    "CARRIERASSIGNED": "",
    "LABELCREATED": "label.created",
    "PICKEDUP": "transport.picked_up",
    "SHIPPED": "transport.departed",
    "DEPARTED": "transport.departed",
    "INTRANSIT": "transport.in_transit",
    "ARRIVED": "transport.arrived",
    "OUTFORDELIVERY": "transport.out_for_delivery",
    "AVAILABLEFORPICKUP": "transport.arrived",
    "DELIVERYATTEMPTED": "delivery.attempted",
    "DELIVERED": "delivery.completed",
    "DELAYED": "transport.exception",
    "LOST": "transport.exception",
    "DAMAGED": "transport.exception",
    "UNDELIVERABLE": "transport.exception",
}
#: types that tell nothing about the way of an order: left out, and counted
IGNORED = frozenset(
    (
        *("ANY_OFFER_CHANGED", "B2B_ANY_OFFER_CHANGED", "BRANDED_ITEM_CONTENT_CHANGE", "PRICING_HEALTH"),
        *("ITEM_PRODUCT_TYPE_CHANGE", "PRODUCT_TYPE_DEFINITIONS_CHANGE", "FEE_PROMOTION", "TRANSACTION_UPDATE"),
        *("LISTINGS_ITEM_STATUS_CHANGE", "LISTINGS_ITEM_ISSUES_CHANGE", "LISTINGS_ITEM_MFN_QUANTITY_CHANGE"),
        *("FEED_PROCESSING_FINISHED", "REPORT_PROCESSING_FINISHED", "DATA_KIOSK_QUERY_PROCESSING_FINISHED"),
        *("FBA_INVENTORY_AVAILABILITY_CHANGES", "ITEM_INVENTORY_EVENT_CHANGE", "ITEM_SALES_EVENT_CHANGE"),
        *("ACCOUNT_STATUS_CHANGED", "DETAIL_PAGE_TRAFFIC_EVENT", "EXTERNAL_FULFILLMENT_SHIPMENT_STATUS_CHANGE"),
        *("APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY", "APPLICATION_OAUTH_CLIENT_NEW_SECRET"),
    )
)


def get(value: Mapping[str, Any], name: str) -> Any:
    """A field by its name in upper camel case, or in lower."""
    return value[name] if name in value else value.get(name[0].lower() + name[1:])


def code_of(value: Any) -> str:
    """A status without case and separators: the schemas write them in several ways."""
    return text(value).upper().replace("_", "").replace(" ", "").replace("-", "")


class Notification:
    """One notification: its type, payload, times and identity."""

    def __init__(self, r: Reader, value: dict[str, Any], at: str) -> None:
        self.r, self.at = r, at
        self.type = text(get(value, "NotificationType")).upper()
        metadata = record(get(value, "NotificationMetadata"))
        self.id = text(get(metadata, "NotificationId"))
        self.happened_at = r.moment(get(value, "EventTime"), f"{at}.EventTime")
        self.sent_at = r.moment(get(metadata, "PublishTime"), f"{at}.NotificationMetadata.PublishTime")
        payload = record(get(value, "Payload"))
        inner = [(name, one) for name, one in payload.items() if isinstance(one, dict)]
        # the one object of the payload is named after the type
        name, body = inner[0] if len(inner) == 1 else ("", payload)
        self.body: dict[str, Any] = body
        self.place = f"{at}.{'Payload' if 'Payload' in value else 'payload'}" + (f".{name}" if name else "")

    def when(self, *found: datetime | None) -> datetime | None:
        """The first time there is, else that of the notification; an issue when there is none."""
        for moment in (*found, self.happened_at, self.sent_at):
            if moment is not None:
                return moment
        self.r.missing("The time of the notification (EventTime)", f"{self.at}.EventTime", self.body)
        return None

    def identity(self, what: str, *parts: str) -> str:
        return ":".join((self.id, what)) if self.id else ":".join((what, *parts))

    def needed(self, name: str) -> str:
        found = text(get(self.body, name))
        if not found:
            self.r.missing(f"The field {name}", f"{self.place}.{name}", self.body)
        return found

    def kind(self, table: Mapping[str, str], value: Any, name: str, place: str = "") -> str | None:
        """Event type of a code; None, with a warning, when it is unknown."""
        code = code_of(value)
        if code not in table:
            sentence = f"The {name} “{text(value)[:60]}” of {self.type} is not mapped and gave no event."
            self.r.warn("unmapped_status", sentence, f"{place or self.place}.{name}", value)
        return table.get(code)


def read_notification(r: Reader, value: dict[str, Any], at: str, order_kind: str) -> str:
    """Reads one notification; returns its type if it is one of no interest, else ''.

    order_kind: reference kind of the seller's own fulfilment order ids.
    """
    one = Notification(r, value, at)
    reader = _READERS.get(one.type)
    if reader is not None:
        reader(one, order_kind)
    elif one.type in IGNORED:
        return one.type
    elif one.type:
        sentence = f"The notification type “{one.type[:60]}” is not mapped; it is kept and gave no event."
        r.warn("unmapped_type", sentence, f"{at}.NotificationType", one.type)
    else:
        r.error("not_a_notification", "This is no notification of the Selling Partner API: it has no type.", at, value)
    return ""


def _order_change(one: Notification, order_kind: str) -> None:
    order = one.needed("AmazonOrderId")
    if not order:
        return
    summary, trigger = record(get(one.body, "Summary")), record(get(one.body, "OrderChangeTrigger"))
    place = f"{one.place}.OrderChangeTrigger.TimeOfOrderChange"
    when = one.when(one.r.moment(get(trigger, "TimeOfOrderChange"), place))
    if when is None:
        return
    dates = {
        "promised_delivery": one.r.moment(
            get(summary, "LatestDeliveryDate"), f"{one.place}.Summary.LatestDeliveryDate"
        ),
        "ship_by": one.r.moment(get(summary, "LatestShipDate"), f"{one.place}.Summary.LatestShipDate"),
    }
    data = {
        "status": text(get(summary, "OrderStatus")),
        "change": text(get(one.body, "OrderChangeType")),
        "reason": text(get(trigger, "ChangeReason")),
        "channel": text(get(summary, "MarketplaceId")),
        "fulfilled_by": text(get(summary, "FulfillmentType")),
        "lines": length(get(summary, "OrderItems")),
    }
    _order(one, order, summary, when, data, dates, "PurchaseDate", ISO, data["change"] == "BuyerRequestedChange")


def _order_status(one: Notification, order_kind: str) -> None:
    order, when = one.needed("AmazonOrderId"), one.when()
    if not order or when is None:
        return
    data = {
        "status": text(get(one.body, "OrderStatus")),
        "channel": text(get(one.body, "MarketplaceId")),
        "fulfilled_by": text(get(one.body, "FulfillmentChannel")),
    }
    _order(one, order, one.body, when, data, {}, "PurchaseDate", EPOCH_MS, False)


def _order(
    one: Notification,
    order: str,
    body: Mapping[str, Any],
    when: datetime,
    data: Mapping[str, Any],
    dates: Mapping[str, datetime | None],
    purchase: str,
    form: str,
    asked: bool,
) -> None:
    """asked: the buyer asks for a change, the status is as before."""
    references = one.r.order(order)
    kind: str | None = "order.changed"
    if not asked:
        kind = one.kind(ORDER_STATUS, get(body, "OrderStatus"), "OrderStatus")
    written = get(body, purchase)
    bought = one.r.moment(written, f"{one.place}.{purchase}", ISO if isinstance(written, str) else form)
    if bought is not None and kind in ("", "order.released"):
        placed = {"channel": data["channel"], "fulfilled_by": data["fulfilled_by"]}
        one.r.add("order.placed", bought, references, f"order:{order}:placed", one.at, data=placed)
    if kind == "shipment.announced" and str(data["fulfilled_by"]).upper() == "AFN":
        kind = "shipment.dispatched"  # Amazon itself has sent it
    if kind:
        identity = one.identity(kind, order, str(data["status"]), stamp(when))
        one.r.add(kind, when, references, identity, one.at, data=data, dates=dates, sent_at=one.sent_at)


def _fulfillment_order(one: Notification, order_kind: str) -> None:
    order = one.needed("SellerFulfillmentOrderId")
    place = f"{one.place}.StatusUpdatedDateTime"
    when = one.when(one.r.moment(get(one.body, "StatusUpdatedDateTime"), place))
    if not order or when is None:
        return
    issuer = one.r.issuer if order_kind in ("warehouse_order", "channel_order") else ""
    own = (Reference(order_kind, order, issuer),)
    about = text(get(one.body, "EventType")).upper()
    if about == "ORDER":
        status = get(one.body, "FulfillmentOrderStatus")
        kind = one.kind(FULFILLMENT_STATUS, status, "FulfillmentOrderStatus")
        if kind:
            identity = one.identity(kind, order, text(status), stamp(when))
            one.r.add(kind, when, own, identity, one.at, data={"status": text(status)}, sent_at=one.sent_at)
    elif about == "SHIPMENT":
        _fulfillment_shipment(one, order, own, when)
    elif about == "RETURN":
        item = record(get(one.body, "FulfillmentReturnItem"))
        place = f"{one.place}.FulfillmentReturnItem.ReceivedDateTime"
        received = one.r.moment(get(item, "ReceivedDateTime"), place) or when
        data = {"sku": text(get(item, "SellerSKU")), "quantity": get(item, "ReturnedQuantity")}
        identity = one.identity("return.received", order, data["sku"], stamp(received))
        one.r.add("return.received", received, own, identity, one.at, data=data, sent_at=one.sent_at)
    else:
        sentence = f"The EventType “{text(get(one.body, 'EventType'))[:60]}” of {one.type} is not mapped."
        one.r.warn("unmapped_status", sentence, f"{one.place}.EventType", get(one.body, "EventType"))


def _fulfillment_shipment(one: Notification, order: str, own: tuple[Reference, ...], when: datetime) -> None:
    shipment = record(get(one.body, "FulfillmentShipment"))
    status = get(shipment, "FulfillmentShipmentStatus")
    kind = one.kind(FULFILLMENT_SHIPMENT, status, "FulfillmentShipmentStatus")
    if not kind:
        return
    place = f"{one.place}.FulfillmentShipment"
    packages = [one for _, one in records(get(shipment, "FulfillmentShipmentPackages"), place)]
    numbers = dict.fromkeys(filter(None, (text(get(package, "TrackingNumber")) for package in packages)))
    parcels = tuple(Reference("tracking_number", value) for value in numbers)
    eta = one.r.moment(get(shipment, "EstimatedArrivalDateTime"), f"{place}.EstimatedArrivalDateTime")
    data = {
        "status": text(status),
        "shipment": text(get(shipment, "AmazonShipmentId")),
        "parcels": len(packages) or None,
    }
    identity = one.identity(kind, order, str(data["shipment"]), stamp(when))
    dates = {"eta": eta}
    one.r.add(kind, when, (*own, *parcels), identity, one.at, data=data, dates=dates, sent_at=one.sent_at)


def _fba_shipment(one: Notification, order_kind: str) -> None:
    order, when = one.needed("AmazonOrderId"), one.when()
    status = get(one.body, "ShipmentStatus")
    kind = one.kind(FBA_SHIPMENT, status, "ShipmentStatus")
    if not order or when is None or not kind:
        return
    shipment = text(get(one.body, "AmazonShipmentId"))
    own = (Reference("warehouse_order", shipment, one.r.issuer),) if shipment else ()
    identity = one.identity(kind, order, shipment, text(status))
    data = {"status": text(status)}
    one.r.add(kind, when, (*one.r.order(order), *own), identity, one.at, data=data, sent_at=one.sent_at)


def _milestones(one: Notification, order_kind: str) -> None:
    """Every notification tells the whole history again, so a milestone is its own identity."""
    detail = record(get(one.body, "TrackingDetail"))
    identifier = record(get(detail, "Identifier"))
    names = ("TrackingNumber", "TrackingId", "CarrierTrackingNumber", "Aftn")
    number = next(filter(None, (text(get(identifier, name)) for name in names)), "")
    order = text(get(identifier, "AmazonOrderId")) or text(get(detail, "AmazonOrderId"))
    place = f"{one.place}.trackingDetail"
    if not number:
        one.r.missing("The tracking number", f"{place}.identifier", detail)
        return
    references = (Reference("tracking_number", number), *one.r.order(order))
    history = list(records(get(detail, "MilestoneHistory"), f"{place}.milestoneHistory"))
    latest = get(detail, "LatestMilestone")
    if not history and isinstance(latest, dict):
        history = [(f"{place}.latestMilestone", latest)]
    if not history:
        one.r.missing("The milestones", f"{place}.milestoneHistory", detail)
    for at, milestone in history:
        status = record(get(milestone, "Status"))
        code, kind = text(get(status, "Code")), one.kind(MILESTONES, get(status, "Code"), "status.code", at)
        when = one.r.moment(get(milestone, "OccurredAt"), f"{at}.occurredAt")
        if not kind:
            continue
        if when is None:
            one.r.missing("The time occurredAt", f"{at}.occurredAt", milestone)
            continue
        address = record(get(record(get(milestone, "Location")), "Address"))
        places = filter(None, (text(get(address, name)) for name in ("City", "Region", "CountryCode")))
        data = {"status": code, "detail": text(get(status, "SubCode")), "place": ", ".join(places)}
        one.r.add(kind, when, references, f"milestone:{number}:{code}:{stamp(when)}", at, data=data)
    _estimates(one, detail, references, number, place)


def _estimates(
    one: Notification, detail: Mapping[str, Any], references: tuple[Reference, ...], number: str, place: str
) -> None:
    for at, estimate in records(get(detail, "TrackingEstimates"), f"{place}.trackingEstimates"):
        if code_of(get(estimate, "Type")) != "ESTIMATEDDELIVERYDATE":
            continue
        interval = record(get(estimate, "EstimatedInterval"))
        eta = one.r.moment(get(interval, "EndTime"), f"{at}.estimatedInterval.endTime")
        when = one.r.moment(get(estimate, "LastUpdatedTime"), f"{at}.lastUpdatedTime") or one.happened_at
        if eta is not None and when is not None:
            identity = f"eta:{number}:{stamp(when)}:{stamp(eta)}"
            one.r.add("transport.eta_changed", when, references, identity, at, dates={"eta": eta})


_READERS: dict[str, Callable[[Notification, str], None]] = {
    "ORDER_CHANGE": _order_change,
    "ORDER_STATUS_CHANGE": _order_status,
    "MFN_ORDER_STATUS_CHANGE": _order_status,
    "FULFILLMENT_ORDER_STATUS": _fulfillment_order,
    "FBA_OUTBOUND_SHIPMENT_STATUS": _fba_shipment,
    "SHIPMENT_TRACKING_MILESTONE_CHANGED": _milestones,
}
