"""Overrides and swaps: what people may do, and that nobody else's turn is touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from apps.accounts.models import AuditEntry, Role, User
from apps.oncall import changing
from apps.oncall.changing import NotPossible
from apps.oncall.models import Override, Schedule, Swap
from apps.oncall.rotation import load, on_call
from tests.incidents.builders import HOUR, NOW, at_once, person, team
from tests.oncall.builders import rotation_of

DAY = timedelta(days=1)


@pytest.fixture
def crew(db: None) -> Schedule:
    """mara, jon and kim take turns of a day from NOW on."""
    people = [person(name, role=Role.ON_CALL) for name in ("mara", "jon", "kim")]
    return rotation_of(team("night"), "Nights", NOW, DAY, people)


def who(schedule: Schedule, at: datetime) -> str:
    return on_call(schedule.team_id, at)[0].username


def user(name: str) -> User:
    return User.objects.get(username=name)


def test_an_override_is_added_and_taken_back(crew: Schedule) -> None:
    row = changing.add_override(crew, user("kim"), NOW + HOUR, NOW + 3 * HOUR, user("jon"), NOW, "dentist")
    assert who(crew, NOW + HOUR) == "kim"
    changing.remove_override(row.pk, user("jon"), NOW)
    assert who(crew, NOW + HOUR) == "mara"
    assert list(AuditEntry.objects.values_list("action", flat=True).order_by("id")) == [
        "oncall.override_added",
        "oncall.override_removed",
    ]


def test_an_override_that_has_begun_ends_now_and_the_past_stays(crew: Schedule) -> None:
    row = changing.add_override(crew, user("kim"), NOW, NOW + 4 * HOUR, user("jon"), NOW)
    changing.remove_override(row.pk, user("jon"), NOW + HOUR)
    assert who(crew, NOW) == "kim"
    assert who(crew, NOW + HOUR) == "mara"
    with pytest.raises(NotPossible, match="over"):
        changing.remove_override(row.pk, user("jon"), NOW + 2 * HOUR)


def test_overrides_that_make_no_sense(crew: Schedule) -> None:
    outsider = person("paul", role=Role.PARTNER)
    for start, end, who_, words in (
        (NOW, NOW, "kim", "after the beginning"),
        (NOW - 2 * HOUR, NOW - HOUR, "kim", "is over"),
        (NOW, NOW + 63 * DAY, "kim", "62 days"),
        (NOW, NOW + HOUR, "paul", "only active staff"),
    ):
        with pytest.raises(NotPossible, match=words):
            changing.add_override(crew, user(who_), start, end, user("jon"), NOW)
    assert outsider.is_partner
    with pytest.raises(NotPossible, match="not there"):
        changing.remove_override(10**9, user("jon"), NOW)


def test_a_swap_moves_exactly_their_own_time_both_ways(crew: Schedule) -> None:
    """mara asks jon to take her day and half of jon's own; he gives her half of his: only own time changes hands."""
    [before] = load(Schedule.objects.all(), NOW, NOW + 9 * DAY)
    swap = changing.ask_swap(
        crew, user("mara"), user("jon"), NOW + 6 * HOUR, NOW + 36 * HOUR, NOW, (NOW + 4 * DAY, NOW + 5 * DAY), "wedding"
    )
    changing.answer_swap(swap.pk, user("jon"), True, NOW + HOUR)
    [after] = load(Schedule.objects.all(), NOW, NOW + 9 * DAY)
    jon, mara = user("jon"), user("mara")
    for hour in range(9 * 24):
        at = NOW + hour * HOUR
        was, now = before.at(at), after.at(at)
        if 6 <= hour < 24:
            assert (was, now) == (mara, jon)
        elif 96 <= hour < 120:
            assert (was, now) == (jon, mara)
        else:
            assert was == now, hour


def test_a_swap_is_answered_once_and_by_who_was_asked(crew: Schedule) -> None:
    swap = changing.ask_swap(crew, user("mara"), user("jon"), NOW + HOUR, NOW + 2 * HOUR, NOW)
    with pytest.raises(NotPossible, match="Another person"):
        changing.answer_swap(swap.pk, user("kim"), True, NOW)
    with pytest.raises(NotPossible, match="Somebody else"):
        changing.answer_swap(swap.pk, user("mara"), True, NOW)
    changing.answer_swap(swap.pk, user("jon"), False, NOW)
    assert not Override.objects.exists()
    with pytest.raises(NotPossible, match="declined"):
        changing.answer_swap(swap.pk, user("jon"), True, NOW)


def test_who_asks_must_be_on_call_then(crew: Schedule) -> None:
    with pytest.raises(NotPossible, match="not on call at that time"):
        changing.ask_swap(crew, user("jon"), user("kim"), NOW, NOW + HOUR, NOW)
    with pytest.raises(NotPossible, match="Jon is not on call"):
        changing.ask_swap(crew, user("mara"), user("jon"), NOW, NOW + HOUR, NOW, (NOW, NOW + HOUR))
    with pytest.raises(NotPossible, match="whom you ask"):
        changing.ask_swap(crew, user("mara"), None, NOW, NOW + HOUR, NOW, (NOW, NOW + HOUR))
    with pytest.raises(NotPossible, match="yourself"):
        changing.ask_swap(crew, user("mara"), user("mara"), NOW, NOW + HOUR, NOW)


def test_a_swap_is_withdrawn_and_an_agreed_one_undone_before_it_begins(crew: Schedule) -> None:
    swap = changing.ask_swap(crew, user("mara"), None, NOW + 6 * HOUR, NOW + 8 * HOUR, NOW)
    changing.answer_swap(swap.pk, user("kim"), True, NOW)
    with pytest.raises(NotPossible, match="Only those"):
        changing.withdraw_swap(swap.pk, user("jon"), NOW)
    changing.withdraw_swap(swap.pk, user("kim"), NOW)
    assert who(crew, NOW + 7 * HOUR) == "mara"
    with pytest.raises(NotPossible, match="withdrawn"):
        changing.withdraw_swap(swap.pk, user("mara"), NOW)
    again = changing.ask_swap(crew, user("mara"), None, NOW + 6 * HOUR, NOW + 8 * HOUR, NOW)
    changing.answer_swap(again.pk, user("kim"), True, NOW)
    with pytest.raises(NotPossible, match="has begun"):
        changing.withdraw_swap(again.pk, user("mara"), NOW + 7 * HOUR)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_take_a_swap_at_once_one_gets_it() -> None:
    people = [person(name, role=Role.ON_CALL) for name in ("mara", "jon", "kim", "lee", "ann")]
    schedule = rotation_of(team("night"), "Nights", NOW, DAY, people)
    swap = changing.ask_swap(schedule, people[0], None, NOW, NOW + HOUR, NOW)

    def take(one: User) -> Callable[[], Swap]:
        return lambda: changing.answer_swap(swap.pk, one, True, NOW)

    results = at_once([take(one) for one in people[1:]])
    assert sum(isinstance(one, Swap) for one in results) == 1
    assert sum(isinstance(one, NotPossible) for one in results) == 3
    assert Override.objects.count() == 1
