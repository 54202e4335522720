"""Shippo: track_updated webhooks and tracks read from its API; transactions as labels. Source: Shippo API, "Tracks"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from apps.collectors.carriers.collector import CarrierCollector
from apps.collectors.carriers.fields import member, rows, text, yes
from apps.collectors.carriers.model import LABEL, Meaning, Moment, Parcel, Place, Scan, Table
from apps.collectors.carriers.tables.shippo import TABLE
from apps.collectors.carriers.telling import Reader

_BOUGHT = "transaction/success"


class Shippo(CarrierCollector):
    """``{"event": "track_updated", "test": false, "data": {track}}``, or a track; transaction_created is a label made."""

    kind = "shippo"
    label = "Shippo"
    scheme = "shippo"
    table: ClassVar[Table] = {**TABLE, _BOUGHT: Meaning(LABEL)}

    def parcels(self, message: dict[str, Any], place: str, reader: Reader) -> Iterator[Parcel]:
        event = text(message, "event")
        track, where = (member(message, "data"), f"{place}.data") if "data" in message else (message, place)
        test = {"test": True} if yes(message.get("test")) or yes(track.get("test")) else {}
        if event.startswith("transaction_"):
            yield from _label(track, where, test, reader)
        elif event not in ("track_updated", "") or not ("tracking_status" in track or "tracking_history" in track):
            what = event or "unknown"
            sentence = f"This is no news of a parcel but “{what[:60]}”; it was kept."
            reader.issue("not_tracking", sentence, place, what, "warning")
        else:
            yield _parcel(track, where, test, reader)


def _parcel(track: dict[str, Any], place: str, test: dict[str, Any], reader: Reader) -> Parcel:
    scans: list[Scan] = []
    for one, where in rows(track.get("tracking_history"), f"{place}.tracking_history"):
        scans += _scan(one, where, reader)
    status = member(track, "tracking_status")
    # the status of now is the last of the history, where there is one: told twice, it is the same scan
    if status:
        scans += _scan(status, f"{place}.tracking_status", reader)
    address = member(track, "address_to")
    there = Place(state=text(address, "state"), country=text(address, "country"))
    service = text(member(track, "servicelevel"), "token")
    eta = reader.day(track.get("eta"), f"{place}.eta", there)
    updated = reader.moment(text(status, "object_updated", "object_created"), f"{place}.tracking_status.object_updated")
    return Parcel(
        number=text(track, "tracking_number"),
        position=place,
        carrier=text(track, "carrier"),
        references=(("metadata", text(track, "metadata")),),
        scans=tuple(scans),
        dates={"eta": eta} if eta else {},
        told_at=updated,
        data={**({"service": service} if service else {}), **test},
    )


def _scan(one: dict[str, Any], where: str, reader: Reader) -> list[Scan]:
    status, detail = text(one, "status"), text(member(one, "substatus"), "code") or text(one, "substatus")
    location = member(one, "location")
    return reader.scan(
        one.get("status_date"),
        (f"{status}/{detail}", status) if status and detail else (status,),
        where,
        text=text(one, "status_details"),
        place=Place(text(location, "city"), text(location, "state"), text(location, "zip"), text(location, "country")),
    )


def _label(transaction: dict[str, Any], place: str, test: dict[str, Any], reader: Reader) -> Iterator[Parcel]:
    """A label that was bought. Others (queued, failed) tell of no parcel."""
    state = text(transaction, "status", "object_status").lower()
    if state != "success":
        sentence = f"The transaction is “{state[:40]}”: no label was made."
        reader.issue("no_label", sentence, f"{place}.status", state, "warning")
        return
    at: Moment | None = reader.moment(transaction.get("object_created"), f"{place}.object_created")
    yield Parcel(
        number=text(transaction, "tracking_number"),
        position=place,
        references=(("metadata", text(transaction, "metadata")),),
        scans=tuple(reader.scan(at, (_BOUGHT,), place)),
        data=test,
    )
