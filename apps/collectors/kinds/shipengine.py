"""ShipEngine and ShipStation: track events (webhook) and tracking answers. Source: ShipEngine API, "Tracking"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from django import forms

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text
from apps.collectors.carriers.latest import latest_first
from apps.collectors.carriers.model import Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.settings import CarrierForm
from apps.collectors.carriers.tables.shipengine import TABLE
from apps.collectors.carriers.tables.through import THROUGH, passed_on
from apps.collectors.carriers.telling import Reader
from apps.collectors.jwks import keys_of


class ShipEngineForm(CarrierForm):
    jwks = forms.CharField(
        required=False,
        widget=forms.Textarea,
        label="Public keys (JWKS)",
        help_text="The JSON of the vendor's JWKS address. It can be given as a secret of the integration as well; "
        "all keys of both are tried, so old and new ones can overlap.",
    )

    def clean_jwks(self) -> str:
        value = self.cleaned_data.get("jwks") or ""
        if value and not keys_of(value):
            raise forms.ValidationError("This holds no RSA key of at least 2048 bits with a kid.")
        return str(value)


class ShipEngine(CarrierCollector):
    """``{"resource_type": "API_TRACK", "resource_url": .., "data": {tracking}}``, or the tracking alone.

    An event's own status code counts; one without takes that of the tracking if it is the latest, else the carrier's.
    """

    kind = "shipengine"
    label = "ShipEngine / ShipStation"
    scheme = "shipengine"
    ConfigForm = ShipEngineForm
    table: ClassVar[Table] = {**TABLE, **THROUGH}

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        tracking, where = (member(message, "data"), f"{place}.data") if "data" in message else (message, place)
        if "tracking_number" not in tracking:
            what = text(message, "resource_type") or "unknown"
            sentence = f"The message “{what[:60]}” only points to news and tells none of a parcel; it was kept."
            fragment = json.dumps(message)[:200]
            reader.issue("not_tracking", sentence, place, fragment, "warning")
            return
        carrier = text(tracking, "carrier_code") or _from_address(text(message, "resource_url"))
        scans = latest_first(list(_scans(tracking, carrier, where, reader)), _codes(tracking))
        at = None
        for name in ("actual_delivery_date", "ship_date", "shipped_date"):
            at = at or tracking.get(name)
        if not scans and not tracking.get("events") and at:
            scans = reader.scan(at, _codes(tracking), where, text=text(tracking, "status_description"))
        elif not scans and any(_codes(tracking)):
            reader.silent(_codes(tracking))
        eta = reader.day(tracking.get("estimated_delivery_date"), f"{where}.estimated_delivery_date")
        yield Parcel(
            number=text(tracking, "tracking_number"),
            position=where,
            carrier=carrier,
            references=(("label_id", text(tracking, "label_id")),),
            scans=tuple(scans),
            dates={"eta": eta} if eta else {},
        )


def _codes(one: dict[str, Any]) -> tuple[str, ...]:
    return tuple(filter(None, (text(one, "status_detail_code"), text(one, "status_code"))))


def _from_address(address: str) -> str:
    """The carrier in the address of the tracking: ``?carrier_code=ups``, or ``/tracking/ups/1Z..`` as it was before."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    after = parts.path.partition("/tracking/")[2]
    return parse_qs(parts.query).get("carrier_code", [""])[0] or (after.partition("/")[0] if "/" in after else "")


def _scans(tracking: dict[str, Any], carrier: str, place: str, reader: Reader) -> Iterator[Scan]:
    for one, where in rows(tracking.get("events"), f"{place}.events"):
        spot = Place(
            text(one, "city_locality"), text(one, "state_province"), text(one, "postal_code"), text(one, "country_code")
        )
        code = text(one, "event_code")
        # occurred_at is exact (Z); the carrier's own clock is local
        when: Any = one.get("occurred_at") or one.get("carrier_occurred_at") or one.get("event_date")
        at: Moment | None = reader.moment(when, where, spot)
        codes = _codes(one) or (passed_on(carrier, code),)
        yield from reader.scan(
            at if at else None if when else "",
            codes,
            where,
            text=text(one, "description", "event_description", "carrier_status_description"),
            place=spot,
            data={"carrier_code": code} if code else {},
        )
