"""EasyPost: tracker events (webhook) and trackers (API answers). Source: EasyPost API reference, "Tracker", "Event"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text, yes
from apps.collectors.carriers.model import Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.tables.easypost import TABLE
from apps.collectors.carriers.telling import Reader


class EasyPost(CarrierCollector):
    """``{"object": "Event", "description": "tracker.updated", "result": {tracker}}``, a tracker, or a list of them."""

    kind = "easypost"
    label = "EasyPost"
    scheme = "easypost"
    table: ClassVar[Table] = TABLE

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        tracker, told_at = message, text(message, "updated_at")
        if text(message, "object") == "Event" or "result" in message:
            tracker, place = member(message, "result"), f"{place}.result"
            told_at = text(tracker, "updated_at") or told_at
        if "trackers" in message:
            for one, where in rows(message["trackers"], f"{place}.trackers"):
                yield _parcel(one, where, text(one, "updated_at"), reader)
        elif text(tracker, "object") not in ("Tracker", "") or "tracking_code" not in tracker:
            what = text(message, "description") or text(tracker, "object") or "unknown"
            reader.issue("not_tracking", f"This is no tracker but “{what[:60]}”; it was kept.", place, what, "warning")
        else:
            yield _parcel(tracker, place, told_at, reader)


def _parcel(tracker: dict[str, Any], place: str, told_at: str, reader: Reader) -> Parcel:
    scans: list[Scan] = []
    for one, where in rows(tracker.get("tracking_details"), f"{place}.tracking_details"):
        data = {"carrier_code": code} if (code := text(one, "carrier_code")) else {}
        scans += reader.scan(
            one.get("datetime"),
            _codes(one),
            where,
            text=text(one, "message", "description"),
            place=_place(member(one, "tracking_location")),
            data=data,
        )
    if not scans and not tracker.get("tracking_details"):
        scans = reader.scan(told_at, _codes(tracker), place)
    detail = member(tracker, "carrier_detail")
    destination = _place(member(detail, "destination_tracking_location"))
    service = text(detail, "service")
    return Parcel(
        number=text(tracker, "tracking_code"),
        position=place,
        carrier=text(tracker, "carrier"),
        references=(("shipment_id", text(tracker, "shipment_id")), ("reference", text(tracker, "reference"))),
        scans=tuple(scans),
        dates=_dates(tracker, detail, f"{place}.est_delivery_date", destination, reader),
        told_at=reader.moment(told_at, f"{place}.updated_at"),
        returning=yes(tracker.get("is_return")),
        data={**({"service": service} if service else {}), **_mode(tracker)},
    )


def _codes(one: dict[str, Any]) -> tuple[str, ...]:
    status, detail = text(one, "status"), text(one, "status_detail")
    return (f"{status}/{detail}", status) if status and detail else (status,)


def _mode(tracker: dict[str, Any]) -> dict[str, Any]:
    return {"test": True} if text(tracker, "mode") == "test" else {}


def _dates(
    tracker: dict[str, Any], detail: dict[str, Any], where: str, place: Place, reader: Reader
) -> dict[str, Moment]:
    """The carrier's own local day and time where it is told; the other field is that day in UTC."""
    day, hour = text(detail, "est_delivery_date_local"), text(detail, "est_delivery_time_local")
    local = f"{day[:10]}T{hour}" if day and hour else day
    eta = reader.day(local or tracker.get("est_delivery_date"), where, place)
    promised = reader.day(detail.get("guaranteed_delivery_date"), where, place)
    return {name: one for name, one in (("eta", eta), ("promised_delivery", promised)) if one}


def _place(location: dict[str, Any]) -> Place:
    return Place(text(location, "city"), text(location, "state"), text(location, "zip"), text(location, "country"))
