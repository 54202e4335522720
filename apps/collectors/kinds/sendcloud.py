"""Sendcloud: parcel_status_changed webhooks and parcels read from its API. Source: Sendcloud API v2/v3, "Webhooks"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text, yes
from apps.collectors.carriers.model import Moment, Parcel, Scan, Table
from apps.collectors.carriers.moments import EPOCH_MS
from apps.collectors.carriers.tables.sendcloud import TABLE
from apps.collectors.carriers.telling import Reader
from apps.collectors.times import TimeError, read_time, zone_of

_PARCEL_EVENTS = ("parcel_status_changed", "")
#: the Odoo connector of the OCA writes picking and number of the parcel: WH/OUT/00042,0
_PICKING = re.compile(r"(.+),\d{1,4}")
#: the API's own way to write days, beside ISO 8601
_DAY_FIRST = "%d-%m-%Y %H:%M:%S"


class Sendcloud(CarrierCollector):
    """``{"action": "parcel_status_changed", "timestamp": ms, "parcel": {..}}``; or ``{"parcel(s)": ..}``, v3 tracking.

    Each message tells one status, that of now; there is no history in it.
    """

    kind = "sendcloud"
    label = "Sendcloud"
    scheme = "sendcloud"
    table: ClassVar[Table] = TABLE
    references: ClassVar[Mapping[str, str]] = {
        "order_number": "sales_order",
        "external_order_id": "channel_order",
        "external_reference": "picking",
    }

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        action = text(message, "action")
        name = next((one for one in ("parcel", "parcels", "data") if one in message), "")
        if action not in _PARCEL_EVENTS or not (name or "tracking_number" in message or "tracking_numbers" in message):
            what = action or "unknown"
            sentence = f"This is no news of a parcel but “{what[:60]}”; it was kept."
            reader.issue("not_tracking", sentence, place, what, "warning")
            return
        told_at = None
        for field in ("carrier_status_change_timestamp", "timestamp"):
            told_at = told_at or reader.moment(message.get(field), f"{place}.{field}", form=EPOCH_MS)
        found = rows(message[name], f"{place}.{name}") if name else [(message, place)]
        for parcel, where in found:
            yield _parcel(parcel, where, told_at, reader)


def _parcel(parcel: dict[str, Any], place: str, told_at: Moment | None, reader: Reader) -> Parcel:
    carrier = parcel.get("carrier")
    number = text(parcel, "tracking_number")
    if not number:
        number = next((text(one, "tracking_number") for one, _ in rows(parcel.get("tracking_numbers"), "")), "")
    picking = text(parcel, "external_reference")
    if match := _PICKING.fullmatch(picking):
        picking = match[1]
    return Parcel(
        number=number,
        position=place,
        carrier=text(carrier, "code", "name") or text(parcel, "carrier", "carrier_code"),
        references=(
            ("order_number", text(parcel, "order_number")),
            ("external_order_id", text(parcel, "external_order_id")),
            ("external_reference", picking),
        ),
        scans=tuple(_scans(parcel, place, told_at, reader)),
        dates=_dates(parcel, place, reader) if parcel.get("events") else {},
        told_at=_updated(parcel, place, reader) if parcel.get("events") else told_at,
        returning=yes(parcel.get("is_return")) or yes(member(parcel, "details").get("is_return")),
    )


def _scans(parcel: dict[str, Any], place: str, told_at: Moment | None, reader: Reader) -> Iterator[Scan]:
    history = list(rows(parcel.get("events"), f"{place}.events"))
    for one, where in history:
        when = one.get("event_at") or one.get("carrier_update_timestamp") or one.get("timestamp")
        told = text(one, "status_description", "carrier_message", "message")
        yield from reader.scan(when, (text(one, "parent_status", "status", "status_code"),), where, text=told)
    status = member(parcel, "status")
    if not history and status:
        message = text(status, "message")
        at = told_at or _updated(parcel, place, reader)
        codes = (text(status, "code") or text(status, "id"), message)
        yield from reader.scan(at, codes, f"{place}.status", text=message, dates=_dates(parcel, place, reader))


def _dates(parcel: dict[str, Any], place: str, reader: Reader) -> dict[str, Moment]:
    eta = text(parcel, "expected_delivery_date") or text(member(parcel, "details"), "expected_delivery_date")
    date = reader.day(eta, f"{place}.expected_delivery_date")
    return {"eta": date} if date else {}


def _updated(parcel: dict[str, Any], place: str, reader: Reader) -> Moment | None:
    """When a parcel read from the API last changed: ISO 8601, or day first; without an offset in both."""
    written = text(parcel, "date_updated", "updated_at", "date_created")
    try:
        at = read_time(written, _DAY_FIRST, zone_of(reader.zone))
    except TimeError:
        return reader.moment(written, f"{place}.date_updated")
    return Moment(at, reader.zone, assumed=True)
