"""Rules, calendars, waivers, contract terms and objectives through the API."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import AuditEntry, User
from apps.configuration.documents import dump, parse
from apps.configuration.loading import export, load
from apps.core import clock
from apps.flows.models import Flow
from apps.integrations.models import Calendar
from apps.reports.models import ContractTerm, Objective
from apps.sla.models import Expectation, Rederivation, SlaRule, WaiverRequest
from tests.api.world import World, machine, person

pytestmark = pytest.mark.django_db
V1 = "/api/v1/"
WEEK = {"zone": "Europe/Paris", "weekly": {day: [["08:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}}


def post(client: Client, path: str, body: Any, key: str = "", method: str = "post") -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return getattr(client, method)(V1 + path, body, content_type="application/json", headers=headers)


# -- rules --------------------------------------------------------------------


def test_rules_are_read_with_their_versions(world: World) -> None:
    old = SlaRule.objects.get(slug="asn")
    SlaRule.objects.create(
        slug="asn", version=2, name="ASN soon", flow_slug="purchase", milestone="asn", spec=old.spec | {"grace": "PT5M"}
    )
    SlaRule.objects.create(slug="b", name="B", flow_slug="purchase", milestone="asn", position=1, spec=old.spec)
    reader = machine("rules:read")
    rows = reader.get(V1 + "rules/?flow=purchase&milestone=asn").json()["results"]
    assert [(one["slug"], one["version"]) for one in rows] == [("b", 1), ("asn", 2)]
    assert rows[1]["words"].startswith("1 hour after")
    assert reader.get(V1 + "rules/asn/").json() == rows[1]
    assert [one["version"] for one in reader.get(V1 + "rules/asn/versions/").json()["results"]] == [2, 1]
    assert reader.get(V1 + "rules/asn/versions/1/").json()["spec"] == old.spec
    assert reader.get(V1 + "rules/asn/versions/3/").status_code == 404
    assert reader.get(V1 + "rules/nobody/versions/").status_code == 404
    assert reader.get(V1 + "rules/?lifecycle=draft").json()["results"] == []
    assert machine("flows:read").get(V1 + "rules/").status_code == 403
    assert machine("flows:read", partner=world.own.partner).get(V1 + "rules/").status_code == 404


def test_a_rule_is_tried_on_history_and_kept_by_nobody(world: World) -> None:
    Flow.objects.update(opened_at=clock.now())
    reader = machine("rules:read")
    before = SlaRule.objects.count()
    found = post(reader, "rules/backtest/", {"rule": "asn"}).json()
    assert (found["flows"], found["measured"], found["fired"], found["becoming_late"]) == (2, 2, 2, 0)
    assert {one["sort"] for one in found["firings"]} == {"real"}
    far = {"due": {"after": {"milestone": "sent", "duration": "P9999D"}}}
    found = post(reader, "rules/backtest/", {"rule": "asn", "spec": far}).json()
    assert (found["fired"], found["no_longer_late"], len(found["ceasing"])) == (0, 2, 2)
    drafted = {"flow": "purchase", "milestone": "asn", "spec": far, "position": 1}
    assert post(reader, "rules/backtest/", drafted).json()["measured"] == 2
    assert SlaRule.objects.count() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "flow"),
        ({"rule": "nobody"}, "rule"),
        ({"rule": "asn", "flow": "purchase"}, "rule"),
        ({"rule": "asn", "days": 0}, "days"),
        ({"rule": "asn", "spec": {"due": {"date": "x"}, "grace": "soon"}}, "spec"),
        ({"rule": "asn", "spec": {"dew": {}}}, "spec"),
        ({"rule": "asn", "spec": {"due": {"date": "x"}, "calendar": "mars"}}, "spec"),
        ({"rule": "asn", "spec": {"due": {"after": {"milestone": "moon", "duration": "PT1H"}}}}, "spec"),
        ({"rule": "asn", "spec": {"check": {"quantity": {"got": "gott", "of": "ordered"}}}}, "spec"),
        ({"flow": "ghost", "milestone": "asn", "spec": {"due": {"date": "x"}}}, "flow"),
        ({"flow": "purchase", "milestone": "ghost", "spec": {"due": {"date": "x"}}}, "milestone"),
    ],
)
def test_what_cannot_be_tried_is_said(world: World, body: dict[str, Any], field: str) -> None:
    answer = post(machine("rules:read"), "rules/backtest/", body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)


# -- calendars ----------------------------------------------------------------


def test_exceptions_of_a_calendar_are_written_as_a_version(world: World) -> None:
    Calendar.objects.create(slug="house", name="House", spec=WEEK)
    writer = machine("rules:read", "rules:write")
    shown = writer.get(V1 + "calendars/house/").json()
    assert (shown["version"], shown["spec"]) == (1, WEEK)
    day = {"date": "2026-12-24", "hours": [["08:00", "12:00"]], "name": "Christmas Eve"}
    body = {"version": 1, "exceptions": [day]}
    tried = post(writer, "calendars/house/exceptions/", body | {"try_only": True}).json()
    assert (tried["kept"], tried["version"]) == (False, 1)
    made = post(writer, "calendars/house/exceptions/", body | {"note": "Works council"}, "k1")
    assert made.json()["kept"] is True
    again = post(writer, "calendars/house/exceptions/", body | {"note": "Works council"}, "k1")
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (made.json(), "true")
    assert post(writer, "calendars/house/exceptions/", body).status_code == 409
    newest = Calendar.objects.order_by("-version").first()
    assert newest is not None
    assert (newest.version, newest.spec, newest.author_name) == (2, WEEK | {"exceptions": [day]}, "probe")
    assert [one["version"] for one in writer.get(V1 + "calendars/house/versions/").json()["results"]] == [2, 1]
    post(writer, "calendars/house/exceptions/", {"version": 2, "exceptions": []})
    assert writer.get(V1 + "calendars/house/").json()["spec"] == WEEK
    assert AuditEntry.objects.filter(action="calendar.saved").count() == 2
    assert Rederivation.objects.count() <= 2
    assert post(machine("rules:read"), "calendars/house/exceptions/", body).status_code == 403


@pytest.mark.parametrize(
    "exceptions",
    [
        *([{"date": "soon"}], [{"open": True}], {}, [{"date": "2026-02-30", "closed": True}], ["x\x00"], 7),
        *([{"date": "2026-02-03", "closed": True, "name": name}] for name in ("a\x00b", "\ud800")),
    ],
)
def test_exceptions_that_are_none_are_refused(db: None, exceptions: Any) -> None:
    Calendar.objects.create(slug="house", name="House", spec=WEEK)
    answer = post(machine("rules:write"), "calendars/house/exceptions/", {"version": 1, "exceptions": exceptions})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "exceptions")
    assert Calendar.objects.count() == 1


# -- waivers ------------------------------------------------------------------


def test_people_waive_and_a_second_one_agrees(world: World, settings: Any) -> None:
    settings.SLA_SECOND_EYE_ABOVE = "1000"
    Flow.objects.filter(pk=world.own.flow.pk).update(value=Decimal(5000), currency="EUR")
    ada, bo = person("on_call"), person("manager")
    row, other = world.own.expectation.pk, world.foreign.expectation.pk
    assert post(ada, "waivers/", {"expectation": other, "reason": "Strike"}).json() == {"waived": True, "waiver": None}
    made = post(ada, "waivers/", {"expectation": row, "reason": "Strike"}, "w1")
    assert made.status_code == 201
    assert post(ada, "waivers/", {"expectation": row, "reason": "Strike"}, "w1").json() == made.json()
    assert post(ada, "waivers/", {"expectation": row, "reason": "Again"}).status_code == 409
    number = made.json()["waiver"]["id"]
    assert post(ada, f"waivers/{number}/approve/", {}).status_code == 403
    assert post(bo, f"waivers/{number}/refuse/", {}).json()["error"]["sentence"].startswith("Say why not")
    assert Expectation.objects.get(pk=row).state == "PENDING"
    agreed = post(bo, f"waivers/{number}/approve/", {"note": "fine"}).json()
    assert (agreed["state"], agreed["note"]) == ("approved", "fine")
    assert Expectation.objects.get(pk=row).state == "WAIVED"
    (listed,) = machine("rules:read").get(V1 + "waivers/?state=approved").json()["results"]
    assert listed == agreed
    assert post(bo, f"waivers/{number}/refuse/", {"note": "late"}).status_code == 409


def test_who_may_not_waive(world: World, settings: Any) -> None:
    settings.SLA_SECOND_EYE_ABOVE = "0"
    Flow.objects.update(value=Decimal(5))
    body = {"expectation": world.own.expectation.pk, "reason": "Strike"}
    for client, status in (
        (machine(), 403),
        (person("manager"), 403),
        (person("partner", world.own.partner), 404),
        (Client(), 401),
    ):
        assert post(client, "waivers/", body).status_code == status
    ada = User.objects.create(username="ada", role="operations")
    client = Client()
    client.force_login(ada, backend="django.contrib.auth.backends.ModelBackend")
    number = post(client, "waivers/", body).json()["waiver"]["id"]
    assert post(client, f"waivers/{number}/approve/", {}).status_code == 409
    assert post(client, f"waivers/{number}/refuse/", {}).json()["state"] == "withdrawn"
    assert post(client, "waivers/", {"expectation": 1, "reason": "x"}).status_code == 400
    assert WaiverRequest.objects.count() == 1


# -- contract terms and objectives --------------------------------------------

TERM = {
    "name": "Late",
    "basis": "per_day",
    "amount": 45.5,
    "currency": "EUR",
    "cap_month": 500,
    "partner": "metalworks",
}
OBJECTIVE = {"name": "ASNs", "target": 97.5, "period": "quarter", "rule": "asn", "alerts": ["3d"], "severity": "normal"}


def loads_to_itself() -> bool:
    agreed = {name: rows for name, rows in export().items() if name in ("contract_terms", "objectives")}
    return bool(agreed) and load([parse(dump(agreed), "export.yaml")], clock.now()) == []


@pytest.mark.parametrize(
    ("path", "body", "change"),
    [("contract-terms/late/", TERM, {"amount": 50}), ("objectives/asns/settings/", OBJECTIVE, {"alerts": "none"})],
)
def test_agreements_are_kept_as_files_would(
    world: World, path: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    writer = machine("rules:read", "rules:write", "reports:read")
    made = post(writer, path, body | {"stamp": ""}, "p1", "put").json()
    assert {name: made[name] for name in body} == body
    assert post(writer, path, body | {"stamp": ""}, "p1", "put").json() == made
    assert post(writer, path, body | {"stamp": ""}, method="put").status_code == 409
    assert loads_to_itself()
    changed = post(writer, path, body | change | {"stamp": made["stamp"]}, method="put").json()
    assert {name: changed[name] for name in change} == change
    assert writer.get(V1 + path).json() == changed
    assert loads_to_itself()
    entry = AuditEntry.objects.order_by("-pk")[0]
    assert (entry.actor_name, entry.action.split(".")[1]) == ("probe", "changed")
    assert post(machine("rules:read"), path, body | {"stamp": ""}, method="put").status_code == 403


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        ("contract-terms/late/", {"amount": 0}, "amount"),
        ("contract-terms/late/", {"amount": float("1e300")}, "amount"),
        ("contract-terms/late/", {"currency": "eur"}, "currency"),
        ("contract-terms/late/", {"partner": "nobody"}, "partner"),
        ("contract-terms/late/", {"rule": "nobody"}, "rule"),
        ("contract-terms/late/", {"valid_from": "2026-13-01"}, "valid_from"),
        ("contract-terms/late/", {"valid_from": "2026-02-01", "valid_until": "2026-01-01"}, "valid_until"),
        ("contract-terms/add/", {}, "slug"),
        ("objectives/asns/settings/", {"target": 100}, "target"),
        ("objectives/asns/settings/", {"days": 30}, "period"),
        ("objectives/asns/settings/", {"alerts": ["2h"]}, "alerts"),
        ("objectives/asns/settings/", {"flow": "ghost"}, "flow"),
    ],
)
def test_agreements_that_are_none_are_refused(world: World, path: str, change: dict[str, Any], field: str) -> None:
    body = (TERM if path.startswith("contract") else OBJECTIVE) | change | {"stamp": ""}
    answer = post(machine("rules:write"), path, body, method="put")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
    assert not ContractTerm.objects.exists()
    assert not Objective.objects.exists()
