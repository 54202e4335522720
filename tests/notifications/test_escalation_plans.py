"""The ladder of a policy in time: every step has its moment, and an outage makes no storm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.notifications.escalation_plans import (
    LATE,
    Due,
    Ladder,
    PolicyError,
    Step,
    Target,
    after_calling,
    first,
    following,
    laid_out,
    newest,
    read,
)

T0 = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TARGET = Target("person", "mara")
ladders = st.builds(
    lambda first_after, rest, repeat, pause: Ladder(
        (Step(first_after * MINUTE, (TARGET,)), *(Step(n * MINUTE, (TARGET,)) for n in rest)), repeat, pause * MINUTE
    ),
    st.integers(0, 60),
    st.lists(st.integers(1, 120), max_size=5),
    st.integers(0, 4),
    st.integers(1, 120),
)


@given(ladder=ladders)
def test_every_step_of_every_round_once_and_later_than_the_one_before(ladder: Ladder) -> None:
    found = laid_out(ladder, T0)
    assert [(one.round, one.step) for one in found] == [
        (n, m) for n in range(ladder.repeat + 1) for m in range(len(ladder.steps))
    ]
    assert all(one.at < other.at for one, other in zip(found, found[1:], strict=False))  # noqa: RUF007
    assert found[0].at == T0 + ladder.steps[0].after


@given(ladder=ladders, outage=st.integers(0, 3000), start=st.integers(0, 20))
def test_after_an_outage_the_newest_due_step_comes_once(ladder: Ladder, outage: int, start: int) -> None:
    planned = laid_out(ladder, T0)
    due = planned[min(start, len(planned) - 1)]
    now = due.at + outage * MINUTE
    found, skipped = newest(ladder, due, now)
    in_time = [one for one in planned if due.at <= one.at <= now]
    assert found == in_time[-1]
    assert skipped == len(in_time) - 1
    later = after_calling(ladder, found, now)
    assert later is None or later.at > now
    if now - found.at > LATE and later is not None:
        assert later.at - now == following(ladder, found).at - found.at  # type: ignore[union-attr]


@given(ladder=ladders, lags=st.lists(st.integers(0, 110), min_size=30, max_size=30))
def test_ticks_that_lag_do_not_move_the_later_steps(ladder: Ladder, lags: list[int]) -> None:
    """A tick that comes within two minutes leaves the plan alone: delays do not add up."""
    planned, due = laid_out(ladder, T0), first(ladder, T0)
    for expected, lag in zip(planned, lags, strict=False):
        assert due == expected
        now = due.at + timedelta(seconds=lag)
        if (following(ladder, due) or Due(0, 0, now + MINUTE)).at <= now:
            return
        later = after_calling(ladder, due, now)
        if later is None:
            return
        due = later


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "at least one step"),
        ("now", "at least one step"),
        ([{"after": 0}], "calls nobody"),
        ([{"after": -1, "targets": []}], "whole minutes"),
        ([{"after": 1.5, "targets": []}], "whole minutes"),
        ([{"after": True, "targets": []}], "whole minutes"),
        ([{"after": 10**9, "targets": []}], "two days"),
        ([{"after": 10**30, "targets": []}], "two days"),
        ([{"after": 0, "targets": [{"kind": "pigeon", "ref": "x"}]}], "kind"),
        ([{"after": 0, "targets": [{"kind": "person", "ref": ""}]}], "kind"),
        ([{"after": 0, "targets": [{"kind": "person", "ref": "a"}], "x": 1}], "nothing else"),
        ([{"targets": [{"kind": "person", "ref": "a"}]}, {"targets": [{"kind": "person", "ref": "a"}]}], "at least a"),
        ([{"targets": [{"kind": "person", "ref": "a"}], "after": 1}] * 21, "at most 20"),
    ],
)
def test_policies_that_make_no_sense_are_refused_in_words(steps: object, words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        read(steps)


def test_what_was_read_is_what_was_said() -> None:
    ladder = read(
        [{"targets": [{"kind": "team", "ref": "ops"}]}, {"after": 5, "targets": [{"kind": "channel", "ref": "c"}]}], 1
    )
    assert ladder.steps[1] == Step(5 * MINUTE, (Target("channel", "c"),))
    with pytest.raises(PolicyError, match="minute"):
        read([{"targets": [{"kind": "team", "ref": "ops"}]}], 1, timedelta(0))
