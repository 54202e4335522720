"""A slow and simple opinion about working time, minute by minute, that shares no code with `apps.core.calendars`.

It only ever converts from UTC to local time, which is never ambiguous, and finds local times by looking for them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def wall(moment: datetime, zone: str) -> datetime:
    """The naive local time of a UTC moment."""
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@lru_cache(maxsize=100_000)
def smooth(moment: datetime, zone: str) -> bool:
    """Whether the local clock runs on evenly for an hour."""
    return all(wall(moment + MINUTE * n, zone) == wall(moment, zone) + MINUTE * n for n in range(60))


@lru_cache(maxsize=100_000)
def moment_of(local: datetime, zone: str) -> datetime:
    """The UTC moment of a naive local time of whole seconds: the first such minute; a gap moves it on by its length."""
    seconds = timedelta(seconds=local.second)
    target = local - seconds
    moment = target.replace(minute=0, tzinfo=UTC) - timedelta(hours=27)
    before = wall(moment, zone) - MINUTE
    while True:
        now = wall(moment, zone)
        if moment.minute == 0 and smooth(moment, zone) and before + MINUTE == now and not now <= target < now + HOUR:
            moment += HOUR  # nothing to be found in this hour
            before = now + HOUR - MINUTE
            continue
        if now == target:
            return moment + seconds
        if before < target < now:  # the clock jumped over it
            gap = now - before - MINUTE
            return moment_of(target + gap + seconds, zone)
        before = now
        moment += MINUTE


class Oracle:
    """Working minutes of a window of days around `middle`; weekly and special hours as minutes of the local day."""

    def __init__(
        self,
        zone: str,
        weekly: dict[int, list[tuple[int, int]]],
        special: dict[date, list[tuple[int, int]]],
        middle: date,
        days: int = 14,
    ) -> None:
        self.zone, self.weekly, self.special = zone, weekly, special
        self.first, self.last = middle - timedelta(days=days), middle + timedelta(days=days)
        self.minutes: list[datetime] = []  # every working minute, in order
        worked: set[datetime] = set()
        day = self.first - timedelta(days=2)
        while day <= self.last + timedelta(days=2):
            for start, end in self.spans(day):
                while start < end:
                    worked.add(start)
                    start += MINUTE
            day += timedelta(days=1)
        self.worked = worked
        self.minutes = sorted(worked)

    def hours(self, day: date) -> list[tuple[int, int]]:
        return self.special[day] if day in self.special else self.weekly.get(day.weekday(), [])

    def exists(self, day: date) -> bool:
        noon = moment_of(datetime(day.year, day.month, day.day, 12), self.zone)
        return wall(noon, self.zone).date() == day

    def spans(self, day: date) -> list[tuple[datetime, datetime]]:
        if not self.hours(day) or not self.exists(day):
            return []
        midnight = datetime(day.year, day.month, day.day)
        return [
            (
                moment_of(midnight + MINUTE * start, self.zone),
                moment_of(midnight + MINUTE * (end if end > start else end + 1440), self.zone),
            )
            for start, end in self.hours(day)
        ]

    def working_day(self, day: date) -> bool:
        return any(start < end for start, end in self.spans(day))

    def is_working(self, moment: datetime) -> bool:
        return moment.replace(second=0, microsecond=0) in self.worked

    def between(self, start: datetime, end: datetime) -> timedelta:
        """By counting seconds of minutes; start and end are whole minutes."""
        return MINUTE * sum(1 for minute in self.minutes if start <= minute < end)

    def add(self, moment: datetime, minutes: int) -> datetime | None:
        """The end of the so-maniest working minute from a whole minute on; None beyond the window."""
        if minutes == 0:
            return moment
        if minutes > 0:
            coming = [minute for minute in self.minutes if minute >= moment]
            return coming[minutes - 1] + MINUTE if len(coming) >= minutes else None
        gone = [minute for minute in self.minutes if minute < moment]
        return gone[minutes] if len(gone) >= -minutes else None

    def next_opening(self, moment: datetime) -> datetime | None:
        return next((minute for minute in self.minutes if minute >= moment), None)

    def nth_working_day(self, day: date, count: int) -> date | None:
        step = timedelta(days=1 if count > 0 else -1)
        left = abs(count)
        while left:
            day += step
            if not self.first <= day <= self.last:
                return None
            left -= self.working_day(day)
        return day
