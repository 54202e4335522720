"""The figures of a month, against a plain count in Python; and waiving by hand."""

from __future__ import annotations

import statistics
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.integrations.models import Partner
from apps.reports import figures as reports
from apps.reports.figures import Narrowing
from apps.sla import sweep
from apps.sla.expectations import refresh
from apps.sla.models import Expectation
from tests.sla.builders import ASN_SPEC, HOUR, T0, World, reached

pytestmark = pytest.mark.django_db
DUE = T0 + 4 * HOUR
MARCH = reports.month(2026, 3)


@pytest.fixture
def world() -> World:
    world = World()
    world.rule()
    return world


def stock(world: World) -> None:
    """Four kept, two late by one and three hours, one breached, one excluded, one open, one unknown."""
    sent = reached("sent", T0)
    ahead = reached("sent", T0 + 240 * HOUR)
    refresh(
        [
            *[world.flow(f"kept-{n}", sent, reached("asn", DUE)) for n in range(4)],
            world.flow("late-1", sent, reached("asn", DUE + HOUR)),
            world.flow("late-3", sent, reached("asn", DUE + 3 * HOUR)),
            world.flow("missing", sent),
            world.flow("cancelled", sent, status="cancelled", closed_at=T0),
            world.flow("open", ahead),
            world.flow("unknown", ahead),
        ],
        T0,
    )
    sweep.run(DUE + HOUR)
    Expectation.objects.filter(flow__label="unknown").update(state="SUSPENDED")


def test_the_month_adds_up(world: World) -> None:
    stock(world)
    report = reports.report(MARCH)
    total = report.total
    assert (total.kept, total.missed, total.excluded, total.open, total.unknown) == (4, 3, 1, 1, 1)
    assert (total.judged, total.total, total.share) == (7, 10, pytest.approx(4 / 7))
    assert (total.lateness_p50, total.lateness_p95) == (7200, pytest.approx(3600 * 2.9))
    (rule,) = report.rules
    assert (rule.slug, rule.name, rule.target, rule.reached, rule.counts) == (
        "asn-in-time",
        "ASN in time",
        Decimal(98),
        False,
        total,
    )
    (partner,) = report.partners
    assert (partner.slug, partner.counts) == ("acme", total)
    (cause,) = report.causes
    assert (cause.flow_slug, cause.milestone, cause.partner_name, cause.counts.missed) == (
        "purchase",
        "asn",
        "Acme Metals",
        3,
    )
    assert [(one.reason, one.by_hand, one.count) for one in report.exclusions] == [("The flow was cancelled", False, 1)]
    assert len(report.days) == 31
    assert report.days[1].day == date(2026, 3, 2)
    assert report.days[1].counts.missed == 3
    assert report.days[0].counts == reports.Counts()
    assert {row.flow.label for row in reports.behind(MARCH, outcome="missed")} == {"late-1", "late-3", "missing"}
    assert reports.as_row(total)["share_percent"] == 57.14


def test_nothing_judged_has_no_share(world: World) -> None:
    empty = reports.report(reports.month(2026, 5))
    assert (empty.total.share, empty.total.lateness_p50, empty.rules, empty.causes) == (None, None, [], [])
    assert reports.month(2026, 12).end == datetime(2027, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="month"):
        reports.month(2026, 13)


def test_a_month_ends_at_local_midnight(world: World) -> None:
    span = reports.month(2026, 3, "Europe/Paris")
    assert (span.begin, span.end) == (
        datetime(2026, 2, 28, 23, tzinfo=UTC),
        datetime(2026, 3, 31, 22, tzinfo=UTC),
    )
    at = span.end - 4 * HOUR
    refresh([world.flow("in", reached("sent", at - timedelta(seconds=1))), world.flow("out", reached("sent", at))], T0)
    assert [row.flow.label for row in reports.behind(span)] == ["in"]
    assert reports.total(span).total == 1
    assert [day.day for day in reports.by_day(span) if day.counts.total] == [date(2026, 3, 31)]


def test_narrowing(world: World) -> None:
    world.rule(ASN_SPEC, slug="receive", milestone="received")
    stock(world)
    other = Partner.objects.create(slug="other", name="Other", kind="supplier")
    Expectation.objects.filter(flow__label="missing", milestone="asn").update(partner=other)
    assert reports.total(MARCH, Narrowing(partner=other.pk)).missed == 1
    assert reports.total(MARCH, Narrowing(rule="receive")).kept == 0
    assert reports.total(MARCH, Narrowing(rule="asn-in-time")).kept == 4
    assert reports.total(MARCH, Narrowing(flow="nothing")).total == 0
    assert reports.total(MARCH, Narrowing(milestone="received", flow="purchase")).total == 10
    assert [line.slug for line in reports.by_partner(MARCH, Narrowing(rule="asn-in-time"))] == ["other", "acme"]
    assert reports.behind(MARCH, Narrowing(partner=other.pk, rule="asn-in-time")).count() == 1


def test_versions_of_a_rule_are_one_line(world: World) -> None:
    refresh([world.flow("old", reached("sent", T0), reached("asn", DUE))], T0)
    world.rule({**ASN_SPEC, "grace": "PT5M"}, version=2, name="ASN in good time", target=90)
    refresh([world.flow("new", reached("sent", T0), reached("asn", DUE))], T0)
    (line,) = reports.by_rule(MARCH)
    assert (line.name, line.target, line.counts.kept, line.reached) == ("ASN in good time", Decimal(90), 2, True)


def test_a_month_takes_the_same_few_statements_whatever_its_size(world: World) -> None:
    stock(world)
    with CaptureQueriesContext(connection) as few:
        reports.report(MARCH)
    refresh([world.flow(f"more-{n}", reached("sent", T0), reached("asn", DUE)) for n in range(50)], T0)
    with CaptureQueriesContext(connection) as many:
        reports.report(MARCH)
    assert len(few) == len(many) == 6


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(-2, 5)), max_size=12))
def test_figures_equal_a_plain_count(world: World, cases: list[tuple[int, int]]) -> None:
    """(days until due, hours late or early) of each flow."""
    Expectation.objects.all().delete()
    flows = [
        world.flow(
            f"PO-{n}",
            reached("sent", T0 + timedelta(days=days)),
            reached("asn", DUE + timedelta(days=days, hours=late)),
        )
        for n, (days, late) in enumerate(cases)
    ]
    refresh(flows, T0)
    mine = [late for days, late in cases if (DUE + timedelta(days=days)).month == 3]
    total = reports.total(MARCH)
    assert (total.kept, total.missed) == (sum(late <= 0 for late in mine), sum(late > 0 for late in mine))
    delays = [late * 3600.0 for late in mine if late > 0]
    assert total.lateness_p50 == (statistics.median(delays) if delays else None)
    assert sum(day.counts.total for day in reports.by_day(MARCH)) == len(mine)
