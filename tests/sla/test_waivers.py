"""A second eye: on a valuable flow one person asks for a waiver and another decides."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from apps.accounts.models import AuditEntry, User
from apps.flows.models import Flow
from apps.sla import waiving
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, WaiverRequest
from tests.sla.builders import HOUR, T0, World, reached

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(settings: Any) -> Expectation:
    settings.SLA_SECOND_EYE_ABOVE = "1000"
    world = World()
    world.rule()
    with transaction.atomic():
        refresh([world.flow("PO-1", reached("sent", T0))], T0)
    Flow.objects.update(value=Decimal("1000.01"), currency="EUR")
    return Expectation.objects.get()


def person(name: str, role: str = "operations") -> User:
    return User.objects.create_user(name, role=role, first_name=name.capitalize(), last_name="Person")


def test_above_the_value_somebody_else_must_agree(row: Expectation) -> None:
    one, other = person("ada"), person("bo", "manager")
    asked = waiving.ask(row.pk, one, T0, " Strike ")
    assert asked is not None
    row.refresh_from_db()
    assert row.state == "PENDING"
    with pytest.raises(waiving.NotWaivable, match="already"):
        waiving.ask(row.pk, other, T0, "again")
    with pytest.raises(waiving.NotWaivable, match="somebody else"):
        waiving.approve(asked.pk, one, T0)
    waiving.approve(asked.pk, other, T0 + HOUR)
    row.refresh_from_db()
    assert (row.state, row.waived_reason, row.waived_by) == ("WAIVED", "Strike", one)
    with pytest.raises(waiving.NotWaivable, match="decided already"):
        waiving.refuse(asked.pk, other, T0, "late")
    assert list(AuditEntry.objects.order_by("pk").values_list("actor_name", "action")) == [
        ("Ada Person", "expectation.waiver_asked"),
        ("Ada Person", "expectation.waive"),
        ("Bo Person", "expectation.waiver_approved"),
    ]


@pytest.mark.parametrize(
    ("value", "above", "alone"),
    [
        ("1000", "1000", True),
        ("1000.01", "1000", False),
        (None, "1000", True),
        ("9999999", "", True),
        ("1", "0", False),
    ],
)
def test_who_may_waive_alone(row: Expectation, settings: Any, value: str | None, above: str, alone: bool) -> None:
    settings.SLA_SECOND_EYE_ABOVE = above
    Flow.objects.update(value=value)
    assert (waiving.ask(row.pk, person("ada"), T0, "why") is None) is alone
    row.refresh_from_db()
    assert row.state == ("WAIVED" if alone else "PENDING")


def test_refusing_says_why_and_asking_may_be_taken_back(row: Expectation) -> None:
    one, other = person("ada"), person("bo")
    asked = waiving.ask(row.pk, one, T0, "Strike")
    assert asked is not None
    with pytest.raises(waiving.NotWaivable, match="why not"):
        waiving.refuse(asked.pk, other, T0, " ")
    assert waiving.refuse(asked.pk, other, T0, "There was no strike").state == "refused"
    again = waiving.ask(row.pk, one, T0, "Strike in Lyon")
    assert again is not None
    assert waiving.refuse(again.pk, one, T0, "").state == "withdrawn"
    row.refresh_from_db()
    assert row.state == "PENDING"


def test_on_the_pages(row: Expectation) -> None:
    client, boss = Client(), Client()
    client.force_login(person("ada"))
    boss.force_login(person("bo", "manager"))
    client.post(f"/flows/{row.flow_id}/expectations/{row.pk}/waive/", {"reason": "Strike <b>"})
    assert "waits for a second person: Strike &lt;b&gt;" in client.get(f"/flows/{row.flow_id}/").content.decode()
    asked = WaiverRequest.objects.get()
    mine = client.get("/waivers/").content.decode()
    assert "Take it back" in mine
    assert f"/waivers/{asked.pk}/approve/" not in mine
    assert f"/waivers/{asked.pk}/approve/" in boss.get("/waivers/").content.decode()
    client.post(f"/waivers/{asked.pk}/approve/")
    asked.refresh_from_db()
    assert asked.state == "asked"
    boss.post(f"/waivers/{asked.pk}/approve/", {"note": "Seen in the news"})
    row.refresh_from_db()
    assert row.state == "WAIVED"
    assert "Seen in the news" in boss.get("/waivers/").content.decode()
