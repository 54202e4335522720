"""Everything of one incident's page, in a bounded number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import F, Prefetch

from apps.accounts.models import Role, Team, User
from apps.core.wording import short
from apps.dashboard.incident_markdown import render
from apps.dashboard.selectors.incident_inbox import due, due_state, flows_hit, state_of
from apps.dashboard.selectors.incident_outlook import Outlook, Related, cause_in_words, orders_hit, outlook, related
from apps.dashboard.selectors.incident_timeline import Entry, entries, moment_in_words
from apps.flows.models import Flow
from apps.flows.registry import load
from apps.incidents.models import BY_HAND, Finding, Incident, IncidentEvent, IncidentFile, Review, Runbook
from apps.incidents.relating import Linked, relations_of
from apps.incidents.runbooks import runbook_for
from apps.incidents.selectors import Stake, affected_flows, changes_before, same_cause_before, timeline, value_at_stake
from apps.incidents.transitions import Verb, possible
from apps.integrations.models import ChangeMarker
from apps.notifications.models import Delivery
from apps.reports import penalties

FLOWS = 25
SENTENCES = 3
#: rows of the timeline and deliveries that are shown
TIMELINE = 60
DELIVERIES = 20

SENT_STATES = {"waiting": "open", "sending": "open", "sent": "done", "dead": "late", "dropped": "waived"}


@dataclass(slots=True)
class Affected:
    """A flow the incident holds up (or held up)."""

    flow: Flow
    awaiting: str
    state: str
    said: str
    due_at: datetime | None


@dataclass(slots=True)
class Sent:
    """A message about the incident: to whom, over what, how far it got."""

    delivery: Delivery
    to: str
    state: str
    said: str


@dataclass(slots=True)
class Evidence:
    """What a detector saw, hour by hour: the plot and the same as rows (hour, seen, expected, lower, upper)."""

    finding: Finding
    plot: dict[str, Any]
    rows: list[tuple[str, Any, Any, Any, Any]]


@dataclass(slots=True)
class IncidentPage:
    incident: Incident
    state: str
    said: str
    due_at: datetime | None
    due_state: str
    ahead: bool
    late_now: bool
    flows_now: int
    flows_ever: int
    stakes: list[Stake]
    contract: str
    verbs: set[str]
    affected: Page[Flow]
    affected_lines: list[Affected]
    cleared_too: bool
    findings: list[tuple[Finding, str, str]]
    evidence: Evidence | None
    before: list[Incident]
    changes: list[ChangeMarker]
    sent: list[Sent]
    entries: list[Entry]
    more_entries: bool
    mine: int
    people: list[User]
    teams: list[Team]
    resolutions: list[tuple[str, str]]
    cause: str
    orders: int
    coming: Outlook
    related: list[Related]
    linked: list[Linked]
    runbook: Runbook | None
    runbook_html: str
    others: list[Incident]
    review: Review | None
    may_act: bool
    handles: str


def load_incident(pk: int) -> Incident | None:
    return (
        Incident.objects.select_related(
            "partner", "integration", "team", "assignee", "acknowledged_by", "merged_into", "review"
        )
        .filter(pk=pk)
        .first()
    )


def verbs_for(incident: Incident, may_work: bool) -> set[str]:
    """Names of the verbs to show: what the table of transitions allows, of it comments for who may only read."""
    allowed = {verb.value for verb in possible(incident.state)}
    allowed -= {Verb.UNMERGE} if incident.merged_into_id is None else {Verb.REOPEN, Verb.SPLIT}
    if incident.state == Incident.State.RESOLVED:
        allowed -= {Verb.SPLIT}
    return allowed if may_work else allowed & {Verb.COMMENT.value}


def incident_page(
    incident: Incident,
    reader: User,
    now: datetime,
    zone: tzinfo,
    *,
    may_work: bool,
    page: str = "",
    everything: bool = False,
) -> IncidentPage:
    """zone: in which the timeline says times; page and everything: which affected flows (also those cleared)."""
    resolved = incident.state == Incident.State.RESOLVED
    cleared_too = everything or resolved
    affected = Paginator(affected_flows(incident.pk, only_open=not cleared_too), FLOWS).get_page(page)
    findings = _findings(incident, resolved)
    evidence = _evidence(findings, now, zone)
    others = [_around_flow(one) for one in findings if evidence is None or one is not evidence.finding]
    rows, coming = _log(incident), outlook(incident.pk, now, zone)
    runbook = runbook_for(incident)
    (state, said), (due_at, ahead) = state_of(incident, now), due(incident, now)
    verbs = verbs_for(incident, may_work)
    people, linked = _staff(), relations_of(incident.pk)
    return IncidentPage(
        incident=incident,
        state=state,
        said=said,
        due_at=due_at,
        due_state=due_state(incident, due_at, ahead),
        ahead=ahead,
        late_now=not (incident.first_breach_at and incident.first_breach_at > now),
        flows_now=flows_hit([incident.pk]).get(incident.pk, 0),
        flows_ever=flows_hit([], [incident.pk]).get(incident.pk, 0),
        stakes=value_at_stake([incident.pk], cleared_too=resolved)[incident.pk],
        contract=penalties.in_words(penalties.of_incident(incident.pk, now)),
        verbs=verbs,
        affected=affected,
        affected_lines=_affected(list(affected.object_list), now),
        cleared_too=cleared_too,
        findings=others,
        evidence=evidence,
        before=list(same_cause_before(incident)),
        changes=list(changes_before(incident)[:10]),
        sent=_sent(incident, now, zone),
        entries=entries(rows[:TIMELINE], now, zone),
        more_entries=len(rows) > TIMELINE,
        mine=incident.timeline.filter(actor=reader).count(),
        people=people if "assign" in verbs else [],
        teams=list(Team.objects.all()) if "assign" in verbs else [],
        resolutions=[(one.value, one.label) for one in BY_HAND],
        cause=cause_in_words(incident, [finding.sentence for finding in findings], coming),
        orders=orders_hit(incident.pk, ever=resolved),
        coming=coming,
        related=[one for one in related(incident) if one.incident.pk not in {other.incident.pk for other in linked}],
        linked=linked,
        runbook=runbook,
        runbook_html=render(runbook.text) if runbook else "",
        others=_others(incident) if Verb.MERGE in verbs else [],
        review=getattr(incident, "review", None),
        may_act=may_work and not resolved,
        handles=" ".join(one.username for one in people),
    )


def _staff() -> list[User]:
    """Who can be assigned and mentioned."""
    return list(User.objects.filter(is_active=True).exclude(role=Role.PARTNER).order_by("first_name", "username"))


def _log(incident: Incident) -> list[IncidentEvent]:
    """The timeline with its files, newest first; one row more than is shown."""
    rows = timeline(incident.pk).exclude(kind=IncidentEvent.Kind.MENTIONED).order_by("-at", "-id")
    return list(rows.prefetch_related(Prefetch("files", IncidentFile.objects.defer("body")))[: TIMELINE + 1])


def _others(incident: Incident) -> list[Incident]:
    """Into which it could be merged: unresolved ones, those of the same partner first."""
    rows = Incident.objects.unresolved().exclude(pk=incident.pk).only("pk", "title", "partner")
    return sorted(rows.order_by("-last_finding_at")[:100], key=lambda one: one.partner_id != incident.partner_id)


def _findings(incident: Incident, resolved: bool) -> list[Finding]:
    """What says so: findings about a whole source, then those due first; of an incident that is over also those cleared."""
    rows = Finding.objects.filter(incident=incident).select_related("flow")
    if not resolved:
        rows = rows.filter(cleared_at=None)
    return list(rows.order_by(F("due_at").asc(nulls_first=True), "id")[:SENTENCES])


def _around_flow(finding: Finding) -> tuple[Finding, str, str]:
    """(finding, words before its flow's name, words after), so that the name itself can be the link."""
    label = finding.flow.label if finding.flow else ""
    before, found, after = finding.sentence.partition(label) if label else (finding.sentence, "", "")
    return (finding, before, after) if found or not label else (finding, f"{finding.sentence} ", "")


def _affected(flows: Sequence[Flow], now: datetime) -> list[Affected]:
    catalogue = load().catalogue
    rows = []
    for flow in flows:
        definition = catalogue.active.get(flow.definition.slug)
        label = definition.label_of(flow.awaiting) if definition and flow.awaiting else flow.awaiting
        due_at, still_open = getattr(flow, "first_due_at", None), bool(getattr(flow, "still_open", True))
        if not still_open:
            state, said = "done", "came"
        elif due_at is not None and due_at > now:
            state, said = "at-risk", "at risk"
        else:
            state, said = "late", "late"
        rows.append(Affected(flow, label or "", state, said, due_at))
    return rows


def _evidence(findings: Sequence[Finding], now: datetime, zone: tzinfo) -> Evidence | None:
    """The plot of the first finding whose evidence is a series by the hour with the band of the expected."""
    for finding in findings:
        seen = finding.evidence
        if not isinstance(seen, dict):
            continue
        columns = [seen.get(name) for name in ("hours", "seen", "expected", "lower", "upper")]
        if all(isinstance(column, list) for column in columns) and columns[0]:
            hours, counts, expected, lower, upper = (list(column or []) for column in columns)
            short_row = min(len(hours), len(counts), len(expected), len(lower), len(upper))
            rows = list(
                zip(
                    [moment_in_words(one, now, zone) or str(one) for one in hours],
                    counts,
                    expected,
                    lower,
                    upper,
                    strict=False,
                )
            )[:short_row]
            return Evidence(finding, series_plot(rows), rows)
    return None


def series_plot(rows: Sequence[tuple[str, Any, Any, Any, Any]]) -> dict[str, Any]:
    """What came, as a line over the band of the usual; hours below the band are in the colour of late."""
    hours = [row[0] for row in rows]
    quiet: dict[str, Any] = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "type": "scatter"}
    short_of = ["@late" if _below(row[1], row[3]) else "@ink" for row in rows]
    return {
        "data": [
            {"x": hours, "y": [row[3] for row in rows], **quiet},
            {"x": hours, "y": [row[4] for row in rows], "fill": "tonexty", "fillcolor": "@band", **quiet},
            {
                "x": hours,
                "y": [row[2] for row in rows],
                "type": "scatter",
                "mode": "lines",
                "name": "expected",
                "line": {"color": "@ink-3", "width": 1, "dash": "dot"},
            },
            {
                "x": hours,
                "y": [row[1] for row in rows],
                "type": "scatter",
                "mode": "lines+markers",
                "name": "came",
                "line": {"color": "@ink", "width": 1.5},
                "marker": {"color": short_of, "size": 7},
            },
        ],
        "layout": {"yaxis": {"rangemode": "tozero"}, "xaxis": {"type": "category", "nticks": 12}},
    }


def _below(seen: Any, lower: Any) -> bool:
    return isinstance(seen, int | float) and isinstance(lower, int | float) and seen < lower


def _sent(incident: Incident, now: datetime, zone: tzinfo) -> list[Sent]:
    rows = (
        Delivery.objects.filter(incident_event__incident=incident).select_related("user").order_by("-created_at", "-id")
    )
    return [_said_of(one, now, zone) for one in rows[:DELIVERIES]]


def _said_of(one: Delivery, now: datetime, zone: tzinfo) -> Sent:
    said = {
        "sent": f"sent {short(one.sent_at, zone, now)}" if one.sent_at else "sent",
        "dead": f"given up after {one.attempts} tries: {one.error}"[:200],
        "dropped": "no longer needed",
    }.get(one.state, f"waiting, next try {short(one.next_at, zone, now)}")
    return Sent(one, one.user.display_name if one.user else one.recipient, SENT_STATES.get(one.state, "open"), said)
