"""Working calendars: when somebody works, in their own zone, over daylight-saving changes, to the second.

Pure: no database, no clock. A calendar is built from a spec (JSON, `CALENDAR_SCHEMA`) and is immutable after that.

Rules that hold everywhere:
- An interval belongs to the day it starts on; one that ends at or before its start runs over midnight. A holiday takes
  away the intervals that start on it, not the night shift that began the evening before.
- A local time that does not exist (clocks go forward) moves forward by the gap; one that exists twice is the first.
- Opening is inclusive, closing exclusive: at 17:00:00 a day that ends at 17:00 is closed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apps.core.calendar_specs import (
    CALENDAR_SCHEMA,
    WEEKDAYS,
    CalendarError,
    CalendarException,
    Period,
    Shift,
    holidays_of,
    read_exception,
    read_period,
    read_weekly,
    zone_of,
)

__all__ = [
    "CALENDAR_SCHEMA",
    "WEEKDAYS",
    "CalendarError",
    "CalendarException",
    "Period",
    "WorkingCalendar",
    "instant",
    "zone_of",
]

ZERO = timedelta(0)
DAY = timedelta(days=1)
FIRST_YEAR, LAST_YEAR = 1900, 2200
#: so many years without a working hour mean that there will be none
BARREN_YEARS = 3
NOON = time(12)


@dataclass(frozen=True, slots=True)
class _Year:
    """Working time within one UTC year: disjoint intervals and how much was worked at the end of each."""

    starts: list[datetime]
    ends: list[datetime]
    done: list[timedelta]

    def worked_until(self, moment: datetime) -> timedelta:
        index = bisect_right(self.starts, moment) - 1
        if index < 0:
            return ZERO
        return self.done[index] - max(self.ends[index] - moment, ZERO)

    @property
    def total(self) -> timedelta:
        return self.done[-1] if self.done else ZERO


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The UTC moment of a local time: one in a gap moves forward by the gap, one that exists twice is the first."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def same_time(day: date, local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC moment of local's time on a day. Which of the two an hour that comes twice was is true of its own day only."""
    at = local.time()
    return instant(day, at if day == local.date() else at.replace(fold=0), zone)


class WorkingCalendar:
    """Weekly hours, holidays and exceptions in one zone. Fast, since each year is laid out once."""

    def __init__(
        self,
        zone: str,
        weekly: Mapping[str, Sequence[Shift]],
        country: str = "",
        subdivision: str = "",
        exceptions: Sequence[CalendarException] = (),
        periods: Sequence[Period] = (),
        lanes: Sequence[str] = (),
    ) -> None:
        self.zone = zone_of(zone)
        self.weekly = tuple(tuple(weekly.get(name, ())) for name in WEEKDAYS)
        self.country = country
        self.subdivision = subdivision
        self.exceptions = tuple(exceptions)
        self.periods = tuple(periods)
        self.lanes = tuple(lanes)
        self._years: dict[int, _Year] = {}
        self._days: dict[int, list[int]] = {}
        self._open_days: dict[int, frozenset[int]] = {}
        if country:
            holidays_of(country, subdivision, 2024)  # an unknown country or region is an error now, not in the pipeline

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> WorkingCalendar:
        """Reads a spec; raises CalendarError with a sentence that names what is wrong."""
        return cls(
            zone=str(spec.get("zone", "UTC")),
            weekly=read_weekly(spec.get("weekly") or {}),
            country=str(spec.get("country") or ""),
            subdivision=str(spec.get("subdivision") or ""),
            exceptions=[read_exception(value) for value in spec.get("exceptions") or ()],
            periods=[read_period(value) for value in spec.get("periods") or ()],
            lanes=[str(lane) for lane in spec.get("lanes") or ()],
        )

    @classmethod
    def always(cls, zone: str) -> WorkingCalendar:
        """Every day, around the clock."""
        return cls(zone, dict.fromkeys(WEEKDAYS, ((0, 24 * 60),)))

    # -- days -----------------------------------------------------------------

    def shifts_of(self, day: date) -> tuple[Shift, ...]:
        """The shifts that start on this local day; the last exception that covers it decides."""
        usual = self._usual(day)
        for exception in reversed(self.exceptions):
            if exception.first <= day <= exception.last:
                return usual if exception.shifts is None else exception.shifts
        if self.country and usual and day in holidays_of(self.country, self.subdivision, day.year):
            return ()
        return usual

    def _usual(self, day: date) -> tuple[Shift, ...]:
        """The weekday's hours: those of the last peak with hours of its own that covers the day, else the weekly ones."""
        for period in reversed(self.periods):
            if period.weekly is not None and period.first <= day <= period.last:
                return period.weekly[day.weekday()]
        return self.weekly[day.weekday()]

    def period_of(self, day: date, kind: str = "") -> Period | None:
        """The last period (of a kind) that covers the day."""
        for period in reversed(self.periods):
            if kind in ("", period.kind) and period.first <= day <= period.last:
                return period
        return None

    def why_closed(self, day: date) -> str:
        """'' on a working day, else the exception's or holiday's name, else 'closed on Sundays'."""
        if self.shifts_of(day):
            return ""
        for exception in reversed(self.exceptions):
            if exception.first <= day <= exception.last and exception.shifts == ():
                return exception.name or "closed"
        if self.country and (name := holidays_of(self.country, self.subdivision, day.year).get(day)):
            return name
        return f"closed on {day:%A}s"

    def intervals_of(self, day: date) -> list[tuple[datetime, datetime]]:
        """What is worked from this local day's shifts, as UTC moments."""
        found = []
        for first, last in self.shifts_of(day):
            start, end = self._moment(day, first), self._moment(day, last)
            if start < end:  # both may fall into a gap
                found.append((start, end))
        if found and instant(day, NOON, self.zone).astimezone(self.zone).date() != day:
            return []  # the day never was: a zone jumped over the date line
        return found

    def is_working_day(self, day: date) -> bool:
        open_days = self._open_days.get(day.year)
        if open_days is None:
            open_days = self._open_days[day.year] = frozenset(self._working_days(day.year))
        return day.toordinal() in open_days

    def opening_of(self, day: date) -> datetime | None:
        """When the day's first shift starts; None on a closed day."""
        intervals = self.intervals_of(day)
        return min(start for start, _ in intervals) if intervals else None

    def closing_of(self, day: date) -> datetime | None:
        """When the day's last shift ends (past midnight for a night shift); None on a closed day."""
        intervals = self.intervals_of(day)
        return max(end for _, end in intervals) if intervals else None

    def add_working_days(self, day: date, count: int) -> date:
        """The count-th working day after the day, itself not counted; before it if negative; 0 is the day itself."""
        if count == 0:
            return day
        ordinal, year = day.toordinal(), day.year
        days = self._working_days(year)
        index = bisect_right(days, ordinal) + count - 1 if count > 0 else bisect_left(days, ordinal) + count
        barren = 0
        while not 0 <= index < len(days):
            barren = 0 if days else barren + 1
            if barren >= BARREN_YEARS:
                raise CalendarError("the calendar has no working days")
            if index < 0:
                year -= 1
                days = self._working_days(year)
                index += len(days)
            else:
                index -= len(days)
                year += 1
                days = self._working_days(year)
        return date.fromordinal(days[index])

    def counted_day(self, moment: datetime, cut_off: time | None = None) -> date:
        """The working day a moment counts as: its own, or the next when that is closed or the cut-off has passed.

        The cut-off's own second still counts as the same day.
        """
        local = moment.astimezone(self.zone)
        day = local.date()
        late = cut_off is not None and local.time().replace(microsecond=0) > cut_off
        if late or not self.is_working_day(day):
            return self.add_working_days(day, 1)
        return day

    # -- hours ----------------------------------------------------------------

    def is_working(self, moment: datetime) -> bool:
        moment = moment.astimezone(UTC)
        year = self._year(moment.year)
        index = bisect_right(year.starts, moment) - 1
        return index >= 0 and moment < year.ends[index]

    def next_opening(self, moment: datetime) -> datetime:
        """The first moment at or after this one that is working time."""
        moment = moment.astimezone(UTC)
        number, barren = moment.year, 0
        while True:
            year = self._year(number)
            index = bisect_right(year.ends, moment)
            if index < len(year.ends):
                return max(year.starts[index], moment)
            barren = 0 if year.ends else barren + 1
            if barren >= BARREN_YEARS:
                raise CalendarError("the calendar has no working hours")
            number += 1

    def working_between(self, start: datetime, end: datetime) -> timedelta:
        """Working time from start to end; negative when end lies before start."""
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        if end < start:
            return -self.working_between(end, start)
        total = self._year(end.year).worked_until(end) - self._year(start.year).worked_until(start)
        for number in range(start.year, end.year):
            total += self._year(number).total
        return total

    def add_working_time(self, moment: datetime, duration: timedelta) -> datetime:
        """The earliest moment by which so much has been worked since; if negative, the latest since which it has.

        8 working hours after 09:00 of a day open 09:00 to 17:00 is 17:00 of that day, not the next morning.
        """
        moment = moment.astimezone(UTC)
        if duration == ZERO:
            return moment
        number = moment.year
        year = self._year(number)
        target = year.worked_until(moment) + duration
        barren = 0
        # forward: the first moment with worked >= target; backward: the last one with worked <= target
        while (target > year.total) if duration > ZERO else (target < ZERO or not year.done):
            barren = 0 if year.done else barren + 1
            if barren >= BARREN_YEARS:
                raise CalendarError("the calendar has no working hours")
            if duration > ZERO:
                target -= year.total
                number += 1
                year = self._year(number)
            else:
                number -= 1
                year = self._year(number)
                target += year.total
        if duration > ZERO:
            index = bisect_left(year.done, target)
            return year.ends[index] - (year.done[index] - target)
        index = bisect_right(year.done, target)
        if index == len(year.done):  # all of the year is worked: its last closing was overshot into the year after
            return self._first_opening_after(number)
        return year.ends[index] - (year.done[index] - target)

    # -- layout ---------------------------------------------------------------

    def _first_opening_after(self, number: int) -> datetime:
        return self.next_opening(datetime(number + 1, 1, 1, tzinfo=UTC))

    def _moment(self, day: date, minutes: int) -> datetime:
        days, minutes = divmod(minutes, 24 * 60)
        return instant(day + DAY * days, time(minutes // 60, minutes % 60), self.zone)

    def _year(self, number: int) -> _Year:
        year = self._years.get(number)
        if year is None:
            year = self._years[number] = self._lay_out(number)
        return year

    def _lay_out(self, number: int) -> _Year:
        """The intervals of local days around the UTC year, merged and clipped to it."""
        if not FIRST_YEAR <= number <= LAST_YEAR:
            raise CalendarError(f"calendars know the years {FIRST_YEAR} to {LAST_YEAR}, not {number}")
        first, last = datetime(number, 1, 1, tzinfo=UTC), datetime(number + 1, 1, 1, tzinfo=UTC)
        raw = []
        day, stop = date(number - 1, 12, 29), date(number + 1, 1, 3)
        while day < stop:
            raw += self.intervals_of(day)
            day += DAY
        starts: list[datetime] = []
        ends: list[datetime] = []
        for start, end in sorted(raw):
            start, end = max(start, first), min(end, last)
            if start >= end:
                continue
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        done, total = [], ZERO
        for start, end in zip(starts, ends, strict=True):
            total += end - start
            done.append(total)
        return _Year(starts, ends, done)

    def _working_days(self, year: int) -> list[int]:
        days = self._days.get(year)
        if days is None:
            if not FIRST_YEAR <= year <= LAST_YEAR:
                raise CalendarError(f"calendars know the years {FIRST_YEAR} to {LAST_YEAR}, not {year}")
            first, last = date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal()
            days = [n for n in range(first, last + 1) if self.intervals_of(date.fromordinal(n))]
            self._days[year] = days
        return days
