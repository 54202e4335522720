"""A month from the rollups is the month counted from the rows, exact for few and within bounds for many."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.reports import figures, monthly, rollups
from apps.reports.figures import Counts, Narrowing
from apps.sla.models import Expectation
from tests.dashboard.network import DAY, HOUR, NOW, flow, partner, promise, rule

pytestmark = pytest.mark.django_db
MARCH = date(2026, 3, 1)
STATES = ["PENDING", "MET", "MET", "MET", "MET_LATE", "BREACHED", "WAIVED", "SUSPENDED"]
LANES = [{}, {"lane": "DE>FR", "service": "express"}, {"lane_from": "DE", "lane_to": "PL"}]


@pytest.fixture
def network() -> None:
    chosen = random.Random(4)
    partners = [partner(f"Partner {n}") for n in range(3)]
    rules = [rule(), rule(slug="deliver", name="Delivered", milestone="delivered", flow_slug="returns", target=90)]
    rules.append(rule(slug="later", name="Later", version=2, milestone="picked"))
    for number in range(120):
        state, said = chosen.choice(STATES), chosen.choice(rules)
        order = flow(
            f"SO-{number}",
            chosen.choice([*partners, None]),
            attributes=chosen.choice(LANES),
            currency=chosen.choice(["EUR", "PLN"]),
        )
        due = NOW + timedelta(days=chosen.randrange(-24, 24), seconds=chosen.randrange(86400))
        late = due + timedelta(seconds=chosen.randrange(1, 9 * 86400)) if state == "MET_LATE" else due
        waived = chosen.choice(["Strike", "Hold"]) if state == "WAIVED" else ""
        promise(
            order,
            state,
            due,
            met_at=late if "MET" in state else None,
            waived_reason=waived,
            rule=said,
            milestone=said.milestone,
            at_risk=number % 2 == 0 and state == "PENDING",
            paused="On hold" if state == "SUSPENDED" and number % 2 else "",
        )
    rollups.fold()
    for number in range(10):
        promise(flow(f"SO-new-{number}", partners[0]), "BREACHED", NOW - number * DAY)


def plain(report: figures.Report) -> object:
    """A report with its lines in an order that does not depend on how they came."""
    return (
        report.total,
        sorted((line.slug, line.name, line.target, line.counts) for line in report.rules if line.slug),
        sorted((line.slug, line.name, line.counts.missed, line.counts) for line in report.partners),
        sorted(
            (one.flow_slug, one.milestone, one.partner_id or 0, one.counts.missed, one.counts) for one in report.causes
        ),
        report.exclusions,
        [(day.day, replace(day.counts, lateness_p50=None, lateness_p95=None)) for day in report.days],
    )


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_month_is_what_the_rows_say(network: None, zone: str) -> None:
    if zone != "UTC":
        rollups.rebuild(zone)
    span = figures.month(2026, 3, zone)
    acme = partner("Partner 1").pk
    for only in (
        *(Narrowing(), Narrowing(partner=acme), Narrowing(rule="ship-in-time"), Narrowing(flow="returns")),
        *(Narrowing(lane="DE>FR"), Narrowing(lane="DE>PL", partner=acme), Narrowing(service="express")),
        *(Narrowing(milestone="picked"), Narrowing(partner=-1)),
    ):
        told = monthly.month(MARCH, only)
        assert plain(told.report) == plain(figures.report(span, only)), only
        for outcome in (*figures.OUTCOMES, "at_risk"):
            assert figures.behind(span, only, outcome).count() == getattr(told.report.total, outcome), (only, outcome)
        assert sum(line.counts.total for line in told.lanes) == told.report.total.total
        last = monthly.trend(MARCH, only)[-1].counts
        assert (last.judged, last.unknown, last.paused) == (
            told.report.total.judged,
            told.report.total.unknown,
            told.report.total.paused,
        )
    assert monthly.month(MARCH).report.total.paused > 0 < monthly.month(MARCH).report.total.unknown


def test_an_order_costs_once_and_currencies_stay_apart(network: None) -> None:
    rows = figures.behind(figures.month(2026, 3), outcome="missed")
    orders = {row.flow_id: (row.flow.currency, row.flow.value) for row in rows}
    told = monthly.month(MARCH)
    expected = {
        one: sum((v or Decimal(0) for c, v in orders.values() if c == one), Decimal(0)) for one in ("EUR", "PLN")
    }
    assert told.late_value().amounts == expected
    assert not told.late_value().at_most
    order = flow("SO-twice", value=Decimal(7))
    promise(order, "BREACHED", NOW)
    promise(order, "BREACHED", NOW, milestone="delivered", rule=rule(slug="deliver"))
    assert monthly.month(MARCH).late_value().amounts["EUR"] == expected["EUR"] + 7


def test_money_by_key_is_the_money_of_each(network: None) -> None:
    told = monthly.month(MARCH)
    by_partner = told.late_values(lambda one: one.partner_id)
    rows = list(figures.behind(figures.month(2026, 3), outcome="missed"))
    for pk in {row.partner_id for row in rows}:
        orders = {row.flow_id: (row.flow.currency, row.flow.value) for row in rows if row.partner_id == pk}
        for currency, amount in by_partner[pk].amounts.items():
            assert amount == sum((value or Decimal(0) for one, value in orders.values() if one == currency), Decimal(0))


def test_many_are_bounded(network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = monthly.month(MARCH)
    monkeypatch.setattr(monthly, "MOST_ROWS", 3)
    rough = monthly.month(MARCH)
    assert (exact.exact, rough.exact) == (True, False)
    assert rough.report.total.missed == exact.report.total.missed
    late = [row for row in figures.behind(figures.month(2026, 3), outcome="missed") if row.met_at]

    def agrees(counts: Counts, rows: list[Expectation]) -> None:
        took = sorted((row.met_at - row.due_at).total_seconds() for row in rows if row.met_at)
        for told, share in ((counts.lateness_p50, 0.5), (counts.lateness_p95, 0.95)):
            nearest = took[math.ceil(share * len(took)) - 1] if took else None
            assert told == (pytest.approx(nearest, rel=0.03) if nearest is not None else None)

    agrees(rough.report.total, late)
    for rule_line in rough.report.rules:
        agrees(rule_line.counts, [row for row in late if row.rule.slug == rule_line.slug])
    for partner_line in rough.report.partners:
        agrees(partner_line.counts, [row for row in late if row.partner_id == partner_line.id])
    for cause in rough.report.causes:
        agrees(
            cause.counts,
            [row for row in late if (row.milestone, row.partner_id) == (cause.milestone, cause.partner_id)],
        )
    lanes = {"": {}, "DE>FR": LANES[1], "DE>PL": LANES[2]}
    for lane in rough.lanes:
        agrees(lane.counts, [row for row in late if row.flow.attributes == lanes[lane.lane]])
    for who in {row.partner_id for row in late if row.partner_id}:
        agrees(
            monthly.month(MARCH, Narrowing(partner=who)).report.total, [row for row in late if row.partner_id == who]
        )
    for name, attributes in lanes.items():
        if name:
            only = [row for row in late if row.flow.attributes == attributes]
            agrees(monthly.month(MARCH, Narrowing(lane=name)).report.total, only)
    assert rollups.fold()
    assert monthly.month(MARCH).report == rough.report, "folded, the figures are the same"
    for row in late[::2]:
        promise(row.flow, "MET_LATE", row.due_at, met_at=row.met_at, rule=row.rule, milestone="again")
    beside = monthly.month(MARCH).report
    assert beside.total.missed == rough.report.total.missed + len(late[::2])
    assert rollups.fold()
    assert monthly.month(MARCH).report == beside, "what waits beside its sum counts with it"
    assert rough.late_value().at_most
    assert all(rough.late_value().amounts[one] >= value for one, value in exact.late_value().amounts.items())


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 4)), min_size=1, max_size=20),
    st.sampled_from([0, 0.5, 0.95, 1]),
)
def test_percentiles_are_postgresqls(values: list[tuple[float, int]], share: float) -> None:
    whole = sorted(value for value, n in values for _ in range(n))
    place = share * (len(whole) - 1)
    low = int(place)
    high = min(low + 1, len(whole) - 1)
    slow = whole[low] + (whole[high] - whole[low]) * (place - low)
    assert figures.percentile(sorted(values), share) == pytest.approx(slow)


def test_the_number_of_statements_does_not_grow(network: None) -> None:
    with CaptureQueriesContext(connection) as few:
        monthly.month(MARCH)
    for number in range(30):
        promise(flow(f"SO-more-{number}", partner(f"More {number}")), "BREACHED", NOW)
    with CaptureQueriesContext(connection) as many:
        monthly.month(MARCH)
    assert len(few) == len(many) <= 8


def test_months_without_anything() -> None:
    assert monthly.month(date(2026, 5, 1)).report.total == Counts()
    assert [one.month for one in monthly.trend(date(2026, 5, 1))] == [date(2026, 5, 1)]
    promise(flow("SO-1"), "MET", datetime(2025, 11, 3, tzinfo=NOW.tzinfo), met_at=NOW - HOUR)
    assert [f"{one.month:%y%m}" for one in monthly.trend(date(2026, 2, 1))] == ["2511", "2512", "2601", "2602"]
