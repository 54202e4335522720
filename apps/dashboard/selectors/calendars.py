"""What the pages of calendars show: the list, a year as a picture, and the days that are not as usual."""

from __future__ import annotations

import calendar as months
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from apps.core.calendar_specs import holidays_of
from apps.core.calendars import WEEKDAYS, CalendarError, WorkingCalendar
from apps.dashboard.calendar_form import hours_text
from apps.integrations.models import Calendar, Partner
from apps.sla.library import load as load_library
from apps.sla.models import SlaRule

DAY_NAMES = dict(zip(WEEKDAYS, ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), strict=True))
#: kind of day -> (what it is called, its sign in the picture)
KINDS = {
    "work": ("working day", ""),
    "closed": ("closed as every week", ""),
    "holiday": ("public holiday", "●"),
    "changed": ("exception: other hours", "◆"),
    "shut": ("exception: closed", "✕"),
}
SEASONS = {"peak": ("peak", "▲"), "freeze": ("change freeze", "❄")}


@dataclass(frozen=True, slots=True)
class Line:
    """One calendar in the list. used: how many partners and rules work by it."""

    calendar: Calendar
    hours: str
    holidays: str
    partners: int
    rules: int
    season: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One day. kind: of `KINDS`; season: of `SEASONS` or ''; title: all of it in words."""

    day: date
    kind: str
    season: str
    title: str
    today: bool

    @property
    def sign(self) -> str:
        return KINDS[self.kind][1]

    @property
    def season_sign(self) -> str:
        return SEASONS[self.season][1] if self.season else ""


@dataclass(frozen=True, slots=True)
class Month:
    """weeks: of seven places each, None outside the month."""

    name: str
    weeks: list[list[Cell | None]]
    working: int


@dataclass(frozen=True, slots=True)
class Year:
    """special: the days that are not as usual, in words, days in a row together."""

    number: int
    months: list[Month]
    working: int
    special: list[tuple[str, str, str]]
    next_closed: str


def listed(now: datetime) -> list[Line]:
    partners = Counter(Partner.objects.exclude(calendar="").values_list("calendar", flat=True))
    named: Counter[str] = Counter()
    for spec in SlaRule.objects.order_by("slug", "-version").distinct("slug").values_list("spec", flat=True):
        named[str(spec.get("calendar") or "none")] += 1
    found = []
    for one in Calendar.objects.order_by("slug", "-version").distinct("slug"):
        country = " ".join(part for part in (one.spec.get("country"), one.spec.get("subdivision")) if part)
        found.append(
            Line(one, week_in_words(one.spec), country, partners[one.slug], named[one.slug], _season(one.spec, now))
        )
    return found


def _season(spec: Mapping[str, Any], now: datetime) -> str:
    try:
        period = WorkingCalendar.from_spec(spec).period_of(now.date())
    except CalendarError:
        return "cannot be read"
    return f"{SEASONS[period.kind][0]} until {period.last:%d %b %Y}" if period else ""


def week_in_words(spec: Mapping[str, Any]) -> str:
    """'Mon-Fri 08:00-17:00, Sat 08:00-12:00'; days with the same hours in a row together."""
    weekly = spec.get("weekly") or {}
    runs: list[list[str]] = []
    for day in WEEKDAYS:
        hours = hours_text(weekly.get(day) or ())
        if runs and runs[-1][2] == hours:
            runs[-1][1] = day
        else:
            runs.append([day, day, hours])
    parts = [
        f"{DAY_NAMES[first]}{'' if first == last else '–' + DAY_NAMES[last]} {hours}"
        for first, last, hours in runs
        if hours
    ]
    return "; ".join(parts) or "never open"


def year(spec: Mapping[str, Any], number: int, today: date) -> Year:
    """A year of the calendar. Raises CalendarError."""
    calendar = WorkingCalendar.from_spec(spec)
    cells = {}
    day = date(number, 1, 1)
    while day.year == number:
        cells[day] = _cell(calendar, day, today)
        day += timedelta(days=1)
    shown = []
    for month in range(1, 13):
        weeks = [
            [cells.get(day) if day.month == month else None for day in week]
            for week in months.Calendar().monthdatescalendar(number, month)
        ]
        working = sum(calendar.is_working_day(day) for day in cells if day.month == month)
        shown.append(Month(date(number, month, 1).strftime("%B"), weeks, working))
    return Year(
        number, shown, sum(month.working for month in shown), _special(calendar, cells), _next_closed(calendar, today)
    )


def _cell(calendar: WorkingCalendar, day: date, today: date) -> Cell:
    shifts = calendar.shifts_of(day)
    exception = next((one for one in reversed(calendar.exceptions) if one.first <= day <= one.last), None)
    holiday = holidays_of(calendar.country, calendar.subdivision, day.year).get(day) if calendar.country else None
    if exception is not None:
        kind, why = ("changed" if shifts else "shut"), exception.name
    elif holiday:
        kind, why = ("work" if shifts else "holiday"), holiday
    else:
        kind, why = ("work" if shifts else "closed"), ""
    period = calendar.period_of(day)
    words = [f"{day:%a} {day.day} {day:%b}", KINDS[kind][0], why, clock_text(shifts)]
    if period is not None:
        words.append(f"{SEASONS[period.kind][0]}{' ' + period.name if period.name else ''}")
    return Cell(day, kind, period.kind if period else "", ", ".join(word for word in words if word), day == today)


def clock_text(shifts: tuple[tuple[int, int], ...]) -> str:
    def clock(minutes: int) -> str:
        minutes = minutes if minutes <= 24 * 60 else minutes - 24 * 60
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    return ", ".join(f"{clock(start)}–{clock(end)}" for start, end in shifts)


def _special(calendar: WorkingCalendar, cells: Mapping[date, Cell]) -> list[tuple[str, str, str]]:
    """(days, sign and kind, why) of what is not as usual; days in a row with the same reason in one line."""
    runs: list[tuple[date, date, str, str]] = []
    for day, cell in cells.items():
        if cell.kind not in ("holiday", "changed", "shut"):
            continue
        why = cell.title.partition(f"{KINDS[cell.kind][0]}")[2].lstrip(", ")
        if cell.season:
            why = why.rpartition(f"{SEASONS[cell.season][0]}")[0].rstrip(", ")
        if runs and runs[-1][1] == day - timedelta(days=1) and runs[-1][2:] == (cell.kind, why):
            runs[-1] = (runs[-1][0], day, cell.kind, why)
        else:
            runs.append((day, day, cell.kind, why))
    found = [(first, _days(first, last), f"{KINDS[kind][1]} {KINDS[kind][0]}", why) for first, last, kind, why in runs]
    for period in calendar.periods:
        if period.first.year <= next(iter(cells)).year <= period.last.year:
            name, sign = SEASONS[period.kind]
            hours = "with hours of its own" if period.weekly is not None else ""
            told = ", ".join(part for part in (period.name, hours) if part)
            found.append((period.first, _days(period.first, period.last), f"{sign} {name}", told))
    return [line[1:] for line in sorted(found)]


def _days(first: date, last: date) -> str:
    if first == last:
        return f"{first:%a} {first.day} {first:%b}"
    return f"{first.day} {first:%b} – {last.day} {last:%b}" + ("" if first.year == last.year else f" {last.year}")


def _next_closed(calendar: WorkingCalendar, today: date) -> str:
    """The next weekday on which it is closed although it is usually open."""
    for n in range(1, 200):
        day = today + timedelta(days=n)
        if calendar.weekly[day.weekday()] and not calendar.shifts_of(day):
            return f"{day:%a} {day.day} {day:%b} ({calendar.why_closed(day)})"
    return ""


def versions(slug: str) -> list[Calendar]:
    return list(Calendar.objects.filter(slug=slug).order_by("-version"))


def freezes(now: datetime) -> list[str]:
    """Change freezes of today, in words: 'Christmas until 2 Jan (calendar France)'."""
    found = []
    for row in load_library(now).book.calendars_in_use():
        period = row[1].period_of(now.astimezone(row[1].zone).date(), "freeze")
        if period is not None:
            found.append(
                f"{period.name or 'Change freeze'} until {period.last.day} {period.last:%b} (calendar {row[0]})"
            )
    return found


def users_of(slug: str) -> tuple[list[str], list[str]]:
    """Names of partners and rules that work by it."""
    partners = list(Partner.objects.filter(calendar=slug).order_by("name").values_list("name", flat=True))
    rules = SlaRule.objects.filter(spec__calendar=slug).order_by("slug", "-version").distinct("slug")
    return partners, [rule.name for rule in rules]
