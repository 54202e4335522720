"""What is promised for every period: which occasions there are, who answers them, and what the ledger says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.calendars import WEEKDAYS, WorkingCalendar
from apps.flows import pipeline
from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.models import Flow
from apps.flows.recording import IncomingEvent
from apps.incidents.models import Finding
from apps.integrations.models import Integration, Partner, SourceState
from apps.sla import backtest, describing, library, promises, sweep
from apps.sla.deadlines import RuleError, Setting
from apps.sla.explaining import sentence, steps
from apps.sla.models import Expectation, SlaRule
from apps.sla.occasions import Occasion, compile_every
from apps.sla.rule_specs import unknown_names
from apps.sla.rules import RuleRow, compile_rule
from apps.sla.schema import RULE_SCHEMA

VALID = jsonschema.Draft202012Validator(RULE_SCHEMA)
FLOWS = Path(django_settings.BASE_DIR) / "apps/flows/definition_files/files_and_logs.yaml"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PARIS = ZoneInfo("Europe/Paris")
#: Monday 2 March 2026, noon
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WORKED = WorkingCalendar.from_spec(
    {"zone": "Europe/Paris", "country": "FR", "weekly": {name: [["08:00", "16:00"]] for name in WEEKDAYS[:5]}}
)


def occasions(
    spec: dict[str, Any], begin: datetime, days: float, calendar: WorkingCalendar | None = None
) -> list[Occasion]:
    whole = {"due": {"every": {"from": "f", **spec}}, **({"calendar": "partner"} if calendar else {})}
    VALID.validate(whole)
    every = compile_rule(whole).every
    assert every is not None
    assert describing.rule(whole, {})
    found = every.occasions(begin, begin + days * DAY, Setting(PARIS, calendar))
    return [one for one in found if begin <= one.due_at <= begin + days * DAY]


@pytest.mark.parametrize(
    ("spec", "begin", "days", "calendar", "labels"),
    [
        # Friday to Tuesday; Easter Monday 6 April 2026 is a holiday in France
        (
            {"times": ["04:00"]},
            "2026-04-03",
            5,
            WORKED,
            ["2026-04-03 04:00", "2026-04-07 04:00"],
        ),
        (
            {"times": ["16:00", "04:00"], "days": ["sat"]},
            "2026-04-03",
            3,
            None,
            ["2026-04-04 04:00", "2026-04-04 16:00"],
        ),
        ({"period": "week", "days": ["mon"], "times": ["09:00"]}, "2026-04-01", 8, WORKED, ["2026-04-07 09:00"]),
        (
            {"period": "month", "on": "first_working_day", "times": ["09:00"]},
            "2026-05-01",
            4,
            WORKED,
            ["2026-05-04 09:00"],
        ),
        (
            {"period": "month", "on": "last_working_day", "times": ["09:00"]},
            "2026-05-25",
            10,
            WORKED,
            ["2026-05-29 09:00"],
        ),
        ({"period": "month", "on": 31, "times": ["09:00"]}, "2026-02-20", 12, WORKED, ["2026-03-02 09:00"]),
        ({"period": "month", "on": 31, "times": ["09:00"]}, "2026-02-20", 12, None, ["2026-02-28 09:00"]),
        (
            {"period": "hour", "minute": 15},
            "2026-03-02T13:00",
            1,
            WORKED,
            ["2026-03-02 14:15", "2026-03-02 15:15", *(f"2026-03-03 {n:02d}:15" for n in range(8, 14))],
        ),
        # the clocks go forward at 02:00 and back at 03:00: 23 and 25 hours
        ({"period": "hour"}, "2026-03-29T00:30", 4 / 24, None, [f"2026-03-29 0{n}:00" for n in (3, 4, 5)]),
        (
            {"period": "hour"},
            "2026-10-25T00:30",
            3 / 24,
            None,
            ["2026-10-25 03:00", "2026-10-25 02:00 again"],
        ),
    ],
)
def test_occasions_by_hand(
    spec: dict[str, Any], begin: str, days: float, calendar: WorkingCalendar | None, labels: list[str]
) -> None:
    start = datetime.fromisoformat(begin).replace(tzinfo=UTC if "T" in begin and "hour" in spec.values() else PARIS)
    found = [one.label for one in occasions(spec, start.astimezone(UTC), days, calendar)]
    if "again" in str(labels) or "2026-03-29" in labels[0]:
        assert set(labels) <= set(found)
        assert len(found) == len(set(found)) == round(days * 24), "an occasion for every hour that passes"
    else:
        assert found == labels


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        [
            {"times": ["04:00"]},
            {"times": ["02:00", "03:00", "14:00"], "opens": "PT6H"},
            {"period": "hour", "minute": 7},
            {"period": "week", "days": ["mon", "fri"], "times": ["10:00"]},
            {"period": "month", "on": "first_working_day", "times": ["09:00"]},
        ]
    ),
    st.integers(0, 600 * 24 * 60),
    st.booleans(),
)
def test_every_moment_belongs_to_one_occasion_at_most_and_windows_meet(
    spec: dict[str, Any], minutes: int, worked: bool
) -> None:
    calendar = WORKED if worked or spec.get("on") else None
    every = compile_every({"from": "f", **spec}, "partner" if calendar else "none")
    begin = NOON + minutes * MINUTE
    found = every.occasions(begin, begin + 2 * DAY, Setting(PARIS, calendar))
    for one, two in pairwise(found):
        assert one.closes_at == two.opens_at
        assert one.due_at <= two.opens_at
    for one in found:
        assert one.opens_at < one.due_at <= one.closes_at
        assert every.occasions(one.due_at, one.due_at, Setting(PARIS, calendar)) != []
    narrower = every.occasions(begin, begin + DAY, Setting(PARIS, calendar))
    assert narrower == found[: len(narrower)], "an occasion is the same from wherever one looks"


@pytest.mark.parametrize(
    ("every", "path"),
    [
        ({}, "due.every.times"),
        ({"period": "hour", "times": ["04:00"]}, "due.every.times"),
        ({"times": ["04:00"], "minute": 3}, "due.every.minute"),
        ({"period": "week", "times": ["04:00"]}, "due.every.days"),
        ({"period": "month", "times": ["04:00"]}, "due.every.on"),
        ({"times": ["04:00"], "on": 3}, "due.every.on"),
        ({"period": "month", "on": "first_working_day", "times": ["04:00"]}, "calendar"),
        ({"times": ["04:00"], "opens": "P1M"}, "due.every.opens"),
        ({"times": ["4"]}, "due.every.times"),
        ({"period": "year", "times": ["04:00"]}, "due.every.period"),
    ],
)
def test_a_promise_that_cannot_be_read_names_the_place(every: dict[str, Any], path: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_every({"from": "f", **every}, "none")
    assert caught.value.path == path


def test_a_promise_is_a_rule_of_its_own_flow() -> None:
    spec = {"due": {"every": {"from": "f", "times": ["04:00"]}}}
    elsewhere = {"identified_by": ["sales_order"], "milestones": []}
    assert "promised-messages" in unknown_names(spec, elsewhere)[0][1]
    assert unknown_names(spec, {"identified_by": ["promise"], "milestones": []}) == []


# -- in the database ----------------------------------------------------------


@pytest.fixture
def feed(db: None) -> Integration:
    call_command("load_config", str(FLOWS), verbosity=0)
    partner = Partner.objects.create(slug="acme", name="Acme", kind="supplier", time_zone="Europe/Paris")
    return Integration.objects.create(slug="acme-stock", name="Stock", kind="webhook", partner=partner)


def promise(made: datetime, **every: Any) -> SlaRule:
    spec = {"due": {"every": {"from": "acme-stock", "messages": ["stock.reported"], **every}}, "zone": "UTC"}
    VALID.validate(spec)
    rule = SlaRule.objects.create(
        slug="stock", name="Stock", flow_slug="promised-messages", milestone="kept", severity="high", spec=spec
    )
    SlaRule.objects.filter(pk=rule.pk).update(created_at=made)
    return rule


def come(feed: Integration, at: datetime, sent: datetime | None = None, **more: Any) -> None:
    type_ = more.pop("type", "stock.reported")
    told = CanonicalEvent(
        type_,
        at - HOUR,
        (Reference("stock_report", f"{at}", "acme"),),
        sent_at=sent,
        data=more,
        source_event_id=f"{at}",
    )
    with transaction.atomic():
        pipeline.take([IncomingEvent(told, feed.pk, "acme", int(at.timestamp()), at)], at)


def states() -> dict[str, str]:
    rows = Expectation.objects.filter(flow__definition__slug="promised-messages").order_by("due_at")
    return {row.flow.label.partition("/")[2]: row.state for row in rows.select_related("flow")}


def test_kept_late_and_missing_and_who_is_told(feed: Integration) -> None:
    promise(NOON - DAY, times=["16:00"])
    for _ in range(2):
        promises.keep(NOON)
    assert states() == {"2026-03-02 16:00": "PENDING"}
    come(feed, NOON + HOUR, type="stock.adjusted")
    come(feed, NOON + 2 * HOUR)
    assert promises.keep(NOON + 2 * HOUR).kept == 1
    assert states() == {"2026-03-02 16:00": "MET"}
    # Tuesday's comes late, before Wednesday's window opens; Wednesday's never
    promises.keep(NOON + DAY)
    sweep.run(NOON + DAY + 5 * HOUR)
    assert states()["2026-03-03 16:00"] == "BREACHED"
    assert Finding.objects.filter(cleared_at=None).count() == 1
    come(feed, NOON + DAY + 6 * HOUR)
    promises.keep(NOON + DAY + 6 * HOUR)
    assert states()["2026-03-03 16:00"] == "MET_LATE"
    assert not Finding.objects.filter(cleared_at=None).exists()
    promises.keep(NOON + 2 * DAY)
    sweep.run(NOON + 2 * DAY + 5 * HOUR)
    # the next window opens at 04:00; what was sent in time may be read an hour later
    assert promises.keep(NOON + 2 * DAY + 17 * HOUR).lapsed == 0
    assert promises.keep(NOON + 2 * DAY + 17 * HOUR + MINUTE).lapsed == 1
    row = Expectation.objects.get(flow__label__endswith="2026-03-04 16:00")
    assert (row.state, row.settled_at is None) == ("BREACHED", False)
    words = sentence(row.origin, row.due_at)
    assert words.startswith(
        "Due Wed 4 Mar 16:00 UTC: a message (stock.reported) from acme-stock by 16:00 every day, rule"
    )
    assert steps(row.origin, row.due_at)[0] == (
        "Promised",
        "a message (stock.reported) from acme-stock by 16:00 every day",
    )


def test_a_count_is_kept_with_the_last_and_by_when_it_was_sent(feed: Integration) -> None:
    promise(NOON - DAY, period="hour", at_least=3)
    promises.keep(NOON + 31 * MINUTE)
    for minute in (35, 40):
        come(feed, NOON + minute * MINUTE)
    assert promises.keep(NOON + 45 * MINUTE).kept == 0
    # read an hour later, but sent in time: an outage of ours makes nobody late
    come(feed, NOON + 80 * MINUTE, sent=NOON + 50 * MINUTE)
    assert promises.keep(NOON + 81 * MINUTE).kept == 1
    row = Expectation.objects.get(flow__label__endswith="13:00")
    assert (row.state, row.met_at) == ("MET", NOON + 50 * MINUTE)


def test_two_windows_and_late_runs_are_each_credited_by_what_they_name(feed: Integration) -> None:
    promise(NOON - DAY, times=["14:00", "15:00"], named_by="run")
    promises.keep(NOON)
    promises.keep(NOON + 2.5 * HOUR)
    come(feed, NOON + 3 * HOUR + 5 * MINUTE, run="2026-03-02T14:00")
    promises.keep(NOON + 3 * HOUR + 6 * MINUTE)
    assert states() == {"2026-03-02 14:00": "MET_LATE", "2026-03-02 15:00": "PENDING"}
    come(feed, NOON + 3 * HOUR + 20 * MINUTE, run="2026-03-02 15:00")
    promises.keep(NOON + 3 * HOUR + 21 * MINUTE)
    assert states() == {"2026-03-02 14:00": "MET_LATE", "2026-03-02 15:00": "MET_LATE"}


def test_what_cannot_be_heard_is_unknown_and_a_standstill_skips_nothing(feed: Integration) -> None:
    promise(NOON, times=["16:00"])
    promises.keep(NOON)
    SourceState.objects.create(integration=feed, stale_since=NOON, last_received_at=NOON)
    sweep.run(NOON + MINUTE)
    assert promises.keep(NOON + 3 * DAY) == promises.Done(opened=3)
    assert set(states().values()) == {"SUSPENDED"}
    assert list(states()) == [f"2026-03-0{day} 16:00" for day in (2, 3, 4, 5)]


def test_a_new_promise_owes_nothing_and_one_that_is_over_asks_for_nothing(feed: Integration) -> None:
    rule = promise(NOON + 5 * HOUR, times=["16:00"])
    promises.keep(NOON + 5 * HOUR)
    assert states() == {}, "today's time was over when it was made"
    promises.keep(NOON + DAY)
    assert list(states()) == ["2026-03-03 16:00"]
    SlaRule.objects.filter(pk=rule.pk).update(lifecycle="retired")
    assert promises.keep(NOON + DAY + 6 * HOUR) == promises.Done(), "its window is still open"
    assert promises.keep(NOON + 5 * DAY) == promises.Done(lapsed=1)
    assert promises.keep(NOON + 6 * DAY) == promises.Done()
    assert not Flow.objects.filter(status="open").exists(), "nothing stays on the board that nobody asks for"


def draft(**every: Any) -> RuleRow:
    spec = {"due": {"every": {"from": "acme-stock", "messages": ["stock.reported"], **every}}, "zone": "UTC"}
    return RuleRow(-1, "stock", 2, "Stock", "promised-messages", "kept", 100, spec, "active", NOON)


def test_a_promise_is_tried_on_what_came_before_it_was_made(feed: Integration) -> None:
    # four days: in time, ten minutes late, never, two hours late
    for day, hours in ((1, 3), (2, 4 + 10 / 60), (4, 6)):
        come(feed, NOON + day * DAY + hours * HOUR)
    now = NOON + 5 * DAY
    tried = backtest.run(library.load(now).book, draft(times=["16:00"]), now, 30)
    assert [(one.label[-16:], one.sort, one.met_at) for one in tried.fired] == [
        ("2026-03-04 16:00", "short", NOON + 2 * DAY + 4 * HOUR + 10 * MINUTE),
        ("2026-03-05 16:00", "real", None),
        ("2026-03-06 16:00", "repeated", NOON + 4 * DAY + 6 * HOUR),
    ]
    assert (tried.flows, tried.judged, tried.more_late, tried.less_late) == (5, 4, 3, 0), "Saturday's is not due yet"
    assert not Flow.objects.filter(definition__slug="promised-messages").exists(), "nothing is written"
    shown = backtest.samples(library.load(now).book, draft(times=["16:00"]), now, 2)
    assert [(flow, label[-16:]) for flow, label, _ in shown] == [(0, "2026-03-07 16:00"), (0, "2026-03-06 16:00")]


def test_a_changed_promise_says_which_occasions_stop_and_become_late(feed: Integration) -> None:
    promise(NOON - DAY, times=["16:00"])
    for day in range(4):
        promises.keep(NOON + day * DAY)
        come(feed, NOON + day * DAY + 5 * HOUR)
        promises.keep(NOON + day * DAY + 5 * HOUR)
    now = NOON + 4 * DAY
    book = library.load(now).book
    tried = backtest.run(book, draft(times=["18:00"]), now, 30)
    assert (tried.more_late, tried.less_late, len(tried.fired)) == (0, 3, 0)
    assert all(one.flow_id for one in tried.ceasing), "those were opened as flows"
    same = backtest.run(book, draft(times=["16:00"]), now, 30)
    assert (same.more_late, same.less_late, len(same.fired)) == (0, 0, 3)


def test_a_promise_with_names_and_counts_is_tried_as_it_is_kept(feed: Integration) -> None:
    """The same messages give the same verdicts whether occasions are kept as they come or counted out afterwards."""
    promise(NOON - DAY, times=["14:00", "15:00"], named_by="run", at_least=2)
    told = [(2.5, "14:00"), (3.1, "14:00"), (2.2, "15:00"), (2.3, "15:00")]
    come(feed, NOON - HOUR, run="none")
    promises.keep(NOON)
    for hours, run in sorted(told):
        come(feed, NOON + hours * HOUR, run=f"2026-03-02 {run}")
        promises.keep(NOON + hours * HOUR + MINUTE)
    now = NOON + 4 * HOUR
    tried = backtest.run(library.load(now).book, draft(times=["14:00", "15:00"], named_by="run", at_least=2), now, 1)
    assert [(one.label[-16:], one.met_at) for one in tried.fired] == [("2026-03-02 14:00", NOON + 3.1 * HOUR)]
    assert states() == {"2026-03-02 14:00": "MET_LATE", "2026-03-02 15:00": "MET"}
