"""Dates and times of both standards, with their zones."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.edi.times import BadTime, edifact, x12

moments = st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31)).map(lambda at: at.replace(microsecond=0))


@given(moments)
def test_x12_of_utc_is_itself(at: datetime) -> None:
    assert x12(f"{at:%Y%m%d}", f"{at:%H%M%S}", "UT", "Asia/Tokyo").at == at.replace(tzinfo=UTC)
    assert x12(f"{at:%y%m%d}", f"{at:%H%M%S}", "", "UTC").at == at.replace(tzinfo=UTC)


@given(moments, st.sampled_from(["204", "202"]))
def test_edifact_of_utc_is_itself(at: datetime, form: str) -> None:
    written = at.strftime("%Y%m%d%H%M%S" if form == "204" else "%y%m%d%H%M%S")
    assert edifact(written, form, "UTC").at == at.replace(tzinfo=UTC)
    zoned = {"204": "304", "202": "302"}[form]
    assert edifact(written + "UTC", zoned, "Asia/Tokyo").at == at.replace(tzinfo=UTC)


@given(st.text(max_size=16), st.text(max_size=8), st.text(max_size=3))
def test_whatever_is_written_is_read_or_refused(value: str, time: str, code: str) -> None:
    for read in (lambda: x12(value, time, code, "UTC"), lambda: edifact(value, code, "UTC")):
        with contextlib.suppress(BadTime):
            assert read().at.tzinfo is UTC


@pytest.mark.parametrize(
    ("code", "hour", "zone"),
    [
        ("", 13, "Europe/Berlin"),
        ("LT", 13, "Europe/Berlin"),
        ("UT", 14, "UTC"),
        ("GM", 14, "UTC"),
        ("CT", 19, "America/Chicago"),
        ("CS", 20, "Etc/GMT+6"),
        ("CD", 19, "Etc/GMT+5"),
        ("01", 13, "Etc/GMT-1"),
        ("13", 2, "Etc/GMT+12"),
        ("24", 15, "Etc/GMT+1"),
    ],
)
def test_x12_time_codes(code: str, hour: int, zone: str) -> None:
    """14:00 of a day late in March, when Chicago has daylight time and Berlin does not yet."""
    moment = x12("20260327", "1400", code, "Europe/Berlin")
    day = 28 if code == "13" else 27
    assert (moment.at, moment.zone) == (datetime(2026, 3, day, hour, tzinfo=UTC), zone)


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        ("20260402", "102", datetime(2026, 4, 1, 22)),
        ("20260402", "", datetime(2026, 4, 1, 22)),
        ("260402", "101", datetime(2026, 4, 1, 22)),
        ("020426", "2", datetime(2026, 4, 1, 22)),
        ("202604021530", "203", datetime(2026, 4, 2, 13, 30)),
        ("202604021530UTC", "303", datetime(2026, 4, 2, 15, 30)),
        ("202604021530CET", "303", datetime(2026, 4, 2, 13, 30)),
        ("202604021530+0530", "205", datetime(2026, 4, 2, 10)),
        ("202604021530-05", "303", datetime(2026, 4, 2, 20, 30)),
        ("26144", "103", datetime(2026, 4, 1, 22)),
        ("26092", "105", datetime(2026, 4, 1, 22)),
        ("2026040120260402", "718", datetime(2026, 4, 1, 22)),
        ("20260401-20260402", "718", datetime(2026, 4, 1, 22)),
        ("202604010800202604021530", "719", datetime(2026, 4, 2, 13, 30)),
        ("202604022400", "203", datetime(2026, 4, 2, 22)),
    ],
)
def test_edifact_formats(value: str, form: str, expected: datetime) -> None:
    assert edifact(value, form, "Europe/Berlin").at == expected.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "form"),
    [("20020148", "102"), ("2602", "102"), ("202604022401", "203"), ("20260402", "999"), ("202604021530XXX", "303")],
)
def test_edifact_refuses(value: str, form: str) -> None:
    with pytest.raises(BadTime, match=r"\w"):
        edifact(value, form, "Europe/Berlin")


@pytest.mark.parametrize(
    ("day", "time", "code"),
    [("200", "", ""), ("20260230", "", ""), ("20260301", "2615", ""), ("20260301", "1200", "Q1"), ("٢٠٢٦٠٣٠١", "", "")],
)
def test_x12_refuses(day: str, time: str, code: str) -> None:
    with pytest.raises(BadTime):
        x12(day, time, code, "UTC")


def test_days_are_marked_and_two_digit_years_turn_in_1970() -> None:
    assert x12("20260301", "", "", "UTC").day_only
    assert edifact("20260301", "102", "UTC").day_only
    assert not x12("20260301", "0000", "", "UTC").day_only
    assert x12("691231", "", "", "UTC").at.date() == date(2069, 12, 31)
    assert x12("700101", "", "", "UTC").at == datetime(1970, 1, 1, tzinfo=UTC)
    assert x12("20261231", "235960", "", "UTC").at == datetime(2026, 12, 31, 23, 59, tzinfo=UTC) + timedelta(seconds=60)
