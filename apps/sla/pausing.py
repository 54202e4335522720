"""What stops a clock, and where a deadline moves to because of it. Pure.

A flow's own pauses (on hold, waiting for stock, a change the customer asked for) are told by its events and stand in its
state; a rule names those that stop its clock. Maintenance stops the clocks of what it covers by itself.

How a deadline moves: a span of time by the time that stood still (working hours by the working time of it); a deadline at
the end of a day by the days between (working days on the rule's calendar). Maintenance moves spans alike, and anything
else only when it covers the very moment of the deadline: then to its end. What happens during a pause is in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from apps.core.calendars import CalendarError, same_time
from apps.core.clock import whole_second
from apps.flows.states import PAUSES, FlowState
from apps.sla.deadlines import Due, Setting

MAINTENANCE = "maintenance"
#: beyond this nobody plans: repeated windows are laid out no further
HORIZON = timedelta(days=60)


class Pause(NamedTuple):
    """A span in which a clock stood still. until None: it still does. label: for people."""

    kind: str
    label: str
    begin: datetime
    until: datetime | None


class Standstill(NamedTuple):
    """Planned maintenance. spans(start, end): when within these it stands still, in order."""

    planned_at: datetime
    reason: str
    fits: Callable[[int | None, int | None, str | None], bool]
    spans: Callable[[datetime, datetime], Sequence[tuple[datetime, datetime]]]


class Stopped(NamedTuple):
    """The deadline after its pauses. open: the pause that lasts, with nobody knowing how long."""

    at: datetime
    pauses: tuple[Pause, ...]
    open: Pause | None


def told(state: FlowState, kinds: frozenset[str]) -> list[Pause]:
    """The flow's own pauses of these kinds, as its events told them."""
    found = []
    for kind, label, begin, until in state.attributes.get(PAUSES, ()) if kinds else ():
        if kind in kinds:
            ended = datetime.fromisoformat(until) if until else None
            found.append(Pause(kind, label, datetime.fromisoformat(begin), ended))
    return found


def stop(
    due: Due,
    state: FlowState,
    setting: Setting,
    kinds: frozenset[str],
    standstills: Iterable[Standstill],
    ended_at: datetime | None,
) -> Stopped:
    """Where a deadline stands once its pauses count. ended_at: when the milestone came or the flow ended."""
    runs = due.origin["form"] in ("after", "at")
    start = due.anchor_at if runs else state.opened_at
    pauses = told(state, kinds) + planned(standstills, start, max(due.at, start) + HORIZON)
    counted: list[Pause] = []
    at, cursor = due.at, start
    for pause in sorted(pauses, key=lambda one: (one.begin, one.kind)):
        begin = max(pause.begin, cursor)
        if begin > at or (ended_at is not None and begin >= ended_at):
            continue
        until = pause.until
        if until is None:
            if ended_at is None:
                return Stopped(at, (*counted, pause._replace(begin=begin)), pause)
            until = ended_at
        if until <= begin:
            continue
        moved = _moved(at, begin, until, due, setting, pause.kind == MAINTENANCE)
        if moved is None:
            continue
        if ended_at is not None and begin <= ended_at <= until:
            moved = max(moved, whole_second(ended_at))
        at, cursor = moved, until
        counted.append(Pause(pause.kind, pause.label, begin, until))
    return Stopped(at, tuple(counted), None)


def planned(standstills: Iterable[Standstill], start: datetime, end: datetime) -> list[Pause]:
    return [
        Pause(MAINTENANCE, f"Maintenance: {one.reason}", begin, until)
        for one in standstills
        for begin, until in one.spans(start, end)
    ]


def _moved(
    at: datetime, begin: datetime, until: datetime, due: Due, setting: Setting, maintenance: bool
) -> datetime | None:
    """The deadline after one pause; None when this pause does not concern it."""
    origin = due.origin
    if "duration" not in origin and maintenance:
        return whole_second(until) if begin <= at < until else None
    try:
        if origin.get("kind") == "working_hours" and setting.calendar is not None:
            lost = setting.calendar.working_between(begin, until)
            return whole_second(setting.calendar.add_working_time(at, lost))
        if "days" in origin or "day" in origin:
            return _days_later(at, begin, until, origin.get("kind") == "working_days", setting)
    except (CalendarError, OverflowError):
        return None
    return whole_second(at + (until - begin))


def _days_later(at: datetime, begin: datetime, until: datetime, working: bool, setting: Setting) -> datetime:
    """The same local time so many days later as lie between the days of the pause."""
    first, last = begin.astimezone(setting.zone).date(), until.astimezone(setting.zone).date()
    local = at.astimezone(setting.zone)
    calendar = setting.calendar if working else None
    if calendar is None:
        day = local.date() + (last - first)
    else:
        count = sum(calendar.is_working_day(first + timedelta(days=n)) for n in range(1, (last - first).days + 1))
        day = calendar.add_working_days(local.date(), count)
    return same_time(day, local, setting.zone)
