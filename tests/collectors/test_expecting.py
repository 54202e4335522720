"""Files expected by a time: by the calendar, matched by their day, judged by the ledger like anything else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.expecting import open_due
from apps.collectors.files.expected import Schedule, ScheduleError, date_in
from apps.collectors.models import DeadLetter
from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.core.calendars import WEEKDAYS
from apps.flows.models import Event, Flow
from apps.incidents.models import Finding, Incident
from apps.integrations.models import Integration, Mapping, Partner
from apps.sla import sweep
from apps.sla.models import Expectation

#: Monday 2 March 2026, in Berlin one hour ahead of UTC: due at 03:00 UTC, the window opens on Sunday at 15:00 UTC
DUE = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
OPENS = DUE - timedelta(hours=12)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AGREED = {"expected_by": "04:00", "expected_country": "DE", "min_rows": 2, "max_rows": 4}
FLOWS = Path(django_settings.BASE_DIR) / "apps/flows/definition_files/files_and_logs.yaml"


@pytest.fixture
def feed(db: None) -> Integration:
    call_command("load_config", str(FLOWS), verbosity=0)
    partner = Partner.objects.create(slug="north", name="3PL North", kind="3pl", time_zone="Europe/Berlin")
    spec = {
        "events": [
            {"type": "stock.adjusted", "happened_at": "at", "references": [{"kind": "warehouse_order", "path": "sku"}]}
        ]
    }
    return Integration.objects.create(
        slug="north-stock",
        name="Stock of 3PL North",
        kind="files",
        partner=partner,
        mapping=Mapping.objects.create(slug="north-stock", spec=spec),
        settings=dict(AGREED),
        time_zone="Europe/Berlin",
    )


def rows(count: int) -> bytes:
    return b"sku,at\n" + b"".join(b"HP-%d,2026-03-01T20:00:00Z\n" % number for number in range(count))


def arrive(feed: Integration, at: datetime, count: int = 3, name: str = "stock.csv") -> None:
    store(
        [
            NewReceipt(
                feed.pk, "poll", rows(count), "text/csv", {"file-name": name, "file-arrived": at.isoformat()}, "", at
            )
        ]
    )
    process(at + MINUTE)


def ledger(day: str = "2026-03-02") -> dict[str, str]:
    return dict(
        Expectation.objects.filter(flow__label__endswith=day).order_by("milestone").values_list("milestone", "state")
    )


def test_a_file_in_time_is_met_and_its_flow_completed(feed: Integration) -> None:
    assert open_due(OPENS - MINUTE) == 0
    assert open_due(OPENS) == 1
    flow = Flow.objects.get()
    assert (flow.label, flow.status, flow.partner) == ("north-stock/2026-03-02", "open", feed.partner)
    row = Expectation.objects.get()
    assert (row.milestone, row.due_at, row.state, row.source) == ("received", DUE, "PENDING", feed)
    arrive(feed, DUE - HOUR)
    assert ledger() == {"accepted": "MET", "received": "MET"}
    flow.refresh_from_db()
    assert (flow.status, flow.attributes) == ("completed", {"file": "stock.csv", "rows": 3})
    sweep.run(DUE + DAY)
    assert not Finding.objects.exists()


def test_a_file_that_does_not_come_is_a_breach_with_an_incident_and_closes_when_it_comes(feed: Integration) -> None:
    open_due(OPENS)
    sweep.run(DUE)
    assert ledger() == {"received": "PENDING"}
    sweep.run(DUE + timedelta(seconds=1))
    assert ledger() == {"received": "BREACHED"}
    finding = Finding.objects.get()
    assert "of north-stock/2026-03-02 has not come. Due Mon 2 Mar 04:00 Europe/Berlin" in finding.sentence
    assert Incident.objects.get().state == "open"
    arrive(feed, DUE + 2 * HOUR)
    assert ledger() == {"accepted": "MET", "received": "MET_LATE"}
    finding.refresh_from_db()
    assert finding.cleared_at is not None
    assert Incident.objects.get().state == "resolved"


def test_a_late_file_answers_its_own_day_and_not_the_next(feed: Integration) -> None:
    """The second file is not credited to the first day: each answers its own."""
    open_due(OPENS)
    arrive(feed, DUE + 11 * HOUR)
    open_due(OPENS + DAY)
    assert ledger() == {"accepted": "MET", "received": "MET_LATE"}
    assert ledger("2026-03-03") == {"received": "PENDING"}
    sweep.run(DUE + DAY + MINUTE)
    assert ledger("2026-03-03") == {"received": "BREACHED"}


def test_a_file_that_names_its_day_answers_that_one_whenever_it_comes(feed: Integration) -> None:
    feed.settings |= {"date_in_name": "stock_%Y%m%d.csv"}
    feed.save()
    open_due(OPENS)
    open_due(OPENS + DAY)
    arrive(feed, DUE + DAY - HOUR, name="stock_20260302.csv")
    assert ledger()["received"] == "MET_LATE"
    assert ledger("2026-03-03") == {"received": "PENDING"}
    arrive(feed, DUE + DAY - HOUR, name="stock.csv")
    assert DeadLetter.objects.get().code == "files.no_day"
    assert ledger("2026-03-03") == {"received": "PENDING"}


@pytest.mark.parametrize("count", [1, 5])
def test_too_few_or_too_many_rows_are_not_as_agreed(feed: Integration, count: int) -> None:
    open_due(OPENS)
    arrive(feed, DUE - 2 * HOUR, count)
    assert DeadLetter.objects.get().code == "files.row_count"
    # the rows were taken: what they say is not in doubt, whether they are all is
    assert Event.objects.filter(type="stock.adjusted").count() == count
    assert ledger() == {"accepted": "PENDING", "received": "MET"}
    assert Flow.objects.get(label="north-stock/2026-03-02").failed_hops == 1
    sweep.run(DUE - HOUR)
    assert ledger()["accepted"] == "BREACHED"
    assert "As agreed of north-stock/2026-03-02" in Finding.objects.get().sentence
    arrive(feed, DUE - HOUR / 2, 3, "stock-again.csv")
    assert ledger() == {"accepted": "MET_LATE", "received": "MET"}
    assert Finding.objects.get().cleared_at is not None


def test_a_file_nobody_can_read_has_come_and_is_not_as_agreed(feed: Integration) -> None:
    open_due(OPENS)
    header = {"file-name": "stock.csv", "file-arrived": (DUE - HOUR).isoformat()}
    store([NewReceipt(feed.pk, "poll", b"\n", "text/csv", header, "", DUE - HOUR)])
    process(DUE - HOUR)
    assert DeadLetter.objects.get().code == "eventlog.empty"
    assert ledger() == {"accepted": "PENDING", "received": "MET"}


def test_opening_again_changes_nothing_and_a_standstill_opens_every_day_between(feed: Integration) -> None:
    assert open_due(OPENS) == 1
    assert open_due(OPENS) == 0
    assert open_due(OPENS + MINUTE) == 0
    # Tuesday to Friday and the next Monday; not the weekend
    assert open_due(OPENS + 7 * DAY) == 5
    days = [flow.label[-10:] for flow in Flow.objects.order_by("label")]
    assert days == ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06", "2026-03-09"]
    sweep.run(DUE + 7 * DAY - MINUTE)
    assert Expectation.objects.filter(state="BREACHED").count() == 5


def test_a_new_feed_owes_nothing_of_the_past(feed: Integration) -> None:
    assert open_due(DUE + MINUTE) == 0
    Integration.objects.create(
        slug="later", name="Later", kind="files", settings={"expected_by": "04:00"}, time_zone="Europe/Berlin"
    )
    open_due(DUE + 2 * MINUTE)
    assert not Flow.objects.exists()
    open_due(OPENS + DAY)
    assert Flow.objects.count() == 2


def test_holidays_closed_days_and_switched_off_feeds_expect_nothing(feed: Integration) -> None:
    # Friday 3 April and Monday 6 April 2026 are Good Friday and Easter Monday
    feed.settings |= {"expected_closed": "2026-04-07\n2026-04-08"}
    feed.save()
    open_due(datetime(2026, 4, 1, 12, tzinfo=UTC))
    assert open_due(datetime(2026, 4, 9, 12, tzinfo=UTC)) == 2
    assert sorted(Flow.objects.values_list("label", flat=True)) == [
        "north-stock/2026-04-02",
        "north-stock/2026-04-09",
    ]
    Integration.objects.update(enabled=False)
    assert open_due(datetime(2026, 4, 20, 12, tzinfo=UTC)) == 0


def test_an_unreadable_expectation_does_not_stop_the_others(feed: Integration) -> None:
    Integration.objects.create(slug="a-broken", name="Broken", kind="files", settings={"expected_by": "soon"})
    assert open_due(OPENS) == 1


def test_its_own_event_does_not_make_a_silent_feed_sound_alive(feed: Integration) -> None:
    open_due(OPENS)
    assert not hasattr(Integration.objects.get(pk=feed.pk), "state")


def schedule(**settings: Any) -> Schedule:
    found = Schedule.of({"expected_by": "04:00", **settings}, "feed", "Europe/Berlin")
    assert found is not None
    return found


TIMES = st.times().map(lambda one: f"{one:%H:%M}")
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@given(TIMES, st.none() | TIMES, MOMENTS, st.sets(st.sampled_from(WEEKDAYS), min_size=1))
def test_every_moment_belongs_to_one_day_whose_window_is_open(
    by: str, opens: str | None, moment: datetime, days: set[str]
) -> None:
    one = schedule(expected_by=by, expected_from=opens, expected_days=sorted(days), expected_country="FR")
    day = one.day_of("any.csv", moment)
    assert day is not None
    assert one.is_due(day)
    assert one.opens_at(day) <= moment
    following = one.calendar.add_working_days(day, 1)
    assert moment < one.opens_at(following)


@given(TIMES, MOMENTS, st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_looking_often_or_seldom_opens_the_same_days(by: str, start: datetime, hours: list[int]) -> None:
    one = schedule(expected_by=by)
    now, often = start, set(one.open_days(None, start))
    for step in hours:
        later = now + step * HOUR
        often |= set(one.open_days(now, later))
        now = later
    assert often == set(one.open_days(start, now)) | set(one.open_days(None, start))


@pytest.mark.parametrize(
    ("name", "form", "found"),
    [
        ("stock_20260302.csv", "stock_%Y%m%d.csv", date(2026, 3, 2)),
        ("stock_20260302_0415.csv", "stock_%Y%m%d_*", date(2026, 3, 2)),
        ("NORTH-77-2026-03-02.csv", "NORTH-*-%Y-%m-%d.csv", date(2026, 3, 2)),
        ("20260302.csv", "*%Y%m%d.csv", date(2026, 3, 2)),
        ("stock.csv", "stock_%Y%m%d.csv", None),
        ("stock_20260230.csv", "stock_%Y%m%d.csv", None),
        ("", "stock_%Y%m%d.csv", None),
        ("x", "%", None),
    ],
)
def test_the_day_in_a_name(name: str, form: str, found: date | None) -> None:
    assert date_in(name, form) == found


@pytest.mark.parametrize(
    "settings",
    [
        {"expected_by": "25:00"},
        {"expected_by": 400},
        {"expected_days": "monday"},
        {"expected_days": ["monday"]},
        {"expected_zone": "Mars/Olympus"},
        {"expected_country": "XX"},
        {"expected_closed": "tomorrow"},
    ],
)
def test_what_cannot_be_read_is_said(settings: dict[str, Any]) -> None:
    with pytest.raises(ScheduleError, match=r"\.$"):
        schedule(**settings)
