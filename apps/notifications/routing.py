"""Who must hear of what happened to an incident."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from apps.accounts.models import Role, User
from apps.incidents.models import Incident, IncidentEvent
from apps.incidents.transitions import PAGE_KINDS
from apps.notifications.models import Delivery
from apps.oncall.rotation import on_call

Kind = IncidentEvent.Kind


@dataclass(frozen=True, slots=True)
class Recipient:
    """channel: kind of a channel; address: what that channel sends to; user_id: None for a shared address."""

    channel: str
    address: str
    user_id: int | None = None


class Router:
    """Finds recipients at one moment; asks for each team only once however many events there are."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._teams: dict[int | None, list[Recipient]] = {}

    def recipients(self, event: IncidentEvent) -> list[Recipient]:
        """Everybody once; empty if it concerns nobody (or nobody can be reached: see `must_reach`)."""
        incident = event.incident
        if event.kind == Kind.RESOLVED:
            return _who_was_called(event)
        if event.kind == Kind.ASSIGNED and not must_reach(event):
            assignee = incident.assignee
            return [] if assignee is None or assignee.pk == event.actor_id else _mail([assignee])
        if event.kind == Kind.SEVERITY and incident.state == Incident.State.ACKNOWLEDGED:
            working = incident.assignee or incident.acknowledged_by
            if working is not None and (reached := _mail([working])):
                return reached
        return self._of_team(incident)

    def _of_team(self, incident: Incident) -> list[Recipient]:
        """On call now; else the team's address; else everybody with the role on-call."""
        if incident.team_id not in self._teams:
            found = _mail(on_call(incident.team_id, self.now)) if incident.team_id is not None else []
            if not found and incident.team is not None and incident.team.email:
                found = [Recipient("email", incident.team.email)]
            if not found:
                found = _mail(User.objects.filter(role=Role.ON_CALL, is_active=True).order_by("pk"))
            self._teams[incident.team_id] = found
        return self._teams[incident.team_id]


def must_reach(event: IncidentEvent) -> bool:
    """Whether it is a fault that nobody could be reached: somebody has to act, and it is not one person's news."""
    handed_to_team = event.kind == Kind.ASSIGNED and event.data.get("team") and not event.data.get("assignee")
    return bool(handed_to_team) or (event.kind in PAGE_KINDS and event.kind != Kind.ASSIGNED)


def _mail(users: Iterable[User]) -> list[Recipient]:
    """One recipient per address; who has none or has left is left out."""
    found: dict[str, Recipient] = {}
    for user in users:
        if user.email and user.is_active:
            found.setdefault(user.email.lower(), Recipient("email", user.email, user.pk))
    return list(found.values())


def _who_was_called(event: IncidentEvent) -> list[Recipient]:
    """Those to whom a call about this incident went, or may have gone, since it was resolved the last time."""
    earlier = IncidentEvent.objects.filter(incident_id=event.incident_id, kind=Kind.RESOLVED, id__lt=event.pk)
    since = earlier.order_by("-id").values_list("id", flat=True).first() or 0
    called = (
        Delivery.objects.filter(
            incident_event__incident_id=event.incident_id,
            incident_event__id__gt=since,
            incident_event__id__lt=event.pk,
            incident_event__kind__in=PAGE_KINDS,
            attempts__gt=0,
        )
        .exclude(state=Delivery.State.DEAD)
        .order_by("channel", "recipient", "user_id")
        .values_list("channel", "recipient", "user_id")
        .distinct()
    )
    return list({(channel, address): Recipient(channel, address, user) for channel, address, user in called}.values())
