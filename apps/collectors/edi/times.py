"""Dates and times as X12 and EDIFACT write them. Pure; no clock.

X12: data element 373 (date), 337 (time) and 623 (time code). EDIFACT: C507 with format code 2379.
A two-digit year is of the years 1970 to 2069. A time without a zone is of the source's zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: X12 623: a place's time follows its daylight saving; standard and daylight time are fixed offsets
_PLACES = {
    "AT": "America/Anchorage",
    "CT": "America/Chicago",
    "ET": "America/New_York",
    "HT": "Pacific/Honolulu",
    "MT": "America/Denver",
    "NT": "America/St_Johns",
    "PT": "America/Los_Angeles",
    "TT": "America/Halifax",
}
_OFFSETS = {
    "UT": 0,
    "GM": 0,
    **{f"{hours:02d}": hours for hours in range(1, 13)},
    **{f"{25 - hours:02d}": -hours for hours in range(1, 13)},
    **{"AS": -9, "AD": -8, "CS": -6, "CD": -5, "ES": -5, "ED": -4, "HS": -10, "HD": -9},
    **{"MS": -7, "MD": -6, "PS": -8, "PD": -7, "TS": -4, "TD": -3, "NS": -3.5, "ND": -2.5},
}
#: names senders write as ZZZ of EDIFACT formats 301 to 304
_NAMES = {
    "UTC": "UTC",
    "GMT": "UTC",
    "Z": "UTC",
    "WET": "Europe/Lisbon",
    "CET": "Europe/Paris",
    "EET": "Europe/Athens",
    "BST": "Europe/London",
    "EST": "Etc/GMT+5",
    "EDT": "Etc/GMT+4",
    "CST": "Etc/GMT+6",
    "CDT": "Etc/GMT+5",
    "MST": "Etc/GMT+7",
    "MDT": "Etc/GMT+6",
    "PST": "Etc/GMT+8",
    "PDT": "Etc/GMT+7",
}
_OFFSET = re.compile(r"([+\-PM])(\d{2}):?(\d{2})?")


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time in UTC, the zone it was written in, and whether only its day was given."""

    at: datetime
    zone: str
    day_only: bool = False


class BadTime(ValueError):
    """A date or time that cannot be read; the text says which and why."""


def zone_named(name: str) -> tzinfo:
    """The IANA zone; BadTime if there is none of this name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadTime(f"there is no time zone {name!r}") from error


def fixed(hours: float) -> tuple[tzinfo, str]:
    """A fixed offset and its IANA name; half hours have none and are called UTC."""
    whole = int(hours)
    name = "UTC" if not hours else f"Etc/GMT{-whole:+d}" if whole == hours else "UTC"
    return timezone(timedelta(hours=hours)), name


def _zone(code: str, default: str) -> tuple[tzinfo, str]:
    """Zone of an X12 time code; LT and none are the source's own."""
    if code in ("", "LT"):
        return zone_named(default), default
    if code in _PLACES:
        return zone_named(_PLACES[code]), _PLACES[code]
    if code in _OFFSETS:
        return fixed(_OFFSETS[code])
    raise BadTime(f"time code {code!r} is not of X12 element 623")


def _moment(parts: tuple[int, ...], zone: tuple[tzinfo, str], day_only: bool, text: str) -> Moment:
    year, month, day, hour, minute, second = parts
    try:
        # 24:00 and leap seconds are legal in both standards
        naive = datetime(year, month, day) + timedelta(hours=hour, minutes=minute, seconds=second)
        if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
            raise ValueError
        return Moment(naive.replace(tzinfo=zone[0]).astimezone(UTC), zone[1], day_only)
    except (ValueError, OverflowError) as error:
        raise BadTime(f"{text!r} is no date and time of the calendar") from error


def _year(text: str) -> int:
    if len(text) == 4:
        return int(text)
    return int(text) + (1900 if int(text) >= 70 else 2000)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


@lru_cache(maxsize=4096)
def x12(date: str, time: str, code: str, default_zone: str) -> Moment:
    """CCYYMMDD or YYMMDD, and HHMM[SS[D..]] or nothing. Raises BadTime."""
    if not _digits(date) or len(date) not in (6, 8):
        raise BadTime(f"{date!r} is no date (CCYYMMDD)")
    if time and (not _digits(time) or len(time) not in (4, 6, 7, 8)):
        raise BadTime(f"{time!r} is no time (HHMM)")
    year, rest = date[:-4], date[-4:]
    clock = (time[:6] + "000000")[:6]
    parts = (_year(year), int(rest[:2]), int(rest[2:]), int(clock[:2]), int(clock[2:4]), int(clock[4:]))
    return _moment(parts, _zone(code, default_zone), not time, f"{date} {time}".strip())


#: 2379 -> layout of the digits: Y year, M month, D day, H hour, N minute, S second, W week, J day of year, U weekday
_LAYOUTS = {
    "2": "DDMMYY",
    "3": "MMDDYY",
    "4": "DDMMYYYY",
    "5": "DDMMYYYYHHNN",
    "101": "YYMMDD",
    "102": "YYYYMMDD",
    "103": "YYWWU",
    "105": "YYJJJ",
    "201": "YYMMDDHHNN",
    "202": "YYMMDDHHNNSS",
    "203": "YYYYMMDDHHNN",
    "204": "YYYYMMDDHHNNSS",
    "205": "YYYYMMDDHHNN",
    "301": "YYMMDDHHNN",
    "302": "YYMMDDHHNNSS",
    "303": "YYYYMMDDHHNN",
    "304": "YYYYMMDDHHNNSS",
}
_ZONED = {"205", "301", "302", "303", "304"}
#: 2379 of periods -> format of both ends; a period stands for its end: by then it must have happened
_PERIODS = {"711": "102", "713": "201", "717": "101", "718": "102", "719": "203"}


@lru_cache(maxsize=4096)
def edifact(value: str, form: str, default_zone: str) -> Moment:
    """A date, date and time, or period of format 2379; an empty format is 102. Raises BadTime."""
    form = form or "102"
    if form in _PERIODS:
        value, form = _end_of(value, _PERIODS[form]), _PERIODS[form]
    layout = _LAYOUTS.get(form)
    if layout is None:
        raise BadTime(f"date format {form!r} (2379) is not read")
    digits, suffix = value[: len(layout)], value[len(layout) :].strip()
    if not _digits(digits) or len(digits) != len(layout) or (suffix and form not in _ZONED):
        raise BadTime(f"{value!r} is not of format {form} ({layout})")
    zone = _named_zone(suffix, default_zone) if suffix else (zone_named(default_zone), default_zone)
    return _moment(_parts(digits, layout), zone, "H" not in layout, value)


def _end_of(value: str, form: str) -> str:
    width = len(_LAYOUTS[form])
    compact = value.replace("-", "")
    return compact[width:] if len(compact) == 2 * width else compact


def _parts(digits: str, layout: str) -> tuple[int, ...]:
    def number(letter: str) -> int:
        start, width = layout.find(letter), layout.count(letter)
        return int(digits[start : start + width]) if width else 0

    width = layout.count("Y")
    year = _year(digits[layout.find("Y") :][:width])
    month, day = number("M"), number("D")
    if "J" in layout or "W" in layout:
        try:
            if "W" in layout:
                date = datetime.fromisocalendar(year, number("W"), number("U"))
            else:
                date = datetime(year, 1, 1) + timedelta(days=number("J") - 1)
        except (ValueError, OverflowError) as error:
            raise BadTime(f"{digits!r} is no date of the calendar") from error
        year, month, day = date.year, date.month, date.day
    return year, month, day, number("H"), number("N"), number("S")


def _named_zone(text: str, default: str) -> tuple[tzinfo, str]:
    name = text.upper()
    if name in _NAMES:
        return zone_named(_NAMES[name]), _NAMES[name]
    found = _OFFSET.fullmatch(name)
    if found:
        hours = int(found[2]) + int(found[3] or 0) / 60
        if hours <= 14:
            return fixed(-hours if found[1] in "-M" else hours)
    raise BadTime(f"time zone {text!r} is not known")
