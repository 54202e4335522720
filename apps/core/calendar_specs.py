"""What a working calendar's spec says: its schema, and how it is read. Pure. `core.calendars` does the reckoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_HOURS = {
    "type": "array",
    "items": {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": {"type": "string", "pattern": r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"},
    },
}
_DATE = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}

#: JSON Schema (2020-12) of a calendar's spec
CALENDAR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["zone", "weekly"],
    "properties": {
        "zone": {"type": "string", "description": "IANA time zone"},
        "weekly": {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(WEEKDAYS, _HOURS),
        },
        "country": {"type": "string", "pattern": "^[A-Z]{2}$", "description": "ISO 3166-1: its public holidays"},
        "subdivision": {"type": "string", "description": "ISO 3166-2 code within the country"},
        "exceptions": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "date": _DATE,
                    "from": _DATE,
                    "until": _DATE,
                    "closed": {"const": True},
                    "open": {"const": True, "description": "the usual hours of the weekday, holiday or not"},
                    "hours": _HOURS,
                    "name": {"type": "string"},
                },
                "oneOf": [{"required": ["date"]}, {"required": ["from", "until"]}],
                "anyOf": [{"required": ["closed"]}, {"required": ["open"]}, {"required": ["hours"]}],
            },
        },
        "periods": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["kind", "from", "until"],
                "properties": {
                    "kind": {"enum": ["peak", "freeze"]},
                    "from": _DATE,
                    "until": _DATE,
                    "name": {"type": "string", "maxLength": 200},
                    "weekly": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": dict.fromkeys(WEEKDAYS, _HOURS),
                        "description": "the hours of a peak, instead of the usual ones",
                    },
                },
            },
        },
        "lanes": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[^>]+>[^>]+$"},
            "description": "lanes that work by this calendar: FR>DE, FR>* or *>DE",
        },
    },
}


class CalendarError(ValueError):
    """A calendar that cannot be read, or one that cannot answer (it has no working hours, or the year is absurd)."""


#: minutes after the start of the day a shift begins, and after the start of the same day it ends (up to 48 h)
Shift = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CalendarException:
    """Own dates, first to last inclusive. shifts None: the usual hours of the weekday although it may be a holiday."""

    first: date
    last: date
    shifts: tuple[Shift, ...] | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """A season, first to last inclusive. kind peak: weekly, if any, replaces the usual hours (by weekday, 0 Monday);

    freeze: hours stay; nothing about rules, mappings and partners should be changed meanwhile.
    """

    kind: str
    first: date
    last: date
    name: str = ""
    weekly: tuple[tuple[Shift, ...], ...] | None = None


def zone_of(name: str) -> ZoneInfo:
    """The IANA zone; CalendarError names an unknown one."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise CalendarError(f"{name!r} is not a time zone; write an IANA name such as Europe/Paris") from None


@lru_cache(maxsize=4096)
def holidays_of(country: str, subdivision: str, year: int) -> Mapping[date, str]:
    """Public holidays of a country (and region) in a year, with their English names where the library knows them."""
    try:
        return dict(
            holidays.country_holidays(country, subdiv=subdivision or None, years=year, language="en_US").items()
        )
    except NotImplementedError as error:  # how the library refuses a country or region it does not know
        raise CalendarError(f"no holidays known for {country} {subdivision}".rstrip() + f": {error}") from None


def minutes_of(text: object) -> int:
    if isinstance(text, str) and len(text) == 5 and text[2] == ":":
        hours, minutes = text[:2], text[3:]
        if hours.isdecimal() and minutes.isdecimal() and int(minutes) < 60:
            total = int(hours) * 60 + int(minutes)
            if total <= 24 * 60:
                return total
    raise CalendarError(f"{text!r} is not a time of day; write it in quotes like '08:00'")


def read_shifts(value: object) -> tuple[Shift, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise CalendarError(f"hours are a list of pairs like ['08:00', '17:00'], not {value!r}")
    shifts = []
    for pair in value:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise CalendarError(f"hours are a list of pairs like ['08:00', '17:00'], not {pair!r}")
        start, end = minutes_of(pair[0]), minutes_of(pair[1])
        if start == end or start == 24 * 60:
            raise CalendarError(f"{pair[0]} to {pair[1]} is no time at all; a whole day is ['00:00', '24:00']")
        shifts.append((start, end if end > start else end + 24 * 60))
    return tuple(sorted(shifts))


def _day(value: object) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise CalendarError(f"{value!r} is not a date; write it like 2026-12-24") from None


def read_weekly(value: Mapping[str, Any]) -> dict[str, tuple[Shift, ...]]:
    unknown = sorted(set(value) - set(WEEKDAYS))
    if unknown:
        raise CalendarError(f"unknown weekday {unknown[0]!r}; they are {', '.join(WEEKDAYS)}")
    return {name: read_shifts(hours) for name, hours in value.items()}


def read_period(value: Mapping[str, Any]) -> Period:
    kind = value.get("kind")
    if kind not in ("peak", "freeze"):
        raise CalendarError(f"a period is a peak or a freeze, not {kind!r}")
    first, last = _day(value.get("from")), _day(value.get("until"))
    if last < first:
        raise CalendarError(f"a {kind} ends ({last}) before it begins ({first})")
    weekly = value.get("weekly")
    if weekly and kind != "peak":
        raise CalendarError("only a peak has hours of its own")
    read = read_weekly(weekly) if weekly else None
    hours = tuple(read.get(name, ()) for name in WEEKDAYS) if read is not None else None
    return Period(kind, first, last, str(value.get("name", "")), hours)


def read_exception(value: Mapping[str, Any]) -> CalendarException:
    first = _day(value.get("date", value.get("from")))
    last = _day(value.get("date", value.get("until")))
    if last < first:
        raise CalendarError(f"an exception ends ({last}) before it begins ({first})")
    if value.get("closed"):
        shifts: tuple[Shift, ...] | None = ()
    elif "hours" in value:
        shifts = read_shifts(value["hours"])
    elif value.get("open"):
        shifts = None
    else:
        raise CalendarError(f"the exception on {first} says neither closed, open nor hours")
    return CalendarException(first, last, shifts, str(value.get("name", "")))
