"""Maintenance windows: what covers what, against a slow reading of the same words minute by minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.db import ProgrammingError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.scoping import partner_scope
from apps.integrations import recurrence
from apps.integrations.maintenance import Window, covering, occurrence_at, spans, windows_at, windows_between
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.models import Integration, Partner

HOUR = timedelta(hours=1)
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ZONES = ("Europe/Berlin", "America/New_York", "UTC", "Australia/Lord_Howe", "America/Sao_Paulo")
#: the clocks change in here, forward and back, on both halves of the earth
FIRST = date(2026, 3, 20)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def window(start: datetime, end: datetime, **options: object) -> Window:
    return Window(1, "maintenance", start, end, **{"everything": True, **options})  # type: ignore[arg-type]


def shown(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@settings(max_examples=120, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    days=st.sets(st.sampled_from(range(7)), min_size=1, max_size=3),
    begins=st.integers(0, 23 * 60 + 59),
    minutes=st.integers(1, 36 * 60),
    interval=st.integers(1, 3),
    offset=st.integers(0, 260),
    probes=st.lists(st.integers(0, 10 * 24 * 60), min_size=20, max_size=40),
)
def test_a_weekly_window_is_what_the_clock_on_the_wall_says(
    zone: str, days: set[int], begins: int, minutes: int, interval: int, offset: int, probes: list[int]
) -> None:
    """The oracle reads the wall clock of every probed minute; minutes that the clocks skip or repeat are left out."""
    first_day = FIRST + timedelta(days=offset)
    first_wall = datetime.combine(first_day, time()) + timedelta(minutes=begins)
    start = first_wall.replace(tzinfo=ZoneInfo(zone))
    end = (first_wall + timedelta(minutes=minutes)).replace(tzinfo=ZoneInfo(zone))
    if shown(start.astimezone(UTC), zone) != first_wall or shown(end.astimezone(UTC), zone) != first_wall + timedelta(
        minutes=minutes
    ):
        return
    rule = f"FREQ=WEEKLY;INTERVAL={interval};BYDAY={','.join(DAYS[day] for day in sorted(days))}"
    one = window(start, end, recurrence=rule, zone=zone)
    monday = first_day - timedelta(days=first_day.weekday())
    changing = [probe for probe in probes if _plain(start + timedelta(minutes=probe), zone, minutes)]
    for probe in changing:
        moment = (start.astimezone(UTC) + timedelta(minutes=probe)).astimezone(UTC)
        wall = shown(moment, zone)
        expected = False
        for back in range(4):
            day = wall.date() - timedelta(days=back)
            began = datetime.combine(day, time()) + timedelta(minutes=begins)
            week = (day - monday).days // 7
            counts = day.weekday() in days and week % interval == 0 and began >= first_wall
            expected |= counts and began <= wall < began + timedelta(minutes=minutes)
        assert (occurrence_at(one, moment) is not None) is expected, (moment, wall)


def _plain(moment: datetime, zone: str, minutes: int) -> bool:
    """Whether no clock changes near enough to make the words of the oracle ambiguous."""
    reach = timedelta(minutes=minutes) + timedelta(hours=3)
    clock = ZoneInfo(zone)
    early, late = (moment - reach).astimezone(clock), (moment + reach).astimezone(clock)
    return early.utcoffset() == late.utcoffset()


def test_both_ends_keep_their_wall_time_when_the_clocks_change() -> None:
    start, end = at("2026-03-01T22:00", "Europe/Berlin"), at("2026-03-02T06:00", "Europe/Berlin")
    one = window(start, end, recurrence="FREQ=DAILY", zone="Europe/Berlin")
    [night] = spans(one, at("2026-03-28T12:00"), at("2026-03-29T12:00"))
    assert night == (at("2026-03-28T21:00"), at("2026-03-29T04:00"))  # seven hours: one was skipped
    [night] = spans(one, at("2026-10-24T12:00"), at("2026-10-25T12:00"))
    assert night == (at("2026-10-24T20:00"), at("2026-10-25T05:00"))


def test_a_wall_time_that_is_skipped_or_comes_twice() -> None:
    zone = "Europe/Berlin"
    skipped = window(at("2026-03-22T02:30", zone), at("2026-03-22T03:30", zone), recurrence="FREQ=WEEKLY", zone=zone)
    # 02:30 is not there on 29 March: it becomes 03:30, and nothing is left of the window
    assert spans(skipped, at("2026-03-28T00:00"), at("2026-03-30T00:00")) == []
    twice = window(at("2026-10-18T02:00", zone), at("2026-10-18T02:30", zone), recurrence="FREQ=WEEKLY", zone=zone)
    assert spans(twice, at("2026-10-25T00:00"), at("2026-10-26T00:00")) == [
        (at("2026-10-25T00:00"), at("2026-10-25T01:30"))
    ]


@pytest.mark.parametrize("until", ["20260315", "20260315T235959", "20260315T225959Z"])
def test_a_rule_ends(until: str) -> None:
    zone = "Europe/Berlin"
    one = window(
        at("2026-03-01T10:00", zone), at("2026-03-01T11:00", zone), recurrence=f"FREQ=WEEKLY;UNTIL={until}", zone=zone
    )
    assert len(spans(one, at("2026-01-01T00:00"), at("2027-01-01T00:00"))) == 3


@pytest.mark.parametrize(
    "rule",
    ["weekly", "FREQ=HOURLY", "FREQ=WEEKLY;BYHOUR=3", "FREQ=WEEKLY;BYDAY=XX", "FREQ=WEEKLY;INTERVAL=x",
     "FREQ=WEEKLY;UNTIL=tomorrow", "FREQ=WEEKLY;INTERVAL=0", "FREQ=WEEKLY;COUNT=0", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
     "FREQ=WEEKLY;FREQ=DAILY", "FREQ=WEEKLY;COUNT=1;UNTIL=20260101", "X" * 400],
)  # fmt: skip
def test_a_rule_that_cannot_be_read_says_so(rule: str) -> None:
    with pytest.raises(recurrence.RecurrenceError) as caught:
        recurrence.check(rule, at("2026-03-01T10:00"), "UTC")
    assert len(str(caught.value)) > 30


@given(
    begin=st.integers(-500, 500),
    length=st.integers(1, 300),
    start=st.integers(-600, 600),
    width=st.integers(1, 500),
    cancelled=st.none() | st.integers(-700, 900),
    rule=st.sampled_from(["", "FREQ=DAILY", "FREQ=DAILY;INTERVAL=2;COUNT=2"]),
)
def test_spans_are_cut_ordered_apart_and_say_the_same_as_the_moments(
    begin: int, length: int, start: int, width: int, cancelled: int | None, rule: str
) -> None:
    zero = at("2026-06-01T00:00")
    one = window(
        zero + begin * HOUR,
        zero + (begin + length) * HOUR,
        recurrence=rule,
        cancelled_at=None if cancelled is None else zero + cancelled * HOUR,
    )
    early, late = zero + start * HOUR, zero + (start + width) * HOUR
    found = spans(one, early, late)
    assert all(early <= first < last <= late for first, last in found)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    for step in range(0, width, max(1, width // 25)):
        moment = early + step * HOUR
        inside = any(first <= moment < last for first, last in found)
        assert inside is (occurrence_at(one, moment) is not None), moment
        if cancelled is not None and moment >= zero + cancelled * HOUR:
            assert not inside


@pytest.mark.parametrize(
    ("scope", "asked", "fits"),
    [
        ({"everything": True}, (None, None, None), True),
        ({"everything": False}, (1, 1, "r"), False),
        ({"integrations": {1}}, (1, None, None), True),
        ({"integrations": {1}}, (2, 1, "r"), False),
        ({"integrations": {1}}, (None, 1, "r"), False),
        ({"partners": {1}}, (9, 1, "r"), True),
        ({"integrations": {1}, "partners": {5}}, (9, 5, None), True),
        ({"rules": {"r"}}, (9, 9, "r"), True),
        ({"rules": {"r"}}, (9, 9, None), False),
        ({"partners": {1}, "rules": {"r"}}, (9, 1, "r"), True),
        ({"partners": {1}, "rules": {"r"}}, (9, 1, "s"), False),
        ({"partners": {1}, "rules": {"r"}}, (9, 2, "r"), False),
    ],
)
def test_scope(scope: dict[str, object], asked: tuple[int | None, int | None, str | None], fits: bool) -> None:
    values = {name: value if isinstance(value, bool) else frozenset(value) for name, value in scope.items()}  # type: ignore[call-overload]
    one = window(at("2026-06-01T00:00"), at("2026-06-02T00:00"), **{"everything": False, **values})
    assert bool(covering([one], *asked, at("2026-06-01T12:00"))) is fits
    assert covering([one], *asked, at("2026-06-02T00:00")) == []


def row(start: str, end: str, **options: object) -> MaintenanceWindow:
    return MaintenanceWindow.objects.create(
        starts_at=at(start), ends_at=at(end), reason="Upgrade", created_at=at("2026-01-01T00:00"), **options
    )


@pytest.mark.django_db
def test_the_rows_that_run() -> None:
    single = row("2026-06-01T00:00", "2026-06-01T02:00", everything=True)
    weekly = row("2026-05-04T01:00", "2026-05-04T03:00", recurrence="FREQ=WEEKLY", everything=True)
    row("2026-06-01T00:00", "2026-06-01T02:00", everything=True, cancelled_at=at("2026-06-01T01:00"))
    row("2026-06-08T00:00", "2026-06-08T02:00", everything=True)
    assert [one.id for one in windows_at(at("2026-06-01T01:30"))] == [weekly.pk, single.pk]
    assert [one.id for one in windows_at(at("2026-06-01T02:30"))] == [weekly.pk]
    assert windows_at(at("2026-06-02T02:30")) == []
    assert len(windows_between(at("2026-06-01T00:00"), at("2026-06-09T00:00"))) == 4


@pytest.mark.django_db
def test_a_partner_reads_only_what_is_announced_to_it_and_never_the_reason() -> None:
    ours = Partner.objects.create(slug="ours", name="Ours", kind="carrier")
    other = Partner.objects.create(slug="other", name="Other", kind="carrier")
    feed = Integration.objects.create(slug="feed", name="Feed", kind="webhook", partner=ours)
    day = ("2026-06-01T00:00", "2026-06-01T02:00")
    told = row(*day, announce_to_partners=True)
    told.partners.add(ours, other)
    by_feed = row(*day, announce_to_partners=True)
    by_feed.integrations.add(feed)
    for_all = row(*day, announce_to_partners=True, everything=True)
    row(*day).partners.add(ours)
    row(*day, announce_to_partners=True).partners.add(other)
    with partner_scope(ours.pk):
        assert set(MaintenanceWindow.objects.values_list("pk", flat=True)) == {told.pk, by_feed.pk, for_all.pk}
        assert set(MaintenanceWindow.partners.through.objects.values_list("partner_id", flat=True)) == {ours.pk}
    with pytest.raises(ProgrammingError, match="permission denied"), partner_scope(ours.pk):
        list(MaintenanceWindow.objects.values_list("reason", flat=True))
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SET LOCAL ROLE controltower_portal; DELETE FROM integrations_maintenancewindow")
