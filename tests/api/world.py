"""Two partners, each with a flow, a deadline, a feed, a delivery and an incident, and each with a 128-bit canary in
everything that is told about it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import F
from django.test import Client

from apps.accounts import tokens
from apps.accounts.models import ApiClient, User
from apps.collectors.models import DeadLetter
from apps.collectors.receiving import NewReceipt, store
from apps.core import clock
from apps.flows.models import Event, Flow
from apps.flows.pipeline import take
from apps.incidents.models import Finding, Incident
from apps.incidents.raising import FindingDraft
from apps.incidents.workflow import raise_findings
from apps.integrations.models import Integration, Partner, PartnerAccess, SourceState
from apps.notifications.models import Channel
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, SlaRule
from tests.flows.builders import T0, event, incoming, load_definitions, load_register
from tests.incidents.builders import uid

ALL = sorted(tokens.SCOPES)
FAR = datetime(2099, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Side:
    """One partner and what belongs to it."""

    partner: Partner
    canary: str
    integration: Integration
    flow: Flow
    expectation: Expectation
    event: Event
    receipt: int
    letter: DeadLetter
    incident: Incident
    finding: Finding


@dataclass(frozen=True)
class World:
    own: Side
    foreign: Side


def build() -> World:
    load_definitions()
    register = load_register()
    SlaRule.objects.create(
        slug="asn",
        name="ASN",
        flow_slug="purchase",
        milestone="asn",
        spec={"due": {"after": {"milestone": "sent", "duration": "PT1H"}}},
    )
    other = Partner.objects.create(slug="oakline", name="Oakline", kind="supplier")
    Integration.objects.create(slug="oakline-feed", name="oakline", kind="webhook", partner=other)
    # its slug is the one Schemathesis tries (test_schema); it reaches nothing
    Channel.objects.create(slug="metalworks-feed", name="Room", kind="slack", created_at=T0)
    return World(_side("metalworks", register["odoo"]), _side("oakline", register["odoo"]))


def _side(slug: str, odoo: Integration) -> Side:
    canary = secrets.token_hex(16)
    Partner.objects.filter(slug=slug).update(name=f"Partner {canary}", email=f"{canary}@partner.example")
    partner = Partner.objects.get(slug=slug)
    feed = Integration.objects.get(slug=f"{slug}-feed")
    feed.name = f"Feed {canary}"
    feed.settings = {"scheme": "standard", "note": f"settings-{canary}"}
    feed.save()
    SourceState.objects.create(integration=feed, last_received_at=T0, last_error=f"error {canary}")
    told = event(
        "purchase_order.sent", 0, f"po:{canary}", parties={"supplier": slug}, data={"buyer": f"buyer-{canary}"}
    )
    lost = event("transport.in_transit", 1, f"trk:{canary}", data={"note": canary})
    receipt = store([NewReceipt(feed.pk, "http", canary.encode(), "text/plain", {"x-note": canary}, "", T0)])[0]
    one, orphan = incoming(told, odoo), incoming(lost, feed)
    refresh(take([one, orphan], T0).states, T0)
    flow = Flow.objects.get(partner=partner)
    Expectation.objects.filter(flow=flow).update(source=feed, due_at=FAR, warn_at=FAR)
    letter = DeadLetter.objects.create(
        receipt_id=receipt,
        received_at=T0,
        integration=feed,
        code="json.broken",
        sentence=f"Not JSON: {canary}",
        fragment=canary,
        created_at=T0,
    )
    finding = raise_findings(
        [
            FindingDraft(
                key=uid("key", slug),
                kind="late_milestone",
                cause=uid("cause", slug),
                incident_title=f"Late ASN of {canary}",
                severity="high",
                sentence=f"The ASN of {canary} is late.",
                evidence={"who": canary},
                flow_id=flow.pk,
                integration_id=feed.pk,
                partner_id=partner.pk,
            )
        ],
        T0,
    )[0]
    return Side(
        partner,
        canary,
        feed,
        flow,
        Expectation.objects.get(flow=flow),
        Event.objects.get(data__buyer=f"buyer-{canary}"),
        receipt,
        letter,
        Incident.objects.get(pk=finding.incident_id),
        finding,
    )


def bearer(*scopes: str, partner: Partner | None = None, expires_at: datetime | None = None) -> tuple[ApiClient, str]:
    """A machine's (client, token); its use is noted already, so that the next minute's requests write nothing."""
    issued = tokens.issue("probe", scopes or ALL, None, clock.now(), expires_at=expires_at)
    if partner is not None:
        PartnerAccess.objects.create(partner=partner, api_client=issued.client)
    ApiClient.objects.filter(pk=issued.client.pk).update(last_used_at=clock.now() + timedelta(minutes=5))
    return issued.client, issued.token


def machine(*scopes: str, partner: Partner | None = None) -> Client:
    token = bearer(*scopes, partner=partner)[1]
    return Client(headers={"authorization": f"Bearer {token}"})


def person(role: str, partner: Partner | None = None, **options: Any) -> Client:
    user = User.objects.create(username=f"{role}-{secrets.token_hex(4)}", role=role, is_staff=role == "admin")
    if partner is not None:
        PartnerAccess.objects.create(partner=partner, user=user)
    client = Client(**options)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def touch_flow(flow: Flow, seconds: int) -> None:
    Flow.objects.filter(pk=flow.pk).update(last_received_at=F("last_received_at") + timedelta(seconds=seconds))
