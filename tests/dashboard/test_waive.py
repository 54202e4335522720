"""Waiving by hand from the flow's page: with a reason, by those who may, and shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from apps.accounts.models import AuditEntry, User
from apps.flows.pipeline import take
from apps.integrations.models import Partner
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, PartnerReply, SlaRule
from tests.flows.builders import T0, event, incoming, load_definitions, load_register

pytestmark = pytest.mark.django_db


@pytest.fixture
def expectation() -> Expectation:
    load_definitions()
    register = load_register()
    spec = {"due": {"after": {"milestone": "sent", "duration": "PT1H"}}}
    SlaRule.objects.create(slug="asn", name="ASN", flow_slug="purchase", milestone="asn", spec=spec)
    told = event("purchase_order.sent", 0, "po:1", parties={"supplier": "metalworks"})
    refresh(take([incoming(told, register["odoo"])], T0).states, T0)
    return Expectation.objects.get()


def person(role: str) -> Client:
    client = Client()
    client.force_login(
        User.objects.create(username=role, role=role), backend="django.contrib.auth.backends.ModelBackend"
    )
    return client


def address(expectation: Expectation) -> str:
    return f"/flows/{expectation.flow_id}/expectations/{expectation.pk}/waive/"


def test_operations_waives_with_a_reason_and_the_page_shows_it(expectation: Expectation) -> None:
    client = person("operations")
    assert address(expectation) in client.get(f"/flows/{expectation.flow_id}/").content.decode()
    assert client.post(address(expectation), {"reason": "Supplier on strike, agreed by phone"}).status_code == 302
    expectation.refresh_from_db()
    assert expectation.state == "WAIVED"
    assert AuditEntry.objects.filter(action="expectation.waive").count() == 1
    page = client.get(f"/flows/{expectation.flow_id}/").content.decode()
    assert "Supplier on strike" in page
    assert address(expectation) not in page
    client.post(address(expectation), {"reason": "again"})
    assert AuditEntry.objects.filter(action="expectation.waive").count() == 1


def test_without_a_reason_or_the_role_nothing_is_waived(expectation: Expectation) -> None:
    assert person("manager").post(address(expectation), {"reason": "x"}).status_code == 403
    person("operations").post(address(expectation), {"reason": "  "})
    expectation.refresh_from_db()
    assert expectation.state == "PENDING"


def test_staff_see_what_the_partner_answered(expectation: Expectation) -> None:
    partner = Partner.objects.get(slug="metalworks")
    PartnerReply.objects.create(
        partner=partner, expectation=expectation, at=T0 + timedelta(hours=1), text="Sent at 10:00 <b>by mail</b>"
    )
    page = person("manager").get(f"/flows/{expectation.flow_id}/").content.decode()
    assert "Sent at 10:00 &lt;b&gt;by mail&lt;/b&gt;" in page
