"""Who must hear of what happened to an incident."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from apps.accounts.models import Role, User
from apps.incidents.models import Incident, IncidentEvent, Severity
from apps.incidents.transitions import PAGE_KINDS
from apps.notifications.contract import CHANNELS
from apps.notifications.keeping import OWN_MAIL
from apps.notifications.models import Channel, Delivery
from apps.notifications.passing_on import machines
from apps.notifications.ways import Recipient, Ways
from apps.oncall.rotation import on_call

__all__ = ["Recipient", "Router", "must_reach"]
Kind = IncidentEvent.Kind
#: rows for those they name and for nobody else
DIRECTED = frozenset({Kind.ESCALATED, Kind.REMINDED, Kind.MENTIONED})
#: one person's news: nobody else hears of it in their stead
PERSONAL = frozenset({Kind.REMINDED, Kind.MENTIONED})


class Router:
    """Finds recipients at one moment; asks for each team only once however many events there are."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.ways = Ways(now)
        self._teams: dict[int | None, list[User]] = {}
        self._on_call_role: list[User] | None = None
        self._rows: dict[str, Channel] | None = None
        #: events nobody gets because those concerned want it so; everything else that reaches nobody is a fault
        self.by_choice: set[int] = set()
        #: event that calls nobody although somebody has to act -> what was tried, in words
        self.unheard: dict[int, list[str]] = {}

    def recipients(self, event: IncidentEvent) -> list[Recipient]:
        """Everybody once; empty if it concerns nobody (or nobody can be reached: see `must_reach`).

        A row that names its targets (``{"targets": {"users": [ids], "channels": [slugs]}}``) goes to exactly those
        or, if none of them can be reached, to whom it would go without a policy. What begins or changes an incident
        goes to the channels that listen as well: they hear of every incident, whomever a policy calls; they are no
        call, so a step that reaches nobody else is among `unheard`.
        """
        if event.kind == Kind.RESOLVED:
            return _who_was_called(event)
        named = event.data.get("targets")
        called = self._named(event, named) if isinstance(named, dict) else []
        if not called and event.kind not in PERSONAL and event.pk not in self.by_choice:
            called = self._people(event)
        heard = [] if event.kind in DIRECTED and "targets" in event.data else self.listening(event)
        by_policy = "step" in event.data
        if must_reach(event) and not called and (by_policy or not heard) and event.pk not in self.by_choice:
            self.unheard[event.pk] = [*event.data.get("missing", ()), *self._tried(event.incident)]
        return _once([*called, *heard])

    def _people(self, event: IncidentEvent) -> list[Recipient]:
        incident = event.incident
        if event.kind == Kind.ASSIGNED and not must_reach(event):
            assignee = incident.assignee
            return [] if assignee is None or assignee.pk == event.actor_id else self._to([assignee], incident)
        if event.kind == Kind.SEVERITY and incident.state == Incident.State.ACKNOWLEDGED:
            working = incident.assignee or incident.acknowledged_by
            if working is not None and (reached := self._to([working], incident)):
                return reached
        return self._of_team(event)

    def _to(self, users: Iterable[User], incident: Incident) -> list[Recipient]:
        return self.ways.to(users, incident.severity)

    def _tried(self, incident: Incident) -> list[str]:
        """Why the usual routing reaches nobody, in words."""
        on_duty, team = self._teams.get(incident.team_id, []), incident.team
        found = [f"{user.display_name}, on call for {team}, has no address that works" for user in on_duty]
        if team is None:
            found.append("the incident has no team")
        elif not on_duty:
            found.append(f"nobody is on call for {team}")
        if team is not None:
            found.append("the team has no address")
        others = len(self._on_call_role or ())
        found.append(
            f"none of the {others} people with the role on-call has an address that works"
            if others
            else "nobody has the role on-call"
        )
        return found

    def _of_team(self, event: IncidentEvent) -> list[Recipient]:
        """On call now; else the team's address; else everybody with the role on-call."""
        incident = event.incident
        if incident.team_id not in self._teams:
            team = incident.team_id
            self._teams[team] = list(on_call(team, self.now)) if team is not None else []
        if found := self._to(self._teams[incident.team_id], incident):
            return found
        if self.ways.want_silence(self._teams[incident.team_id], incident.severity):
            self.by_choice.add(event.pk)
            return []
        if incident.team is not None and incident.team.email:
            return [Recipient(OWN_MAIL, incident.team.email)]
        if self._on_call_role is None:
            self._on_call_role = list(User.objects.filter(role=Role.ON_CALL, is_active=True).order_by("pk"))
        if self.ways.want_silence(self._on_call_role, incident.severity):
            self.by_choice.add(event.pk)
        return self._to(self._on_call_role, incident)

    def _named(self, event: IncidentEvent, targets: dict[str, object]) -> list[Recipient]:
        ids, slugs = targets.get("users"), targets.get("channels")
        wanted = [one for one in ids if isinstance(one, int)] if isinstance(ids, list) else []
        people = list(User.objects.filter(pk__in=wanted).order_by("pk")) if wanted else []
        severity = event.incident.severity
        found = self.ways.to(people, severity, called="step" in event.data)
        if not found and not slugs and self.ways.want_silence(people, severity):
            self.by_choice.add(event.pk)
        for slug in slugs if isinstance(slugs, list) else []:
            if (row := self._channels().get(str(slug))) and (place := place_of(row)):
                found.append(Recipient(row.slug, place))
        return _once(found)

    def _channels(self) -> dict[str, Channel]:
        if self._rows is None:
            self._rows = {row.slug: row for row in Channel.objects.filter(enabled=True).order_by("id")}
        return self._rows

    def listening(self, event: IncidentEvent) -> list[Recipient]:
        """Channels told of every incident of their team (or of all) from their severity on."""
        if event.kind == Kind.ASSIGNED and not must_reach(event):
            return []
        ranks, incident = list(Severity.values), event.incident
        return [
            Recipient(row.slug, place)
            for row in self._channels().values()
            if row.listens
            and row.team_id in (None, incident.team_id)
            and ranks.index(incident.severity) <= ranks.index(row.min_severity)
            and (place := place_of(row))
        ]


def place_of(row: Channel) -> str:
    """The address of a channel that is a place by itself; "" if it only serves people's own addresses."""
    plugin = CHANNELS.plugins.get(row.kind)
    return plugin.place(row.config) if plugin else ""


def _once(recipients: Iterable[Recipient]) -> list[Recipient]:
    return list({(one.channel, one.address): one for one in recipients}.values())


def must_reach(event: IncidentEvent) -> bool:
    """Whether it is a fault that nobody could be reached: somebody has to act, and it is not one person's news."""
    handed_to_team = event.kind == Kind.ASSIGNED and event.data.get("team") and not event.data.get("assignee")
    return bool(handed_to_team) or (event.kind in PAGE_KINDS and event.kind != Kind.ASSIGNED)


def _who_was_called(event: IncidentEvent) -> list[Recipient]:
    """People and rooms to whom a call about this incident went, or may have gone, since it was resolved the last time.

    The telephone does not ring again to say that it is over. Machines are told by `passing_on`.
    """
    earlier = IncidentEvent.objects.filter(incident_id=event.incident_id, kind=Kind.RESOLVED, id__lt=event.pk)
    since = earlier.order_by("-id").values_list("id", flat=True).first() or 0
    left_out = [kind for kind, plugin in CHANNELS.plugins.items() if plugin.rings] + machines()
    called = (
        Delivery.objects.filter(
            incident_event__incident_id=event.incident_id,
            incident_event__id__gt=since,
            incident_event__id__lt=event.pk,
            incident_event__kind__in=PAGE_KINDS,
            attempts__gt=0,
        )
        .exclude(state=Delivery.State.DEAD)
        .exclude(channel__in=Channel.objects.filter(kind__in=left_out).values("slug"))
        .order_by("channel", "recipient", "user_id")
        .values_list("channel", "recipient", "user_id")
        .distinct()
    )
    return _once(Recipient(channel, address, user) for channel, address, user in called)
