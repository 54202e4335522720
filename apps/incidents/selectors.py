"""What the pages and the API read of incidents: lists as querysets, numbers as dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Case, Count, Exists, F, IntegerField, Min, OuterRef, Q, QuerySet, Subquery, Value, When

from apps.flows.models import Flow
from apps.incidents.models import WITHOUT_ACTION, Finding, Incident, IncidentEvent, Resolution, Severity
from apps.integrations.models import ChangeMarker

#: how long before an incident a change is worth showing
CHANGES_BEFORE = timedelta(hours=24)

SEVERITY_RANK = Case(
    *(When(severity=severity, then=Value(rank)) for rank, severity in enumerate(Severity)),
    default=Value(len(Severity)),
    output_field=IntegerField(),
)


def inbox(
    *,
    state: str = "",
    severity: str = "",
    kind: str = "",
    text: str = "",
    team_id: int | None = None,
    partner_id: int | None = None,
    integration_id: int | None = None,
    assignee_id: int | None = None,
    flow_id: int | None = None,
) -> QuerySet[Incident]:
    """Incidents with what a row of the inbox shows, in one query; state "" means unresolved, "all" means every one.

    Sorted by the countdown: the next breach first, then what has breached already, worst and oldest first. text
    searches the title; "#12" or "12" also finds that incident.
    """
    incidents = Incident.objects.select_related("partner", "integration", "team", "assignee", "acknowledged_by")
    if state == "":
        incidents = incidents.unresolved()
    elif state != "all":
        incidents = incidents.filter(state=state)
    wanted = {
        "severity": severity,
        "kind": kind,
        "team_id": team_id,
        "partner_id": partner_id,
        "integration_id": integration_id,
        "assignee_id": assignee_id,
    }
    incidents = incidents.filter(**{name: value for name, value in wanted.items() if value})
    if flow_id is not None:
        incidents = incidents.filter(Exists(Finding.objects.filter(incident=OuterRef("pk"), flow_id=flow_id)))
    if text := text.strip().replace("\x00", ""):
        match = Q(title__icontains=text)
        number = text.removeprefix("#")
        if number.isascii() and number.isdigit() and len(number) <= 18:
            match |= Q(pk=int(number))
        incidents = incidents.filter(match)
    return incidents.annotate(severity_rank=SEVERITY_RANK).order_by(
        F("next_breach_at").asc(nulls_last=True), "severity_rank", "opened_at", "id"
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """How many unresolved incidents stand where; unanswered_critical: critical ones that nobody has acknowledged."""

    open: int
    acknowledged: int
    snoozed: int
    unanswered_critical: int


def standing() -> Standing:
    """One query over the unresolved incidents."""
    state = Incident.State
    return Standing(
        **Incident.objects.unresolved().aggregate(
            open=Count("pk", filter=Q(state=state.OPEN)),
            acknowledged=Count("pk", filter=Q(state=state.ACKNOWLEDGED)),
            snoozed=Count("pk", filter=Q(state=state.SNOOZED)),
            unanswered_critical=Count("pk", filter=Q(state=state.OPEN, severity=Severity.CRITICAL)),
        )
    )


def timeline(incident_id: int) -> QuerySet[IncidentEvent]:
    """Oldest first."""
    return IncidentEvent.objects.filter(incident_id=incident_id).select_related("actor").order_by("at", "id")


def affected_flows(incident_id: int, *, only_open: bool = False) -> QuerySet[Flow]:
    """Flows with a finding of this incident, soonest due first; `first_due_at` and `still_open` are annotated."""
    ours = Finding.objects.filter(incident_id=incident_id, flow=OuterRef("pk"))
    still_open = ours.filter(cleared_at=None)
    return (
        Flow.objects.filter(Exists(still_open if only_open else ours))
        .select_related("partner", "definition")
        .annotate(
            first_due_at=Subquery(ours.order_by().values("flow").annotate(first=Min("due_at")).values("first")),
            still_open=Exists(still_open),
        )
        .order_by(F("first_due_at").asc(nulls_last=True), "id")
    )


def same_cause_before(incident: Incident, limit: int = 5) -> QuerySet[Incident]:
    """Earlier incidents of the same cause, latest first, then those of the same kind and partner that a person solved.

    `how` is what was said when each was resolved, `exact` whether it was the very same cause.
    """
    said = IncidentEvent.objects.filter(incident=OuterRef("pk"), kind=IncidentEvent.Kind.RESOLVED).order_by("-id")
    alike = Q(fingerprint=incident.fingerprint)
    if incident.partner_id is not None:
        solved = [one.value for one in Resolution if one not in WITHOUT_ACTION and one != Resolution.MERGED]
        alike |= Q(kind=incident.kind, partner_id=incident.partner_id, resolution__in=solved)
    return (
        Incident.objects.filter(alike)
        .filter(merged_into=None)
        .filter(Q(opened_at__lt=incident.opened_at) | Q(opened_at=incident.opened_at, pk__lt=incident.pk))
        .select_related("acknowledged_by")
        .annotate(
            how=Subquery(said.values("text")[:1]),
            who=Subquery(said.values("actor_name")[:1]),
            exact=Q(fingerprint=incident.fingerprint),
        )
        .order_by("-exact", "-opened_at", "-id")[:limit]
    )


def changes_before(incident: Incident, window: timedelta = CHANGES_BEFORE) -> QuerySet[ChangeMarker]:
    """What changed in the time before it opened, latest first: on its integration, its partner, or everywhere."""
    about = Q(integration=None)
    if incident.integration_id is not None:
        about |= Q(integration_id=incident.integration_id)
    if incident.partner_id is not None:
        about |= Q(integration__partner_id=incident.partner_id)
    elif incident.partners > 1:
        about |= Q(integration__in=Finding.objects.filter(incident=incident).values("integration"))
    at = (incident.opened_at - window, incident.opened_at)
    return ChangeMarker.objects.filter(about, at__range=at).select_related("integration").order_by("-at", "-id")


@dataclass(frozen=True, slots=True)
class Stake:
    """Value of the flows an incident holds up, in one currency."""

    currency: str
    amount: Decimal
    flows: int


VALUE_AT_STAKE = """
SELECT incident_id, currency, sum(value), count(*) FROM (
    SELECT DISTINCT finding.incident_id, flow.id, flow.currency, flow.value
    FROM incidents_finding AS finding JOIN flows_flow AS flow ON flow.id = finding.flow_id
    WHERE finding.incident_id = ANY(%(incidents)s) AND (finding.cleared_at IS NULL OR %(cleared_too)s)
        AND flow.value IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM flows_flowlink AS link JOIN incidents_finding AS above ON above.flow_id = link.parent_id
            WHERE link.child_id = flow.id AND above.incident_id = finding.incident_id
                AND (above.cleared_at IS NULL OR %(cleared_too)s)
        )
) AS once
GROUP BY incident_id, currency ORDER BY incident_id, currency
"""


def value_at_stake(incident_ids: Sequence[int], *, cleared_too: bool = False) -> dict[int, list[Stake]]:
    """Incident -> its stakes by currency, for a whole page of incidents in one query.

    Each flow counts once, and a parcel does not count beside its order. cleared_too: what it was about at any time
    (for incidents that are over).
    """
    with connection.cursor() as cursor:
        cursor.execute(VALUE_AT_STAKE, {"incidents": list(incident_ids), "cleared_too": cleared_too})
        rows = cursor.fetchall()
    stakes: dict[int, list[Stake]] = {incident_id: [] for incident_id in incident_ids}
    for incident_id, currency, amount, flows in rows:
        stakes[incident_id].append(Stake(currency, amount, flows))
    return stakes


def next_breach_in(incident: Incident, now: datetime) -> timedelta | None:
    """Countdown to the next breach; negative once it has passed; None if nothing is due."""
    due_at = incident.next_breach_at or incident.first_breach_at
    return due_at - now if due_at else None
