"""Flows, rules and books for tests of the ledger, with fictional companies."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.core.calendars import WEEKDAYS
from apps.flows.canonical import key_of
from apps.flows.definitions import Definition, compile_definition
from apps.flows.models import Flow, FlowDefinition
from apps.flows.states import FlowState, MilestoneState
from apps.integrations.models import Calendar, Integration, Partner, SourceState
from apps.sla.models import SlaRule
from apps.sla.rules import Book, CalendarRow, PartnerRow, RuleRow, book_of

#: Monday
T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

SPEC: dict[str, Any] = {
    "identified_by": ["purchase_order"],
    "opened_by": ["purchase_order.sent"],
    "completed_by": ["received"],
    "milestones": [
        {"name": "sent", "label": "Order sent", "reached_by": ["purchase_order.sent"]},
        {"name": "asn", "label": "ASN", "reached_by": ["asn.received"], "source": "acme-asn"},
        {"name": "arrived", "label": "Arrived", "reached_by": ["goods.arrived"], "optional": True},
        {"name": "received", "label": "Received", "reached_by": ["goods.received"], "ours": True},
    ],
}
FRANCE: dict[str, Any] = {
    "zone": "Europe/Paris",
    "country": "FR",
    "weekly": {name: [["08:00", "16:00"]] for name in WEEKDAYS[:5]},
}
ASN_SPEC: dict[str, Any] = {"due": {"after": {"milestone": "sent", "duration": "PT4H"}}, "warn": {"before": "PT1H"}}

_numbers = itertools.count(1)


def definition(id: int = 1) -> Definition:
    return compile_definition(id=id, slug="purchase", version=1, name="Purchase", since=LONG_AGO, spec=SPEC)


def rule_row(spec: Mapping[str, Any], **more: Any) -> RuleRow:
    number = next(_numbers)
    values: dict[str, Any] = {
        "id": number,
        "slug": f"rule-{number}",
        "version": 1,
        "name": "B2B standard",
        "flow_slug": "purchase",
        "milestone": "asn",
        "position": 100,
        "spec": spec,
        "lifecycle": "active",
        "created_at": LONG_AGO,
        **more,
    }
    return RuleRow(**values)


def book(*rules: RuleRow, **more: Any) -> Book:
    values: dict[str, Any] = {
        "calendars": [CalendarRow("france", 2, "France", FRANCE, LONG_AGO)],
        "partners": [PartnerRow(7, "acme", "Acme Metals", "Europe/Paris", "france")],
        "definitions": [definition()],
        "integrations": {"acme-asn": 70},
        **more,
    }
    return book_of(rules, **values)


def reached(name: str, at: datetime | None = None, **clocks: Any) -> MilestoneState:
    ordinal = [m["name"] for m in SPEC["milestones"]].index(name)
    clocks = {"received_at": at, **clocks} if at else clocks
    return MilestoneState(name, ordinal, actual_at=at, **clocks)


def flow_state(*milestones: MilestoneState, **more: Any) -> FlowState:
    known = {m.name: m for m in milestones}
    values: dict[str, Any] = {
        "definition_id": 1,
        "definition_slug": "purchase",
        "key": key_of("purchase", "PO-1"),
        "label": "PO-1",
        "partner": "acme",
        "partner_id": 7,
        "status": "open",
        "stage": "",
        "awaiting": "",
        "opened_at": T0,
        "closed_at": None,
        "last_happened_at": T0,
        "last_received_at": T0,
        "milestones": known,
        "flow_id": 1,
        **more,
    }
    return FlowState(**values)


class World:
    """Rows in the database: one definition, one partner with an ASN feed, and flows on demand."""

    def __init__(self, **source: Any) -> None:
        self.calendar = Calendar.objects.create(slug="france", name="France", spec=FRANCE)
        self.partner = Partner.objects.create(
            slug="acme", name="Acme Metals", kind="supplier", time_zone="Europe/Paris", calendar="france"
        )
        self.feed = Integration.objects.create(
            slug="acme-asn", name="Acme ASN feed", kind="webhook", partner=self.partner, **source
        )
        self.definition = FlowDefinition.objects.create(slug="purchase", name="Purchase", spec=SPEC)

    def rule(self, spec: Mapping[str, Any] = ASN_SPEC, **more: Any) -> SlaRule:
        values: dict[str, Any] = {
            "slug": "asn-in-time",
            "name": "ASN in time",
            "flow_slug": "purchase",
            "milestone": "asn",
            "severity": "high",
            "spec": spec,
            **more,
        }
        return SlaRule.objects.create(**values)

    def flow(self, label: str, *milestones: MilestoneState, **more: Any) -> FlowState:
        """A flow row (made once per label) and its state."""
        row, _ = Flow.objects.update_or_create(
            key=key_of("purchase", label),
            defaults={
                "definition": self.definition,
                "partner": self.partner,
                "label": label,
                "opened_at": T0,
                "last_happened_at": T0,
                "last_received_at": T0,
                "digest": key_of(label),
                "status": more.get("status", "open"),
                "closed_at": more.get("closed_at"),
                "backfill": more.get("backfill", False),
            },
        )
        return flow_state(
            *milestones,
            definition_id=self.definition.pk,
            key=row.key,
            label=label,
            partner_id=self.partner.pk,
            flow_id=row.pk,
            **more,
        )

    def heard(self, at: datetime) -> None:
        """The feed spoke."""
        SourceState.objects.update_or_create(integration=self.feed, defaults={"last_received_at": at})
