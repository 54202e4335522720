"""Burn rates: what is asked for is possible, small numbers prove nothing, and the short window ends it."""

from __future__ import annotations

from datetime import timedelta
from math import comb

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.reports.burning import WINDOWS, Burn, Tally, Window, ceiling, chance, factor, judge, judge_all, told

MONTH = timedelta(days=30)
TARGETS = st.floats(0.5, 0.9999)
PERIODS = st.integers(4, 400).map(lambda days: timedelta(days=days))


@given(TARGETS, PERIODS, st.sampled_from(WINDOWS))
def test_every_factor_can_be_reached(target: float, period: timedelta, window: Window) -> None:
    """Everything missed in both windows always fires, once there are enough promises to tell."""
    assert factor(window, period, target) <= 0.5 * ceiling(target)
    all_missed = Tally(0, 500)
    assert judge(window, all_missed, all_missed, target, period).fires


def test_at_90_percent_14_times_is_never_asked_for() -> None:
    assert ceiling(0.9) == pytest.approx(10)
    assert [round(factor(window, MONTH, 0.9), 2) for window in WINDOWS] == [5, 5, 1]
    assert [round(factor(window, MONTH, 0.999), 2) for window in WINDOWS] == [14.4, 6, 1]
    assert [round(factor(window, MONTH, 0.95), 2) for window in WINDOWS] == [10, 6, 1]
    assert judge(WINDOWS[0], Tally(40, 60), Tally(4, 6), 0.9, MONTH).fires


@given(st.integers(1, 60), st.integers(0, 60), TARGETS)
def test_the_tail_is_the_binomial_one(judged: int, missed: int, target: float) -> None:
    assume(missed <= judged)
    bad = 1 - target
    slow = sum(comb(judged, k) * bad**k * target ** (judged - k) for k in range(missed, judged + 1))
    assert chance(judged, missed, target) == pytest.approx(slow, rel=1e-6, abs=1e-12)


@given(st.integers(0, 300), st.integers(0, 4), TARGETS, PERIODS, st.sampled_from(WINDOWS))
def test_less_than_five_missed_never_fire(
    kept: int, missed: int, target: float, period: timedelta, window: Window
) -> None:
    assert not judge(window, Tally(kept, missed), Tally(0, missed), target, period).over


@given(st.integers(0, 200), st.integers(0, 200), TARGETS, PERIODS, st.sampled_from(WINDOWS))
def test_within_the_budget_nothing_fires(
    kept: int, missed: int, target: float, period: timedelta, window: Window
) -> None:
    """A window that missed no more than the target allows is never told, whatever the factor."""
    assume(missed <= (kept + missed) * (1 - target))
    burn = judge(window, Tally(kept, missed), Tally(0, missed), target, period)
    assert burn.rate is None or burn.rate <= 1 + 1e-9
    assert not burn.over


@given(st.integers(0, 200), st.integers(0, 200), TARGETS, PERIODS, st.sampled_from(WINDOWS))
def test_more_missed_never_calms_it(kept: int, missed: int, target: float, period: timedelta, window: Window) -> None:
    def over(bad: int) -> Burn:
        return judge(window, Tally(kept, bad), Tally(kept, bad), target, period)

    assert over(missed + 1).fires or not over(missed).fires
    assert over(missed + 1).used >= over(missed).used


def test_the_short_window_ends_it_and_silence_does_not() -> None:
    bad, good = Tally(400, 100), Tally(30, 0)
    burning = judge(WINDOWS[1], bad, Tally(20, 10), 0.98, MONTH)
    assert (burning.fires, burning.goes_on) == (True, True)
    calm = judge(WINDOWS[1], bad, good, 0.98, MONTH)
    assert (calm.over, calm.fires, calm.goes_on) == (True, False, False)
    silent = judge(WINDOWS[1], bad, Tally(), 0.98, MONTH)
    assert (silent.fires, silent.goes_on) == (False, True)


def test_windows_longer_than_the_objective_are_left_out() -> None:
    assert [burn.window.name for burn in judge_all({}, 0.98, timedelta(days=2))] == ["1 hour", "6 hours"]
    assert all(burn.rate is None and not burn.over for burn in judge_all({}, 0.98, MONTH))


def test_it_says_how_much_and_how_long() -> None:
    burn = judge(WINDOWS[1], Tally(155, 45), Tally(1, 1), 0.95, MONTH)
    assert told(burn, 0.95, MONTH, 0.5) == (
        "Budget of 5 % missed for 30 d: 3.8 % of it used in 6 hours (45 of 200 missed), empty in 3 d at this rate"
    )
    assert told(burn, 0.95, MONTH, -0.2).endswith("; it is used up")


@pytest.mark.parametrize("target", [1.0, 1.2, -0.1])
def test_no_budget_is_an_error(target: float) -> None:
    with pytest.raises(ValueError, match="error budget"):
        judge(WINDOWS[0], Tally(), Tally(), target, MONTH)
