"""FedEx: Advanced Integrated Visibility pushes and Track API answers. Source: FedEx Track API, "Track by number"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text
from apps.collectors.carriers.model import DELIVERED, Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.tables.fedex import TABLE
from apps.collectors.carriers.telling import Reader

#: kinds of date in ``dateAndTimes``; the first that is there counts
_ETA = ("ESTIMATED_DELIVERY", "APPOINTMENT_DELIVERY")
_PROMISED = ("COMMITMENT", "SHIP_COMMITMENT")


class FedEx(CarrierCollector):
    """``{"output": {"completeTrackResults": [{"trackResults": [..]}]}}``, pushed and polled alike.

    Scans carry an offset; a scan event type that is not known is read by its derived status code.
    """

    kind = "fedex"
    label = "FedEx"
    scheme = "fedex"
    table: ClassVar[Table] = TABLE
    references: ClassVar[Mapping[str, str]] = {
        "customer_reference": "sales_order",
        "purchase_order": "purchase_order",
        "purchase_order_number": "purchase_order",
        "invoice": "invoice",
        "invoice_number": "invoice",
        "bill_of_lading": "bill_of_lading",
        "rma": "return_order",
        "return_materials_authorization": "return_order",
    }

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        holder, where = message, place
        for name in ("output", "payload"):
            if isinstance(holder.get(name), dict):
                holder, where = holder[name], f"{where}.{name}"
        groups = list(rows(holder.get("completeTrackResults"), f"{where}.completeTrackResults"))
        if not groups and "trackResults" in holder:
            groups = [(holder, where)]
        if not groups:
            reader.issue(
                "not_tracking", "The message holds no completeTrackResults; it was kept.", where, "", "warning"
            )
        for group, at in groups:
            for one, spot in rows(group.get("trackResults"), f"{at}.trackResults"):
                yield from _parcel(one, text(group, "trackingNumber"), spot, reader)


def _parcel(one: dict[str, Any], asked: str, place: str, reader: Reader) -> Iterator[Parcel]:
    error = member(one, "error")
    scans: list[Scan] = []
    for scan, where in rows(one.get("scanEvents"), f"{place}.scanEvents"):
        scans += _scan(scan, where, reader)
    if not scans and error:
        sentence = (
            f"FedEx answers {text(error, 'code')[:80]} for {asked[:40]}: {text(error, 'message')[:120].rstrip('.')}."
        )
        reader.issue("carrier_error", sentence, f"{place}.error", text(error, "code"), "warning")
        return
    info = member(one, "trackingNumberInfo")
    service = text(member(one, "serviceDetail"), "type")
    signed = text(member(one, "deliveryDetails"), "signedByName", "receivedByName")
    ends = [scan for scan in scans if _is_delivery(scan)]
    yield Parcel(
        number=text(info, "trackingNumber") or asked,
        position=place,
        carrier=text(info, "carrierCode"),
        references=tuple(_references(one)),
        scans=tuple(scans),
        dates=_dates(one, place, reader),
        proof=Scan(ends[0].at, (), f"{place}.deliveryDetails", data={"signed": True}) if signed and ends else None,
        data={"service": service} if service else {},
    )


def _is_delivery(scan: Scan) -> bool:
    found = TABLE.get(scan.codes[0].lower()) if scan.codes else None
    return found is not None and found.event == DELIVERED


def _scan(scan: dict[str, Any], where: str, reader: Reader) -> list[Scan]:
    data = {}
    for name, field in (("exception_code", "exceptionCode"), ("reason", "exceptionDescription")):
        if told := text(scan, field):
            data[name] = told[:200]
    delay = member(scan, "delayDetail")
    if text(delay, "status"):
        data["delay"] = " ".join(filter(None, (text(delay, "status"), text(delay, "type"), text(delay, "subType"))))
    return reader.scan(
        scan.get("date"),
        (text(scan, "eventType"), text(scan, "derivedStatusCode")),
        where,
        text=text(scan, "eventDescription", "derivedStatus"),
        place=_place(member(scan, "scanLocation")),
        data=data,
    )


def _references(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for found, _ in rows(member(one, "additionalTrackingInfo").get("packageIdentifiers"), ""):
        kind = text(found, "type").lower()
        values = found.get("values")
        for value in values if isinstance(values, list) else [found.get("value")]:
            if written := text({"value": value}, "value"):
                yield kind, written


def _dates(one: dict[str, Any], place: str, reader: Reader) -> dict[str, Moment]:
    there = _place(
        member(one, "recipientInformation", "address")
        or member(one, "destinationLocation", "locationContactAndAddress", "address")
    )
    told = {text(row, "type").upper(): row.get("dateTime") for row, _ in rows(one.get("dateAndTimes"), "")}
    where = f"{place}.dateAndTimes"
    window = member(one, "estimatedDeliveryTimeWindow", "window")
    eta = next((told[name] for name in _ETA if told.get(name)), None) or (window.get("ends") if told else None)
    promised = next((told[name] for name in _PROMISED if told.get(name)), None)
    dates = {"eta": reader.day(eta, where, there), "promised_delivery": reader.day(promised, where, there)}
    return {name: one for name, one in dates.items() if one}


def _place(address: dict[str, Any]) -> Place:
    names = ("city", "stateOrProvinceCode", "postalCode", "countryCode")
    return Place(*(text(address, name) for name in names))
