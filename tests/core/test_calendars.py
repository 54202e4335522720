"""Working calendars against a slow oracle, over ten zones with their clock changes."""

from __future__ import annotations

import time as stopwatch
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.calendars import (
    CALENDAR_SCHEMA,
    WEEKDAYS,
    CalendarError,
    CalendarException,
    WorkingCalendar,
    instant,
    same_time,
)
from tests.core.oracle import MINUTE, Oracle, moment_of, wall

#: zone -> days around which its clocks change (or it did something odd)
ZONES = {
    "Europe/Paris": [date(2026, 3, 29), date(2026, 10, 25)],
    "America/New_York": [date(2026, 3, 8), date(2026, 11, 1)],
    "America/Sao_Paulo": [date(2018, 2, 18), date(2018, 11, 4)],  # at midnight
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],  # half an hour
    "Asia/Tehran": [date(2022, 3, 22), date(2022, 9, 22)],
    "Africa/Casablanca": [date(2026, 2, 15), date(2026, 3, 22)],  # Ramadan
    "Pacific/Apia": [date(2011, 12, 30), date(2012, 4, 1)],  # a day that never was
    "America/Havana": [date(2026, 3, 8), date(2026, 11, 1)],
    "Antarctica/Troll": [date(2026, 3, 29), date(2026, 10, 25)],  # two hours
    "Asia/Kolkata": [date(2026, 1, 1), date(2026, 12, 31)],  # none, and the turn of the year
}


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


#: made once: to make one reads the whole schema against its own
VALID = jsonschema.Draft202012Validator(CALENDAR_SCHEMA)


@st.composite
def hours(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Up to three shifts of a day in minutes, some over midnight, some overlapping."""
    shifts = []
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, 1439))
        end = draw(st.integers(0, 1440).filter(lambda m, s=start: m != s))
        shifts.append((start, end))
    return shifts


@st.composite
def cases(draw: st.DrawFn) -> tuple[WorkingCalendar, Oracle, datetime]:
    """A calendar, its oracle, and a whole minute near a clock change of its zone."""
    zone = draw(st.sampled_from(sorted(ZONES)))
    middle = draw(st.sampled_from(ZONES[zone]))
    weekly = {n: draw(hours()) for n in range(7)}
    special = draw(st.dictionaries(st.integers(-4, 4).map(lambda n: middle + timedelta(days=n)), hours(), max_size=3))
    spec = {
        "zone": zone,
        "weekly": {name: [[clock(a), clock(b)] for a, b in weekly[n]] for n, name in enumerate(WEEKDAYS)},
        "exceptions": [
            {"date": day.isoformat(), "hours": [[clock(a), clock(b)] for a, b in shifts]}
            for day, shifts in special.items()
        ],
    }
    VALID.validate(spec)
    offset = draw(st.integers(-3 * 1440, 3 * 1440))
    moment = datetime(middle.year, middle.month, middle.day, tzinfo=UTC) + MINUTE * offset
    return WorkingCalendar.from_spec(spec), Oracle(zone, weekly, special, middle), moment


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(-2000, 2000))
def test_hours_agree_with_the_oracle(case: tuple[WorkingCalendar, Oracle, datetime], minutes: int) -> None:
    calendar, oracle, moment = case
    assert calendar.is_working(moment) == oracle.is_working(moment)
    other = moment + MINUTE * minutes
    expected = oracle.between(min(moment, other), max(moment, other))
    assert calendar.working_between(moment, other) == (expected if minutes >= 0 else -expected)
    opening = oracle.next_opening(moment)
    if opening is not None and opening < oracle.minutes[-1]:
        assert calendar.next_opening(moment) == opening
    added = oracle.add(moment, minutes)
    if added is not None and abs(added - moment) < timedelta(days=10):
        assert calendar.add_working_time(moment, MINUTE * minutes) == added


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(-6, 6), st.sampled_from([None, time(14), time(0), time(23, 59, 59)]))
def test_days_agree_with_the_oracle(
    case: tuple[WorkingCalendar, Oracle, datetime], count: int, cut_off: time | None
) -> None:
    calendar, oracle, moment = case
    day = wall(moment, oracle.zone).date()
    assert calendar.is_working_day(day) == oracle.working_day(day)
    spans = [span for span in oracle.spans(day) if span[0] < span[1]]
    assert calendar.opening_of(day) == min((start for start, _ in spans), default=None)
    assert calendar.closing_of(day) == max((end for _, end in spans), default=None)
    nth = oracle.nth_working_day(day, count)
    if nth is not None:
        assert calendar.add_working_days(day, count) == nth
    late = cut_off is not None and wall(moment, oracle.zone).time() > cut_off
    counted = oracle.nth_working_day(day, 1) if late or not oracle.working_day(day) else day
    if counted is not None:
        assert calendar.counted_day(moment, cut_off) == counted


def test_which_of_two_hours_it_was_is_true_of_its_own_day_only() -> None:
    """25 October 2026, Paris: 02:30 comes twice, and this is the second. 28 March 2027 has none."""
    zone = ZoneInfo("Europe/Paris")
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC).astimezone(zone)
    assert (second.hour, second.minute, second.fold) == (2, 30, 1)
    assert same_time(second.date(), second, zone) == second.astimezone(UTC)
    assert same_time(date(2026, 10, 26), second, zone) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert same_time(date(2027, 3, 28), second, zone) == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
    assert same_time(date(2027, 10, 31), second, zone) == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(ZONES)), st.integers(0, 1), st.integers(-180, 1620), st.integers(0, 59))
def test_local_times_in_gaps_and_overlaps(zone: str, which: int, minutes: int, seconds: int) -> None:
    day = ZONES[zone][which]
    local = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes, seconds=seconds)
    assert instant(local.date(), local.time(), ZoneInfo(zone)) == moment_of(local, zone)


def test_a_gap_moves_forward_and_an_overlap_is_the_first() -> None:
    paris = ZoneInfo("Europe/Paris")
    assert instant(date(2026, 3, 29), time(2, 30), paris) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 03:30 CEST
    assert instant(date(2026, 10, 25), time(2, 30), paris) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # still CEST


FRANCE: dict[str, Any] = {
    "zone": "Europe/Paris",
    "country": "FR",
    "weekly": {name: [["08:00", "12:00"], ["13:00", "17:00"]] for name in WEEKDAYS[:5]},
    "exceptions": [
        {"date": "2026-12-24", "hours": [["08:00", "12:00"]], "name": "Christmas Eve"},
        {"from": "2026-08-03", "until": "2026-08-14", "closed": True, "name": "Summer closing"},
        {"date": "2026-05-01", "open": True},
    ],
}


def test_holidays_and_exceptions() -> None:
    calendar = WorkingCalendar.from_spec(FRANCE)
    assert calendar.add_working_days(date(2026, 4, 3), 1) == date(2026, 4, 7)  # over Easter Monday
    assert calendar.why_closed(date(2026, 4, 6)) == "Easter Monday"
    assert calendar.why_closed(date(2026, 4, 5)) in ("closed on Sundays", "Easter Sunday")
    assert calendar.is_working_day(date(2026, 5, 1))  # Labour Day, but we said open
    assert calendar.closing_of(date(2026, 12, 24)) == datetime(2026, 12, 24, 11, tzinfo=UTC)
    assert calendar.add_working_days(date(2026, 7, 31), 1) == date(2026, 8, 17)
    assert calendar.why_closed(date(2026, 8, 4)) == "Summer closing"
    assert calendar.why_closed(date(2026, 3, 2)) == ""


def test_regional_holidays_differ() -> None:
    weekly = {name: [["08:00", "17:00"]] for name in WEEKDAYS[:5]}
    epiphany = date(2026, 1, 6)
    bavaria = WorkingCalendar.from_spec(
        {"zone": "Europe/Berlin", "weekly": weekly, "country": "DE", "subdivision": "BY"}
    )
    hamburg = WorkingCalendar.from_spec(
        {"zone": "Europe/Berlin", "weekly": weekly, "country": "DE", "subdivision": "HH"}
    )
    assert not bavaria.is_working_day(epiphany)
    assert hamburg.is_working_day(epiphany)


def test_eight_hours_end_at_closing_not_at_the_next_opening() -> None:
    calendar = WorkingCalendar.from_spec(FRANCE)
    monday = datetime(2026, 3, 2, 7, tzinfo=UTC)  # 08:00
    assert calendar.add_working_time(monday, timedelta(hours=8)) == datetime(2026, 3, 2, 16, tzinfo=UTC)
    assert not calendar.is_working(datetime(2026, 3, 2, 16, tzinfo=UTC))
    assert calendar.add_working_time(monday, timedelta(hours=8, seconds=1)) == datetime(2026, 3, 3, 7, 0, 1, tzinfo=UTC)
    assert calendar.next_opening(datetime(2026, 3, 6, 16, tzinfo=UTC)) == datetime(2026, 3, 9, 7, tzinfo=UTC)


def test_a_night_shift_runs_into_a_holiday() -> None:
    calendar = WorkingCalendar.from_spec(
        {"zone": "UTC", "country": "FR", "weekly": {name: [["22:00", "06:00"]] for name in WEEKDAYS}}
    )
    assert calendar.is_working(datetime(2026, 7, 14, 5, tzinfo=UTC))  # began on the 13th
    assert not calendar.is_working(datetime(2026, 7, 14, 23, tzinfo=UTC))
    assert calendar.closing_of(date(2026, 7, 13)) == datetime(2026, 7, 14, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"zone": "Mars/Olympus"}, "time zone"),
        ({"country": "XX"}, "holidays"),
        ({"country": "DE", "subdivision": "QQ"}, "holidays"),
        ({"weekly": {"monday": []}}, "weekday"),
        ({"weekly": {"mon": [["08:00"]]}}, "pairs"),
        ({"weekly": {"mon": [["8:00", "17:00"]]}}, "time of day"),
        ({"weekly": {"mon": [["08:00", "08:00"]]}}, "whole day"),
        ({"weekly": {"mon": [[480, 1020]]}}, "in quotes"),
        ({"exceptions": [{"date": "2026-02-30", "closed": True}]}, "date"),
        ({"exceptions": [{"from": "2026-02-03", "until": "2026-02-01", "closed": True}]}, "before it begins"),
        ({"exceptions": [{"date": "2026-02-03"}]}, "neither closed, open nor hours"),
    ],
)
def test_a_bad_spec_says_what_is_wrong(change: dict[str, Any], words: str) -> None:
    with pytest.raises(CalendarError, match=words):
        WorkingCalendar.from_spec({**FRANCE, **change})


def test_a_calendar_without_hours_answers_with_an_error_not_for_ever() -> None:
    calendar = WorkingCalendar.from_spec({"zone": "UTC", "weekly": {}})
    moment = datetime(2026, 3, 2, tzinfo=UTC)
    for ask in (
        lambda: calendar.next_opening(moment),
        lambda: calendar.add_working_time(moment, timedelta(hours=1)),
        lambda: calendar.add_working_time(moment, timedelta(hours=-1)),
        lambda: calendar.add_working_days(moment.date(), 1),
        lambda: calendar.add_working_days(moment.date(), -1),
    ):
        with pytest.raises(CalendarError, match="no working"):
            ask()
    with pytest.raises(CalendarError, match="years"):
        calendar.is_working(datetime(9999, 1, 1, tzinfo=UTC))


def test_years_join_without_a_seam() -> None:
    calendar = WorkingCalendar.always("Asia/Kolkata")
    start = datetime(2024, 6, 1, tzinfo=UTC)
    for days in (1, 400, 1000):
        end = start + timedelta(days=days)
        assert calendar.working_between(start, end) == end - start
        assert calendar.add_working_time(start, end - start) == end
        assert calendar.add_working_time(end, start - end) == start
        assert calendar.add_working_days(start.date(), days) == end.date()


def test_the_last_exception_decides() -> None:
    closed = CalendarException(date(2026, 3, 2), date(2026, 3, 6), ())
    open_again = CalendarException(date(2026, 3, 4), date(2026, 3, 4), None)
    calendar = WorkingCalendar("UTC", {"wed": [(480, 1020)]}, exceptions=[closed, open_again])
    assert calendar.is_working_day(date(2026, 3, 4))


def test_thousands_of_answers_a_second() -> None:
    """CPU time, not wall time; the limit is an order of magnitude above what was measured (about 3 microseconds)."""
    calendar = WorkingCalendar.from_spec(FRANCE)
    moment = datetime(2026, 3, 2, 9, 17, tzinfo=UTC)
    calendar.add_working_time(moment, timedelta(hours=30))
    calendar.add_working_days(moment.date(), 2)
    began = stopwatch.process_time()
    for n in range(5000):
        calendar.add_working_time(moment + MINUTE * n, timedelta(hours=8))
        calendar.counted_day(moment + MINUTE * n, time(14))
        calendar.add_working_days(moment.date(), 2)
    assert (stopwatch.process_time() - began) / 5000 < 0.0002


def test_backwards_from_closing_is_the_opening_of_that_shift() -> None:
    calendar = WorkingCalendar.from_spec(FRANCE)
    closing = datetime(2026, 3, 2, 16, tzinfo=UTC)
    assert calendar.add_working_time(closing, timedelta(hours=-4)) == datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert calendar.add_working_time(closing, timedelta(hours=-8)) == datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert calendar.add_working_time(closing, timedelta(hours=-8, seconds=-1)) == datetime(
        2026, 2, 27, 15, 59, 59, tzinfo=UTC
    )


def test_the_second_of_the_cut_off_still_counts() -> None:
    calendar = WorkingCalendar.from_spec(FRANCE)
    sharp = datetime(2026, 2, 27, 13, 0, 0, 999_999, tzinfo=UTC)  # Friday 14:00
    assert calendar.counted_day(sharp, time(14)) == date(2026, 2, 27)
    assert calendar.counted_day(sharp + timedelta(microseconds=1), time(14)) == date(2026, 3, 2)


def test_a_shift_that_fell_into_a_gap_leaves_no_working_day() -> None:
    calendar = WorkingCalendar.from_spec({"zone": "Europe/Paris", "weekly": {"sun": [["02:00", "03:00"]]}})
    assert not calendar.is_working_day(date(2026, 3, 29))
    assert calendar.is_working_day(date(2026, 4, 5))
