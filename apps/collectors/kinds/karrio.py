"""Karrio: tracker and shipment events (webhook) and trackers read from its API. Source: Karrio API reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text, yes
from apps.collectors.carriers.latest import latest_first
from apps.collectors.carriers.model import LABEL, VOIDED, Meaning, Parcel, Place, Scan, Table
from apps.collectors.carriers.settings import CarrierForm
from apps.collectors.carriers.tables.karrio import TABLE
from apps.collectors.carriers.tables.through import THROUGH, passed_on
from apps.collectors.carriers.telling import Reader

#: event of Karrio -> the status we give it; a shipment has no tracking status
_SHIPMENTS = {
    "shipment_purchased": "shipment/purchased",
    "shipment.purchased": "shipment/purchased",
    "shipment_cancelled": "shipment/cancelled",
    "shipment.cancelled": "shipment/cancelled",
}
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p")


class KarrioForm(CarrierForm):
    token_header = forms.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$",
        required=False,
        label="Header of the secret",
        help_text="Empty: X-Event-Id, where Karrio sends the secret of the webhook.",
    )


class Karrio(CarrierCollector):
    """``{"event": "tracker_updated", "data": {tracker}}``, a tracker, or ``{"results": [trackers]}``.

    An event without a normalised status takes the tracker's if it is the latest, else the carrier's own code.
    """

    kind = "karrio"
    label = "Karrio"
    scheme = "karrio"
    ConfigForm = KarrioForm
    table: ClassVar[Table] = {
        **TABLE,
        **THROUGH,
        "shipment/purchased": Meaning(LABEL),
        "shipment/cancelled": Meaning(VOIDED),
    }
    references: ClassVar[Mapping[str, str]] = {
        "reference": "sales_order",
        "order_id": "channel_order",
        "order_number": "sales_order",
    }

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        event = text(message, "event", "type")
        data, where = (member(message, "data"), f"{place}.data") if "data" in message else (message, place)
        if event in _SHIPMENTS:
            yield _shipment(data, where, _SHIPMENTS[event], reader)
        elif "results" in data:
            for one, spot in rows(data["results"], f"{where}.results"):
                yield _tracker(one, spot, reader)
        elif "tracking_number" in data and ("tracker" in event or not event):
            yield _tracker(data, where, reader)
        else:
            what = event or "unknown"
            sentence = f"This is no news of a parcel but “{what[:60]}”; it was kept."
            reader.issue("not_tracking", sentence, place, what, "warning")


def _tracker(tracker: dict[str, Any], place: str, reader: Reader) -> Parcel:
    carrier = text(tracker, "carrier_name", "carrier_id")
    status = text(tracker, "status")
    info = member(tracker, "info")
    scans: list[Scan] = []
    for one, where in rows(tracker.get("events"), f"{place}.events"):
        code = text(one, "code")
        scans += reader.scan(
            _when(one),
            (text(one, "status") or passed_on(carrier, code),),
            where,
            text=text(one, "description"),
            place=Place(text=text(one, "location")),
            data={"carrier_code": code} if code else {},
        )
    if not scans and not tracker.get("events") and status:
        reader.silent((status,))
    there = Place(country=text(info, "shipment_destination_country"))
    eta = reader.day(tracker.get("estimated_delivery"), f"{place}.estimated_delivery", there)
    return Parcel(
        number=text(tracker, "tracking_number"),
        position=place,
        carrier=carrier,
        references=tuple(_references(tracker, info)),
        scans=tuple(latest_first(scans, (status,))),
        dates={"eta": eta} if eta else {},
        data={"test": True} if yes(tracker.get("test_mode")) else {},
    )


def _references(holder: dict[str, Any], info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "reference", text(member(holder, "meta"), "reference") or text(holder, "reference")
    yield "order_id", text(info, "order_id") or text(holder, "order_id") or text(member(holder, "metadata"), "order_id")
    yield "order_number", text(member(holder, "metadata"), "order_number")


def _when(one: dict[str, Any]) -> str:
    """The time stamp where there is one; else date and time of day as the carrier's connector writes them."""
    if stamp := text(one, "timestamp"):
        return stamp
    day, hour = text(one, "date"), text(one, "time")
    for form in _CLOCKS if hour else ():
        try:
            return f"{day}T{datetime.strptime(hour, form).time().isoformat()}"
        except ValueError:
            continue
    return f"{day}T{hour}" if hour else day


def _shipment(shipment: dict[str, Any], place: str, code: str, reader: Reader) -> Parcel:
    when = text(shipment, "updated_at", "created_at") if code.endswith("cancelled") else text(shipment, "created_at")
    service = text(shipment, "service")
    return Parcel(
        number=text(shipment, "tracking_number"),
        position=place,
        carrier=text(shipment, "carrier_name"),
        references=tuple(_references(shipment, {})),
        scans=tuple(reader.scan(when, (code,), place)),
        returning=yes(shipment.get("is_return")),
        data={
            **({"service": service} if service else {}),
            **({"test": True} if yes(shipment.get("test_mode")) else {}),
        },
    )
