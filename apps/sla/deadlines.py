"""From a rule's `due` to a deadline: the anchor it hangs on, the time, and where it came from. Pure, no clock.

A deadline is a whole second and is met by an event within that very second. An anchor that is not known yet gives no
deadline; then the fallbacks under `else` are tried in order. The forms (docs/rules.md has examples of each):

date    a date of the document; with `end_of_day` (or `time`) its local day at that time
after   so long after an anchor: continuous, working hours, working days or calendar days
before  so long before an anchor
at      at a time of day on the anchor's day, or so many days later
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from apps.core.calendars import CalendarError, WorkingCalendar, instant, same_time
from apps.core.clock import whole_second
from apps.flows.states import FlowState
from apps.sla.durations import parse_days, parse_duration

END_OF_DAY = time(23, 59, 59)
CLOCKS = ("actual", "planned", "estimated", "sent", "received", "booked")
KINDS = ("continuous", "working_hours", "working_days", "calendar_days")


class RuleError(ValueError):
    """A rule that cannot be read: where in its spec, and what is expected there."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(f"{path}: {sentence}")
        self.path = path
        self.sentence = sentence


class Setting(NamedTuple):
    """Where a deadline is worked out. calendar None: every day and hour counts; calendar_name as people know it."""

    zone: ZoneInfo
    calendar: WorkingCalendar | None = None
    calendar_name: str = ""


class Due(NamedTuple):
    """A deadline before grace. origin: JSON-ready facts that `explaining` turns into a sentence and its steps."""

    at: datetime
    anchor: str
    anchor_at: datetime
    origin: dict[str, Any]


class Form(Protocol):
    """One way to a deadline."""

    @property
    def anchor(self) -> Anchor: ...

    def due(self, state: FlowState, setting: Setting) -> Due | None: ...


class Anchor(NamedTuple):
    """What a deadline hangs on: a milestone by one of its clocks (the first known), a document date, or the opening."""

    kind: str
    name: str
    clocks: tuple[str, ...] = ()

    def at(self, state: FlowState) -> tuple[datetime, str] | None:
        """(moment, clock it was told by); None while it is not known."""
        if self.kind == "milestone":
            milestone = state.milestones.get(self.name)
            if milestone is not None:
                for clock in self.clocks:
                    if (moment := getattr(milestone, clock)) is not None:
                        return moment, clock[:-3]
            return None
        if self.kind == "date":
            moment = state.dates.get(self.name)
            return None if moment is None else (moment, "document")
        return state.opened_at, "actual"


class TimeOfDay(NamedTuple):
    """A time on a local day: fixed, or the calendar's closing (end of day where it is closed), or the anchor's own."""

    kind: str
    at: time = END_OF_DAY

    def on(self, day: date, setting: Setting, anchor_local: datetime) -> datetime:
        if self.kind == "closing" and setting.calendar is not None:
            closing = setting.calendar.closing_of(day)
            if closing is not None:
                return closing
            return instant(day, END_OF_DAY, setting.zone)
        if self.kind == "same":
            return same_time(day, anchor_local.replace(microsecond=0), setting.zone)
        return instant(day, self.at, setting.zone)


def _counted(moment: datetime, cut_off: time | None, working: bool, setting: Setting) -> tuple[date, str]:
    """The local day an anchor counts as, and why it is another than its own ('' when it is its own).

    With a cut-off what comes on a closed day has missed the last open day's, so that nothing said later counts earlier.
    """
    local = moment.astimezone(setting.zone)
    day = local.date()
    late = cut_off is not None and local.time().replace(microsecond=0) > cut_off
    calendar = setting.calendar if working else None
    if calendar is None:
        return (day + timedelta(days=1), "cut_off") if late else (day, "")
    if not calendar.is_working_day(day):
        return calendar.add_working_days(day, 1), calendar.why_closed(day)
    return (calendar.add_working_days(day, 1), "cut_off") if late else (day, "")


def _add_days(day: date, count: int, by_working_days: bool, setting: Setting) -> date:
    if by_working_days and setting.calendar is not None:
        return setting.calendar.add_working_days(day, count)
    return day + timedelta(days=count)


@dataclass(frozen=True, slots=True)
class DateForm:
    """A date of the document (or a milestone's plan) itself, or a time on its local day."""

    anchor: Anchor
    time_of_day: TimeOfDay | None

    def due(self, state: FlowState, setting: Setting) -> Due | None:
        found = self.anchor.at(state)
        if found is None:
            return None
        moment, clock = found
        origin: dict[str, Any] = {"form": "date", "anchor": self.anchor[:2], "clock": clock, "at": moment}
        if self.time_of_day is None:
            at = moment.astimezone(UTC)
        else:
            local = moment.astimezone(setting.zone)
            at = self.time_of_day.on(local.date(), setting, local)
            origin["day"] = local.date()
            origin["time"] = self.time_of_day.kind
        return Due(whole_second(at), f"{self.anchor.kind}:{self.anchor.name}", moment, origin)


@dataclass(frozen=True, slots=True)
class SpanForm:
    """So long after (sign 1) or before (sign -1) an anchor, in elapsed time or in working hours."""

    anchor: Anchor
    sign: int
    duration: str
    span: timedelta
    working: bool
    cut_off: time | None

    def due(self, state: FlowState, setting: Setting) -> Due | None:
        found = self.anchor.at(state)
        if found is None:
            return None
        moment, clock = found
        origin: dict[str, Any] = {
            "form": "after" if self.sign > 0 else "before",
            "anchor": self.anchor[:2],
            "clock": clock,
            "at": moment,
            "duration": self.duration,
            "kind": "working_hours" if self.working else "continuous",
        }
        start = moment
        if self.cut_off is not None:
            counted, why = _counted(moment, self.cut_off, self.working, setting)
            if why:
                start = self._opening(counted, setting)
                origin.update(counted=counted, because=why, cut_off=f"{self.cut_off:%H:%M}", start=start)
        if self.working and setting.calendar is not None:
            at = setting.calendar.add_working_time(start, self.span * self.sign)
        else:
            at = (start + self.span * self.sign).astimezone(UTC)
        return Due(whole_second(at), f"{self.anchor.kind}:{self.anchor.name}", moment, origin)

    def _opening(self, day: date, setting: Setting) -> datetime:
        opening = setting.calendar.opening_of(day) if self.working and setting.calendar is not None else None
        return opening or instant(day, time(0), setting.zone)


@dataclass(frozen=True, slots=True)
class DaysForm:
    """The N-th working (or calendar) day after or before the anchor's day, at a time of that day.

    form: how the rule said it (`after`, `before`, `at`), for the sentence.
    """

    form: str
    anchor: Anchor
    count: int
    by_working_days: bool
    cut_off: time | None
    time_of_day: TimeOfDay

    def due(self, state: FlowState, setting: Setting) -> Due | None:
        found = self.anchor.at(state)
        if found is None:
            return None
        moment, clock = found
        counted, why = moment.astimezone(setting.zone).date(), ""
        if self.count == 0 or self.cut_off is not None:
            counted, why = _counted(moment, self.cut_off, self.by_working_days, setting)
        day = _add_days(counted, self.count, self.by_working_days, setting)
        at = self.time_of_day.on(day, setting, moment.astimezone(setting.zone))
        origin: dict[str, Any] = {
            "form": self.form,
            "anchor": self.anchor[:2],
            "clock": clock,
            "at": moment,
            "days": self.count,
            "kind": "working_days" if self.by_working_days and setting.calendar is not None else "calendar_days",
            "time": self.time_of_day.kind,
        }
        if why:
            origin.update(counted=counted, because=why)
            if self.cut_off is not None:
                origin["cut_off"] = f"{self.cut_off:%H:%M}"
        return Due(whole_second(at), f"{self.anchor.kind}:{self.anchor.name}", moment, origin)


def first_due(forms: tuple[Form, ...], state: FlowState, setting: Setting) -> Due | None:
    """The deadline of the first form whose anchor is known and whose calendar can answer."""
    for index, form in enumerate(forms):
        try:
            due = form.due(state, setting)
        except (CalendarError, OverflowError):
            continue  # a date such as 9999-12-31 means that nobody knows; the next form may
        if due is not None:
            if index:
                due.origin["instead_of"] = forms[0].anchor[:2]
            return due
    return None


# -- reading ------------------------------------------------------------------


def compile_due(spec: Mapping[str, Any], path: str = "due") -> tuple[Form, ...]:
    """The forms of a `due` in the order they are tried; RuleError names the place and what is expected."""
    forms: list[Form] = []
    _collect(spec, path, forms)
    return tuple(forms)


def _collect(spec: Mapping[str, Any], path: str, forms: list[Form]) -> None:
    if not isinstance(spec, Mapping):
        raise RuleError(path, "expected one of date, after, before, at")
    named = [name for name in _READERS if name in spec]
    if len(named) != 1:
        raise RuleError(path, "expected exactly one of date, after, before, at")
    reader = _READERS[named[0]]
    forms.append(reader(spec, f"{path}.{named[0]}"))
    otherwise = spec.get("else", ())
    for index, fallback in enumerate([otherwise] if isinstance(otherwise, Mapping) else otherwise):
        _collect(fallback, f"{path}.else[{index}]", forms)


def _read_date(spec: Mapping[str, Any], path: str) -> Form:
    if spec.get("end_of_day") and "time" in spec:
        raise RuleError(path, "say either end_of_day or time")
    when = "end_of_day" if spec.get("end_of_day") else spec.get("time")
    return DateForm(Anchor("date", str(spec["date"])), None if when is None else read_time_of_day(when, path))


def _read_after(spec: Mapping[str, Any], path: str) -> Form:
    return _read_span(spec["after"], path, 1, ("actual_at",))


def _read_before(spec: Mapping[str, Any], path: str) -> Form:
    return _read_span(spec["before"], path, -1, ("planned_at", "estimated_at"))


def _read_span(spec: Mapping[str, Any], path: str, sign: int, clocks: tuple[str, ...]) -> Form:
    anchor = _anchor(spec, path, clocks)
    kind = spec.get("kind", "continuous")
    if kind not in KINDS:
        raise RuleError(f"{path}.kind", f"{kind!r} is none of {', '.join(KINDS)}")
    text = spec.get("duration", "")
    cut_off = _cut_off(spec, path)
    try:
        if kind in ("working_days", "calendar_days"):
            when = read_time_of_day(spec.get("time", "end_of_day"), path)
            form = "after" if sign > 0 else "before"
            return DaysForm(form, anchor, sign * parse_days(text), kind == "working_days", cut_off, when)
        span = parse_duration(text)
    except ValueError as error:
        raise RuleError(f"{path}.duration", str(error)) from None
    if kind == "working_hours" and any(unit in text.split("T")[0] for unit in "WD"):
        raise RuleError(f"{path}.duration", f"{text} counts days; working hours are written like PT8H")
    return SpanForm(anchor, sign, text, span, kind == "working_hours", cut_off)


def _read_at(spec: Mapping[str, Any], path: str) -> Form:
    at = spec["at"]
    if not isinstance(at, Mapping) or "time" not in at or "day_of" not in at:
        raise RuleError(path, "expected a time and the day_of something")
    kind = at.get("kind", "working_days")
    if kind not in ("working_days", "calendar_days"):
        raise RuleError(f"{path}.kind", f"{kind!r} is neither working_days nor calendar_days")
    return DaysForm(
        form="at",
        anchor=_anchor(at["day_of"], f"{path}.day_of", ("actual_at",)),
        count=int(at.get("days", 0)),
        by_working_days=kind == "working_days",
        cut_off=_cut_off(at, path),
        time_of_day=read_time_of_day(at["time"], path),
    )


_READERS: dict[str, Callable[[Mapping[str, Any], str], Form]] = {
    "date": _read_date,
    "after": _read_after,
    "before": _read_before,
    "at": _read_at,
}


def _anchor(spec: Any, path: str, clocks: tuple[str, ...]) -> Anchor:
    if not isinstance(spec, Mapping) or len([n for n in ("milestone", "date", "opened") if n in spec]) != 1:
        raise RuleError(path, "expected exactly one of milestone, date, opened")
    if "date" in spec:
        return Anchor("date", str(spec["date"]))
    if "opened" in spec:
        return Anchor("opened", "")
    if clock := spec.get("clock"):
        if clock not in CLOCKS:
            raise RuleError(f"{path}.clock", f"{clock!r} is none of {', '.join(CLOCKS)}")
        clocks = (f"{clock}_at",)
    return Anchor("milestone", str(spec["milestone"]), clocks)


def _cut_off(spec: Mapping[str, Any], path: str) -> time | None:
    return read_time(spec["cut_off"], f"{path}.cut_off") if spec.get("cut_off") else None


def read_time(text: Any, path: str) -> time:
    """'14:00' or '23:59:59'."""
    try:
        if isinstance(text, str) and len(text) in (5, 8):
            return time.fromisoformat(text)
    except ValueError:
        pass
    raise RuleError(path, f"{text!r} is not a time of day; write it in quotes like '14:00'")


def read_time_of_day(text: Any, path: str) -> TimeOfDay:
    """A time, or one of the words end_of_day, closing, same."""
    if text in ("end_of_day", "closing", "same"):
        return TimeOfDay(text)
    return TimeOfDay("fixed", read_time(text, f"{path}.time"))
