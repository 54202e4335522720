"""Objectives: the share in the window, the budget that is left, and findings that come and go."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.configuration import documents, loading
from apps.configuration.documents import ConfigError
from apps.incidents.models import Finding, Incident
from apps.reports import objectives, rollups
from apps.reports.models import ContractTerm, Objective
from tests.dashboard.network import DAY, HOUR, NOW, flow, partner, promise, rule

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def objective(**changes: Any) -> Objective:
    values: dict[str, Any] = {"slug": "ship", "name": "Shipped in time", "target": Decimal(90), **changes}
    return Objective(**values)


def stock(kept: int, missed: int, at: Any = NOW - HOUR, **changes: Any) -> None:
    who = changes.pop("partner", None) or partner()
    more = changes.pop("attributes", {})
    for number in range(kept + missed):
        order = flow(f"SO-{at:%d%H%M%S}-{number}-{who.slug}", who, attributes=more)
        state = "MET" if number < kept else "BREACHED"
        promise(order, state, at, met_at=at if state == "MET" else None, **changes)


def test_the_budget_is_what_the_target_leaves() -> None:
    stock(18, 2, NOW - 3 * DAY)
    stock(19, 1, NOW - HOUR)
    promise(flow("SO-U", partner()), "SUSPENDED", NOW - HOUR)
    stock(5, 5, NOW - 31 * DAY)
    found = objectives.standing(objective(), NOW)
    assert (found.tally.kept, found.tally.missed, found.unknown) == (37, 3, 1)
    assert (found.share, found.allowed) == (pytest.approx(37 / 40), pytest.approx(4))
    assert found.left == pytest.approx(0.25)
    assert found.state == "on-time"
    assert len(found.days) == 30
    assert found.days[-1].day == NOW.date()
    assert [round(day.spent or 0, 2) for day in found.days[-4:]] == [0.5, 0.5, 0.5, 0.75]


@pytest.mark.parametrize("folded", [True, False])
def test_it_counts_only_what_it_is_about(folded: bool) -> None:
    acme, oak = partner("Acme Metals"), partner("Oak Works")
    other = rule(slug="deliver", milestone="delivered", flow_slug="returns")
    stock(3, 1, partner=acme, attributes={"lane": "DE>FR", "service": "express"})
    stock(5, 0, NOW - 2 * HOUR, partner=oak, rule=other, milestone="delivered", attributes={"lane_from": "DE"})
    if folded:
        rollups.fold()
    for changes, judged in (
        ({}, 9),
        ({"rule": "deliver"}, 5),
        ({"partner": acme}, 4),
        ({"flow": "returns"}, 5),
        ({"lane": "DE>FR"}, 4),
        ({"lane": "DE>"}, 5),
        ({"service": "express", "partner": oak}, 0),
    ):
        found = objectives.standing(objective(**changes), NOW)
        assert found.tally.judged == judged, changes
        assert found.burns[-1].long.judged == judged, changes
    assert objectives.standing(objective(rule="nothing"), NOW).state == "unknown"


@pytest.mark.parametrize(
    ("changes", "first", "after"),
    [
        ({"days": 7}, date(2026, 3, 12), date(2026, 3, 19)),
        ({"window": "calendar", "period": "week"}, date(2026, 3, 16), date(2026, 3, 23)),
        ({"window": "calendar", "period": "month"}, date(2026, 3, 1), date(2026, 4, 1)),
        ({"window": "calendar", "period": "quarter"}, date(2026, 1, 1), date(2026, 4, 1)),
    ],
)
def test_windows(changes: dict[str, Any], first: date, after: date) -> None:
    found = objectives.frame(objective(**changes), NOW, "Europe/Berlin")
    assert (found.first, found.after) == (first, after)
    winter = found.begin.hour == 23
    assert winter
    december = objectives.frame(objective(window="calendar", period="quarter"), NOW.replace(month=12), "UTC")
    assert december.after == date(2027, 1, 1)


def test_a_burning_budget_is_one_incident_and_ends_with_the_short_window() -> None:
    objective().save()
    stock(30, 0, NOW - 2 * DAY)
    stock(2, 10, NOW - 10 * MINUTE)
    stock(0, 5, NOW - 2 * MINUTE)
    assert objectives.tick(NOW) == (3, 0)
    assert objectives.tick(NOW) == (0, 0)
    incident = Incident.objects.get()
    assert (incident.title, incident.open_findings) == ("Budget burns: Shipped in time", 3)
    hour = Finding.objects.get(evidence__window="1 hour")
    assert hour.sentence.startswith("Shipped in time: budget of 10 % missed for 30 d: 1.2 % of it used in 1 hour")
    assert hour.evidence["factor"] == 5
    # nobody missed anything for a while: silence ends nothing, good news do
    assert objectives.tick(NOW + 20 * MINUTE) == (0, 0)
    stock(8, 0, NOW + 30 * MINUTE)
    raised, cleared = objectives.tick(NOW + 31 * MINUTE)
    assert (raised, cleared) == (0, 2)
    assert Finding.objects.filter(cleared_at=None).get().evidence["window"] == "3 days"


def test_few_misses_prove_nothing() -> None:
    objective(target=Decimal("99.5")).save()
    stock(2, 4, NOW - 2 * MINUTE)
    assert objectives.tick(NOW) == (0, 0)
    assert objectives.standings(NOW)[0].state == "late"


def test_an_objective_that_is_switched_off_says_nothing_more() -> None:
    objective().save()
    stock(0, 9, NOW - 2 * MINUTE)
    assert objectives.tick(NOW) == (3, 0)
    Objective.objects.update(active=False)
    assert objectives.tick(NOW) == (0, 3)


SECTION = """
objectives:
  - {slug: ship, name: Ship, target: 97.5, rule: ship-in-time, partner: acme-metals, days: 14}
  - {slug: all, name: All, target: 95, period: quarter, lane: "DE>FR", severity: low, active: false}
contract_terms:
  - {slug: t1, name: Acme, partner: acme-metals, basis: per_day, amount: 12.5, currency: EUR, cap_each: 60, valid_from: "2026-01-01"}
"""


def test_configuration_goes_in_and_out(tmp_path: Path) -> None:
    partner("Acme Metals")
    rule()
    document = documents.parse(SECTION, "x.yaml")
    assert [(change.key, change.what) for change in loading.load([document], NOW)] == [
        ("ship", "created"),
        ("all", "created"),
        ("t1", "created"),
    ]
    assert loading.load([document], NOW) == []
    told = loading.export()
    assert (
        loading.load(
            [documents.parse(documents.dump({k: told[k] for k in ("objectives", "contract_terms")}), "y")], NOW
        )
        == []
    )
    assert Objective.objects.get(slug="all").window == "calendar"
    assert ContractTerm.objects.get().cap_each == Decimal(60)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("objectives: [{slug: a, name: A, target: 100}]", "below 100"),
        ("objectives: [{slug: a, name: A, target: 98, rule: nope}]", "no rule 'nope'"),
        ("objectives: [{slug: a, name: A, target: 98, days: 3, period: week}]", "either days"),
        ("objectives: [{slug: a, name: A, target: 98, flow: nope}]", "no flow 'nope'"),
        ("contract_terms: [{slug: a, name: A, basis: share, amount: 1, currency: Euro}]", "ISO 4217"),
        (
            'contract_terms: [{slug: a, name: A, basis: share, amount: 1, currency: EUR, valid_from: "soon"}]',
            "is not a day",
        ),
    ],
)
def test_wrong_configuration_says_why(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loading.load([documents.parse(text, "x.yaml")], NOW)


def test_the_demo_has_objectives() -> None:
    network = documents.read(settings.BASE_DIR / "apps/simulator/demo/network.yaml")
    assert loading.check(network) == []
    assert len(network.data["objectives"]) >= 3


@pytest.mark.parametrize(
    ("kept", "unknown", "paused", "state"),
    [(20, 0, 0, "on-time"), (20, 1, 0, "on-time"), (20, 3, 0, "unknown"), (20, 1, 2, "unknown"), (0, 3, 0, "unknown")],
)
def test_what_nobody_knows_is_not_on_target(kept: int, unknown: int, paused: int, state: str) -> None:
    """90 % of 20 is kept even if one more were missed, and is not if three were."""
    rows = [("MET", "")] * kept + [("SUSPENDED", "")] * unknown + [("SUSPENDED", "On hold")] * paused
    for number, (one, why) in enumerate(rows):
        promise(flow(f"U-{number}"), one, NOW - DAY, met_at=NOW - DAY if one == "MET" else None, paused=why)
    found = objectives.standing(Objective(slug="u", name="U", target=90, days=7), NOW)
    assert (found.state, found.unknown) == (state, unknown + paused)
