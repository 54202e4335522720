"""What a carrier's message says, in the words of no carrier in particular: parcels and their scans. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

LABEL, VOIDED, MANIFESTED = "label.created", "label.voided", "shipment.manifested"
PICKED_UP, DEPARTED, IN_TRANSIT, ARRIVED = (
    "transport.picked_up",
    "transport.departed",
    "transport.in_transit",
    "transport.arrived",
)
OUT, ETA, EXCEPTION = "transport.out_for_delivery", "transport.eta_changed", "transport.exception"
ATTEMPTED, DELIVERED, PROOF = "delivery.attempted", "delivery.completed", "delivery.proof_received"
CAME_BACK = "shipment.returned"
#: a code that is known and tells nothing about where a parcel is
NOTHING = ""

#: what statuses may become: the one tracking vocabulary, all of them names of the catalogue
VOCABULARY = frozenset(
    {
        *(LABEL, VOIDED, MANIFESTED, PICKED_UP, DEPARTED, IN_TRANSIT, ARRIVED),
        *(OUT, ETA, EXCEPTION, ATTEMPTED, DELIVERED, PROOF, CAME_BACK),
    }
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a status code means. event: of `VOCABULARY`, or `NOTHING`; words: ours, for the exception it tells of.

    returning: the parcel is on its way back to its sender. Then it moves (EXCEPTION), or it arrived (CAME_BACK).
    """

    event: str
    words: str = ""
    returning: bool = False


#: status code, in lower case -> meaning. Codes that refine others are written "status/detail".
Table = Mapping[str, Meaning]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan was made, as far as told. text: as one line, from carriers that do not tell the parts."""

    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""
    text: str = ""

    def told(self) -> dict[str, str]:
        """The parts that were told. Streets and names of people are not kept."""
        parts = {
            "city": self.city,
            "state": self.state,
            "postal_code": self.postal_code,
            "country": self.country,
            "text": self.text,
        }
        return {name: value for name, value in parts.items() if value}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in UTC and the zone it was written in.

    assumed: the zone was not told; day_only: no time of day was told, `at` is the day's first moment.
    """

    at: datetime
    zone: str
    assumed: bool = False
    day_only: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan, or one status told. codes: its status code, the most telling one first, then what it refines.

    written: what the sender wrote as its time and anything else that makes the scan this one and no other.
    """

    at: Moment
    codes: tuple[str, ...]
    position: str
    text: str = ""
    place: Place = field(default_factory=Place)
    written: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    #: dates that belong to this scan for good
    dates: Mapping[str, Moment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One tracking number and all a message says about it.

    references: (field of the sender, value), to be understood by the integration's settings; dates: the latest word on
    the parcel as a whole (eta, promised_delivery), told at `told_at`; returning: it is a return to us, not a delivery.
    """

    number: str
    position: str
    carrier: str = ""
    references: tuple[tuple[str, str], ...] = ()
    scans: tuple[Scan, ...] = ()
    dates: Mapping[str, Moment] = field(default_factory=dict)
    told_at: Moment | None = None
    returning: bool = False
    proof: Scan | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
