"""A schedule: rotations over each other, each perhaps only at certain hours, and overrides on top. Pure.

From above: an override that runs decides; else the highest layer that applies at this moment and has somebody who can
be called; else nobody, which is a gap. `person_at` asks for a moment, `shifts` lays out a span, gaps included.

Hours of a layer are on its wall clock, like its hand-overs: an edge whose wall time is skipped lies at the moment of
the change, one whose wall time comes twice at the first of the two. Hours that run over midnight belong to the day
they begin on, and so does a holiday.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apps.core.calendar_specs import WEEKDAYS, CalendarError, holidays_of, minutes_of
from apps.oncall.turns import Cover, Rotation, handover, moment_of, turn_at, wall_of

DAY = timedelta(days=1)
USUAL, NEVER, ONLY = "usual", "never", "only"
#: turns shorter than this are refused: a span of them could not be laid out
SHORTEST_TURN = timedelta(minutes=10)


class RestrictionError(ValueError):
    """Hours that make no sense; the message says what is expected."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """On these weekdays (0 is Monday) from minute `first` of the day to minute `last`; last <= first: of the next day."""

    days: frozenset[int]
    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first if self.last > self.first else self.last - self.first + 24 * 60


@dataclass(frozen=True, slots=True)
class Layer:
    """A rotation that applies at certain hours. restrictions (): around the clock. holidays: USUAL, NEVER (not on a
    public holiday) or ONLY (on nothing else). active_from, active_until: outside of them it does not apply."""

    rotation: Rotation
    restrictions: tuple[Restriction, ...] = ()
    holidays: str = USUAL
    name: str = ""
    active_from: datetime | None = None
    active_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """layers: the highest last. country, subdivision: whose public holidays count ("" for none)."""

    layers: tuple[Layer, ...] = ()
    overrides: tuple[Cover, ...] = ()
    country: str = ""
    subdivision: str = ""


@dataclass(frozen=True, slots=True)
class Shift:
    """user None: a gap. layer: number of the layer in the plan, None for an override or a gap."""

    user: int | None
    start: datetime
    end: datetime
    layer: int | None = None
    override: bool = False


def read_restrictions(value: Any) -> tuple[Restriction, ...]:
    """From [{"days": ["mon", "fri"], "from": "22:00", "to": "06:00"}]; days may be left out. Raises RestrictionError."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise RestrictionError("Hours are a list such as [{days: [mon, tue], from: '22:00', to: '06:00'}].")
    return tuple(_restriction(one) for one in value)


def _restriction(value: Any) -> Restriction:
    if not isinstance(value, dict) or not set(value) <= {"days", "from", "to"}:
        raise RestrictionError("Each entry of the hours has days, from and to, and nothing else.")
    days = value.get("days") or list(WEEKDAYS)
    if not isinstance(days, list) or (unknown := [day for day in days if day not in WEEKDAYS]):
        raise RestrictionError(
            f"Days are {', '.join(WEEKDAYS)}, not {unknown[0] if isinstance(days, list) else days!r}."
        )
    try:
        first, last = minutes_of(value.get("from", "00:00")), minutes_of(value.get("to", "24:00"))
    except CalendarError as error:
        raise RestrictionError(f"Hours: {error}.") from None
    if first == 24 * 60:
        raise RestrictionError("Hours begin before 24:00.")
    return Restriction(frozenset(WEEKDAYS.index(day) for day in days), first, last)


def person_at(plan: Plan, at: datetime, absent: Collection[int] = frozenset()) -> Shift:
    """Who is on call at `at`, as a shift of this very moment (start and end are `at`); see `shifts` for until when."""
    covering = [cover for cover in plan.overrides if cover.start <= at < cover.end and cover.user not in absent]
    if covering:
        latest = max(cover.start for cover in covering)
        user = [cover for cover in covering if cover.start == latest][-1].user
        return Shift(user, at, at, override=True)
    for number in reversed(range(len(plan.layers))):
        layer = plan.layers[number]
        if applies(plan, layer, at) and (present := _in_turn(layer.rotation, at, absent)) is not None:
            return Shift(present, at, at, number)
    return Shift(None, at, at)


def _in_turn(rotation: Rotation, at: datetime, absent: Collection[int]) -> int | None:
    """The member whose turn it is; the next in turn stands in for who is absent."""
    if not rotation.members:
        return None
    turn, n = turn_at(rotation, at), len(rotation.members)
    in_turn = (rotation.members[(turn + step) % n] for step in range(n))
    return next((member for member in in_turn if member not in absent), None)


def applies(plan: Plan, layer: Layer, at: datetime) -> bool:
    if layer.active_from is not None and at < layer.active_from:
        return False
    if layer.active_until is not None and at >= layer.active_until:
        return False
    if not layer.restrictions and layer.holidays == USUAL:
        return True
    return any(start <= at < end for start, end in _hours(plan, layer, at, at))


def _hours(plan: Plan, layer: Layer, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The spans in which the hours of a restricted layer run, around [start, end]."""
    zone = ZoneInfo(layer.rotation.zone)
    restrictions = layer.restrictions or (Restriction(frozenset(range(7)), 0, 24 * 60),)
    day = wall_of(start, zone).date() - 2 * DAY
    final = wall_of(end, zone).date() + DAY
    while day <= final:
        if _counts(plan, layer, day):
            midnight = datetime.combine(day, time())
            for one in restrictions:
                if day.weekday() in one.days:
                    first = midnight + timedelta(minutes=one.first)
                    yield moment_of(first, zone), moment_of(first + timedelta(minutes=one.length), zone)
        day += DAY


def _counts(plan: Plan, layer: Layer, day: date) -> bool:
    if layer.holidays == USUAL:
        return True
    holiday = bool(plan.country) and day in holidays_of(plan.country, plan.subdivision, day.year)
    return holiday is (layer.holidays == ONLY)


def shifts(plan: Plan, start: datetime, end: datetime, absent: Collection[int] = frozenset()) -> list[Shift]:
    """Who is on call from `start` to `end`, without a hole: gaps are shifts of nobody. Neighbours differ."""
    edges = sorted({start, *(at for at in _edges(plan, start, end) if start < at < end)})
    found: list[Shift] = []
    for at, until in zip(edges, [*edges[1:], end], strict=True):
        here = person_at(plan, at, absent)
        if found and (found[-1].user, found[-1].layer, found[-1].override) == (here.user, here.layer, here.override):
            found[-1] = Shift(here.user, found[-1].start, until, here.layer, here.override)
        else:
            found.append(Shift(here.user, at, until, here.layer, here.override))
    return found


def _edges(plan: Plan, start: datetime, end: datetime) -> Iterator[datetime]:
    """Every moment in the span at which the answer can change, and some more."""
    for cover in plan.overrides:
        yield from (cover.start, cover.end)
    for layer in plan.layers:
        yield from (at for at in (layer.active_from, layer.active_until) if at is not None)
        turn = turn_at(layer.rotation, start)
        while layer.rotation.members and (begins := handover(layer.rotation, turn)) < end:
            yield begins
            turn += 1
        if layer.restrictions or layer.holidays != USUAL:
            for hours in _hours(plan, layer, start, end):
                yield from hours


def until(plan: Plan, at: datetime, absent: Collection[int] = frozenset(), horizon: timedelta = 14 * DAY) -> datetime:
    """When whoever is on call at `at` (or the gap) ends; `at` + horizon when it lasts longer than that."""
    user = person_at(plan, at, absent).user
    step = at
    for reach in (DAY, horizon):
        for shift in shifts(plan, step, at + reach, absent):
            if shift.user != user:
                return shift.start
        step = at + reach
    return (at + horizon).astimezone(UTC)
