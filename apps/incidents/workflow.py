"""What people do to incidents, one transaction per verb, and the door for those who raise and clear findings.

`transitions.TABLE` says what may follow what. Every verb is a compare-and-swap on the state: of two people pressing
at once one wins, and the other gets a `NotPossible` that names the first. The timeline row is written in the same
transaction and is the outbox of what must be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Value, When

from apps.accounts.models import ApiClient, Role, Team, User
from apps.incidents.models import Incident, IncidentEvent, Resolution
from apps.incidents.raising import FindingDraft, clear_findings, event, look_ahead, queue_for, raise_findings
from apps.incidents.transitions import TABLE, Verb, ways_into

__all__ = [
    "Actor",
    "FindingDraft",
    "NotPossible",
    "acknowledge",
    "assign",
    "clear_findings",
    "comment",
    "look_ahead",
    "raise_findings",
    "reopen",
    "resolve",
    "snooze",
    "unacknowledge",
    "wake",
]

#: a person or a machine
Actor = User | ApiClient

State = Incident.State


class NotPossible(Exception):
    """The verb does not fit the incident's state any more, or what it was given; the message is for people."""


def acknowledge(
    incident_id: int, actor: Actor, now: datetime, back_at: datetime | None = None, text: str = ""
) -> IncidentEvent:
    """Somebody takes it; messages that still wait are dropped. back_at: when they expect to be back at it."""
    if back_at is not None:
        _ahead(back_at, now, "The time you are back at")
    changes = {"acknowledged_at": now, "acknowledged_by": _person(actor), "back_at": back_at}
    data = {"back_at": back_at.isoformat()} if back_at else {}
    return _do(Verb.ACKNOWLEDGE, incident_id, actor, now, changes, text, data)


def unacknowledge(incident_id: int, actor: Actor, now: datetime, text: str = "") -> IncidentEvent:
    """Nobody works on it any more: whoever is on call hears of it again."""
    changes = {"acknowledged_at": None, "acknowledged_by": None, "back_at": None}
    return _do(Verb.UNACKNOWLEDGE, incident_id, actor, now, changes, text)


def assign(
    incident_id: int,
    actor: Actor,
    now: datetime,
    assignee: User | None = None,
    team: Team | None = None,
    text: str = "",
) -> IncidentEvent:
    """Gives it to a person, to a team (which then is the one called), or to nobody (neither given)."""
    if assignee is not None and (assignee.is_partner or not assignee.is_active):
        raise NotPossible(f"{assignee.display_name} cannot be assigned: only active staff can.")
    changes: dict[str, Any] = {"assignee": assignee}
    if team is not None:
        changes["team"] = team
    to = " and ".join([thing for thing in (assignee and assignee.display_name, team and team.name) if thing])
    data = {"assignee": assignee.pk if assignee else None, "team": team.pk if team else None, "to": to or "nobody"}
    return _do(Verb.ASSIGN, incident_id, actor, now, changes, text, data)


def comment(incident_id: int, actor: Actor, now: datetime, text: str) -> IncidentEvent:
    if not text.strip():
        raise NotPossible("The comment is empty: write something first.")
    return _do(Verb.COMMENT, incident_id, actor, now, {}, text)


def snooze(incident_id: int, actor: Actor, now: datetime, until: datetime, text: str = "") -> IncidentEvent:
    """Silent until `until`, or until it gets worse; then open again and somebody is called (`wake`)."""
    _ahead(until, now, "The time to snooze until")
    return _do(Verb.SNOOZE, incident_id, actor, now, {"back_at": until}, text, {"until": until.isoformat()})


def resolve(incident_id: int, actor: Actor, now: datetime, resolution: str, text: str = "") -> IncidentEvent:
    """Ends it by hand. Its findings stay as they are, so what is still wrong is not raised a second time.

    resolution: a `models.Resolution` other than BY_ITSELF.
    """
    if resolution not in Resolution or resolution == Resolution.BY_ITSELF:
        known = ", ".join(choice.value for choice in Resolution if choice != Resolution.BY_ITSELF)
        raise NotPossible(f"Say how it was resolved: {known}.")
    changes = {"resolved_at": now, "resolution": resolution, "back_at": None}
    return _do(Verb.RESOLVE, incident_id, actor, now, changes, text, {"resolution": resolution})


@transaction.atomic
def reopen(incident_id: int, actor: Actor, now: datetime, text: str = "") -> IncidentEvent:
    """Starts it over, unless another incident of the same cause is already being worked."""
    incident = Incident.objects.only("fingerprint", "reopened").get(pk=incident_id)
    queue_for([incident.fingerprint])
    if other := Incident.objects.unresolved().filter(fingerprint=incident.fingerprint).exclude(pk=incident_id).first():
        raise NotPossible(f"Incident #{other.pk} of the same cause is already open: work on that one.")
    changes = {
        "acknowledged_at": None,
        "acknowledged_by": None,
        "back_at": None,
        "resolved_at": None,
        "resolution": "",
        "reopened": incident.reopened + 1,
    }
    return _do(Verb.REOPEN, incident_id, actor, now, changes, text)


@transaction.atomic
def wake(now: datetime) -> int:
    """Opens incidents whose snooze is over; returns how many. Safe to run in several workers at once."""
    step = TABLE[Verb.WAKE]
    due = (
        Incident.objects.filter(state__in=step.moves, back_at__lte=now)
        .order_by("fingerprint", "id")
        .select_for_update(no_key=True, skip_locked=True)
    )
    ids = [incident.pk for incident in due.only("pk")]
    if ids:
        Incident.objects.filter(pk__in=ids).update(
            state=_after(step.moves), acknowledged_at=None, acknowledged_by=None, back_at=None
        )
        IncidentEvent.objects.bulk_create(event(pk, Verb.WAKE, now, text="The snooze is over") for pk in ids)
    return len(ids)


def _person(actor: Actor) -> User | None:
    return actor if isinstance(actor, User) else None


def _name(actor: Actor) -> str:
    return actor.display_name if isinstance(actor, User) else actor.name


def _after(moves: Mapping[Incident.State, Incident.State]) -> Case:
    return Case(*(When(state=before, then=Value(after)) for before, after in moves.items()))


def _ahead(at: datetime, now: datetime, what: str) -> None:
    if at <= now:
        raise NotPossible(f"{what} has already passed: choose a later one.")


@transaction.atomic
def _do(
    verb: Verb,
    incident_id: int,
    actor: Actor,
    now: datetime,
    changes: Mapping[str, Any],
    text: str = "",
    data: Mapping[str, Any] | None = None,
) -> IncidentEvent:
    """One verb: compare and swap, then the timeline row. Raises NotPossible, or Incident.DoesNotExist."""
    moves = TABLE[verb].moves
    if isinstance(actor, User) and actor.role == Role.PARTNER:
        raise NotPossible("Partners cannot work on incidents.")
    swapped = Incident.objects.filter(pk=incident_id, state__in=moves).update(state=_after(moves), **changes)
    if not swapped:
        raise NotPossible(_refusal(verb, Incident.objects.get(pk=incident_id), actor, now))
    row = event(
        incident_id, verb, now, actor=_person(actor), actor_name=_name(actor), text=text.strip(), data=dict(data or {})
    )
    row.save(force_insert=True)
    return row


def _refusal(verb: Verb, incident: Incident, actor: Actor, now: datetime) -> str:
    """Why the verb is not possible: who brought the incident to where it is, and when."""
    ways = ways_into(incident.state)
    last = incident.timeline.filter(kind__in=ways).order_by("-id").first()
    at = "" if last is None else f" at {_clock(last.at, now)}"
    if last is not None and last.actor_name:
        who = "You" if last.actor == _person(actor) else last.actor_name
        return f"{who} already {ways[IncidentEvent.Kind(last.kind)]} this incident{at}."
    if incident.state == State.RESOLVED:
        return f"This incident resolved by itself{at}."
    if verb is Verb.UNACKNOWLEDGE:
        return "Nobody has acknowledged this incident."
    return f"This incident is already {incident.get_state_display().lower()}."


def _clock(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"
