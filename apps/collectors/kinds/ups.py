"""UPS: Track Alert pushes and Tracking API answers. Source: UPS API documentation, "UPS Track Alert" and "Tracking"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from django import forms

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text
from apps.collectors.carriers.model import Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.settings import CarrierForm
from apps.collectors.carriers.tables.ups import TABLE
from apps.collectors.carriers.telling import Reader
from apps.collectors.carriers.zones import zone_of_place

_OFFSET = re.compile(r"([+-])(\d{2})[.:]?(\d{2})")
#: kinds of delivery date of the Tracking API: rescheduled before scheduled
_ETA_DATES = ("RDD", "SDD")


class UpsForm(CarrierForm):
    token_header = forms.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$",
        required=False,
        label="Header of the credential",
        help_text="Empty: “credential”, where UPS sends what was given at the subscription. A bearer token is taken too.",
    )


class Ups(CarrierCollector):
    """One activity: ``{"trackingNumber": .., "activityStatus": {..}}``; or ``{"trackResponse": {"shipment": [..]}}``.

    Times come in GMT beside the local ones; a local time alone is of the place of the scan.
    """

    kind = "ups"
    label = "UPS"
    scheme = "ups"
    ConfigForm = UpsForm
    table: ClassVar[Table] = TABLE
    references: ClassVar[Mapping[str, str]] = {
        "po": "purchase_order",
        "purchase order number": "purchase_order",
        "invoice number": "invoice",
        "customer reference": "sales_order",
    }

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        if "trackResponse" in message:
            where = f"{place}.trackResponse.shipment"
            for shipment, spot in rows(member(message, "trackResponse").get("shipment"), where):
                yield from _polled(shipment, spot, reader)
        elif "activityStatus" in message or "trackingNumber" in message:
            yield _pushed(message, place, reader)
        else:
            reader.issue(
                "not_tracking", "The message tells no activity of a parcel; it was kept.", place, "", "warning"
            )


def _pushed(message: dict[str, Any], place: str, reader: Reader) -> Parcel:
    status = member(message, "activityStatus")
    spot = _place(member(message, "activityLocation"))
    kind, code = text(status, "type"), text(status, "code")
    at = _moment(
        message, "gmtActivityDate", "gmtActivityTime", "localActivityDate", "localActivityTime", spot, place, reader
    )
    end = text(message, "deliveryEndTime")
    day = text(message, "scheduledDeliveryDate")
    eta = reader.day(f"{day}T{end}" if day and end else day, f"{place}.scheduledDeliveryDate", spot)
    dates = {"eta": eta} if eta else {}
    description = text(status, "descriptionCode")
    scans = reader.scan(
        at,
        (f"{kind}/{code}", kind) if kind and code else (kind,),
        place,
        text=text(status, "description"),
        place=spot,
        data={"description_code": description} if description else {},
    )
    if kind.upper() != "D":
        # a push tells one scan, so what it says of the delivery date belongs to that scan
        scans = [replace(scan, dates=dates) for scan in scans]
    signed = bool(text(message, "receivedBy") or text(message, "deliveryPhoto"))
    return Parcel(
        number=text(message, "trackingNumber"),
        position=place,
        carrier="ups",
        scans=tuple(scans),
        proof=_proof(scans, signed, place),
    )


def _proof(scans: list[Scan], signed: bool, place: str) -> Scan | None:
    """Signature or photo of a delivery that is told. Neither name nor picture is kept."""
    ends = [scan for scan in scans if scan.codes and TABLE.get(scan.codes[-1].lower()) == TABLE["d"]]
    return Scan(ends[0].at, (), place, data={"signed": True}) if signed and ends else None


def _polled(shipment: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
    packages = list(rows(shipment.get("package"), f"{place}.package"))
    if not packages:
        for warning, where in rows(shipment.get("warnings"), f"{place}.warnings"):
            told = f"{text(warning, 'code')} {text(warning, 'message')}".strip()[:160]
            sentence = f"UPS answers for {text(shipment, 'inquiryNumber')[:40]}: {told.rstrip('.')}."
            reader.issue("carrier_error", sentence, where, told, "warning")
    for package, where in packages:
        scans: list[Scan] = []
        for activity, spot in rows(package.get("activity"), f"{where}.activity"):
            scans += _activity(activity, spot, reader)
        there = next(
            (
                _place(member(one, "address"))
                for one, _ in rows(package.get("packageAddress"), "")
                if text(one, "type") in ("02", "DESTINATION")
            ),
            Place(),
        )
        service = text(member(package, "service"), "description")
        information = member(package, "deliveryInformation")
        signed = bool(member(information, "signature") or member(information, "deliveryPhoto"))
        yield Parcel(
            number=text(package, "trackingNumber") or text(shipment, "inquiryNumber"),
            position=where,
            carrier="ups",
            references=tuple(
                (text(one, "type", "code").lower(), text(one, "number"))
                for one, _ in rows(package.get("referenceNumber"), "")
            ),
            scans=tuple(scans),
            dates=_dates(package, where, there, reader),
            proof=_proof(scans, signed, f"{where}.deliveryInformation"),
            data={"service": service} if service else {},
        )


def _activity(activity: dict[str, Any], where: str, reader: Reader) -> list[Scan]:
    status = member(activity, "status")
    spot = _place(member(activity, "location", "address"))
    kind, code = text(status, "type"), text(status, "code")
    at = _moment(activity, "gmtDate", "gmtTime", "date", "time", spot, where, reader)
    return reader.scan(
        at,
        (f"{kind}/{code}", kind) if kind and code else (kind,),
        where,
        text=text(status, "description", "simplifiedTextDescription"),
        place=spot,
        data={"carrier_code": number} if (number := text(status, "statusCode")) else {},
    )


def _dates(package: dict[str, Any], where: str, there: Place, reader: Reader) -> dict[str, Moment]:
    told = {text(one, "type").upper(): text(one, "date") for one, _ in rows(package.get("deliveryDate"), "")}
    day = next((told[name] for name in _ETA_DATES if told.get(name)), "")
    hours = member(package, "deliveryTime")
    end = text(hours, "endTime") if text(hours, "type").upper() not in ("DEL", "") else ""
    eta = reader.day(f"{day}T{end}" if day and end else day, f"{where}.deliveryDate", there)
    return {"eta": eta} if eta else {}


def _moment(
    one: dict[str, Any], gmt_date: str, gmt_time: str, date: str, time: str, spot: Place, where: str, reader: Reader
) -> Moment | None:
    """GMT where it is told; else the local time with its offset; else the local time of the place."""
    local = zone_of_place(spot)
    for day, hour, offset in (
        (text(one, gmt_date), text(one, gmt_time), "+00:00"),
        (text(one, date), text(one, time), _offset(text(one, "gmtOffset"))),
    ):
        if not day:
            continue
        written = f"{day}T{hour.replace(':', '')}{offset}" if hour else day
        found = reader.moment(written, where, spot)
        if found is not None and offset and local and not found.assumed:
            return replace(found, zone=local)
        return found
    return None


def _offset(text_: str) -> str:
    match = _OFFSET.fullmatch(text_)
    return f"{match[1]}{match[2]}:{match[3]}" if match else ""


def _place(address: dict[str, Any]) -> Place:
    country = text(address, "country", "countryCode")
    return Place(text(address, "city"), text(address, "stateProvince"), text(address, "postalCode"), country)
