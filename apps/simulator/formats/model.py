"""What a format is to the pretend network: how a message of it is written, told and signed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from apps.simulator.faults import BERLIN
from apps.simulator.world import Message

#: where Swift Parcel is at each step: town, region, postcode
PLACES = {
    "picked_up": ("Bremen", "HB", "28195"),
    "in_transit": ("Hannover", "NI", "30159"),
    "unknown": ("Hannover", "NI", "30159"),
    "out_for_delivery": ("Berlin", "BE", "10115"),
    "delivered": ("Berlin", "BE", "10115"),
}


def _none(message: Message) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Format:
    """write: the message in the sender's own form, JSON values or the bytes themselves. scheme: see `signing`.

    bundles: several messages of it may share a request, as a list. path: below the door. headers: besides the signature.
    """

    write: Callable[[Message], Any]
    scheme: str
    media: str = "application/json"
    bundles: bool = True
    path: str = ""
    headers: Callable[[Message], Mapping[str, str]] = field(default=_none)


def local(when: datetime) -> str:
    """With the offset of Berlin, to the second."""
    return when.astimezone(BERLIN).isoformat(timespec="seconds")


def utc(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def parcel(message: Message) -> str:
    return str(message.facts["parcel"])
