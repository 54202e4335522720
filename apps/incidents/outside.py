"""Alerts of other tools on the same desk: they become findings, join incidents by their group, and clear when resolved."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from apps.accounts.models import Team
from apps.incidents.clearing import clear_findings
from apps.incidents.models import Finding, Incident
from apps.incidents.raising import FindingDraft, locked, raise_findings
from apps.incidents.tending import ALERT
from apps.integrations.models import Integration, Partner

NAMESPACE = uuid.UUID("7b6f1d0e-9a42-5c11-8f53-2f1f6f0f5a10")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as a tool tells it. id: the same while it goes on; group: what belongs to one incident; firing: or over.

    partner, integration and team are slugs of our register, "" or unknown ones are passed over. due_at: when it begins to
    hurt, if the tool knows.
    """

    id: str
    group: str
    title: str
    sentence: str
    severity: str
    firing: bool
    evidence: Mapping[str, Any] = field(default_factory=dict)
    partner: str = ""
    integration: str = ""
    team: str = ""
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """raised: new findings; repeated: those told before; cleared: those said to be over."""

    raised: int
    repeated: int
    cleared: int


def take(alerts: Sequence[Alert], tool: str, sender: str, now: datetime) -> Taken:
    """Raises what fires, clears what is over, notes what is told again. Of an alert told twice in one call the last word
    counts. tool: kind of the tool (`alertmanager`); sender: whose alerts they are (ids of two senders never meet)."""
    last = {alert.id: alert for alert in alerts}
    firing = [alert for alert in last.values() if alert.firing]
    over = [_id(sender, "alert", alert.id) for alert in last.values() if not alert.firing]
    keys = [_id(sender, "alert", alert.id) for alert in firing]
    with transaction.atomic():
        told = set(Finding.objects.filter(key__in=keys, cleared_at=None).values_list("key", flat=True))
        raise_findings(_drafts(firing, tool, sender), now)
        cleared = clear_findings(over, f"{tool.capitalize()} says it is over", now)
    if told:
        with transaction.atomic():
            again = Incident.objects.filter(findings__key__in=told, findings__cleared_at=None).values_list(
                "pk", flat=True
            )
            held = [one.pk for one in locked(Q(pk__in=list(again)))]
            Incident.objects.filter(pk__in=held, last_finding_at__lt=now).update(last_finding_at=now)
    return Taken(len(set(keys) - told), len(told), cleared)


def _drafts(alerts: Sequence[Alert], tool: str, sender: str) -> list[FindingDraft]:
    partners = dict(Partner.objects.filter(slug__in={one.partner for one in alerts}).values_list("slug", "pk"))
    teams = dict(Team.objects.filter(slug__in={one.team for one in alerts}).values_list("slug", "pk"))
    rows = Integration.objects.filter(slug__in={one.integration for one in alerts})
    sources = {
        slug: (pk, partner, team) for slug, pk, partner, team in rows.values_list("slug", "pk", "partner", "team")
    }
    drafts = []
    for alert in alerts:
        source, its_partner, its_team = sources.get(alert.integration, (None, None, None))
        drafts.append(
            FindingDraft(
                key=_id(sender, "alert", alert.id),
                kind=f"{ALERT}{tool}",
                cause=_id(sender, "group", alert.group),
                incident_title=alert.title,
                severity=alert.severity,
                sentence=alert.sentence,
                evidence=alert.evidence,
                integration_id=source,
                partner_id=partners.get(alert.partner) or its_partner,
                team_id=teams.get(alert.team) or its_team,
                due_at=alert.due_at,
            )
        )
    return drafts


def _id(sender: str, what: str, name: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"{sender}\n{what}\n{name}")
