"""How the work around the promises went in a month: incidents, onboarding, visibility, continuity, and hops.

Each has a definition that is said on the page; each is bounded, whatever the size of the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.accounts.models import AuditEntry
from apps.incidents.models import Finding, Incident
from apps.integrations.models import Integration
from apps.reports.figures import Span
from apps.sla.models import SlaRule

#: incidents whose flows are looked at for continuity; the longest
MOST_INCIDENTS = 50
#: newest flows that tell which source speaks for which milestone
MOST_FLOWS = 5_000


@dataclass(frozen=True, slots=True)
class Incidents:
    """opened in the span; acknowledged, resolved: of these; mtta, mttr: medians in seconds from opening."""

    opened: int
    acknowledged: int
    resolved: int
    mtta: float | None
    mttr: float | None
    mtta_p95: float | None
    mttr_p95: float | None


@dataclass(frozen=True, slots=True)
class Onboarded:
    """An integration that went live in the span. days: from when it was added, None when that is not on record."""

    slug: str
    name: str
    live_at: datetime
    days: float | None


@dataclass(frozen=True, slots=True)
class Visibility:
    """Critical and high integrations in production that are live, and those of them that some active rule depends on."""

    critical: int
    covered: int
    without: list[tuple[str, str]]

    @property
    def share(self) -> float | None:
        return self.covered / self.critical if self.critical else None


@dataclass(frozen=True, slots=True)
class Continuity:
    """Of the flows that were open while something critical was wrong with their partner or source, those that went on."""

    incidents: int
    flows: int
    moved: int

    @property
    def share(self) -> float | None:
        return self.moved / self.flows if self.flows else None


@dataclass(frozen=True, slots=True)
class Operations:
    incidents: Incidents
    onboarded: list[Onboarded]
    visibility: Visibility
    continuity: Continuity

    @property
    def onboarding_days(self) -> float | None:
        days = [one.days for one in self.onboarded if one.days is not None]
        return median(days) if days else None


def operations(span: Span, now: datetime, partner_id: int | None = None) -> Operations:
    return Operations(
        incidents(span, partner_id),
        onboarded(span, partner_id),
        visibility(now, partner_id),
        continuity(span, now, partner_id),
    )


def incidents(span: Span, partner_id: int | None = None) -> Incidents:
    with connection.cursor() as cursor:
        took = "extract(epoch FROM {} - opened_at)"
        cursor.execute(
            f"""SELECT count(*), count(acknowledged_at), count(resolved_at),
                percentile_cont(0.5) WITHIN GROUP (ORDER BY {took.format("acknowledged_at")}),
                percentile_cont(0.5) WITHIN GROUP (ORDER BY {took.format("resolved_at")}),
                percentile_cont(0.95) WITHIN GROUP (ORDER BY {took.format("acknowledged_at")}),
                percentile_cont(0.95) WITHIN GROUP (ORDER BY {took.format("resolved_at")})
            FROM incidents_incident i WHERE opened_at >= %(begin)s AND opened_at < %(end)s
                AND (%(partner)s::bigint IS NULL OR partner_id = %(partner)s OR (partners > 1 AND EXISTS (
                    SELECT FROM incidents_finding n WHERE n.incident_id = i.id AND n.partner_id = %(partner)s)))""",
            {"begin": span.begin, "end": span.end, "partner": partner_id},
        )
        return Incidents(*cursor.fetchone())


def concerned(partner_id: int | None) -> Q:
    """The same choice of incidents by partner, as a condition on `Incident`."""
    if partner_id is None:
        return Q()
    among = Finding.objects.filter(incident_id=OuterRef("pk"), partner_id=partner_id)
    return Q(partner_id=partner_id) | (Q(partners__gt=1) & Q(Exists(among)))


def onboarded(span: Span, partner_id: int | None = None) -> list[Onboarded]:
    """By the audit record: from `integration.added` to the change that made it live."""
    entries = AuditEntry.objects.filter(action__startswith="integration.", subject__startswith="integration:")
    went_live = entries.filter(
        Q(after__lifecycle=Integration.Lifecycle.LIVE), at__gte=span.begin, at__lt=span.end
    ).order_by("at")
    moments: dict[str, datetime] = {}
    for entry in went_live:
        moments.setdefault(entry.subject.removeprefix("integration:"), entry.at)
    known = Integration.objects.filter(slug__in=moments)
    if partner_id is not None:
        known = known.filter(partner_id=partner_id)
    added = dict(
        entries.filter(action="integration.added", subject__in=[f"integration:{slug}" for slug in moments])
        .order_by("-at")
        .values_list("subject", "at")
    )
    found = []
    for one in known:
        began = added.get(f"integration:{one.slug}")
        days = (moments[one.slug] - began) / timedelta(days=1) if began else None
        found.append(Onboarded(one.slug, one.name, moments[one.slug], days))
    return sorted(found, key=lambda one: one.live_at)


_TOLD = """
SELECT DISTINCT d.slug, m.name, m.integration_id FROM (
    SELECT id, definition_id FROM flows_flow WHERE opened_at <= %s ORDER BY opened_at DESC LIMIT %s) f
JOIN flows_flowdefinition d ON d.id = f.definition_id
JOIN flows_milestone m ON m.flow_id = f.id WHERE m.integration_id IS NOT NULL
"""


def critical(partner_id: int | None = None) -> QuerySet[Integration]:
    """Live, enabled integrations in production that are critical or high."""
    found = Integration.objects.filter(
        criticality__in=(Integration.Criticality.CRITICAL, Integration.Criticality.HIGH),
        lifecycle=Integration.Lifecycle.LIVE,
        environment=Integration.Environment.PRODUCTION,
        enabled=True,
    )
    return found if partner_id is None else found.filter(partner_id=partner_id)


def visibility(now: datetime, partner_id: int | None = None) -> Visibility:
    """A rule depends on an integration that it names as its source, or that told of its milestone lately."""
    rules = SlaRule.objects.filter(lifecycle=SlaRule.Lifecycle.ACTIVE).values_list("flow_slug", "milestone", "spec")
    awaited = {(flow, milestone) for flow, milestone, _ in rules}
    named = {spec.get("source") for _, _, spec in rules if isinstance(spec, dict)}
    with connection.cursor() as cursor:
        cursor.execute(_TOLD, [now, MOST_FLOWS])
        telling = {integration for flow, milestone, integration in cursor.fetchall() if (flow, milestone) in awaited}
    rows: list[tuple[Any, ...]] = list(critical(partner_id).values_list("pk", "slug", "name"))
    without = [(slug, name) for pk, slug, name in rows if pk not in telling and slug not in named]
    return Visibility(len(rows), len(rows) - len(without), without)


#: whether flow f reached a further milestone during the trouble t
WENT_ON = """EXISTS (
    SELECT FROM flows_milestone m WHERE m.flow_id = f.id AND m.actual_at >= t.begin AND m.actual_at < t.end)"""
#: flows f of the partner in trouble t that were open meanwhile
OPEN_MEANWHILE = """JOIN flows_flow f ON f.partner_id = t.partner_id AND f.opened_at < t."end"
    AND f.opened_at >= t.begin - interval '60 days' AND (f.closed_at IS NULL OR f.closed_at > t.begin)"""
_MOVED = f"""
SELECT count(*), count(*) FILTER (WHERE {WENT_ON})
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS t (partner_id, begin, "end")
{OPEN_MEANWHILE}
"""


@dataclass(frozen=True, slots=True)
class Trouble:
    """While an incident stood at a partner."""

    partner_id: int
    begin: datetime
    end: datetime
    incident_id: int
    title: str


def degraded(span: Span, now: datetime, partner_id: int | None = None) -> list[Trouble]:
    """The longest incidents of the span that were critical or high and name a partner, or whose source does."""
    found = Incident.objects.filter(
        opened_at__gte=span.begin, opened_at__lt=span.end, severity__in=("critical", "high")
    )
    troubles = []
    for one in found.select_related("integration"):
        partner = one.partner_id or (one.integration.partner_id if one.integration else None)
        if partner is not None and partner_id in (None, partner):
            troubles.append(Trouble(partner, one.opened_at, one.resolved_at or now, one.pk, one.title))
    return sorted(troubles, key=lambda one: (one.begin - one.end, one.incident_id))[:MOST_INCIDENTS]


def continuity(span: Span, now: datetime, partner_id: int | None = None) -> Continuity:
    """Over the troubles of the span; a flow counts once for each of them."""
    troubles = degraded(span, now, partner_id)
    if not troubles:
        return Continuity(0, 0, 0)
    with connection.cursor() as cursor:
        cursor.execute(_MOVED, [[getattr(one, name) for one in troubles] for name in ("partner_id", "begin", "end")])
        flows, moved = cursor.fetchone()
    return Continuity(len(troubles), flows, moved)
