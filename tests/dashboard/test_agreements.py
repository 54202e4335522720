"""Contract terms and objectives on their pages: what a change means is shown before it is kept; files stay the same truth."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import AuditEntry
from apps.configuration import agreements
from apps.configuration.agreements import OBJECTIVE, TERM
from apps.configuration.documents import dump, parse
from apps.configuration.loading import export, load
from apps.dashboard import agreement_form
from apps.reports.models import ContractTerm, Objective, PenaltyCell
from tests.api.world import person
from tests.dashboard.network import DAY, flow, partner, promise, rule

pytestmark = pytest.mark.django_db
VALUES = {
    "name": "Late ship",
    "slug": "late-ship",
    "payer": "partner",
    "basis": "per_day",
    "amount": "40",
    "currency": "eur",
}
PROMISE = {
    "name": "Shipped",
    "slug": "shipped",
    "target": "97.5",
    "window": "quarter",
    "severity": "high",
    "alerts": ["3d"],
}


def saved(client: Client, path: str, values: dict[str, Any], **more: Any) -> Any:
    """Saves, confirming what was shown."""
    answer = client.post(f"{path}save/", values | more)
    if found := re.search(r'"sure": "([0-9a-f]+)"', answer.content.decode()):
        answer = client.post(f"{path}save/", values | more | {"sure": found[1]})
    return answer


def stamp(client: Client, path: str) -> str:
    found = re.search(r'name="stamp" value="([0-9a-f]*)"', client.get(path).content.decode())
    assert found
    return found[1]


def loads_to_itself() -> bool:
    agreed = {name: rows for name, rows in export().items() if name in ("contract_terms", "objectives")}
    return bool(agreed) and load([parse(dump(agreed), "export.yaml")], timezone.now()) == []


def test_a_term_is_made_changed_and_taken_back() -> None:
    client, due = person("manager"), timezone.now().replace(day=1) - DAY
    promise(flow("SO-1", partner()), "BREACHED", due)
    assert "No contract term yet" in client.get("/contract-terms/").content.decode()
    shown = client.post("/contract-terms/new/save/", VALUES).content.decode()
    assert "With this one" in shown
    assert not ContractTerm.objects.exists()
    answer = saved(client, "/contract-terms/new/", VALUES)
    assert (answer.status_code, answer["HX-Redirect"]) == (204, "http://testserver/contract-terms/late-ship/")
    term = ContractTerm.objects.get()
    assert (term.amount, term.currency, term.basis) == (40, "EUR", "per_day")
    assert loads_to_itself()
    path = "/contract-terms/late-ship/"
    before = stamp(client, path)
    caps = {"amount": "45.50", "cap_month": "500", "partner": "acme-metals", "valid_until": "2099-12-31"}
    assert saved(client, path, VALUES | caps, stamp=before).status_code == 204
    term.refresh_from_db()
    assert (term.amount, term.cap_month, term.valid_until) == (Decimal("45.5"), 500, date(2099, 12, 31))
    assert loads_to_itself()
    overtaken = saved(client, path, VALUES, stamp=before)
    assert (overtaken.status_code, "somebody changed it" in overtaken.content.decode()) == (422, True)
    page = client.get(path).content.decode()
    assert "amount 40 → 45.5" in page
    assert "The partner pays us 45.50 EUR for each begun day late, at most 500 EUR in a month" in page
    first = AuditEntry.objects.get(action="contract_term.added")
    client.post(f"{path}go-back/", {"entry": first.pk})
    term.refresh_from_db()
    assert (term.amount, term.cap_month, term.valid_until) == (40, None, None)
    assert AuditEntry.objects.filter(subject="contract_terms:late-ship").count() == 3
    assert "Late ship" in client.get("/contract-terms/").content.decode()


def test_trying_a_term_keeps_nothing() -> None:
    client = person("on_call")
    promise(flow("SO-1", partner()), "BREACHED", timezone.now().replace(day=1) - DAY)
    ContractTerm.objects.create(slug="a", name="A", basis="per_event", amount=7, currency="PLN")
    text = client.post("/contract-terms/new/try/", VALUES | {"basis": "per_event"}).content.decode()
    assert "partners owe 7.00 PLN" in text
    assert "partners owe 40.00 EUR" in text
    assert ContractTerm.objects.count() == 1
    assert not PenaltyCell.objects.exists()
    assert not AuditEntry.objects.exists()
    assert client.post("/contract-terms/new/save/", VALUES).status_code == 403
    assert client.get("/contract-terms/add/").status_code == 403
    assert client.get("/contract-terms/nobody/").status_code == 404


def test_an_objective_is_made_changed_and_switched_off() -> None:
    client = person("operations")
    rule()
    promise(flow("SO-1", partner()), "MET", timezone.now() - DAY, met_at=timezone.now() - 2 * DAY)
    assert saved(client, "/objectives/new/", PROMISE).status_code == 204
    one = Objective.objects.get()
    assert (one.target, one.window, one.period, one.alerts, one.active) == (
        Decimal("97.5"),
        "calendar",
        "quarter",
        ["3d"],
        False,
    )
    assert loads_to_itself()
    path = "/objectives/shipped/"
    rolling = PROMISE | {"window": "rolling", "days": "10", "active": "on", "alerts": [], "rule": "ship-in-time"}
    said = client.post(f"{path}preview/", rolling).content.decode()
    assert "97.5 % of “Shipped in time” to be kept, last 10 days" in said
    assert "Never tells" in said
    one.refresh_from_db()
    assert one.period == "quarter"
    assert saved(client, path, rolling, stamp=stamp(client, f"{path}edit/")).status_code == 204
    one.refresh_from_db()
    assert (one.window, one.days, one.alerts, one.active, one.rule) == ("rolling", 10, [], True, "ship-in-time")
    assert loads_to_itself()
    assert "Edit" in client.get(path).content.decode()


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("contract-terms", {"amount": ""}, "This is needed"),
        ("contract-terms", {"amount": "4,5"}, "is no number"),
        ("contract-terms", {"amount": "0.00001"}, "4 decimals"),
        ("contract-terms", {"currency": "EURO"}, "ISO 4217"),
        ("contract-terms", {"slug": ""}, "short name"),
        ("contract-terms", {"slug": "add"}, "taken by the pages"),
        ("contract-terms", {"slug": "Two Words"}, "Expected"),
        ("contract-terms", {"slug": "there"}, "already"),
        ("contract-terms", {"name": ""}, "Give it a name"),
        ("contract-terms", {"partner": "nobody"}, "There is no partner"),
        ("contract-terms", {"valid_from": "soon"}, "not a day"),
        ("objectives", {"target": "100"}, "below 100"),
        ("objectives", {"window": "rolling", "days": "many"}, "whole number"),
        ("objectives", {"window": "rolling", "days": "400"}, "at most 366"),
        ("objectives", {"flow": "ghost"}, "There is no flow"),
        ("objectives", {"name": "a\x00" * 300, "target": "NaN"}, "is no number"),
    ],
)
def test_mistakes_are_named_and_nothing_is_kept(path: str, change: dict[str, str], said: str) -> None:
    ContractTerm.objects.create(slug="there", name="There", basis="per_event", amount=1, currency="EUR")
    values = (VALUES if path == "contract-terms" else PROMISE) | change
    answer = person("manager").post(f"/{path}/new/save/", values)
    assert (answer.status_code, said in answer.content.decode()) == (422, True), answer.content.decode()
    assert ContractTerm.objects.count() == 1
    assert not Objective.objects.exists()


MONEY = st.decimals(Decimal("0.01"), Decimal(10**6), places=2).map(
    lambda one: int(one) if one == int(one) else float(one)
)
DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1)).map(date.isoformat)
TERMS = st.fixed_dictionaries(
    {"slug": st.just("t"), "name": st.sampled_from(["Late", "Zu spät"]), "basis": st.sampled_from(ContractTerm.Basis.values)}
    | {"amount": MONEY, "currency": st.sampled_from(["EUR", "PLN"])},
    optional={"payer": st.just("us"), "cap_each": MONEY, "cap_month": MONEY, "valid_from": DAYS, "rule": st.just("ship-in-time")},
)  # fmt: skip
OBJECTIVES = st.fixed_dictionaries(
    {"slug": st.just("o"), "name": st.just("O"), "target": st.sampled_from([98, 99.5, 97.125])},
    optional={"period": st.sampled_from(["week", "month", "quarter"]), "lane": st.just("DE>FR"), "severity": st.just("low")}
    | {"alerts": st.sampled_from(["none", ["1h"], ["6h", "3d"]]), "active": st.just(False), "partner": st.just("acme-metals")},
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(TERMS.map(lambda row: (TERM, row)), OBJECTIVES.map(lambda row: (OBJECTIVE, row))))
def test_what_a_file_says_survives_the_form_and_the_export(told: tuple[Any, dict[str, Any]]) -> None:
    kind, row = told
    rule()
    partner()
    base = agreements.stamp(agreements.current(kind, row["slug"]))
    kept, _ = agreements.keep(kind, row, None, datetime(2026, 3, 1, tzinfo=timezone.get_default_timezone()), base=base)
    assert kept == row
    posted = Posted(agreement_form.values_of(kind, kept))
    form = agreement_form.read(kind, posted, row["slug"])
    assert form.troubles == []
    assert agreements.stamp(kind.row_of(agreements.tried(kind, form.row))) == agreements.stamp(kept)
    assert loads_to_itself()


class Posted(dict[str, Any]):
    def getlist(self, name: str) -> list[str]:
        return list(self.get(name, []))


def test_the_pages_cost_the_same_with_many_terms(django_assert_max_num_queries: Any) -> None:
    client = person("manager")
    for number in range(50):
        ContractTerm.objects.create(
            slug=f"t{number}",
            name=f"T {number}",
            basis="per_event",
            amount=1,
            currency="EUR",
            partner=partner(f"P {number % 9}"),
        )
    with django_assert_max_num_queries(12):
        assert client.get("/contract-terms/").status_code == 200
