"""Deadlines: every form by example, and random ones over clock changes against the slow oracle."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.calendars import WEEKDAYS, WorkingCalendar
from apps.sla.deadlines import Due, RuleError, Setting, compile_due, first_due
from apps.sla.durations import in_words, parse_days, parse_duration
from apps.sla.explaining import sentence, steps
from tests.core.oracle import MINUTE, Oracle, moment_of, wall
from tests.core.test_calendars import ZONES
from tests.sla.builders import FRANCE, T0, flow_state, reached

PARIS = Setting(ZoneInfo("Europe/Paris"), WorkingCalendar.from_spec(FRANCE), "France")
TOLD = {"zone": "Europe/Paris", "rule": "B2B standard", "version": 3, "calendar": "France"}


def paris(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC)


def work_out(due: dict[str, Any], *milestones: Any, setting: Setting = PARIS, **more: Any) -> Due:
    found = first_due(compile_due(due), flow_state(*milestones, **more), setting)
    assert found is not None
    return found


def explained(due: Due, label: str = "") -> str:
    """As it reads back from the database."""
    origin = orjson.loads(orjson.dumps({**due.origin, **TOLD, "label": label}, option=orjson.OPT_UTC_Z))
    assert steps(origin, due.at)[-1][0] == "Due"
    return sentence(origin, due.at)


def test_the_example_of_the_handbook() -> None:
    due = work_out(
        {
            "after": {
                "milestone": "sent",
                "duration": "P2D",
                "kind": "working_days",
                "cut_off": "14:00",
                "time": "closing",
            }
        },
        reached("sent", paris(2026, 2, 27, 15, 10)),
    )
    assert due.at == paris(2026, 3, 4, 16)
    assert explained(due, "Order release") == (
        "Due Wed 4 Mar 16:00 Europe/Paris: 2 working days after order release (Fri 27 Feb 15:10, after the 14:00 cut-off, "
        "so counted as Mon 2 Mar), rule 'B2B standard' v3, calendar France"
    )


FRIDAY = reached("sent", paris(2026, 2, 27, 15, 10))


@pytest.mark.parametrize(
    ("due", "at", "words"),
    [
        (
            {"after": {"milestone": "sent", "duration": "PT4H"}},
            paris(2026, 2, 27, 19, 10),
            "4 hours after order sent (Fri 27 Feb 15:10)",
        ),
        (
            {"after": {"milestone": "sent", "duration": "PT4H", "kind": "working_hours"}},
            paris(2026, 3, 2, 11, 10),
            "4 working hours after order sent (Fri 27 Feb 15:10)",
        ),
        (
            {"after": {"milestone": "sent", "duration": "PT4H", "kind": "working_hours", "cut_off": "14:00"}},
            paris(2026, 3, 2, 12),
            "so counted as Mon 2 Mar",
        ),
        (
            {"after": {"milestone": "sent", "duration": "P1D", "kind": "working_days"}},
            paris(2026, 3, 2, 23, 59, 59),
            "1 working day after order sent",
        ),
        (
            {"after": {"milestone": "sent", "duration": "P1D", "kind": "calendar_days", "time": "same"}},
            paris(2026, 2, 28, 15, 10),
            "1 day after order sent",
        ),
        (
            {"at": {"time": "17:00", "day_of": {"milestone": "sent"}, "cut_off": "14:00"}},
            paris(2026, 3, 2, 17),
            "on the day of order sent (Fri 27 Feb 15:10, after the 14:00 cut-off, so counted as Mon 2 Mar)",
        ),
        (
            {"at": {"time": "17:00", "day_of": {"milestone": "sent"}, "days": 1, "kind": "calendar_days"}},
            paris(2026, 2, 28, 17),
            "1 day after order sent",
        ),
        (
            {"at": {"time": "09:30", "day_of": {"opened": True}}},
            paris(2026, 3, 2, 9, 30),
            "on the day of the opening",
        ),
    ],
)
def test_forms(due: dict[str, Any], at: datetime, words: str) -> None:
    found = work_out(due, FRIDAY)
    assert found.at == at
    assert words in explained(found, "" if "opened" in str(due) else "Order sent")


def test_document_dates() -> None:
    dates = {"promised_delivery": paris(2026, 3, 7, 0)}
    assert work_out({"date": "promised_delivery"}, dates=dates).at == paris(2026, 3, 7, 0)
    whole_day = work_out({"date": "promised_delivery", "end_of_day": True}, dates=dates)
    assert whole_day.at == paris(2026, 3, 7, 23, 59, 59)
    assert "promised delivery of the document (Sat 7 Mar, end of that day)" in explained(whole_day)
    assert work_out({"date": "promised_delivery", "time": "12:00"}, dates=dates).at == paris(2026, 3, 7, 12)
    friday = {"promised_delivery": paris(2026, 3, 6, 0)}
    assert work_out({"date": "promised_delivery", "time": "closing"}, dates=friday).at == paris(2026, 3, 6, 16)
    # closed on Saturdays: the end of the day promised
    assert work_out({"date": "promised_delivery", "time": "closing"}, dates=dates).at == paris(2026, 3, 7, 23, 59, 59)


def test_before() -> None:
    plan = reached("arrived", planned_at=paris(2026, 3, 5, 10))
    due = work_out({"before": {"milestone": "arrived", "duration": "PT4H"}}, plan)
    assert due.at == paris(2026, 3, 5, 6)
    assert "4 hours before planned arrived (Thu 5 Mar 10:00)" in explained(due, "Arrived")
    estimate = reached("arrived", estimated_at=paris(2026, 3, 5, 10))
    assert work_out({"before": {"milestone": "arrived", "duration": "PT4H"}}, estimate).at == paris(2026, 3, 5, 6)
    days = {"before": {"milestone": "arrived", "duration": "P2D", "kind": "working_days", "time": "12:00"}}
    assert work_out(days, plan).at == paris(2026, 3, 3, 12)
    hours = {"before": {"milestone": "arrived", "duration": "PT4H", "kind": "working_hours"}}
    assert work_out(hours, plan).at == paris(2026, 3, 4, 14)


def test_fallbacks_are_tried_in_order() -> None:
    due = {
        "date": "acknowledge_by",
        "else": [
            {"date": "ship_by", "end_of_day": True},
            {"after": {"milestone": "sent", "duration": "PT1H"}},
        ],
    }
    found = work_out(due, FRIDAY)
    assert found.at == paris(2026, 2, 27, 16, 10)
    assert "since acknowledge by is not known" in explained(found)
    assert work_out(due, FRIDAY, dates={"ship_by": paris(2026, 3, 1)}).at == paris(2026, 3, 1, 23, 59, 59)
    assert first_due(compile_due(due), flow_state(), PARIS) is None


def test_a_date_that_means_nobody_knows_is_not_known() -> None:
    never = {"promised_delivery": datetime(9999, 12, 31, 23, tzinfo=UTC)}
    forms = compile_due({"date": "promised_delivery", "end_of_day": True})
    new_york = Setting(ZoneInfo("Europe/Paris"))
    assert first_due(forms, flow_state(dates=never), new_york) is None


def test_deadlines_are_whole_seconds() -> None:
    sent = reached("sent", T0 + timedelta(microseconds=999_999))
    assert work_out({"after": {"milestone": "sent", "duration": "PT1H"}}, sent).at == T0 + timedelta(hours=1)


@pytest.mark.parametrize(
    ("due", "path"),
    [
        ({}, "due"),
        ({"date": "a", "after": {}}, "due"),
        ({"after": {"duration": "PT1H"}}, "due.after"),
        ({"after": {"milestone": "a", "duration": "P1M"}}, "due.after.duration"),
        ({"after": {"milestone": "a", "duration": "PT4H", "kind": "working_days"}}, "due.after.duration"),
        ({"after": {"milestone": "a", "duration": "P1D", "kind": "working_hours"}}, "due.after.duration"),
        ({"after": {"milestone": "a", "duration": "PT1H", "kind": "soon"}}, "due.after.kind"),
        ({"after": {"milestone": "a", "duration": "PT1H", "cut_off": 840}}, "due.after.cut_off"),
        ({"after": {"milestone": "a", "duration": "PT1H", "clock": "wall"}}, "due.after.clock"),
        ({"at": {"time": "17:00"}}, "due.at"),
        ({"at": {"time": "25:00", "day_of": {"opened": True}}}, "due.at.time"),
        ({"date": "a", "else": [{"date": "b"}, {"at": {}}]}, "due.else[1].at"),
        ({"date": "a", "end_of_day": True, "time": "12:00"}, "due.date"),
    ],
)
def test_a_bad_rule_names_the_place(due: dict[str, Any], path: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_due(due)
    assert caught.value.path == path


def test_durations() -> None:
    assert parse_duration("P1DT2H30M5S") == timedelta(days=1, hours=2, minutes=30, seconds=5)
    assert parse_duration("P2W") == timedelta(days=14)
    assert parse_duration("PT0S") == timedelta(0)
    assert parse_days("P10D") == 10
    assert in_words("P1DT12H") == "1 day 12 hours"
    assert in_words("PT8H", "working") == "8 working hours"
    for bad in ("", "P", "PT", "P1DT", "P1M", "P1Y", "1D", "PT1.5H", "-PT1H", "PT", "P1D ", None, 4):
        with pytest.raises(ValueError, match="not a duration"):
            parse_duration(bad)  # type: ignore[arg-type]


# -- against the oracle -------------------------------------------------------


@st.composite
def deadlines(draw: st.DrawFn) -> tuple[dict[str, Any], datetime, Setting, Oracle]:
    zone = draw(st.sampled_from(sorted(ZONES)))
    middle = draw(st.sampled_from(ZONES[zone]))
    first = draw(st.integers(0, 22 * 60))
    shift = (first, draw(st.integers(first + 1, 1440)))
    open_days = draw(st.sets(st.integers(0, 6), min_size=2))
    weekly = {n: [shift] for n in open_days}
    as_text = [f"{minutes // 60:02d}:{minutes % 60:02d}" for minutes in shift]
    calendar = WorkingCalendar.from_spec({"zone": zone, "weekly": {WEEKDAYS[n]: [as_text] for n in open_days}})
    moment = datetime(middle.year, middle.month, middle.day, tzinfo=UTC) + MINUTE * draw(st.integers(-2880, 2880))
    kind = draw(st.sampled_from(["continuous", "working_hours", "working_days", "calendar_days"]))
    span: dict[str, Any] = {"milestone": "sent", "kind": kind}
    if kind.endswith("days"):
        span["duration"] = f"P{draw(st.integers(0, 4))}D"
        span["time"] = draw(st.sampled_from(["end_of_day", "closing", "same", "00:30", "02:30", "17:00:30"]))
        if draw(st.booleans()):
            span["cut_off"] = draw(st.sampled_from(["00:00", "02:30", "14:00"]))
    else:
        span["duration"] = f"PT{draw(st.integers(0, 3000))}M"
    return span, moment, Setting(ZoneInfo(zone), calendar), Oracle(zone, weekly, {}, middle, days=10)


def opinion(span: dict[str, Any], moment: datetime, oracle: Oracle) -> datetime | None:
    """The deadline by the words of the handbook; None beyond the oracle's window."""
    kind = span["kind"]
    number = int(span["duration"].strip("PTDM"))
    if kind == "continuous":
        return moment + MINUTE * number
    if kind == "working_hours":
        return oracle.add(moment, number)
    local = wall(moment, oracle.zone)
    day: date | None = local.date()
    working = kind == "working_days"
    cut_off = span.get("cut_off")
    if cut_off is not None or (working and number == 0):
        late = cut_off is not None and local.time() > time.fromisoformat(cut_off)
        if working and (late or not oracle.working_day(local.date())):
            day = oracle.nth_working_day(local.date(), 1)
        elif late:
            day = local.date() + timedelta(days=1)
    if day is None:
        return None
    if number:
        day = oracle.nth_working_day(day, number) if working else day + timedelta(days=number)
    if day is None:
        return None
    if span["time"] == "closing" and oracle.working_day(day):
        return max(end for _, end in oracle.spans(day))
    if span["time"] == "same" and day == local.date():
        return moment  # the same time of the same day, also in an hour that comes twice
    clock = {"end_of_day": time(23, 59, 59), "closing": time(23, 59, 59), "same": local.time()}.get(span["time"])
    return moment_of(datetime.combine(day, clock or time.fromisoformat(span["time"])), oracle.zone)


def test_no_days_after_a_moment_is_that_moment_in_an_hour_that_comes_twice() -> None:
    """Found by the property below: the first of the two would be due before it began."""
    second = datetime(2026, 11, 1, 5, 0, tzinfo=UTC)  # Havana's midnight, for the second time
    span = {"milestone": "sent", "kind": "calendar_days", "duration": "P0D", "time": "same"}
    setting = Setting(ZoneInfo("America/Havana"), None, "")
    assert work_out({"after": span}, reached("sent", second), setting=setting).at == second


@pytest.mark.parametrize(
    ("days", "due"),
    [
        (154, datetime(2027, 3, 28, 1, 30, tzinfo=UTC)),  # 02:30 does not exist then: 03:30
        (371, datetime(2027, 10, 31, 0, 30, tzinfo=UTC)),  # 02:30 comes twice again: the first
    ],
)
def test_which_of_two_hours_it_was_does_not_outlive_its_day(days: int, due: datetime) -> None:
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 in Paris, for the second time
    span = {"milestone": "sent", "kind": "calendar_days", "duration": f"P{days}D", "time": "same"}
    assert work_out({"after": span}, reached("sent", second)).at == due


@settings(max_examples=1000, deadline=None)
@given(deadlines())
def test_random_deadlines_are_exact_to_the_second(case: tuple[dict[str, Any], datetime, Setting, Oracle]) -> None:
    span, moment, setting, oracle = case
    expected = opinion(span, moment, oracle)
    if expected is None:
        return
    found = work_out({"after": span}, reached("sent", moment), setting=setting)
    assert found.at == expected
    assert found.at.microsecond == 0
