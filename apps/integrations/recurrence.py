"""Spans that repeat on a wall clock: RRULE (RFC 5545) in a zone. Pure.

Both ends keep their wall time when the clocks change: "Sundays 22:00 to 06:00" ends at 06:00 on every Monday. A wall
time that is skipped moves forward by the gap; one that comes twice is the first for a beginning, the last for an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rruleset, rrulestr

Span = tuple[datetime, datetime]
DAY = timedelta(days=1)
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY")
#: parts of a rule that we lay out; finer ones (BYHOUR ..) would move the times away from the window's own
PARTS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"})
LONGEST_RULE = 300


class RecurrenceError(ValueError):
    """The rule cannot be read; the message says what is expected."""


def check(rule: str, starts_at: datetime, zone: str) -> None:
    """Raises RecurrenceError when `occurrences` could not lay out this rule, or when it never happens."""
    first = _wall(starts_at, ZoneInfo(zone))
    if next(iter(_rule(rule, first, zone)), None) is None:
        raise RecurrenceError("The rule names no day at all: look at its days, months and end.")


def occurrences(
    starts_at: datetime, ends_at: datetime, rule: str, zone: str, after: datetime, before: datetime
) -> Iterator[Span]:
    """The occurrences that touch [after, before), in order, in UTC, whole (not cut). rule "": the one span itself."""
    if not rule:
        if starts_at < before and ends_at > after:
            yield starts_at.astimezone(UTC), ends_at.astimezone(UTC)
        return
    clock = ZoneInfo(zone)
    first = _wall(starts_at, clock)
    length = _wall(ends_at, clock) - first
    laid_out = _rule(rule, first, zone)
    # a day on either side: offsets between wall clock and UTC, and clocks that change
    early, late = _wall(after, clock) - length - DAY, _wall(before, clock) + DAY
    for wall in laid_out.xafter(early, inc=True):
        if wall > late:
            return
        start, end = _moment(wall, clock, 0), _moment(wall + length, clock, 1)
        if start < before and end > after and start < end:
            yield start, end


@lru_cache(maxsize=256)
def _rule(rule: str, first: datetime, zone: str) -> rrule | rruleset:
    """The rule on the wall clock, beginning at `first` (naive)."""
    if len(rule) > LONGEST_RULE:
        raise RecurrenceError("The rule is too long: give one RRULE such as FREQ=WEEKLY;BYDAY=SU.")
    text = rule.strip().upper().removeprefix("RRULE:")
    parts: dict[str, str] = {}
    for piece in text.split(";"):
        name, sign, value = piece.partition("=")
        if not sign or not value or name in parts:
            raise RecurrenceError(f"{piece!r} is not part of a rule; write one like FREQ=WEEKLY;BYDAY=SU,WE.")
        parts[name] = value
    if parts.get("FREQ") not in FREQUENCIES:
        raise RecurrenceError("A window repeats daily, weekly or monthly: begin the rule with FREQ=WEEKLY.")
    if unknown := sorted(set(parts) - PARTS):
        raise RecurrenceError(f"{unknown[0]} is not used here; a rule may have {', '.join(sorted(PARTS))}.")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not (parts[name].isascii() and parts[name].isdigit() and 0 < int(parts[name][:9]) < 1000):
            raise RecurrenceError(f"{name}={parts[name][:20]} must be a number from 1 to 999.")
    if {"COUNT", "UNTIL"} <= set(parts):
        raise RecurrenceError("A rule ends by COUNT or by UNTIL, not by both: leave one out.")
    if "UNTIL" in parts:
        parts["UNTIL"] = f"{_until(parts['UNTIL'], ZoneInfo(zone)):%Y%m%dT%H%M%S}"
    try:
        return rrulestr(";".join(f"{name}={value}" for name, value in parts.items()), dtstart=first)
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError) as error:
        raise RecurrenceError(f"The rule cannot be read: {error}. Write one like FREQ=WEEKLY;BYDAY=SU.") from None


def _until(text: str, zone: ZoneInfo) -> datetime:
    """The end of a rule on the wall clock: a day (whole), a local time, or a UTC time."""
    try:
        if len(text) == 8:
            return datetime.combine(date.fromisoformat(text), time.max.replace(microsecond=0))
        moment = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S")
    except ValueError:
        raise RecurrenceError(f"UNTIL={text} is not a time; write UNTIL=20261231 or UNTIL=20261231T220000Z.") from None
    return _wall(moment.replace(tzinfo=UTC), zone) if text.endswith("Z") else moment


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _moment(wall: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """UTC; a skipped wall time reads by the old offset, which moves it forward by the gap."""
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(moment, zone) != wall:
        return moment
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
