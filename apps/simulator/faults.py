"""What goes wrong in the pretend network, declared: in its stories, in its feeds, and on the way of single messages.

A faults file is YAML::

    orders: {odoo_slow: 0.01, delivered_late: 0.04}      # share of orders with each fault
    purchases: {asn_missing: 0.05}
    silences:                                            # a feed is down; what it had to say comes afterwards
      - {integration: rhein-wms, from: "2026-03-03T10:00:00+01:00", to: "2026-03-03T16:00:00+01:00"}
      - {integration: rhein-wms, every_days: 6, on: 2, from: "10:00", to: "11:15"}
    wire:                                                # by integration, or * for all that are not named
      swift-tracking: {lost: 0.01, twice: 0.02, late: 0.01, late_hours: 6, out_of_order: 0.02}

Shares are chances between 0 and 1; what is left out does not happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

BERLIN = ZoneInfo("Europe/Berlin")
ORDER_FAULTS = (
    "odoo_slow",
    "order_stuck",
    "shop_batch",
    "shipped_late",
    "never_scanned",
    "delivered_late",
    "told_twice",
    "out_of_order",
    "unknown_code",
    "failed_hop",
)
PURCHASE_FAULTS = ("asn_missing", "asn_late", "ack_missing", "broken_envelope")

_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_WIRE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("lost", "twice", "late", "out_of_order"), _SHARE),
        "late_hours": {"type": "number", "exclusiveMinimum": 0, "maximum": 240},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "orders": {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(ORDER_FAULTS, _SHARE),
        },
        "purchases": {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(PURCHASE_FAULTS, _SHARE),
        },
        "silences": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["integration", "from", "to"],
                "properties": {
                    "integration": {"type": "string"},
                    "from": {"type": "string"},
                    "to": {"type": "string"},
                    "every_days": {"type": "integer", "minimum": 1, "maximum": 31},
                    "on": {"type": "integer", "minimum": 0, "maximum": 30},
                },
            },
        },
        "wire": {"type": "object", "additionalProperties": _WIRE},
    },
}
_VALIDATOR = Draft202012Validator(SCHEMA)


class FaultsError(ValueError):
    """A faults file that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A feed that is down from one moment to another."""

    integration: str
    start: datetime
    end: datetime

    def ends(self, when: datetime) -> datetime | None:
        return self.end if self.start <= when < self.end else None


@dataclass(frozen=True, slots=True)
class DailySilence:
    """A feed that is down at a time of day, on every n-th day of the month (day % every == on); Berlin time."""

    integration: str
    every: int
    on: int
    start: time
    end: time

    def ends(self, when: datetime) -> datetime | None:
        local = when.astimezone(BERLIN)
        if local.day % self.every != self.on or not self.start <= local.time() < self.end:
            return None
        return local.replace(hour=self.end.hour, minute=self.end.minute, second=self.end.second, microsecond=0)


@dataclass(frozen=True, slots=True)
class Wire:
    """Chances of one message on its way. late_hours: about how much later a late one comes."""

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    out_of_order: float = 0.0
    late_hours: float = 6.0


SOUND = Wire()


@dataclass(frozen=True, slots=True)
class Faults:
    orders: Mapping[str, float] = field(default_factory=dict)
    purchases: Mapping[str, float] = field(default_factory=dict)
    silences: tuple[Silence | DailySilence, ...] = ()
    wire: Mapping[str, Wire] = field(default_factory=dict)

    def silent_until(self, integration: str, when: datetime) -> datetime | None:
        """When a feed that is down at this moment speaks again; None while it is not down."""
        ends = [one.ends(when) for one in self.silences if one.integration == integration]
        return max((end for end in ends if end is not None), default=None)

    def on_the_way(self, integration: str) -> Wire:
        return self.wire.get(integration) or self.wire.get("*") or SOUND


#: what `make run` shows: a little of everything, and the 3PL Rhein down for an hour now and then
DEMO = Faults(
    orders={
        "odoo_slow": 0.010,
        "shipped_late": 0.030,
        "never_scanned": 0.006,
        "delivered_late": 0.040,
        "told_twice": 0.020,
        "out_of_order": 0.020,
        "unknown_code": 0.003,
        "failed_hop": 0.010,
    },
    purchases={"asn_missing": 0.05, "asn_late": 0.06, "ack_missing": 0.03, "broken_envelope": 0.02},
    silences=(DailySilence("rhein-wms", 6, 2, time(10, 0), time(11, 15)),),
)


def read(text: str) -> Faults:
    """A faults file. Raises `FaultsError`."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FaultsError(f"The faults file is no YAML: {error}") from None
    document = {} if document is None else document
    problem = best_match(_VALIDATOR.iter_errors(document))
    if problem is not None:
        place = ".".join(str(part) for part in problem.absolute_path) or "the file"
        raise FaultsError(f"{place}: {problem.message}")
    for part in ("orders", "purchases"):
        if sum(document.get(part, {}).values()) > 1:
            raise FaultsError(f"{part}: the shares add up to more than 1; a story has one fault at most.")
    return Faults(
        orders=document.get("orders", {}),
        purchases=document.get("purchases", {}),
        silences=tuple(_silence(one, number) for number, one in enumerate(document.get("silences", []))),
        wire={name: Wire(**chances) for name, chances in document.get("wire", {}).items()},
    )


def _silence(spec: Mapping[str, Any], number: int) -> Silence | DailySilence:
    place = f"silences.{number}"
    try:
        if "every_days" in spec:
            start, end = time.fromisoformat(spec["from"]), time.fromisoformat(spec["to"])
            silence: Silence | DailySilence = DailySilence(
                spec["integration"], spec["every_days"], spec.get("on", 0), start, end
            )
            length = datetime.combine(datetime.min, end) - datetime.combine(datetime.min, start)
        else:
            first, last = datetime.fromisoformat(spec["from"]), datetime.fromisoformat(spec["to"])
            if first.tzinfo is None or last.tzinfo is None:
                raise FaultsError(f"{place}: say the offset from UTC, such as +01:00.")
            silence, length = Silence(spec["integration"], first, last), last - first
    except ValueError as error:
        raise FaultsError(f"{place}: {error}") from None
    if length <= timedelta(0):
        raise FaultsError(f"{place}: it ends before it begins.")
    return silence
