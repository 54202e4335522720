"""Partners' times, and a log told anew."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.times import Replay, TimeError, read_time, start_of_day, zone_of

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "form", "zone", "told"),
    [
        ("2018-04-05T17:31:00Z", "iso", BERLIN, "2018-04-05T17:31:00+00:00"),
        ("2018-04-05t17:31:00z", "iso", BERLIN, "2018-04-05T17:31:00+00:00"),
        ("2022-10-03T11:13:46-06:00", "iso", BERLIN, "2022-10-03T17:13:46+00:00"),
        ("2017-10-02 10:56:33", "iso", SAO_PAULO, "2017-10-02T13:56:33+00:00"),
        ("2018-01-02 10:56:33", "iso", SAO_PAULO, "2018-01-02T12:56:33+00:00"),
        ("20240423T131519", "iso", UTC, "2024-04-23T13:15:19+00:00"),
        ("2026-01-01T00:00:00.1234567890Z", "iso", UTC, "2026-01-01T00:00:00.123456+00:00"),
        # the hour that comes twice is its first, the one that never comes has the offset before it
        ("2025-10-26 02:30", "iso", BERLIN, "2025-10-26T00:30:00+00:00"),
        ("2025-03-30 02:30", "iso", BERLIN, "2025-03-30T01:30:00+00:00"),
        (1614265330, "epoch", BERLIN, "2021-02-25T15:02:10+00:00"),
        ("1614265330.5", "epoch", BERLIN, "2021-02-25T15:02:10.500000+00:00"),
        (1719299439635, "epoch_ms", BERLIN, "2024-06-25T07:10:39.635000+00:00"),
        ("2-Jun-06 14:05", "%d-%b-%y %H:%M", BERLIN, "2006-06-02T12:05:00+00:00"),
        ("20240423 131519 +0200", "%Y%m%d %H%M%S %z", UTC, "2024-04-23T11:15:19+00:00"),
    ],
)
def test_reads(value: object, form: str, zone: tzinfo, told: str) -> None:
    assert read_time(value, form, zone).isoformat() == told


@pytest.mark.parametrize(
    ("value", "form", "complaint"),
    [
        ("yesterday", "iso", "no ISO 8601"),
        ("2018-01-18", "iso", "date without a time"),
        ("20180118", "iso", "date without a time"),
        (True, "iso", "no ISO 8601"),
        ("0001-01-01T00:00:00Z", "iso", "year 1;"),
        ("9999-12-31T23:59:59-10:00", "iso", "year 9999"),
        (1719299439635, "epoch", "beyond|year"),
        (10**30, "epoch", "beyond"),
        ("abc", "epoch", "no number"),
        (False, "epoch", "no number"),
        ("nan", "epoch", "no number"),
        ("2024", "%d-%b-%y", "does not look like"),
    ],
)
def test_refuses(value: object, form: str, complaint: str) -> None:
    with pytest.raises(TimeError, match=complaint):
        read_time(value, form, UTC)


def test_unknown_zones_are_named() -> None:
    for name in ("Mars/Base", "../../etc/passwd", "", "x" * 300):
        with pytest.raises(TimeError):
            zone_of(name)


@pytest.mark.parametrize(
    ("value", "form", "day"),
    [
        ("2017-10-18", "iso", date(2017, 10, 18)),
        ("2017-10-18 00:00:00", "iso", date(2017, 10, 18)),
        ("2017-10-18T23:30:00-08:00", "iso", date(2017, 10, 18)),
        # midnight of 15 October 2017 does not exist in Brazil
        ("2017-10-15", "iso", date(2017, 10, 15)),
        ("20171018", "%Y%m%d", date(2017, 10, 18)),
        (20171018, "%Y%m%d", date(2017, 10, 18)),
        (1508378400, "epoch", date(2017, 10, 19)),
    ],
)
def test_a_date_is_the_first_moment_of_its_day(value: object, form: str, day: date) -> None:
    moment = read_time(value, form, SAO_PAULO, date_only=True)
    assert moment.astimezone(SAO_PAULO).date() == day
    assert (moment - timedelta(microseconds=1)).astimezone(SAO_PAULO).date() == day - timedelta(days=1)


DAYS = st.dates(date(2016, 9, 1), date(2018, 9, 1))
MOMENTS = st.datetimes(datetime(2016, 9, 1), datetime(2018, 9, 1), timezones=st.just(UTC))


@given(DAYS, st.dates(date(2025, 1, 1), date(2027, 12, 31)), DAYS, MOMENTS)
@settings(deadline=None)
def test_a_replay_by_whole_days_keeps_days_and_what_is_late(
    as_of: date, today: date, due: date, moment: datetime
) -> None:
    def at(day: date) -> datetime:
        return datetime(day.year, day.month, day.day, 14, 37, tzinfo=SAO_PAULO)

    replay = Replay(at(as_of), at(today), 1.0)
    moved_due = replay.move_day(due, SAO_PAULO)
    assert moved_due - due == today - as_of
    moved = replay.move(moment, SAO_PAULO)
    # Brazil changed its clocks then and does not now: an afternoon stays an afternoon
    assert moved.astimezone(SAO_PAULO).time() == moment.astimezone(SAO_PAULO).time()
    assert (moved.astimezone(SAO_PAULO).date() > moved_due) == (moment.astimezone(SAO_PAULO).date() > due)
    assert replay.move(at(as_of), SAO_PAULO) == at(today)


@given(MOMENTS, MOMENTS, st.sampled_from([1.0, 2.0, 60.0, 3600.0]))
@settings(deadline=None)
def test_a_replay_keeps_the_order_and_never_runs_ahead(first: datetime, second: datetime, speed: float) -> None:
    as_of, now = datetime(2018, 1, 15, 12, tzinfo=UTC), datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    replay = Replay(as_of, now, speed)
    one, two = sorted((first, second))
    assert replay.move(one, ZoneInfo("UTC")) <= replay.move(two, ZoneInfo("UTC"))
    if one > as_of:
        assert replay.move(one, ZoneInfo("UTC")) == now + (one - as_of) / speed
    assert Replay.from_headers(replay.headers()) == replay


def test_start_of_day_is_utc() -> None:
    assert start_of_day(date(2026, 1, 1), BERLIN) == datetime(2025, 12, 31, 23, tzinfo=UTC)
