"""What is promised for every period: a file by 04:00 on working days, twenty orders every hour, a list on the first working
day of the month. Pure: which occasions there are, when each is due, and from when on a message answers it.

An occasion's window opens `opens` before its time (else half the way from the one before, at most twelve hours) and ends
where the next opens, so that a late message answers its own occasion and not the next one's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

from apps.core.calendars import WEEKDAYS, instant
from apps.core.clock import whole_second
from apps.flows.states import FlowState
from apps.sla.deadlines import Anchor, Due, RuleError, Setting, read_time
from apps.sla.durations import in_words, parse_duration

PERIODS = ("hour", "day", "week", "month")
FIRST, LAST = "first_working_day", "last_working_day"
#: name of the flow's date an occasion is due by, and of the attribute that names the promise: its rule's slug
DUE_BY, PROMISE = "due_by", "promise"
LONGEST_LEAD = timedelta(hours=12)
#: no two occasions of a period lie further apart, in days
_APART = {"hour": 6, "day": 20, "week": 30, "month": 75}
_NAMES = dict(
    zip(WEEKDAYS, ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"), strict=True)
)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Occasion:
    """label: its local day and time, '2026-03-02 04:00'. A message answers it from opens_at (included) to closes_at."""

    label: str
    due_at: datetime
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class Every:
    """A promise for every period. feed: slug of the integration; messages: event types (empty: any); wanted: how many.

    named_by: field of a message's data that names its occasion ('': by when it came). words: the whole in words.
    """

    feed: str
    messages: tuple[str, ...]
    period: str
    times: tuple[time, ...]
    minute: int
    days: frozenset[int]
    on: str
    wanted: int
    opens: timedelta | None
    named_by: str
    words: str

    @property
    def anchor(self) -> Anchor:
        return Anchor("date", DUE_BY)

    def due(self, state: FlowState, setting: Setting) -> Due | None:
        """When this occasion is due: as it was promised when its window opened."""
        moment = state.dates.get(DUE_BY)
        if moment is None:
            return None
        origin = {"form": "every", "anchor": self.anchor[:2], "clock": "document", "at": moment, "every": self.words}
        return Due(whole_second(moment.astimezone(UTC)), f"date:{DUE_BY}", moment, origin)

    def occasions(self, begin: datetime, end: datetime, setting: Setting) -> list[Occasion]:
        """Those whose window was open at some time from begin to end, in order."""
        apart = timedelta(days=_APART[self.period])
        first = (begin - apart).astimezone(setting.zone).date()
        last = (end + apart).astimezone(setting.zone).date()
        found = []
        before: datetime | None = None
        opening: list[tuple[str, datetime, datetime]] = []
        for due_at, label in sorted(set(self._dues(first, last, setting))):
            if before is None or due_at > before:
                opening.append((label, due_at, self._opens_at(due_at, before)))
                before = due_at
        for (label, due_at, opens_at), (_, _, closes_at) in pairwise(opening):
            if opens_at <= end and closes_at > begin:
                found.append(Occasion(label, due_at, opens_at, closes_at))
        return found

    def _opens_at(self, due_at: datetime, before: datetime | None) -> datetime:
        if self.opens is not None:
            opens_at = due_at - self.opens
            return opens_at if before is None else max(opens_at, before)
        return due_at - (LONGEST_LEAD if before is None else min(LONGEST_LEAD, (due_at - before) / 2))

    def _dues(self, first: date, last: date, setting: Setting) -> Iterator[tuple[datetime, str]]:
        if self.period == "hour":
            yield from self._hours(first, last, setting)
            return
        for day in self._days(first, last, setting):
            for at in self.times:
                yield instant(day, at, setting.zone), f"{day} {at:%H:%M}"

    def _hours(self, first: date, last: date, setting: Setting) -> Iterator[tuple[datetime, str]]:
        """Every hour that passes, those of a night the clocks change as well; by a calendar, at the end of worked ones."""
        at, end = instant(first, time(0), setting.zone), instant(last, time(0), setting.zone)
        while at < end:
            due_at = at + timedelta(minutes=(self.minute - at.astimezone(setting.zone).minute) % 60)
            local = due_at.astimezone(setting.zone)
            worked = setting.calendar is None or setting.calendar.is_working(due_at - timedelta(seconds=1))
            if worked and (not self.days or local.weekday() in self.days):
                yield due_at, f"{local:%Y-%m-%d %H:%M}" + (" again" if local.fold else "")
            at += _HOUR

    def _days(self, first: date, last: date, setting: Setting) -> Iterator[date]:
        if self.period == "month":
            yield from self._of_months(first, last, setting)
            return
        for number in range(first.toordinal(), last.toordinal() + 1):
            day = date.fromordinal(number)
            if self.days and day.weekday() not in self.days:
                continue
            if _open(day, setting):
                yield day
            elif self.period == "week":
                yield _next_open(day, setting)

    def _of_months(self, first: date, last: date, setting: Setting) -> Iterator[date]:
        month = first.replace(day=1)
        while month <= last:
            following = (month + timedelta(days=32)).replace(day=1)
            if self.on == LAST:
                day = following - timedelta(days=1)
                while not _open(day, setting) and day > month:
                    day -= timedelta(days=1)
                yield day
            else:
                number = 1 if self.on == FIRST else int(self.on)
                yield _next_open(min(month + timedelta(days=number - 1), following - timedelta(days=1)), setting)
            month = following


def _open(day: date, setting: Setting) -> bool:
    return setting.calendar is None or setting.calendar.is_working_day(day)


def _next_open(day: date, setting: Setting) -> date:
    if setting.calendar is None or setting.calendar.is_working_day(day):
        return day
    return setting.calendar.add_working_days(day, 1)


# -- reading ------------------------------------------------------------------


def compile_every(spec: Mapping[str, Any], calendar: str) -> Every:
    """Reads a rule's `due.every`; RuleError names the place and what is expected. calendar: of the rule ('none': none)."""
    period = spec.get("period", "day")
    if period not in PERIODS:
        raise RuleError("due.every.period", f"{period!r} is none of {', '.join(PERIODS)}")
    on, days = str(spec.get("on", "")), tuple(spec.get("days") or ())
    if period == "hour" and "times" in spec:
        raise RuleError("due.every.times", "every hour has no times of day; say the minute")
    if period != "hour" and "minute" in spec:
        raise RuleError("due.every.minute", "only every hour has a minute; say the times of day")
    if period != "hour" and not spec.get("times"):
        raise RuleError("due.every.times", "say by which times of day, like ['04:00']")
    if period == "week" and not days:
        raise RuleError("due.every.days", "say the days of the week, like [mon]")
    if (period == "month") is not bool(on):
        wrong = (
            "say which day: first_working_day, last_working_day or a number" if not on else "is for every month only"
        )
        raise RuleError("due.every.on", wrong)
    if on in (FIRST, LAST) and calendar == "none":
        raise RuleError("calendar", f"{on} needs a calendar that says which days are worked")
    times = tuple(sorted({read_time(text, "due.every.times") for text in spec.get("times") or ()}))
    try:
        opens = parse_duration(spec["opens"]) if "opens" in spec else None
    except ValueError as error:
        raise RuleError("due.every.opens", str(error)) from None
    return Every(
        feed=str(spec["from"]),
        messages=tuple(spec.get("messages") or ()),
        period=period,
        times=times,
        minute=int(spec.get("minute", 0)),
        days=frozenset(WEEKDAYS.index(day) for day in days),
        on=on,
        wanted=int(spec.get("at_least", 1)),
        opens=opens,
        named_by=str(spec.get("named_by", "")),
        words=words(spec, calendar),
    )


def words(spec: Mapping[str, Any], calendar: str) -> str:
    """ "at least 20 messages (stock.reported) from acme-stock by 04:00 on working days"."""
    wanted = int(spec.get("at_least", 1))
    what = "a message" if wanted == 1 else f"at least {wanted} messages"
    if spec.get("messages"):
        what += f" ({' or '.join(spec['messages'])})"
    what += f" from {spec['from']}"
    named = _listed([_NAMES[day] for day in spec.get("days") or ()])
    open_days = f"{named} on working days" if named and calendar != "none" else named
    period = spec.get("period", "day")
    if period == "hour":
        within = " of working time" if calendar != "none" else ""
        told = f"{what} every hour{within}, by minute {int(spec.get('minute', 0)):02d}"
        told += f" on {named}" if named else ""
    else:
        at = _listed([str(one) for one in spec.get("times") or ()])
        told = f"{what} by {at}"
        if period == "day":
            told += f" on {open_days}" if open_days else " on working days" if calendar != "none" else " every day"
        elif period == "week":
            told += f" every {named}" + (", else the next working day" if calendar != "none" else "")
        else:
            on = str(spec.get("on", ""))
            told += f" on {'the ' + on.replace('_', ' ') if not on.isdecimal() else 'day ' + on} of every month"
            told += ", else the next working day" if on.isdecimal() and calendar != "none" else ""
    if spec.get("opens"):
        told += f", not earlier than {in_words(spec['opens'])} before"
    return told


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))
