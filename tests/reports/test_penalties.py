"""Money by contract: which term counts, what it comes to, caps, and currencies that never mix."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.incidents.models import Finding, Incident
from apps.reports import penalties
from apps.reports.figures import Narrowing
from apps.reports.models import ContractTerm, PenaltyCell
from apps.reports.penalties import Miss, matching, owed
from apps.sla.models import Expectation
from tests.dashboard.network import DAY, HOUR, NOW, flow, partner, person, promise

MARCH = date(2026, 3, 1)


def term(slug: str = "t", **changes: Any) -> ContractTerm:
    values: dict[str, Any] = {"name": slug, "basis": "per_event", "amount": Decimal(10), "currency": "EUR", **changes}
    return ContractTerm(slug=slug, payer=values.pop("payer", "partner"), **values)


def miss(**changes: Any) -> Miss:
    values: dict[str, Any] = {
        "rule": "asn",
        "partner_id": 7,
        "day": date(2026, 3, 4),
        "late": timedelta(hours=30),
        "value": Decimal(200),
        "currency": "EUR",
        **changes,
    }
    return Miss(**values)


def test_the_most_particular_term_counts() -> None:
    terms = [
        term("all"),
        term("rule", rule="asn"),
        term("partner", partner_id=7),
        term("both", partner_id=7, rule="asn"),
        term("other", partner_id=8, rule="asn"),
        term("ours", payer="us"),
    ]
    for number, expected in enumerate(("all", "rule", "partner", "both"), 1):
        assert [one.slug for one in matching(terms[:number], miss())] == [expected]
    assert [one.slug for one in matching(terms, miss())] == ["both", "ours"]
    old, new = term("old", valid_from=date(2025, 1, 1)), term("new", valid_from=date(2026, 3, 4))
    assert [one.slug for one in matching([new, old], miss())] == ["new"]
    assert [one.slug for one in matching([new, old], miss(day=date(2026, 3, 3)))] == ["old"]
    ended = term("ended", valid_until=date(2026, 3, 4))
    assert matching([ended], miss())
    assert not matching([ended], miss(day=date(2026, 3, 5)))


@pytest.mark.parametrize(
    ("changes", "what", "amount"),
    [
        ({}, {}, "10.00"),
        ({"basis": "per_day"}, {"late": timedelta(hours=30)}, "20.00"),
        ({"basis": "per_day"}, {"late": timedelta(hours=24)}, "10.00"),
        ({"basis": "per_day"}, {"late": timedelta(seconds=1)}, "10.00"),
        ({"basis": "per_day", "cap_each": Decimal(15)}, {}, "15.00"),
        ({"basis": "share", "amount": Decimal("1.5")}, {}, "3.00"),
        ({"basis": "share"}, {"value": None}, None),
        ({"basis": "share"}, {"currency": "PLN"}, None),
        ({"basis": "share", "amount": Decimal("0.125")}, {"value": Decimal(4)}, "0.01"),
    ],
)
def test_what_it_comes_to(changes: dict[str, Any], what: dict[str, Any], amount: str | None) -> None:
    assert owed(term(**changes), miss(**what)) == (None if amount is None else Decimal(amount))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no finding
@given(
    st.sampled_from(["per_event", "per_day", "share"]),
    st.decimals(0, 1000, places=2),
    st.none() | st.decimals(0, 50, places=2),
    st.timedeltas(timedelta(0), timedelta(days=60)),
    st.decimals(0, 10**6, places=2),
)
def test_never_below_nothing_nor_above_its_cap(
    basis: str, amount: Decimal, cap: Decimal | None, late: timedelta, value: Decimal
) -> None:
    found = owed(term(basis=basis, amount=amount, cap_each=cap), miss(late=late, value=value))
    longer = owed(term(basis=basis, amount=amount, cap_each=cap), miss(late=late + DAY, value=value + 1))
    assert found is not None
    assert longer is not None
    assert 0 <= found <= longer
    assert cap is None or longer <= cap


@pytest.mark.django_db
def test_a_month_by_term_with_its_cap() -> None:
    acme, oak = partner("Acme Metals"), partner("Oak Works")
    term("acme", partner=acme, basis="per_day", cap_month=Decimal(45)).save()
    term("rest", currency="PLN", payer="us", amount=Decimal(3)).save()
    promise(flow("SO-1", acme), "MET_LATE", NOW - 9 * DAY, met_at=NOW - 7 * DAY)
    promise(flow("SO-2", acme), "BREACHED", NOW - 50 * HOUR)
    promise(flow("SO-3", oak), "BREACHED", NOW - HOUR)
    promise(flow("SO-4", oak), "MET", NOW - HOUR, met_at=NOW - 2 * HOUR)
    promise(flow("SO-5", acme), "BREACHED", NOW - 40 * DAY)
    assert penalties.refresh(MARCH, NOW) == 3
    assert penalties.refresh(MARCH, NOW) == 3
    acmes, rest = penalties.of_month(MARCH)
    assert (acmes.term, acmes.n, acmes.amount, acmes.cut) == ("acme", 2, Decimal(45), Decimal(5))
    assert (rest.term, rest.n, rest.amount, rest.currency) == ("rest", 3, Decimal(9), "PLN")
    assert penalties.totals([acmes, rest]) == {("partner", "EUR"): Decimal(45), ("us", "PLN"): Decimal(9)}
    assert [(line.term, line.n) for line in penalties.of_month(MARCH, Narrowing(partner=oak.pk))] == [("rest", 1)]
    assert penalties.of_month(MARCH, Narrowing(rule="nothing")) == []
    assert penalties.refresh_lately(NOW) == 5
    assert PenaltyCell.objects.filter(month=date(2026, 2, 1)).count() == 2
    ContractTerm.objects.all().delete()
    assert penalties.refresh(MARCH, NOW) == 0


@pytest.mark.django_db
def test_what_an_incident_costs() -> None:
    incident = Incident.objects.create(
        fingerprint="00000000-0000-0000-0000-000000000001",
        kind="sla.breach",
        title="x",
        opened_at=NOW,
        last_finding_at=NOW,
    )
    finding = Finding.objects.create(
        key="00000000-0000-0000-0000-000000000002", kind="sla.breach", incident=incident, sentence="x", raised_at=NOW
    )
    row = promise(flow("SO-1", partner()), "BREACHED", NOW - 26 * HOUR)
    promise(flow("SO-2", partner()), "BREACHED", NOW - HOUR)
    assert penalties.of_incident(incident.pk, NOW) == []
    term("t", basis="per_day").save()
    Expectation.objects.filter(pk=row.pk).update(finding=finding)
    with CaptureQueriesContext(connection) as seen:
        found = penalties.of_incident(incident.pk, NOW)
    assert len(seen) == 1
    assert [(one.slug, n, amount) for one, n, amount in found] == [("t", 1, Decimal(20))]
    term("acme", partner_id=partner().pk, amount=Decimal(3)).save()
    term("other", partner_id=partner("Other").pk, amount=Decimal(9)).save()
    term("ours", payer="us", currency="PLN", amount=Decimal(7)).save()
    found = penalties.of_incident(incident.pk, NOW)
    assert [(one.slug, n, amount) for one, n, amount in found] == [("acme", 1, Decimal(3)), ("ours", 1, Decimal(7))]
    assert penalties.in_words(found) == "partners owe 3.00 EUR, we owe 7.00 PLN"
    viewer = Client()
    viewer.force_login(person("manager"))
    assert (
        "By contract: partners owe 3.00 EUR, we owe 7.00 PLN"
        in viewer.get(f"/incidents/{incident.pk}/").content.decode()
    )
    assert penalties.in_words([]) == ""
