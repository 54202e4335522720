"""What is known beforehand of an hour: holidays, peaks, exceptions people declared, outages, maintenance.

`Known` is read once for a round and answers for every feed: which hours may be judged, which may be learnt from, by
how much a peak multiplies, and which hour of the week an hour counts as (a holiday counts as a Sunday).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from apps.anomalies.models import KnownSpan
from apps.core.calendars import CalendarError, WorkingCalendar
from apps.integrations import maintenance
from apps.integrations.models import Calendar, Integration

HOUR = timedelta(hours=1)
SUNDAY = 6
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Marked:
    """A span as plain values. judged, learnt: whether the detectors may; factor: of what is expected."""

    starts_at: datetime
    ends_at: datetime
    integration: int | None = None
    partner: int | None = None
    event_type: str = ""
    judged: bool = True
    learnt: bool = False
    factor: float = 1.0
    detector: str = ""

    def fits(self, integration: int, partner: int | None, event_type: str, detector: str) -> bool:
        return (
            self.detector in ("", detector)
            and self.integration in (None, integration)
            and (self.partner is None or self.partner == partner)
            and (not self.event_type or self.event_type == event_type)
        )


@dataclass
class Known:
    """Everything known about the hours since ``since``."""

    marked: Sequence[Marked] = ()
    windows: Sequence[maintenance.Window] = ()
    calendars: Mapping[str, WorkingCalendar] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    _slots: dict[tuple[str, str, datetime, int], NDArray[np.int64]] = field(default_factory=dict)

    def masks(
        self, one: Integration, event_type: str, first: datetime, hours: int, detector: str = "feed"
    ) -> tuple[Mask, Mask, Floats]:
        """(may be judged, may be learnt from, factor) of the hours since ``first``."""
        judged, learnt, factor = np.ones(hours, bool), np.ones(hours, bool), np.ones(hours)
        for mark in self.marked:
            if mark.fits(one.pk, one.partner_id, event_type, detector):
                cut = hours_of(mark.starts_at, mark.ends_at, first, hours)
                judged[cut] &= mark.judged
                learnt[cut] &= mark.learnt
                factor[cut] *= mark.factor
        for window in self.windows:
            if window.suspends and window.fits(one.pk, one.partner_id, None):
                for start, end in maintenance.spans(window, first, first + hours * HOUR):
                    cut = hours_of(start, end, first, hours)
                    judged[cut] = learnt[cut] = False
        return judged, learnt, factor

    def slots(self, one: Integration, first: datetime, hours: int) -> NDArray[np.int64]:
        """The hour of the week each hour counts as, in the integration's zone and its partner's calendar."""
        name = one.partner.calendar if one.partner else ""
        found = self._slots.get((one.time_zone, name, first, hours))
        if found is None:
            zone, calendar = zone_of(one.time_zone), self.calendars.get(name)
            days: dict[date, int] = {}
            slots = []
            for number in range(hours):
                local = (first + number * HOUR).astimezone(zone)
                day = local.date()
                if day not in days:
                    days[day] = SUNDAY if calendar and is_holiday(calendar, day) else day.weekday()
                slots.append(days[day] * 24 + local.hour)
            found = self._slots[one.time_zone, name, first, hours] = np.array(slots, np.int64)
        return found


Floats = NDArray[np.float64]


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def is_holiday(calendar: WorkingCalendar, day: date) -> bool:
    """Closed although this weekday is usually worked."""
    return bool(calendar.weekly[day.weekday()]) and not calendar.shifts_of(day)


def read(since: datetime, until: datetime, calendars: Iterable[str]) -> Known:
    """Everything declared about the time between two moments; a fixed number of statements."""
    kind = KnownSpan.Kind
    marked = [
        Marked(
            row.starts_at,
            row.ends_at,
            row.integration_id,
            row.partner_id,
            row.event_type,
            judged=row.kind != kind.EXPECTED,
            factor=row.factor or 1.0 if row.kind == kind.PEAK else 1.0,
            detector=row.detector,
        )
        for row in KnownSpan.objects.filter(ends_at__gt=since, starts_at__lt=until, undone_at=None)
    ]
    return Known(marked, maintenance.windows_between(since, until), _calendars(set(calendars)), since, until)


def _calendars(slugs: set[str]) -> dict[str, WorkingCalendar]:
    found: dict[str, WorkingCalendar] = {}
    for row in Calendar.objects.filter(slug__in=slugs - {""}).order_by("slug", "version"):
        try:
            found[row.slug] = WorkingCalendar.from_spec(row.spec)
        except CalendarError:  # the page of calendars tells it; without one every week is the same
            found.pop(row.slug, None)
    return found


def hours_of(start: datetime, end: datetime, first: datetime, hours: int) -> slice:
    """The hours that the span touches."""
    begin = int((start - first) // HOUR)
    stop = -int((first - end) // HOUR)
    return slice(min(hours, max(0, begin)), min(hours, max(0, stop)))
