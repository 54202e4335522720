"""When and by what one person hears, as pure functions: properties over hours, zones and the changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.incidents.models import Severity
from apps.notifications.pacing import PACE, free_at
from apps.notifications.preferences import (
    How,
    Preferences,
    Rule,
    When,
    decide,
    default,
    next_time,
    quiet_ends,
    read_rules,
    write_rules,
)

ZONES = [
    ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
]
moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))
times = st.times().map(lambda one: one.replace(second=0, microsecond=0))
rules = st.dictionaries(
    st.tuples(st.sampled_from(Severity.values), st.sampled_from([when.value for when in When])),
    st.builds(Rule, st.sampled_from(list(How)), st.lists(st.sampled_from(["email", "m1"]), min_size=1).map(tuple)),
)
people = st.builds(Preferences, st.sampled_from(ZONES), times, times, times, rules)


@given(people, st.sampled_from(Severity.values), moments)
def test_what_is_held_comes_within_a_day_and_what_is_critical_is_never_held(
    person: Preferences, severity: str, now: datetime
) -> None:
    decision = decide(person, severity, now)
    assert decision.by
    if severity == Severity.CRITICAL:
        assert (decision.how, decision.held_until) == (How.NOW, None)
    if decision.held_until is not None:
        assert now < decision.held_until <= now + timedelta(hours=25)
        assert decision.how in (How.LATER, How.DIGEST)


@given(st.sampled_from(ZONES), times, moments)
def test_the_next_time_shows_that_time_on_the_clock(zone: Any, of_day: time, now: datetime) -> None:
    moment = next_time(of_day, zone, now)
    assert now < moment <= now + timedelta(hours=25)
    shown = moment.astimezone(zone).time()
    if shown != of_day:  # skipped that night: the moment of the change
        before = (moment - timedelta(minutes=1)).astimezone(zone)
        assert before.utcoffset() != moment.astimezone(zone).utcoffset()
        assert before.time() < of_day < shown


@given(people, moments)
def test_quiet_is_what_the_clock_says(person: Preferences, now: datetime) -> None:
    """Against the plain reading of the wall clock, away from nights in which it changes."""
    around = [(now + timedelta(hours=h)).astimezone(person.zone).utcoffset() for h in range(-26, 27)]
    if len(set(around)) > 1:
        return
    begin, end, at = person.quiet_from, person.quiet_until, now.astimezone(person.zone).time()
    assert begin is not None
    assert end is not None
    quiet = begin <= at < end if begin < end else begin != end and (at >= begin or at < end)
    assert (quiet_ends(person, now) is not None) is quiet


@pytest.mark.parametrize(
    ("now", "of_day", "expected"),
    [
        ("2026-03-28T23:00:00+00:00", "02:30", "2026-03-29T01:00:00+00:00"),  # skipped: at the change
        ("2026-10-24T23:00:00+00:00", "02:30", "2026-10-25T00:30:00+00:00"),  # twice: the first
        ("2026-10-25T00:30:00+00:00", "02:30", "2026-10-26T01:30:00+00:00"),
        ("2026-06-01T06:00:00+00:00", "08:00", "2026-06-02T06:00:00+00:00"),
    ],
)
def test_when_clocks_change(now: str, of_day: str, expected: str) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert next_time(time.fromisoformat(of_day), berlin, datetime.fromisoformat(now)) == datetime.fromisoformat(
        expected
    )


@given(rules)
def test_choices_survive_being_kept(chosen: dict[tuple[str, str], Rule]) -> None:
    assert read_rules(write_rules(chosen)) == chosen


@given(st.recursive(st.none() | st.text() | st.integers(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_nonsense_means_the_default(stored: Any) -> None:
    read_rules(stored if isinstance(stored, dict) else {"high": stored})
    assert Preferences(rules=read_rules({"high": {"day": stored}})).rule("high", "day").by


def test_a_new_person_hears_everything_at_once_and_low_ones_in_the_morning() -> None:
    assert [default(severity).how for severity in Severity.values] == [How.NOW, How.NOW, How.NOW, How.DIGEST]


@given(st.lists(st.integers(0, 3_600), max_size=200), st.integers(0, 90))
def test_the_throttle_sends_once_at_once_then_at_most_every_two_minutes_and_loses_nothing(
    arrivals: list[int], slow: int
) -> None:
    """News arrives at any seconds; each send takes up to `slow` seconds and carries all that has gathered."""
    start = datetime(2026, 3, 2, tzinfo=UTC)
    waiting = sorted(arrivals)
    sent: list[tuple[datetime, int]] = []
    last: datetime | None = None
    under_way: datetime | None = None
    for second in range(0, 3_600 + 600):
        now = start + timedelta(seconds=second)
        if under_way is not None and now >= under_way:
            last, under_way = under_way, None
        due = [one for one in waiting if one <= second]
        if due and free_at(now, last, under_way) <= now:
            waiting = waiting[len(due) :]
            sent.append((now, len(due)))
            under_way = now + timedelta(seconds=slow)
            if not slow:
                last, under_way = now, None
    assert sum(count for _at, count in sent) == len(arrivals)
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(sent)]
    assert all(gap >= PACE for gap in gaps)
    if arrivals:
        assert sent[0][0] == start + timedelta(seconds=min(arrivals))
        assert len(sent) <= 1 + (max(arrivals) - min(arrivals) + slow) // 120 + 1
