"""Schedules as pictures and lists: who is on call over a span, in the reader's zone, with gaps and one's own shifts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from django.db.models import Q

from apps.accounts.models import Role, User
from apps.core import wording
from apps.oncall.layers import USUAL, Plan, Shift, shifts
from apps.oncall.models import Layer, Override, Schedule, Swap
from apps.oncall.rotation import Loaded, load
from apps.oncall.turns import moment_of

DAY = timedelta(days=1)
WEEK = 7 * DAY
#: shifts listed on a page at most
MOST_SHIFTS = 200
AHEAD = 28 * DAY
#: shares of the whole picture
ROOM_FOR_A_NAME, ROOM_FOR_INITIALS = 0.12, 0.03


@dataclass(frozen=True, slots=True)
class Bar:
    """x and width in percent of the span. kind: mine, other, gap, override."""

    x: str
    width: str
    label: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    bars: list[Bar]
    y: int
    result: bool = False

    @property
    def text_y(self) -> int:
        return self.y + 20


@dataclass(frozen=True, slots=True)
class Mark:
    """A day's beginning on the axis. x in percent; middle: where its label stands."""

    x: str
    middle: str
    label: str
    today: bool
    weekend: bool
    width: str


@dataclass(frozen=True, slots=True)
class Strip:
    """A span as a picture: rows of bars over days. words: the same for those who cannot see it."""

    rows: list[Row]
    marks: list[Mark]
    now_x: str
    height: int
    words: str


@dataclass(frozen=True, slots=True)
class Line:
    """A shift in a list."""

    who: str
    start: datetime
    end: datetime
    hours: timedelta
    mine: bool
    gap: bool
    running: bool
    override: bool


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the month's calendar."""

    day: date
    inside: bool
    today: bool
    lines: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Duty:
    """A schedule as it stands now. following: who comes next, when."""

    schedule: Schedule
    user: User | None
    until: datetime
    following: User | None
    strip: Strip


def bounds(day: date, zone: tzinfo) -> datetime:
    """The moment a local day begins."""
    return moment_of(datetime.combine(day, time()), zone)  # type: ignore[arg-type]


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def duties(now: datetime, reader: User) -> list[Duty]:
    """Every schedule with the week that has begun today, in four queries."""
    zone = wording.zone(reader.time_zone)
    today = now.astimezone(zone).date()
    start, end = bounds(today, zone), bounds(today + WEEK, zone)
    found = []
    for one in load(Schedule.objects.order_by("team__name", "position", "name"), start, now + AHEAD):
        until = one.until(now)
        rows = [("On call", one.shifts(start, end), one)]
        found.append(
            Duty(one.schedule, one.at(now), until, one.at(until), strip(rows, start, end, now, reader, zone, bare=True))
        )
    return found


def strip(
    rows: Sequence[tuple[str, Iterable[Shift], Loaded]],
    start: datetime,
    end: datetime,
    now: datetime,
    reader: User,
    zone: tzinfo,
    *,
    bare: bool = False,
) -> Strip:
    """The picture of a span. The last row is the result; bare: it is the only one and has no label."""
    drawn, words = [], []
    for number, (label, spans, loaded) in enumerate(rows):
        last = number == len(rows) - 1
        bars = []
        for one in joined(spans) if last else spans:
            who = loaded.people[one.user].display_name if one.user is not None else "nobody"
            if one.user is None and not last:
                continue
            kind = "gap" if one.user is None else "mine" if one.user == reader.pk else "other"
            kind = "override" if one.override and kind == "other" and last else kind
            title = f"{who}, {_clock(one.start, zone)} to {_clock(one.end, zone)}"
            bars.append(
                Bar(
                    _percent(one.start, start, end), _width(one, start, end), _label(who, one, end - start), title, kind
                )
            )
            if last:
                words.append(title)
        drawn.append(Row("" if bare else label, bars, 24 + number * 34, last))
    return Strip(
        drawn, marks_of(start, end, now, zone), _percent(now, start, end) if start <= now < end else "", 24 + len(rows) * 34 + 2,
        "; ".join(words[:40]) or "nobody",
    )  # fmt: skip


def _label(who: str, one: Shift, whole: timedelta) -> str:
    """As much of a name as the bar has room for."""
    share = (one.end - one.start) / whole
    if share >= ROOM_FOR_A_NAME:
        return who
    return "".join(part[0] for part in who.split()[:2]).upper() if share >= ROOM_FOR_INITIALS else ""


def marks_of(start: datetime, end: datetime, now: datetime, zone: tzinfo) -> list[Mark]:
    day, last = start.astimezone(zone).date(), (end - timedelta(seconds=1)).astimezone(zone).date()
    today, found = now.astimezone(zone).date(), []
    while day <= last:
        begins, ends = bounds(day, zone), bounds(day + DAY, zone)
        found.append(
            Mark(
                _percent(begins, start, end), _percent(begins + (ends - begins) / 2, start, end), f"{day:%a} {day.day}",
                day == today, day.weekday() >= 5, ratio(ends - begins, end - start),
            )
        )  # fmt: skip
        day += DAY
    return found


def _percent(at: datetime, start: datetime, end: datetime) -> str:
    return ratio(min(max(at, start), end) - start, end - start)


def _width(one: Shift, start: datetime, end: datetime) -> str:
    return ratio(min(one.end, end) - max(one.start, start), end - start)


def ratio(part: timedelta, whole: timedelta) -> str:
    return f"{100 * (part / whole):.3f}%"


def _clock(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%a %d %b %H:%M}"


def week_rows(loaded: Loaded, start: datetime, end: datetime) -> list[tuple[str, list[Shift], Loaded]]:
    """A row for each layer by itself, the highest first, one for overrides if there are, and the result."""
    rows = []
    for number in reversed(range(len(loaded.plan.layers))):
        layer = loaded.plan.layers[number]
        alone = shifts(Plan((layer,), (), loaded.plan.country, loaded.plan.subdivision), start, end, loaded.absent)
        rows.append((layer.name or f"Layer {number + 1}", alone, loaded))
    if loaded.plan.overrides:
        covers = [Shift(one.user, one.start, one.end, None, True) for one in loaded.plan.overrides]
        rows.insert(0, ("Overrides", covers, loaded))
    if len(rows) == 1:
        rows = []
    return [*rows, ("On call", loaded.shifts(start, end), loaded)]


def listed(loaded: Loaded, start: datetime, end: datetime, now: datetime, reader: User) -> list[Line]:
    return [
        Line(
            loaded.people[one.user].display_name if one.user is not None else "Nobody",
            one.start, one.end, one.end - one.start, one.user == reader.pk, one.user is None,
            one.start <= now < one.end, one.override,
        )
        for one in joined(loaded.shifts(start, end))[:MOST_SHIFTS]
    ]  # fmt: skip


def joined(found: Iterable[Shift]) -> list[Shift]:
    """Shifts of one person one after the other as one, whatever layer they come from."""
    merged: list[Shift] = []
    for one in found:
        if merged and merged[-1].user == one.user:
            merged[-1] = Shift(one.user, merged[-1].start, one.end, one.layer, merged[-1].override or one.override)
        else:
            merged.append(one)
    return merged


def month_days(loaded: Loaded, first: date, now: datetime, reader: User, zone: tzinfo) -> list[list[Day]]:
    """The weeks of a month's calendar; each day with (from, who, kind) of the shifts in it."""
    begin = monday_of(first)
    following = (first.replace(day=28) + 4 * DAY).replace(day=1)
    weeks, today = [], now.astimezone(zone).date()
    found = joined(loaded.shifts(bounds(begin, zone), bounds(begin + 6 * WEEK, zone)))
    while begin < following:
        week = []
        for number in range(7):
            day = begin + number * DAY
            early, late = bounds(day, zone), bounds(day + DAY, zone)
            lines = [
                (
                    "" if one.start <= early else f"{one.start.astimezone(zone):%H:%M}",
                    loaded.people[one.user].display_name if one.user is not None else "nobody",
                    "gap" if one.user is None else "mine" if one.user == reader.pk else "other",
                )
                for one in found
                if one.start < late and one.end > early
            ]
            week.append(Day(day, day.month == first.month, day == today, lines))
        weeks.append(week)
        begin += WEEK
    return weeks


def own_shifts(reader: User, now: datetime) -> list[tuple[Schedule, Line]]:
    """The reader's shifts of the next four weeks over all schedules, the first first."""
    found = [
        (one.schedule, line)
        for one in load(Schedule.objects.order_by("name"), now, now + AHEAD)
        for line in listed(one, now, now + AHEAD, now, reader)
        if line.mine
    ]
    return sorted(found, key=lambda pair: pair[1].start)


def open_swaps(reader: User, now: datetime, schedule: Schedule | None = None) -> list[Swap]:
    """Swaps that wait for an answer or were agreed, and whose time is not over; those that wait for the reader first."""
    rows = Swap.objects.filter(end__gt=now, state__in=[Swap.State.ASKED, Swap.State.AGREED])
    if schedule is not None:
        rows = rows.filter(schedule=schedule)
    else:
        rows = rows.filter(Q(asker=reader) | Q(asked=reader) | Q(asked=None) | Q(answered_by=reader))
    found = list(rows.select_related("schedule", "asker", "asked", "answered_by")[:50])
    return sorted(found, key=lambda one: (one.state != "asked", one.asked_id != reader.pk, one.start))


def coming_overrides(schedule: Schedule, now: datetime) -> list[Override]:
    rows = Override.objects.filter(schedule=schedule, end__gt=now).select_related("user")
    return list(rows.order_by("start", "id")[:50])


def gaps(loaded: Loaded, now: datetime) -> list[Shift]:
    """When nobody is on call within the next four weeks."""
    return [one for one in loaded.shifts(now, now + AHEAD) if one.user is None][:20]


def staff() -> list[User]:
    return list(User.objects.filter(is_active=True).exclude(role=Role.PARTNER).order_by("first_name", "username"))


def layer_words(layer: Layer, schedule: Schedule) -> str:
    """A layer in one sentence."""
    days = layer.shift_length / DAY
    turn = "week" if days == 7 else "day" if days == 1 else wording.duration(layer.shift_length)
    zone = layer.time_zone or schedule.time_zone
    hand = layer.starts_at.astimezone(wording.zone(zone))
    at = f"{hand:%A} {hand:%H:%M}" if days % 7 == 0 else f"{hand:%H:%M}"
    words = (
        f"turns of a {turn}, hand-over {at} ({zone})"
        if turn in ("week", "day")
        else f"turns of {turn} since {hand:%d %b %Y %H:%M} ({zone})"
    )
    if layer.restrictions:
        words += "; only " + ", ".join(
            f"{' '.join(day.capitalize() for day in one.get('days', [])) or 'daily'} {one.get('from', '00:00')}–{one.get('to', '24:00')}"
            for one in layer.restrictions
        )
    if layer.holidays != USUAL:
        words += f"; {layer.get_holidays_display().lower()}"
    return words
