"""Everything of one incident's page, in a bounded number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import F

from apps.accounts.models import Role, Team, User
from apps.core.wording import duration, short
from apps.dashboard.selectors.incident_inbox import due, due_state, flows_hit, state_of
from apps.flows.models import Flow
from apps.flows.registry import load
from apps.incidents.models import BY_HAND, Finding, Incident, IncidentEvent, Resolution
from apps.incidents.selectors import Stake, affected_flows, changes_before, same_cause_before, timeline, value_at_stake
from apps.incidents.transitions import Verb, possible
from apps.integrations.models import ChangeMarker
from apps.notifications.models import Delivery

FLOWS = 25
SENTENCES = 3
#: rows of the timeline and deliveries that are shown
TIMELINE = 60
DELIVERIES = 20

KIND_ICONS = {
    "opened": "incident",
    "joined": "plus",
    "severity": "incident",
    "acknowledged": "check",
    "unacknowledged": "replay",
    "assigned": "user",
    "commented": "comment",
    "snoozed": "pause",
    "woken": "bell",
    "resolved": "check",
    "reopened": "replay",
    "cleared": "check",
    "notified": "mail",
    "asked": "mail",
}
SENT_STATES = {"waiting": "open", "sending": "open", "sent": "done", "dead": "late", "dropped": "waived"}


@dataclass(slots=True)
class Entry:
    """One line of the timeline, as partials/_timeline.html wants it."""

    key: str
    at: datetime
    who: str
    what: str
    said: str
    icon: str
    state: str = ""


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


def load_incident(pk: int) -> Incident | None:
    return (
        Incident.objects.select_related("partner", "integration", "team", "assignee", "acknowledged_by")
        .filter(pk=pk)
        .first()
    )


def verbs_for(incident: Incident, may_work: bool) -> set[str]:
    """Names of the verbs to show: what the table of transitions allows, of it comments for who may only read."""
    allowed = {verb.value for verb in possible(incident.state)}
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
    told = [one for one in findings if evidence is None or one is not evidence.finding]
    rows = list(timeline(incident.pk).order_by("-at", "-id")[: TIMELINE + 1])
    state, said = state_of(incident, now)
    due_at, ahead = due(incident, now)
    verbs = verbs_for(incident, may_work)
    may_assign = "assign" in verbs
    staff = User.objects.filter(is_active=True).exclude(role=Role.PARTNER).order_by("first_name", "username")
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
        verbs=verbs,
        affected=affected,
        affected_lines=_affected(list(affected.object_list), now),
        cleared_too=cleared_too,
        findings=[_around_flow(finding) for finding in told],
        evidence=evidence,
        before=list(same_cause_before(incident)),
        changes=list(changes_before(incident)[:10]),
        sent=_sent(incident, now, zone),
        entries=entries(rows[:TIMELINE], now, zone),
        more_entries=len(rows) > TIMELINE,
        mine=incident.timeline.filter(actor=reader).count(),
        people=list(staff) if may_assign else [],
        teams=list(Team.objects.all()) if may_assign else [],
        resolutions=[(one.value, one.label) for one in BY_HAND],
    )


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
                    [_moment(one, now, zone) or str(one) for one in hours], counts, expected, lower, upper, strict=False
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


def entries(rows: Sequence[IncidentEvent], now: datetime, zone: tzinfo) -> list[Entry]:
    """The timeline in words, newest first; findings that joined one round after the other are one line."""
    told: list[Entry] = []
    joined: list[IncidentEvent] = []
    for row in rows:
        if row.kind == IncidentEvent.Kind.JOINED:
            joined.append(row)
            continue
        told += _joined(joined)
        joined = []
        told.append(_entry(row, now, zone))
    return told + _joined(joined)


def _joined(rows: Sequence[IncidentEvent]) -> list[Entry]:
    if not rows:
        return []
    n = sum(int(row.data.get("findings", 1)) for row in rows)
    over = f", over {duration(rows[0].at - rows[-1].at)}" if len(rows) > 1 else ""
    what = f"{n:,} {'finding' if n == 1 else 'findings'} joined{over}"
    return [Entry(f"t-{rows[-1].pk}", rows[0].at, "", what, "", KIND_ICONS["joined"])]


def _entry(row: IncidentEvent, now: datetime, zone: tzinfo) -> Entry:
    what, said = _words(row, now, zone)
    state = ""
    if row.data.get("failed"):
        state = "late"
    elif row.kind == IncidentEvent.Kind.RESOLVED:
        state = "done"
    who = row.actor_name
    return Entry(
        f"t-{row.pk}", row.at, who, what if who else what[:1].upper() + what[1:], said, KIND_ICONS[row.kind], state
    )


def _words(row: IncidentEvent, now: datetime, zone: tzinfo) -> tuple[str, str]:
    """(the deed, what was said with it). What the tower did says itself in its text."""
    kinds = IncidentEvent.Kind
    if row.kind == kinds.RESOLVED:
        how = dict(Resolution.choices).get(row.data.get("resolution", ""), "")
        return f"resolved it: {how.lower()}" if row.actor_name and how else "resolved by itself", row.text
    if not row.actor_name:
        return row.text or row.get_kind_display(), ""
    until = _moment(row.data.get("until") or row.data.get("back_at"), now, zone)
    deed = {
        kinds.ACKNOWLEDGED: f"acknowledged{f', back at {until}' if until else ''}",
        kinds.UNACKNOWLEDGED: "gave it back",
        kinds.ASSIGNED: f"assigned it to {row.data.get('to', 'nobody')}",
        kinds.COMMENTED: "wrote",
        kinds.SNOOZED: f"snoozed it{f' until {until}' if until else ''}",
        kinds.REOPENED: "reopened it",
        kinds.ASKED: "asked the partner",
    }.get(kinds(row.kind), row.get_kind_display().lower())
    return deed, row.text


def _moment(iso: Any, now: datetime, zone: tzinfo) -> str:
    try:
        return short(datetime.fromisoformat(iso), zone, now) if iso else ""
    except (TypeError, ValueError):
        return ""
