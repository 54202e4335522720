"""What the incident inbox shows: rows sorted by the countdown, counts on the tabs, who is on call now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import Count, F, Q, QuerySet

from apps.accounts.models import Team, User
from apps.dashboard.selectors.report_asked import day_of
from apps.incidents.models import Finding, Incident, Severity
from apps.incidents.selectors import Stake, Standing, inbox, standing, value_at_stake
from apps.integrations.models import Partner
from apps.notifications.escalation_models import AwaitedStep
from apps.notifications.escalation_outlook import silenced
from apps.oncall.rotation import OnCall, on_call_everywhere
from apps.reports import figures, rollups

PAGE = 50
#: how far back the tab of what is over looks
RECENT = timedelta(days=30)
TABS = {"": "Unresolved", "open": "Nobody has", "mine": "Mine", "snoozed": "Snoozed", "resolved": "Resolved"}

#: how the rows are ordered: by the countdown, or by what acting can still save (anomalies.priority)
SORTS = {"": "Next breach first", "worth": "Most to save first"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader wants to see. All texts; '' means any. team and partner are slugs, tab a key of TABS, sort of SORTS;

    opened: YYYY-MM, then what is over is shown too.
    """

    tab: str = ""
    q: str = ""
    severity: str = ""
    partner: str = ""
    team: str = ""
    label: str = ""
    opened: str = ""
    sort: str = ""
    page: str = ""

    @classmethod
    def read(cls, query: Any) -> Asked:
        texts = {name: query.get(name, "")[:120].strip() for name in cls.__dataclass_fields__}
        if texts["tab"] not in TABS:
            texts["tab"] = ""
        if texts["sort"] not in SORTS:
            texts["sort"] = ""
        texts["opened"] = texts["opened"] if day_of(f"{texts['opened']}-01") else ""
        return cls(**texts)

    @property
    def narrowed(self) -> bool:
        return bool(self.q or self.severity or self.partner or self.team or self.label or self.opened)

    @property
    def month(self) -> date | None:
        """The first day of the month they were opened in."""
        return day_of(f"{self.opened}-01")

    @property
    def address(self) -> str:
        """The query string that asks for the same, without the page."""
        said = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "page"}
        return urlencode({name: value for name, value in said.items() if value})


@dataclass(slots=True)
class Line:
    """One incident of the inbox.

    state: name of the shape; said: its words. due_at: the next breach, else the first one, and its shape; ahead: it is
    still to come.
    """

    incident: Incident
    state: str
    said: str
    due_at: datetime | None
    due_state: str
    ahead: bool
    flows: int
    stakes: list[Stake]
    may_acknowledge: bool
    silence: AwaitedStep | None = None


@dataclass(slots=True)
class Inbox:
    page: Page[Incident]
    lines: list[Line]
    tabs: list[tuple[str, str, int | None]]
    on_call: list[OnCall]
    last_resolved: Incident | None
    standing: Standing


def state_of(incident: Incident, now: datetime) -> tuple[str, str]:
    """(shape, words) of an incident: who has it decides, and whether anything is late already."""
    state = Incident.State
    if incident.state == state.RESOLVED:
        return "done", f"resolved: {incident.get_resolution_display().lower()}" if incident.resolution else "resolved"
    if incident.state == state.SNOOZED:
        return "waived", "snoozed"
    if incident.state == state.ACKNOWLEDGED:
        who = incident.acknowledged_by
        return "at-risk", f"{who.display_name} has it" if who else "acknowledged"
    again = "came back, " if incident.reopened else ""
    nothing_late_yet = incident.first_breach_at is not None and incident.first_breach_at > now
    return ("at-risk" if nothing_late_yet else "late"), f"{again}not acknowledged"


def due(incident: Incident, now: datetime) -> tuple[datetime | None, bool]:
    """What it counts down to, and whether that is still ahead; (None, False) when nothing has a due time."""
    if incident.next_breach_at and incident.next_breach_at > now:
        return incident.next_breach_at, True
    late_since = incident.first_breach_at or incident.next_breach_at
    return late_since, bool(late_since and late_since > now)


def due_state(incident: Incident, due_at: datetime | None, ahead: bool) -> str:
    """Shape of the countdown: late is late whoever has it."""
    if incident.state == Incident.State.RESOLVED:
        return "done"
    return "at-risk" if due_at and ahead else "late"


def lines(incidents: Sequence[Incident], now: datetime, may_work: bool) -> list[Line]:
    """Rows of a page of incidents, in four queries however many they are."""
    live = [one.pk for one in incidents if one.state != Incident.State.RESOLVED]
    over = [one.pk for one in incidents if one.state == Incident.State.RESOLVED]
    stakes = (value_at_stake(live) if live else {}) | (value_at_stake(over, cleared_too=True) if over else {})
    hit = flows_hit(live, over)
    quiet = silenced(live) if live else {}
    rows = []
    for one in incidents:
        shape, said = state_of(one, now)
        due_at, ahead = due(one, now)
        may = may_work and one.state in (Incident.State.OPEN, Incident.State.SNOOZED)
        rows.append(
            Line(
                one,
                shape,
                said,
                due_at,
                due_state(one, due_at, ahead),
                ahead,
                hit.get(one.pk, 0),
                stakes.get(one.pk, []),
                may,
                quiet.get(one.pk),
            )
        )
    return rows


def flows_hit(live: Sequence[int], over: Sequence[int] = ()) -> dict[int, int]:
    """Incident -> how many flows it holds up now (live), or held up (over)."""
    if not live and not over:
        return {}
    which = Q(incident__in=live, cleared_at=None) | Q(incident__in=over)
    found = Finding.objects.filter(which, flow__isnull=False).order_by().values("incident_id")
    return dict(found.annotate(n=Count("flow", distinct=True)).values_list("incident_id", "n"))


def incident_inbox(asked: Asked, reader: User, now: datetime, may_work: bool) -> Inbox:
    rows = _rows(asked, reader, now)
    page = Paginator(rows, PAGE).get_page(asked.page)
    last = None
    if not page.object_list and asked.tab != "resolved" and not asked.narrowed:
        over = Incident.objects.filter(state=Incident.State.RESOLVED).select_related("partner")
        last = over.order_by("-resolved_at").first()
    return Inbox(
        page,
        lines(list(page.object_list), now, may_work),
        _tabs(reader, asked),
        on_call_everywhere(now),
        last,
        standing(),
    )


def _rows(asked: Asked, reader: User, now: datetime) -> QuerySet[Incident]:
    found = inbox(
        state=asked.tab if asked.tab in ("open", "snoozed", "resolved") else "all" if asked.opened else "",
        severity=asked.severity if asked.severity in Severity.values else "",
        text=asked.q,
    )
    if asked.partner:
        found = found.filter(pk__in=Incident.objects.concerning(asked.partner).values("pk"))
    if asked.team:
        found = found.filter(team__slug=asked.team)
    if asked.label:
        found = found.filter(labels__contains=[asked.label])
    if asked.month:
        span = figures.month(asked.month.year, asked.month.month, rollups.zone())
        found = found.filter(opened_at__gte=span.begin, opened_at__lt=span.end)
    if asked.tab == "mine":
        found = found.filter(_mine(reader))
    if asked.sort == "worth":
        most = F("priority__amount").desc(nulls_last=True)
        found = found.order_by(most, F("priority__deadline_at").asc(nulls_last=True), "opened_at", "id")
    if asked.tab == "resolved":
        recent = Q() if asked.opened else Q(resolved_at__gt=now - RECENT)
        found = found.filter(recent).order_by("-resolved_at", "-id")
    return found


def _mine(reader: User) -> Q:
    return Q(assignee=reader) | Q(acknowledged_by=reader)


def _tabs(reader: User, asked: Asked) -> list[tuple[str, str, int | None]]:
    """(key, words, count); what is over is not counted."""
    state = Incident.State
    numbers = Incident.objects.unresolved().aggregate(
        all=Count("pk"),
        open=Count("pk", filter=Q(state=state.OPEN)),
        mine=Count("pk", filter=_mine(reader)),
        snoozed=Count("pk", filter=Q(state=state.SNOOZED)),
    )
    numbers[""] = numbers.pop("all")
    tabs = [(key, words, numbers.get(key)) for key, words in TABS.items()]
    # of a month the first tab shows what is over too
    return [("", "All", None), *tabs[1:]] if asked.opened else tabs


def choices() -> dict[str, list[tuple[str, str]]]:
    """The filters' options: severities, partners, teams, and the labels of what is unresolved."""
    used = Incident.objects.unresolved().exclude(labels=[]).values_list("labels", flat=True)[:500]
    return {
        "labels": [(one, one) for one in sorted({label for labels in used for label in labels})],
        "severities": list(Severity.choices),
        "sorts": list(SORTS.items()),
        "partners": list(Partner.objects.values_list("slug", "name")),
        "teams": list(Team.objects.values_list("slug", "name")),
    }
