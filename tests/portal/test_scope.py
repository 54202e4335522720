"""Invariant 9: inside a partner's scope the database itself shows one partner only; nothing leaks, nothing carries over."""

from __future__ import annotations

import secrets

import pytest
from django.db import DatabaseError, ProgrammingError, connection, transaction
from django.test import Client

from apps.accounts.models import User
from apps.core.scoping import NestedScope, partner_scope
from apps.flows.models import Flow
from apps.flows.pipeline import take
from apps.integrations.models import Partner, PartnerAccess
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, PartnerReply, SlaRule
from tests.flows.builders import T0, event, incoming, load_definitions, load_register

pytestmark = pytest.mark.django_db

SCOPED = [
    "flows_flow",
    "flows_milestone",
    "flows_flowreference",
    "flows_reference",
    "flows_flowlink",
    "sla_expectation",
    "integrations_partner",
    "integrations_integration",
    "integrations_sourcestate",
]


@pytest.fixture
def world() -> dict[str, str]:
    """Two suppliers with one order each, each carrying a 128-bit canary in its references and attributes."""
    load_definitions()
    register = load_register()
    other = Partner.objects.create(slug="oakline", name="Oakline", kind="supplier")
    SlaRule.objects.create(
        slug="asn",
        name="ASN",
        flow_slug="purchase",
        milestone="asn",
        spec={"due": {"after": {"milestone": "sent", "duration": "PT1H"}}},
    )
    canaries = {}
    for slug in ("metalworks", "oakline"):
        canary = secrets.token_hex(16)
        canaries[slug] = canary
        told = event(
            "purchase_order.sent", 0, f"po:{canary}", parties={"supplier": slug}, data={"buyer": f"buyer-{canary}"}
        )
        refresh(take([incoming(told, register["odoo"])], T0).states, T0)
    assert Flow.objects.count() == 2
    assert Expectation.objects.count() == 2
    assert other.pk
    return canaries


def person(slug: str) -> Client:
    user = User.objects.create(username=f"user-{slug}", role="partner")
    PartnerAccess.objects.create(partner=Partner.objects.get(slug=slug), user=user)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize("table", SCOPED)
def test_every_partner_table_forces_row_level_security(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = %s", [table])
        assert cursor.fetchone() == (True, True)


def test_raw_sql_in_a_scope_sees_one_partner(world: dict[str, str]) -> None:
    mine = Partner.objects.get(slug="metalworks")
    with partner_scope(mine.pk), connection.cursor() as cursor:
        for table in (
            "flows_flow",
            "sla_expectation",
            "integrations_partner",
            "flows_reference",
            "flows_flowreference",
        ):
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (1,), table
        cursor.execute("SELECT string_agg(value, ',') FROM flows_reference")
        assert world["oakline"] not in cursor.fetchone()[0]


def test_without_a_partner_the_portal_role_sees_nothing(world: dict[str, str]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE controltower_portal")
        for table in SCOPED:
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone() == (0,), table
        cursor.execute("SET LOCAL ROLE controltower_app")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE flows_flow SET label = 'x'",
        "DELETE FROM sla_expectation",
        "SELECT count(*) FROM collectors_receipt",
        "SELECT count(*) FROM flows_event",
        "SELECT count(*) FROM accounts_user",
        "SELECT count(*) FROM incidents_incident",
        "SELECT count(*) FROM integrations_credential",
        "SELECT count(*) FROM django_session",
    ],
)
def test_the_portal_role_reads_its_tables_and_writes_none(world: dict[str, str], statement: str) -> None:
    mine = Partner.objects.get(slug="metalworks")
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        transaction.atomic(),
        partner_scope(mine.pk),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_the_scope_ends_however_it_is_left(world: dict[str, str]) -> None:
    mine = Partner.objects.get(slug="metalworks")
    with pytest.raises(DatabaseError), partner_scope(mine.pk), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert Flow.objects.count() == 2
    with pytest.raises(RuntimeError, match="boom"), partner_scope(mine.pk):
        raise RuntimeError("boom")
    assert Flow.objects.count() == 2
    with partner_scope(mine.pk), pytest.raises(NestedScope):
        partner_scope(mine.pk).__enter__()


def test_a_partners_page_holds_its_own_canary_and_no_other(world: dict[str, str]) -> None:
    for slug, other in (("metalworks", "oakline"), ("oakline", "metalworks")):
        client = person(slug)
        for headers in ({}, {"HX-Request": "true"}):
            page = client.get("/status/", headers=headers)
            assert page.status_code == 200
            assert world[slug] in page.content.decode()
            assert world[other] not in page.content.decode()


def test_answering_for_another_looks_like_answering_for_nothing(world: dict[str, str]) -> None:
    client = person("metalworks")
    own = Expectation.objects.get(partner__slug="metalworks")
    foreign = Expectation.objects.get(partner__slug="oakline")
    answers = [client.post(f"/status/items/{pk}/reply/", {"text": "sent"}) for pk in (foreign.pk, 10**9)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert not PartnerReply.objects.exists()
    assert client.post(f"/status/items/{own.pk}/reply/", {"text": "sent at 10:00"}).status_code == 302
    assert PartnerReply.objects.get().text == "sent at 10:00"
    assert client.post(f"/status/items/{own.pk}/reply/", {"text": "  "}).status_code == 422


def test_a_partner_sign_in_bound_to_nobody_sees_nothing() -> None:
    user = User.objects.create(username="lost", role="partner")
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/status/").status_code == 404
