"""DHL: Unified Push and the unified tracking API. Source: DHL, "Shipment Tracking - Unified" (push and pull)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django import forms

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text, yes
from apps.collectors.carriers.model import Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.settings import CarrierForm
from apps.collectors.carriers.tables import CAME_BACK
from apps.collectors.carriers.tables.dhl import TABLE
from apps.collectors.carriers.telling import Reader

#: checkpoint codes of the divisions that send them; others write words there
_CHECKPOINT = re.compile(r"[A-Z]{2}")
_DELIVERED, _RETURNED = "delivered", "delivered/returned"


class DhlForm(CarrierForm):
    token_header = forms.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$",
        required=False,
        label="Header of the token",
        help_text="As chosen in the subscription (hook.authentication.header). Empty: a bearer token is expected.",
    )


class Dhl(CarrierCollector):
    """``{"shipments": [..]}``, also below ``trackingResponse``, or one shipment. Times are local, mostly without offset."""

    kind = "dhl"
    label = "DHL"
    scheme = "dhl"
    ConfigForm = DhlForm
    table: ClassVar[Table] = {**TABLE, _RETURNED: CAME_BACK}
    references: ClassVar[Mapping[str, str]] = {
        "customer-reference": "sales_order",
        "customerreference": "sales_order",
        "ecommerce-number": "sales_order",
        "order-number": "sales_order",
        "purchase-order": "purchase_order",
        "housebill": "bill_of_lading",
    }

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        holder = message
        for name in ("trackingResponse", "data", "shipment"):
            if isinstance(holder.get(name), dict):
                holder, place = holder[name], f"{place}.{name}"
        shipments = list(rows(holder.get("shipments"), f"{place}.shipments"))
        if not shipments and ("events" in holder or "status" in holder) and text(holder, "id", "trackingNumber"):
            shipments = [(holder, place)]
        if not shipments:
            title = text(holder, "title", "detail") or "no shipments"
            if scope := text(message, "scope"):
                title = f"a note on the subscription, {scope[:60]}; its secret, to activate it, is in the receipt"
            sentence = f"The message tells of no shipment ({title[:140]}); it was kept."
            reader.issue("not_tracking", sentence, place, title, "warning")
        for shipment, where in shipments:
            yield _parcel(shipment, where, reader)


def _parcel(shipment: dict[str, Any], place: str, reader: Reader) -> Parcel:
    back = yes(shipment.get("returnFlag"))
    events = list(rows(shipment.get("events"), f"{place}.events"))
    status = member(shipment, "status")
    # the status of now is one of the events, written with or without an offset
    if status and not any(_same(status, one) for one, _ in events):
        events.insert(0, (status, f"{place}.status"))
    scans: list[Scan] = []
    for one, where in events:
        scans += _scan(one, where, back, reader)
    details = member(shipment, "details")
    there = _place(member(shipment, "destination"))
    product = text(member(details, "product"), "productName")
    return Parcel(
        number=text(shipment, "id", "trackingNumber"),
        position=place,
        carrier=f"dhl-{service}" if (service := text(shipment, "service")) else "dhl",
        references=tuple(
            (text(one, "type").lower(), text(one, "number")) for one, _ in rows(details.get("references"), "")
        ),
        scans=tuple(scans),
        dates=_dates(shipment, place, there, reader),
        proof=_proof(details, place, there, scans, reader),
        data={"service": product} if product else {},
    )


def _same(status: dict[str, Any], event: dict[str, Any]) -> bool:
    return all(text(status, name)[:19] == text(event, name)[:19] for name in ("timestamp", "statusCode"))


def _scan(one: dict[str, Any], where: str, back: bool, reader: Reader) -> list[Scan]:
    status, code = text(one, "statusCode"), text(one, "status")
    codes: tuple[str, ...] = (f"{status}/{code}", status) if status and _CHECKPOINT.fullmatch(code) else (status,)
    if back and status.lower() == _DELIVERED:
        codes = (_RETURNED,)
    remark = text(one, "remark")
    return reader.scan(
        one.get("timestamp"),
        codes,
        where,
        text=text(one, "description", "status"),
        place=_place(member(one, "location")),
        data={"remark": remark[:300]} if remark else {},
    )


def _dates(shipment: dict[str, Any], place: str, there: Place, reader: Reader) -> dict[str, Moment]:
    frame = member(shipment, "estimatedDeliveryTimeFrame")
    value = shipment.get("estimatedTimeOfDelivery") or frame.get("estimatedThrough")
    eta = reader.day(value, f"{place}.estimatedTimeOfDelivery", there)
    return {"eta": eta} if eta else {}


def _proof(details: dict[str, Any], place: str, there: Place, scans: list[Scan], reader: Reader) -> Scan | None:
    """Proof of a delivery that is told. Who signed is not kept, only that somebody did."""
    proof = member(details, "proofOfDelivery")
    if not text(proof, "timestamp") or not any(scan.codes[-1:] == (_DELIVERED,) for scan in scans):
        return None
    where = f"{place}.details.proofOfDelivery"
    at = reader.moment(proof.get("timestamp"), where, there)
    signed = bool(member(proof, "signed") or text(proof, "signatureUrl"))
    return Scan(at, (), where, data={"signed": signed, "document": bool(text(proof, "documentUrl"))}) if at else None


def _place(holder: dict[str, Any]) -> Place:
    address = member(holder, "address")
    country = text(address, "countryCode")
    return Place(text(address, "addressLocality"), "", text(address, "postalCode"), country)
