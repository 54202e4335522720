"""AfterShip: tracking webhooks and trackings read from its API. Source: AfterShip Tracking, "Webhook", "Tracking"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text, yes
from apps.collectors.carriers.model import Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.moments import EPOCH
from apps.collectors.carriers.tables.aftership import TABLE
from apps.collectors.carriers.telling import Reader

#: where an estimate stands: the carrier's own, the latest of all, AfterShip's
_ETA = (
    "courier_estimated_delivery_date",
    "latest_estimated_delivery",
    "expected_delivery",
    "aftership_estimated_delivery_date",
)


class AfterShip(CarrierCollector):
    """``{"event": "tracking_update", "msg": {tracking}}``; or ``{"data": {"tracking": ..}}``, ``{"trackings": [..]}``.

    Checkpoints carry the carrier's local time, often without an offset.
    """

    kind = "aftership"
    label = "AfterShip"
    scheme = "aftership"
    table: ClassVar[Table] = TABLE
    references: ClassVar[Mapping[str, str]] = {
        "order_number": "sales_order",
        "order_id": "channel_order",
        "rma_number": "return_order",
    }

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        told_at = reader.moment(message.get("ts"), f"{place}.ts", form=EPOCH)
        holder = message
        for name in ("msg", "data"):
            if isinstance(holder.get(name), dict):
                holder, place = holder[name], f"{place}.{name}"
        name = next((one for one in ("trackings", "tracking") if one in holder), "")
        found = list(rows(holder[name], f"{place}.{name}")) if name else [(holder, place)]
        if not name and "tracking_number" not in holder:
            what = text(message, "event") or "unknown"
            reader.issue("not_tracking", f"This is no tracking but “{what[:60]}”; it was kept.", place, what, "warning")
            return
        for tracking, where in found:
            yield _parcel(tracking, where, told_at, reader)


def _parcel(tracking: dict[str, Any], place: str, told_at: Moment | None, reader: Reader) -> Parcel:
    scans: list[Scan] = []
    for one, where in rows(tracking.get("checkpoints"), f"{place}.checkpoints"):
        scans += reader.scan(
            one.get("checkpoint_time"),
            (text(one, "subtag"), text(one, "tag")),
            where,
            text=text(one, "message"),
            place=_place(one),
            data={"carrier_code": raw} if (raw := text(one, "raw_tag", "raw_status")) else {},
        )
    told_at = told_at or reader.moment(tracking.get("updated_at"), f"{place}.updated_at")
    if not scans and not tracking.get("checkpoints"):
        scans = reader.scan(told_at, (text(tracking, "subtag"), text(tracking, "tag")), place)
    return Parcel(
        number=text(tracking, "tracking_number"),
        position=place,
        carrier=text(tracking, "slug"),
        references=tuple((name, text(tracking, name)) for name in ("order_number", "order_id", "rma_number", "title")),
        scans=tuple(scans),
        dates=_dates(tracking, place, reader),
        told_at=told_at,
        returning=yes(tracking.get("is_return")) or text(tracking, "shipment_type").lower() == "return",
    )


def _dates(tracking: dict[str, Any], place: str, reader: Reader) -> dict[str, Moment]:
    """The carrier's own estimate first, then AfterShip's. All are days at the destination."""
    name = "destination_country_region" if text(tracking, "destination_country_region") else "destination_country_iso3"
    there = Place(state=text(tracking, "destination_state"), country=text(tracking, name))
    eta = None
    for field in _ETA:
        value = tracking.get(field)
        if isinstance(value, dict):
            value = text(value, "estimated_delivery_date", "estimated_delivery_date_max", "datetime", "datetime_max")
        eta = eta or reader.day(value, f"{place}.{field}", there)
    promise = text(tracking, "promised_delivery_date", "order_promised_delivery_date")
    promised = reader.day(promise, f"{place}.order_promised_delivery_date", there)
    return {key: one for key, one in (("eta", eta), ("promised_delivery", promised)) if one}


def _place(one: dict[str, Any]) -> Place:
    parts = member({"at": one}, "at")
    country = text(parts, "country_region", "country_iso3")
    line = "" if text(parts, "city") else text(parts, "location", "country_region_name", "country_name")
    return Place(text(parts, "city"), text(parts, "state"), text(parts, "zip", "postal_code"), country, line)
