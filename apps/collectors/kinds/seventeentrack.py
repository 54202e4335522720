"""17TRACK API v2: TRACKING_UPDATED pushes and gettrackinfo answers. Source: 17TRACK Tracking API, "Webhook"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text
from apps.collectors.carriers.model import Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.tables.seventeentrack import TABLE
from apps.collectors.carriers.telling import Reader


class SeventeenTrack(CarrierCollector):
    """``{"event": "TRACKING_UPDATED", "data": {"number": .., "track_info": {..}}}``, or ``{"data": {"accepted": [..]}}``.

    An event's `time_utc` is exact; a provider that tells no offset leaves it out.
    """

    kind = "seventeentrack"
    label = "17TRACK"
    scheme = "17track"
    table: ClassVar[Table] = TABLE
    references: ClassVar[Mapping[str, str]] = {"order_no": "sales_order"}

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        event = text(message, "event")
        data = message.get("data", message)
        where = f"{place}.data" if "data" in message else place
        if isinstance(data, dict) and "accepted" in data:
            data, where = data["accepted"], f"{where}.accepted"
        if event not in ("TRACKING_UPDATED", ""):
            sentence = f"This tells “{event[:60]}”, no news of a parcel; it was kept."
            reader.issue("not_tracking", sentence, f"{place}.event", event, "warning")
            return
        for one, spot in rows(data, where):
            yield _parcel(one, spot, reader)


def _parcel(one: dict[str, Any], place: str, reader: Reader) -> Parcel:
    info = member(one, "track_info")
    scans: list[Scan] = []
    carrier = ""
    for provider, where in rows(member(info, "tracking").get("providers"), f"{place}.track_info.tracking.providers"):
        name = text(member(provider, "provider"), "alias", "name")
        carrier = carrier or name
        for event, spot in rows(provider.get("events"), f"{where}.events"):
            scans += _scan(event, spot, name, reader)
    if not scans and not member(info, "tracking").get("providers"):
        status = member(info, "latest_status")
        latest = member(info, "latest_event")
        when = latest.get("time_utc") or latest.get("time_iso")
        codes = (text(status, "sub_status"), text(status, "status"))
        if when:
            scans = reader.scan(when, codes, f"{place}.track_info.latest_status", text=text(latest, "description"))
        elif any(codes):
            reader.silent(codes)
    return Parcel(
        number=text(one, "number"),
        position=place,
        carrier=carrier or text(one, "carrier"),
        references=tuple((name, text(one, name)) for name in ("order_no", "tag", "param")),
        scans=tuple(scans),
        dates=_dates(info, f"{place}.track_info", reader),
        told_at=None,
    )


def _scan(event: dict[str, Any], where: str, provider: str, reader: Reader) -> list[Scan]:
    place = _place(event)
    when = event.get("time_utc") or event.get("time_iso") or event.get("time_raw")
    if isinstance(when, dict):
        when = f"{text(when, 'date')}T{text(when, 'time')}" if text(when, "time") else text(when, "date")
    return reader.scan(
        when,
        (text(event, "sub_status"), text(event, "stage")),
        where,
        text=text(event, "description"),
        place=place,
        data={"provider": provider} if provider else {},
    )


def _place(event: dict[str, Any]) -> Place:
    address = member(event, "address")
    line = "" if text(address, "city") else text(event, "location")
    city, state = text(address, "city"), text(address, "state")
    return Place(city, state, text(address, "postal_code"), text(address, "country"), line)


def _dates(info: dict[str, Any], place: str, reader: Reader) -> dict[str, Moment]:
    window = member(info, "time_metrics", "estimated_delivery_date")
    address = member(info, "shipping_info", "recipient_address")
    there = Place(state=text(address, "state"), country=text(address, "country"))
    where = f"{place}.time_metrics.estimated_delivery_date"
    eta = reader.day(text(window, "to", "from"), where, there)
    return {"eta": eta} if eta else {}
