"""When a file should come: by a time of day, on working days, in a zone. Pure.

A file answers the day it names (in its file name). One that names none answers the last due day whose window had opened
when it came: the window of a day opens at its ``from`` (or twelve hours before its time) and ends when the next opens, so
that a late file answers its own day and never the next one's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apps.core.calendars import WEEKDAYS, CalendarError, WorkingCalendar, instant
from apps.core.calendars import zone_of as zone_named

WORKING_DAYS = WEEKDAYS[:5]
_WHOLE_DAY = ((0, 24 * 60),)
_EARLIER = timedelta(hours=12)
#: no feed has so long a gap between two of its days
_MOST_DAYS = 400


class ScheduleError(ValueError):
    """An expectation that cannot be read; the message is a sentence."""


@dataclass(frozen=True)
class Schedule:
    """feed: slug of the integration; by: local time of day; opens: from when on it may come, None: 12 hours before."""

    feed: str
    by: time
    zone: ZoneInfo
    calendar: WorkingCalendar
    opens: time | None = None
    name_form: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, Any], feed: str, zone: str) -> Schedule | None:
        """None when no file is expected by a time. Raises `ScheduleError`."""
        if not settings.get("expected_by"):
            return None
        opens = settings.get("expected_from")
        zone = str(settings.get("expected_zone") or zone or "UTC")
        days = settings.get("expected_days") or WORKING_DAYS
        if not isinstance(days, Sequence) or isinstance(days, str) or not set(days) <= set(WEEKDAYS):
            raise ScheduleError(f"The days a file is expected on are some of {', '.join(WEEKDAYS)}.")
        try:
            calendar = WorkingCalendar.from_spec(
                {
                    "zone": zone,
                    "weekly": {day: [["00:00", "24:00"]] for day in days},
                    "country": str(settings.get("expected_country") or "").upper(),
                    "subdivision": str(settings.get("expected_subdivision") or ""),
                    "exceptions": [
                        {"date": day, "closed": True} for day in str(settings.get("expected_closed") or "").split()
                    ],
                }
            )
            return cls(
                feed,
                _time(settings["expected_by"]),
                zone_named(zone),
                calendar,
                _time(opens) if opens else None,
                str(settings.get("date_in_name") or ""),
            )
        except CalendarError as error:
            raise ScheduleError(f"The days a file is expected on cannot be read: {error}.") from None

    def due_at(self, day: date) -> datetime:
        return instant(day, self.by, self.zone)

    def opens_at(self, day: date) -> datetime:
        """From when on a file answers this day; after its time of day, it is the evening before."""
        if self.opens is None:
            return self.due_at(day) - _EARLIER
        return instant(day if self.opens <= self.by else day - timedelta(days=1), self.opens, self.zone)

    def is_due(self, day: date) -> bool:
        return self.calendar.is_working_day(day)

    def key(self, day: date) -> str:
        """The value of the reference of kind `file_delivery`."""
        return f"{self.feed}/{day.isoformat()}"

    def day_of(self, file_name: str, arrived_at: datetime) -> date | None:
        """The day a file answers; None when its name should hold a date and holds none, or no day is ever due."""
        if self.name_form:
            return date_in(file_name, self.name_form)
        day = arrived_at.astimezone(self.zone).date() + timedelta(days=2)
        for _ in range(_MOST_DAYS):
            day -= timedelta(days=1)
            if self.is_due(day) and self.opens_at(day) <= arrived_at:
                return day
        return None

    def open_days(self, since: datetime | None, now: datetime) -> Iterator[date]:
        """Due days whose window opened after ``since``, and those that are open now and not over their time."""
        day = now.astimezone(self.zone).date() + timedelta(days=2)
        for _ in range(_MOST_DAYS):
            day -= timedelta(days=1)
            opens_at = self.opens_at(day)
            if since is not None and opens_at <= since and self.due_at(day) <= now:
                return
            if since is None and self.due_at(day) <= now:
                return
            if opens_at <= now and self.is_due(day):
                yield day


def date_in(file_name: str, form: str) -> date | None:
    """The date a file's name holds by a strptime pattern of the whole name; * stands for anything."""
    head, star, tail = form.partition("*")
    try:
        if not star:
            return datetime.strptime(file_name, form).date()
        if "%" in tail and "%" not in head:
            # the star is in front: as many characters as the rest leaves over
            for start in range(len(file_name) + 1):
                if file_name.startswith(head) and (found := _tried(file_name[start:], tail)):
                    return found
            return None
        for end in range(len(file_name), -1, -1):
            if file_name.endswith(tail) and (found := _tried(file_name[:end], head)):
                return found
    except ValueError:
        return None
    return None


def _tried(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).date()
    except ValueError:
        return None


def _time(text: Any) -> time:
    try:
        if isinstance(text, time):
            return text
        if isinstance(text, str) and len(text) in (5, 8):
            return time.fromisoformat(text)
    except ValueError:
        pass
    raise ScheduleError(f"{str(text)[:40]!r} is not a time of day; write it in quotes like '04:00'.")
