"""Reading partners' times, and moving a whole log in time for a replay. Pure; all results are aware and in UTC."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

ISO, EPOCH, EPOCH_MS = "iso", "epoch", "epoch_ms"

#: outside of these years a time is a sentinel or a wrong unit, never a business time
FIRST_YEAR, LAST_YEAR = 1900, 2199

_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_HALF_DAY = timedelta(hours=12)
_LONGEST_DATE = len("2026-W10-1")


class TimeError(ValueError):
    """A time that cannot be read; the message is a sentence's end: 'is no ISO 8601 time'."""


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises `TimeError`."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise TimeError(f"is in the zone {name!r}, which is unknown") from None


@dataclass(frozen=True, slots=True)
class Replay:
    """A log told anew: what happened at `as_of` happens `now`; what is later comes `speed` times as fast.

    Times move by the clock on the wall of their zone, so that an afternoon stays an afternoon and, when the two
    moments have the same time of day, a date stays a whole day over changes of daylight saving time.
    """

    as_of: datetime
    now: datetime
    speed: float = 1.0

    def move(self, moment: datetime, zone: tzinfo) -> datetime:
        if self.speed != 1 and moment > self.as_of:
            return self.now + (moment - self.as_of) / self.speed
        wall = moment.astimezone(zone).replace(tzinfo=None) + self._distance(zone)
        return wall.replace(tzinfo=zone).astimezone(UTC)

    def move_day(self, day: date, zone: tzinfo) -> date:
        """The day whose end comes when this day's end comes; the nearest one if the shift is no whole days."""
        if self.speed != 1:
            end = datetime.combine(day, time.max, zone)
            if end > self.as_of:
                return self.move(end, zone).astimezone(zone).date()
        return (datetime.combine(day, time()) + self._distance(zone) + _HALF_DAY).date()

    def _distance(self, zone: tzinfo) -> timedelta:
        return self.now.astimezone(zone).replace(tzinfo=None) - self.as_of.astimezone(zone).replace(tzinfo=None)

    def headers(self) -> dict[str, str]:
        """As receipt headers: a stored receipt can be replayed to the same events."""
        return {
            "import-as-of": self.as_of.isoformat(),
            "import-now": self.now.isoformat(),
            "import-speed": repr(self.speed),
        }

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Replay | None:
        if "import-as-of" not in headers:
            return None
        return cls(
            datetime.fromisoformat(headers["import-as-of"]),
            datetime.fromisoformat(headers["import-now"]),
            float(headers["import-speed"]),
        )


def read_time(value: Any, form: str, zone: tzinfo, date_only: bool = False) -> datetime:
    """A partner's time in UTC.

    form: ``iso`` (ISO 8601), ``epoch`` (seconds), ``epoch_ms``, or a strptime pattern. zone: for values that name no
    offset; a wall time that occurs twice is its first occurrence, one that is skipped is read with the offset before
    the change. date_only: only the day as written counts, given as its first moment in `zone`. Raises `TimeError`.
    """
    try:
        moment = _written(value, form, date_only)
        if moment.tzinfo is None and not date_only:
            moment = moment.replace(tzinfo=zone)
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise TimeError(f"lies in the year {moment.year}; is it in another unit, or does it stand for “none”?")
        if date_only:
            if moment.tzinfo is not None and form in (EPOCH, EPOCH_MS):
                moment = moment.astimezone(zone)
            return start_of_day(moment.date(), zone)
        return moment.astimezone(UTC)
    except (OverflowError, OSError):
        raise TimeError("is beyond what a calendar holds") from None


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """The first moment of a day in a zone, in UTC: how a date without a time is kept in `CanonicalEvent.dates`."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _written(value: Any, form: str, date_only: bool) -> datetime:
    if form in (EPOCH, EPOCH_MS):
        return _ZERO + timedelta(**{"seconds" if form == EPOCH else "milliseconds": _number(value)})
    if not isinstance(value, str):
        value = str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
    text = value.strip()
    if form == ISO:
        return _iso(text, date_only)
    try:
        return datetime.strptime(text, form)
    except ValueError:
        raise TimeError(f"does not look like {form}") from None


def _number(value: Any) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        number = float(value) if isinstance(value, str | float) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TimeError("is no number")
    return number


def _iso(text: str, date_only: bool) -> datetime:
    try:
        moment = datetime.fromisoformat(text[:-1] + "Z" if text.endswith("z") else text)
    except ValueError:
        raise TimeError("is no ISO 8601 time") from None
    if not date_only and _is_date(text):
        raise TimeError("is a date without a time; if that is meant, say date_only")
    return moment


def _is_date(text: str) -> bool:
    if len(text) > _LONGEST_DATE:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
