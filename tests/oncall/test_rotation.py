"""Who is on call: always one, exact over the change of clocks, overrides win."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apps.accounts.models import Role, Team, User
from apps.oncall.models import Layer, Override, Schedule
from apps.oncall.rotation import Cover, Rotation, handover, moment_of, on_call, turn_at, who
from tests.oncall.builders import rotation_of

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # half-hour offset
    "Australia/Lord_Howe",  # clocks move by 30 minutes
    "Asia/Kathmandu",
    "America/Santiago",  # changes at midnight
    "Africa/Casablanca",  # changes twice around Ramadan
    "Pacific/Apia",
]
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
shifts = st.one_of(
    st.sampled_from([timedelta(hours=8), timedelta(hours=12), timedelta(days=1), timedelta(days=7)]),
    st.integers(10, 20_000).map(lambda minutes: timedelta(minutes=minutes)),
)
rotations = st.builds(
    Rotation,
    members=st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True).map(tuple),
    zone=st.sampled_from(ZONES),
    starts_at=moments,
    shift=shifts,
)


def wall(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def changes_of(zone: str, year: int) -> list[datetime]:
    """Hours (UTC) in which the zone's offset changes."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(366 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1]]


CHANGES = {zone: [at for year in (2025, 2026) for at in changes_of(zone, year)] for zone in ZONES}
near_change = st.sampled_from([(zone, at) for zone, ats in CHANGES.items() for at in ats])


@settings(deadline=None)
@given(rotation=rotations, at=moments)
def test_always_exactly_one_of_the_members(rotation: Rotation, at: datetime) -> None:
    assert who(rotation, [], at) in rotation.members


@settings(deadline=None)
@given(rotation=rotations, at=moments)
def test_the_turn_runs_from_its_handover_to_the_second_before_the_next(rotation: Rotation, at: datetime) -> None:
    turn = turn_at(rotation, at)
    begins, ends = handover(rotation, turn), handover(rotation, turn + 1)
    assert begins <= at < ends
    assert turn_at(rotation, begins) == turn
    assert turn_at(rotation, ends - SECOND) == turn
    assert turn_at(rotation, begins - SECOND) < turn
    if handover(rotation, turn + 2) > ends:  # a turn can vanish where the clocks skip it whole
        assert turn_at(rotation, ends) == turn + 1


@settings(max_examples=60, deadline=None)
@given(place=near_change, minutes_before=st.integers(0, 600), shift=st.integers(10, 1500), size=st.integers(1, 5))
def test_against_somebody_who_watches_the_clock(
    place: tuple[str, datetime], minutes_before: int, shift: int, size: int
) -> None:
    """The oracle walks minute by minute and hands over whenever the wall clock shows a hand-over for the first time."""
    zone, change = place
    at = change - timedelta(minutes=minutes_before)
    assume(
        moment_of(wall(at, zone), ZoneInfo(zone)) == at
    )  # else turn 0 began when the clocks showed it the first time
    rotation = Rotation(tuple(range(size)), zone, at, timedelta(minutes=shift))
    latest = first = wall(at, zone)
    for _minute in range(1200):
        latest = max(latest, wall(at, zone))
        turns = (latest - first) // rotation.shift
        assert who(rotation, [], at) == turns % size, at
        at += MINUTE


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_handover_stays_at_nine_all_year(zone: str) -> None:
    starts_at = datetime(2026, 1, 1, 9, tzinfo=ZoneInfo(zone))
    rotation = Rotation((1, 2, 3), zone, starts_at, timedelta(days=1))
    for day in range(365):
        assert wall(handover(rotation, day), zone) == datetime(2026, 1, 1, 9) + timedelta(days=day)


def test_a_night_of_twelve_hours_is_eleven_or_thirteen_when_the_clocks_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    rotation = Rotation((1, 2), "Europe/Berlin", datetime(2026, 1, 1, 8, tzinfo=berlin), timedelta(hours=12))
    for day, hours in ((28, 11), (29, 12)):
        begins = datetime(2026, 3, day, 20, tzinfo=berlin).astimezone(UTC)
        turn = turn_at(rotation, begins)
        assert handover(rotation, turn) == begins
        assert handover(rotation, turn + 1) - begins == timedelta(hours=hours)
    begins = datetime(2026, 10, 24, 20, tzinfo=berlin).astimezone(UTC)
    assert handover(rotation, turn_at(rotation, begins) + 1) - begins == timedelta(hours=13)


def test_walls_that_are_skipped_and_walls_that_come_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    jump = datetime(2026, 3, 29, 1, tzinfo=UTC)
    for minute in (0, 1, 30, 59):
        assert moment_of(datetime(2026, 3, 29, 2, minute), berlin) == jump
    assert moment_of(datetime(2026, 3, 29, 1, 59, 59), berlin) == jump - SECOND
    assert moment_of(datetime(2026, 3, 29, 3, 0, 1), berlin) == jump + SECOND
    assert moment_of(datetime(2026, 10, 25, 2, 30), berlin) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@settings(deadline=None)
@given(
    rotation=rotations,
    start=moments,
    length=st.integers(1, 100_000),
    into=st.integers(0, 100_000),
)
def test_an_override_wins_while_it_lasts_and_not_a_second_longer(
    rotation: Rotation, start: datetime, length: int, into: int
) -> None:
    cover = Cover(99, start, start + timedelta(seconds=length))
    assert who(rotation, [cover], start + timedelta(seconds=into % length)) == 99
    assert who(rotation, [cover], start - SECOND) == who(rotation, [], start - SECOND)
    assert who(rotation, [cover], cover.end) == who(rotation, [], cover.end)


def test_of_two_overrides_the_one_that_starts_last_wins() -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    rotation = Rotation((1,), "UTC", at, timedelta(days=1))
    week, hour = Cover(2, at, at + timedelta(days=7)), Cover(3, at + timedelta(hours=1), at + timedelta(hours=2))
    for order in ([week, hour], [hour, week]):
        assert who(rotation, order, at + timedelta(minutes=90)) == 3
        assert who(rotation, order, at + timedelta(minutes=150)) == 2
    assert who(rotation, [week, Cover(4, week.start, week.end)], at) == 4


@settings(deadline=None)
@given(rotation=rotations, at=moments, absent=st.sets(st.integers(1, 9)))
def test_the_next_in_turn_stands_in_for_who_is_absent(rotation: Rotation, at: datetime, absent: set[int]) -> None:
    chosen = who(rotation, [], at, absent)
    present = [member for member in rotation.members if member not in absent]
    if not present:
        assert chosen is None
        return
    assert chosen in present
    planned = rotation.members.index(who(rotation, [], at))  # type: ignore[arg-type]
    in_turn = rotation.members[planned:] + rotation.members[:planned]
    assert set(in_turn[: in_turn.index(chosen)]) <= absent


def test_nobody_to_choose_from() -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    assert who(Rotation((), "UTC", at, timedelta(days=1)), [], at) is None


@pytest.fixture
def schedule(db: None) -> Schedule:
    night = Team.objects.create(slug="night", name="Night")
    starts_at = datetime(2026, 3, 2, 8, tzinfo=UTC)
    users = [User.objects.create(username=name, role=Role.ON_CALL) for name in ("mara", "jon", "kim")]
    return rotation_of(night, "Night", starts_at, timedelta(days=7), users)


def start_of(schedule: Schedule) -> datetime:
    return schedule.layers.get().starts_at


def names(schedule: Schedule, at: datetime) -> list[str]:
    return [user.username for user in on_call(schedule.team_id, at)]


def test_on_call_reads_schedule_and_overrides(schedule: Schedule) -> None:
    monday = start_of(schedule)
    week = timedelta(days=7)
    assert [names(schedule, monday + n * week) for n in range(4)] == [["mara"], ["jon"], ["kim"], ["mara"]]
    assert names(schedule, monday + week - SECOND) == ["mara"]
    ace = User.objects.create(username="ace")
    Override.objects.create(schedule=schedule, user=ace, start=monday, end=monday + timedelta(hours=4))
    assert names(schedule, monday) == ["ace"]
    assert names(schedule, monday + timedelta(hours=4)) == ["mara"]


def test_who_has_left_is_not_called(schedule: Schedule) -> None:
    monday = start_of(schedule)
    User.objects.filter(username="mara").update(is_active=False)
    assert names(schedule, monday) == ["jon"]
    gone = User.objects.create(username="gone", is_active=False)
    Override.objects.create(schedule=schedule, user=gone, start=monday, end=monday + timedelta(hours=4))
    assert names(schedule, monday) == ["jon"]
    User.objects.update(is_active=False)
    assert names(schedule, monday) == []


def test_a_team_without_schedule_has_nobody(db: None) -> None:
    assert on_call(Team.objects.create(slug="x", name="X").pk, datetime(2026, 3, 2, tzinfo=UTC)) == []


def test_impossible_rows_are_refused(schedule: Schedule) -> None:
    at = start_of(schedule)
    user = User.objects.get(username="mara")
    with pytest.raises(IntegrityError), transaction.atomic():
        Override.objects.create(schedule=schedule, user=user, start=at, end=at)
    with pytest.raises(IntegrityError), transaction.atomic():
        Layer.objects.filter(schedule=schedule).update(shift_length=timedelta(0))
