"""Schedules of layers against an independent oracle: somebody who watches the clock on the wall, minute by minute."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.oncall.layers import (
    Layer,
    Plan,
    Restriction,
    RestrictionError,
    Shift,
    applies,
    person_at,
    read_restrictions,
    shifts,
    until,
)
from apps.oncall.turns import Cover, Rotation
from tests.oncall.test_rotation import CHANGES, ZONES

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ROTATIONS = 1_000
#: public holidays as the library tells them
FREE = {"": (), **{code: set(holidays.country_holidays(code, years=range(2024, 2028))) for code in ("DE", "US")}}
#: minutes watched of each: from before the clocks change till after it
WATCHED = 360


@dataclass
class Wall:
    """The clock of one zone as a person reads it: what it has shown, it has shown, even when it is set back."""

    zone: ZoneInfo
    latest: datetime

    def look(self, at: datetime) -> None:
        self.latest = max(self.latest, at.astimezone(self.zone).replace(tzinfo=None, fold=0))


def oracle(plan: Plan, walls: dict[str, Wall], at: datetime, absent: set[int]) -> int | None:
    """Slow and plain: reads the walls only, and knows nothing of hand-overs, edges or spans."""
    best: tuple[datetime, int, int] | None = None
    for order, cover in enumerate(plan.overrides):
        if cover.user not in absent and cover.start <= at and at < cover.end:
            key = (cover.start, order, cover.user)
            best = key if best is None or key > best else best
    if best is not None:
        return best[2]
    for layer in plan.layers[::-1]:
        here = walls[layer.rotation.zone].latest
        if (layer.active_from and at < layer.active_from) or (layer.active_until and at >= layer.active_until):
            continue
        if not _in_hours(plan, layer, here):
            continue
        first = layer.rotation.starts_at.astimezone(ZoneInfo(layer.rotation.zone)).replace(tzinfo=None, fold=0)
        turn = (here - first) // layer.rotation.shift
        for step in range(len(layer.rotation.members)):
            member = layer.rotation.members[(turn + step) % len(layer.rotation.members)]
            if member not in absent:
                return member
    return None


def _in_hours(plan: Plan, layer: Layer, here: datetime) -> bool:
    free = FREE[plan.country]
    hours = layer.restrictions or (Restriction(frozenset(range(7)), 0, 1440),)
    for back in (0, 1):
        day = here.date() - back * DAY
        if (layer.holidays == "only" and day not in free) or (layer.holidays == "never" and day in free):
            continue
        for one in hours:
            last = one.last if one.last > one.first else one.last + 1440
            minute = (here - datetime.combine(day, time())) / MINUTE
            if day.weekday() in one.days and one.first <= minute < last:
                return True
    return False


def a_plan(dice: random.Random, zone: str, around: datetime) -> Plan:
    layers = []
    for _ in range(dice.choice((1, 1, 2, 3))):
        shift = dice.choice((12 * HOUR, DAY, 7 * DAY, 8 * HOUR, 14 * DAY, dice.randrange(10, 3000) * MINUTE))
        starts = around + dice.randrange(-60 * 24 * 60, 20 * 24 * 60) * MINUTE
        if dice.random() < 0.5:  # a hand-over at a full hour of the wall, near the one the clocks jump over
            local = starts.astimezone(ZoneInfo(zone))
            starts = local.replace(hour=dice.choice((0, 1, 2, 3, 9, 18)), minute=0, second=0, microsecond=0, fold=0)
        hours = tuple(
            Restriction(
                frozenset(dice.sample(range(7), dice.randrange(1, 8))),
                dice.choice((0, 60, 120, 150, 180, 22 * 60, dice.randrange(1440))),
                dice.choice((120, 150, 180, 360, 1440, dice.randrange(1, 1441))),
            )
            for _ in range(dice.choice((0, 0, 1, 2)))
        )
        layers.append(
            Layer(
                Rotation(
                    tuple(dice.sample(range(10), dice.randrange(1, 6))), dice.choice((zone, zone, "UTC")), starts, shift
                ),
                hours,
                dice.choice(("usual", "usual", "usual", "never", "only")),
                active_from=dice.choice((None, None, around + dice.randrange(-400, 400) * MINUTE)),
                active_until=dice.choice((None, None, around + dice.randrange(-200, 900) * MINUTE)),
            )
        )
    overrides = []
    for _ in range(dice.choice((0, 0, 1, 2, 3))):
        start = around + dice.randrange(-600, 600) * MINUTE
        overrides.append(Cover(dice.randrange(10, 14), start, start + dice.randrange(1, 900) * MINUTE))
    return Plan(tuple(layers), tuple(overrides), dice.choice(("", "DE", "US")))


def test_a_thousand_random_schedules_over_the_change_of_clocks_say_the_same_for_every_minute() -> None:
    dice = random.Random(20_261_123)
    minutes = gaps = covered = 0
    for _ in range(ROTATIONS):
        zone = dice.choice(ZONES)
        change = dice.choice(CHANGES[zone]) if CHANGES[zone] else datetime(2026, 3, 29, tzinfo=UTC)
        start = change - dice.randrange(0, WATCHED) * MINUTE
        plan = a_plan(dice, zone, change)
        absent = set(dice.sample(range(14), dice.choice((0, 0, 1, 4))))
        laid_out = shifts(plan, start, start + WATCHED * MINUTE, absent)
        watch = iter(laid_out)
        shift = next(watch)
        # the wall is watched from two days before, so that it has shown what it showed
        walls = {name: Wall(ZoneInfo(name), datetime.min) for name in {zone, "UTC"}}
        for wall in walls.values():
            for hours in range(-3 * 60, 0, 10):
                wall.look(start + hours * MINUTE)
        probes = set(dice.sample(range(WATCHED), 4))
        for minute in range(WATCHED):
            at = start + minute * MINUTE
            for wall in walls.values():
                wall.look(at)
            if at >= shift.end:
                shift = next(watch)
            expected = oracle(plan, walls, at, absent)
            assert shift.user == expected, (zone, at, plan, absent)
            if minute in probes:
                assert person_at(plan, at, absent).user == expected, (zone, at, plan, absent)
            minutes += 1
            gaps += expected is None
            covered += expected is not None and expected >= 10
    assert minutes == ROTATIONS * WATCHED
    # the dice threw what they should: gaps, overrides and turns, none of them rarely
    assert gaps > minutes / 50
    assert covered > minutes / 50


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Apia"])
def test_the_same_over_a_whole_year_of_weeks_and_nights(zone: str) -> None:
    """Every hour of a year, for a usual setting: a week's turn, another at night, a third on holidays."""
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    nine = datetime(2026, 1, 5, 9, tzinfo=ZoneInfo(zone))
    plan = Plan(
        (
            Layer(Rotation((1, 2, 3), zone, nine, 7 * DAY)),
            Layer(Rotation((4, 5), zone, nine.replace(hour=22), DAY), (Restriction(frozenset(range(5)), 1320, 360),)),
            Layer(Rotation((6,), zone, nine, DAY), (), "only"),
        ),
        (),
        "DE",
    )
    walls = {zone: Wall(ZoneInfo(zone), datetime.min)}
    laid_out = shifts(plan, start, start + 365 * DAY)
    found = iter(laid_out)
    shift = next(found)
    for step in range(365 * 24 * 2):
        at = start + step * 30 * MINUTE
        walls[zone].look(at)
        while at >= shift.end:
            shift = next(found)
        assert shift.user == oracle(plan, walls, at, set()), at


def whole(found: list[Shift], start: datetime, end: datetime) -> None:
    assert found[0].start == start
    assert found[-1].end == end
    assert all(one.end == other.start for one, other in pairwise(found))
    assert all(one.start < one.end for one in found)
    assert all(
        (one.user, one.layer, one.override) != (other.user, other.layer, other.override)
        for one, other in pairwise(found)
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), hours=st.integers(1, 24 * 20), into=st.integers(0, 10**6))
def test_shifts_cover_the_span_without_a_hole_and_say_what_each_moment_says(seed: int, hours: int, into: int) -> None:
    dice = random.Random(seed)
    start = datetime(2026, 3, 20, tzinfo=UTC) + dice.randrange(5000) * MINUTE
    plan, end = a_plan(dice, dice.choice(ZONES), start + 30 * HOUR), start + hours * HOUR
    found = shifts(plan, start, end)
    whole(found, start, end)
    at = start + (into % (hours * 3600)) * timedelta(seconds=1)
    [here] = [one for one in found if one.start <= at < one.end]
    assert person_at(plan, at).user == here.user
    ends = until(plan, at)
    assert ends > at
    assert person_at(plan, ends - timedelta(seconds=1)).user == here.user
    assert ends >= at + 14 * DAY or person_at(plan, ends).user != here.user


def test_nights_and_weekends_above_a_week_and_the_gap_that_is_left() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    monday = datetime(2026, 6, 1, 8, tzinfo=berlin)
    day = Layer(Rotation((1,), "Europe/Berlin", monday, 7 * DAY), read_restrictions([{"from": "08:00", "to": "18:00"}]))
    night = Layer(
        Rotation((2,), "Europe/Berlin", monday, 7 * DAY),
        read_restrictions([{"days": ["mon", "tue", "wed", "thu"], "from": "20:00", "to": "08:00"}]),
    )
    found = [
        (one.user, one.start.astimezone(berlin).strftime("%a %H:%M"))
        for one in shifts(Plan((day, night)), monday, monday + DAY)
    ]
    assert found == [(1, "Mon 08:00"), (None, "Mon 18:00"), (2, "Mon 20:00")]
    friday = shifts(Plan((day, night)), monday + 4 * DAY, monday + 5 * DAY)
    assert [one.user for one in friday] == [1, None]


def test_a_holiday_layer_counts_the_day_its_hours_begin_on() -> None:
    zone = "Europe/Berlin"
    start = datetime(2026, 12, 24, tzinfo=ZoneInfo(zone))
    usual = Layer(Rotation((1,), zone, start, 7 * DAY))
    feast = Layer(Rotation((2,), zone, start, 7 * DAY), read_restrictions([{"from": "22:00", "to": "06:00"}]), "only")
    found = shifts(Plan((usual, feast), (), "DE"), start, start + 5 * DAY)
    assert [(one.user, f"{one.start.astimezone(ZoneInfo(zone)):%d %H}") for one in found] == [
        (1, "24 00"), (2, "25 22"), (1, "26 06"), (2, "26 22"), (1, "27 06"),
    ]  # fmt: skip
    without = shifts(Plan((usual, feast)), start, start + 5 * DAY)
    assert [one.user for one in without] == [1]


def test_a_layer_without_anybody_who_can_be_called_lets_the_one_below_answer() -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    plan = Plan((Layer(Rotation((1,), "UTC", at, DAY)), Layer(Rotation((2, 3), "UTC", at, DAY))))
    assert person_at(plan, at).user == 2
    assert person_at(plan, at, {2}).user == 3
    assert person_at(plan, at, {2, 3}).user == 1
    assert person_at(plan, at, {1, 2, 3}).user is None
    assert applies(plan, replace(plan.layers[0], active_until=at), at) is False


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nights", "a list"),
        ([{"days": ["monday"], "from": "22:00"}], "not 'monday'"),
        ([{"from": "25:00"}], "time of day"),
        ([{"from": "24:00"}], "before 24:00"),
        ([{"start": "22:00"}], "days, from and to"),
        (["22:00"], "days, from and to"),
        ([{"days": "mon"}], "not 'mon'"),
        ([{"from": 22}], "time of day"),
    ],
)
def test_hours_that_make_no_sense_are_refused_in_words(value: object, words: str) -> None:
    with pytest.raises(RestrictionError, match=words):
        read_restrictions(value)
