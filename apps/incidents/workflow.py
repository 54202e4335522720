"""What people do to incidents, one transaction per verb, and the door for those who raise and clear findings.

`transitions.TABLE` says what may follow what. Every verb is a compare-and-swap on the state: of two people pressing
at once one wins, and the other gets a `NotPossible` that names the first. The timeline row is written in the same
transaction and is the outbox of what must be sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Value, When

from apps.accounts.models import ApiClient, Role, Team, User
from apps.incidents.clearing import clear_findings, look_ahead
from apps.incidents.mentions import names
from apps.incidents.models import BY_HAND, Incident, IncidentEvent, Severity
from apps.incidents.raising import FindingDraft, event, queue_for, raise_findings
from apps.incidents.sets import SEVERITIES, worst_of
from apps.incidents.transitions import TABLE, Verb, ways_into

__all__ = [
    "Actor",
    "FindingDraft",
    "NotPossible",
    "acknowledge",
    "ask",
    "assign",
    "clear_findings",
    "comment",
    "escalate",
    "label",
    "look_ahead",
    "note",
    "raise_findings",
    "rate",
    "reopen",
    "resolve",
    "snooze",
    "unacknowledge",
    "wake",
]

#: characters of what people write; labels of an incident and their length
LONGEST_TEXT = 4000
MOST_LABELS = 20
LONGEST_LABEL = 40

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
    changes = {"acknowledged_at": now, "acknowledged_by": person_of(actor), "back_at": back_at}
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


@transaction.atomic
def comment(incident_id: int, actor: Actor, now: datetime, text: str) -> IncidentEvent:
    """Adds a line to the timeline; people named in it as @account are told. Files: `files.keep` in the same transaction."""
    if not text.strip():
        raise NotPossible("The comment is empty: write something first.")
    row = _do(Verb.COMMENT, incident_id, actor, now, {}, text)
    mentioned = User.objects.filter(username__in=names(text), is_active=True).exclude(role=Role.PARTNER)
    told = [user for user in mentioned.order_by("username") if user != person_of(actor)]
    if told:
        data = {"targets": {"users": [user.pk for user in told]}, "comment": row.pk}
        who = {"actor": person_of(actor), "actor_name": name_of(actor)}
        event(incident_id, Verb.MENTION, now, text=row.text, data=data, **who).save(force_insert=True)
    return row


def rate(incident_id: int, actor: Actor, now: datetime, severity: str, text: str) -> IncidentEvent:
    """Sets the severity by hand, with a reason. It stands until a finding is worse than any before; made worse, it is
    told to whoever is on call."""
    if severity not in SEVERITIES:
        raise NotPossible(f"Choose a severity: {', '.join(SEVERITIES)}.")
    if not text.strip():
        raise NotPossible("Say why: the next one on call will want to know.")
    with transaction.atomic():
        queue_for(Incident.objects.filter(pk=incident_id).values_list("fingerprint", flat=True))
        before = Incident.objects.only("severity", "state").get(pk=incident_id)
        if before.severity == severity and before.state != State.RESOLVED:
            raise NotPossible(f"It is {Severity(severity).label.lower()} already.")
        worse = worst_of([severity, before.severity]) == severity
        data = {"before": before.severity, "after": severity}
        changes = {"severity": severity, "severity_by_hand": True}
        return _do(Verb.RATE, incident_id, actor, now, changes, text, data, notify=worse)


@transaction.atomic
def label(
    incident_id: int, actor: Actor, now: datetime, add: Collection[str] = (), remove: Collection[str] = ()
) -> IncidentEvent:
    """Adds and takes away labels: lower case, at most 40 characters each and 20 in all."""
    added, removed = {_label(one) for one in add}, {_label(one) for one in remove}
    held = set(Incident.objects.select_for_update(no_key=True).only("labels").get(pk=incident_id).labels)
    after = sorted((held - removed) | added)
    if after == sorted(held):
        raise NotPossible("That changes nothing: these labels are as you want them already.")
    if len(after) > MOST_LABELS:
        raise NotPossible(f"At most {MOST_LABELS} labels: take one away first.")
    data = {"added": sorted(set(after) - held), "removed": sorted(held - set(after))}
    text = " ".join([*(f"+{one}" for one in data["added"]), *(f"-{one}" for one in data["removed"])])
    return _do(Verb.LABEL, incident_id, actor, now, {"labels": after}, text, data)


def _label(text: str) -> str:
    words = "-".join(text.lower().split())
    if not words or len(words) > LONGEST_LABEL or not words.isprintable() or "," in words:
        raise NotPossible(f"A label is 1 to {LONGEST_LABEL} characters, without commas.")
    return words


def ask(incident_id: int, actor: Actor, now: datetime, text: str) -> IncidentEvent:
    """Notes that the partner was asked, and what."""
    if not text.strip():
        raise NotPossible("Say what the partner was asked.")
    return _do(Verb.ASK, incident_id, actor, now, {}, text[:LONGEST_TEXT])


def escalate(incident_id: int, actor: Actor, now: datetime, text: str, data: Mapping[str, Any]) -> IncidentEvent:
    """Nobody has it any more, and the next ones are called: data says whom (`notifications.escalation_by_hand`)."""
    changes = {"acknowledged_at": None, "acknowledged_by": None, "back_at": None}
    return _do(Verb.ESCALATE_NOW, incident_id, actor, now, changes, text[:LONGEST_TEXT], data)


def note(
    verb: Verb, incident_id: int, actor: Actor, now: datetime, text: str, data: Mapping[str, Any] | None = None
) -> IncidentEvent:
    """A line of the timeline by a verb that changes nothing of the incident itself (`relating`)."""
    return _do(verb, incident_id, actor, now, {}, text[:LONGEST_TEXT], data)


def snooze(incident_id: int, actor: Actor, now: datetime, until: datetime, text: str = "") -> IncidentEvent:
    """Silent until `until`, or until it gets worse; then open again and somebody is called (`wake`)."""
    _ahead(until, now, "The time to snooze until")
    return _do(Verb.SNOOZE, incident_id, actor, now, {"back_at": until}, text, {"until": until.isoformat()})


def resolve(incident_id: int, actor: Actor, now: datetime, resolution: str, text: str = "") -> IncidentEvent:
    """Ends it by hand. Its findings stay as they are, so what is still wrong is not raised a second time.

    resolution: one of `models.BY_HAND`.
    """
    if resolution not in BY_HAND:
        known = ", ".join(choice.value for choice in BY_HAND)
        raise NotPossible(f"Say how it was resolved: {known}.")
    changes = {"resolved_at": now, "resolution": resolution, "back_at": None}
    return _do(Verb.RESOLVE, incident_id, actor, now, changes, text, {"resolution": resolution})


@transaction.atomic
def reopen(incident_id: int, actor: Actor, now: datetime, text: str = "") -> IncidentEvent:
    """Starts it over, unless another incident of the same cause is already being worked."""
    incident = Incident.objects.only("fingerprint", "reopened", "merged_into").get(pk=incident_id)
    if incident.merged_into_id is not None:
        raise NotPossible(f"It was merged into #{incident.merged_into_id}: undo the merge to work on it alone.")
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


def person_of(actor: Actor) -> User | None:
    return actor if isinstance(actor, User) else None


def name_of(actor: Actor) -> str:
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
    **said: bool,
) -> IncidentEvent:
    """One verb: compare and swap, then the timeline row. Raises NotPossible, or Incident.DoesNotExist."""
    moves = TABLE[verb].moves
    if isinstance(actor, User) and actor.role == Role.PARTNER:
        raise NotPossible("Partners cannot work on incidents.")
    swapped = Incident.objects.filter(pk=incident_id, state__in=moves).update(state=_after(moves), **changes)
    if not swapped:
        raise NotPossible(_refusal(verb, Incident.objects.get(pk=incident_id), actor, now))
    who = {"actor": person_of(actor), "actor_name": name_of(actor)}
    row = event(incident_id, verb, now, text=text.strip(), data=dict(data or {}), **who, **said)
    row.save(force_insert=True)
    return row


def _refusal(verb: Verb, incident: Incident, actor: Actor, now: datetime) -> str:
    """Why the verb is not possible: who brought the incident to where it is, and when."""
    ways = ways_into(incident.state)
    last = incident.timeline.filter(kind__in=ways).order_by("-id").first()
    at = "" if last is None else f" at {_clock(last.at, now)}"
    if last is not None and last.actor_name:
        who = "You" if last.actor == person_of(actor) else last.actor_name
        return f"{who} already {ways[IncidentEvent.Kind(last.kind)]} this incident{at}."
    if incident.state == State.RESOLVED:
        return f"This incident resolved by itself{at}."
    if verb is Verb.UNACKNOWLEDGE:
        return "Nobody has acknowledged this incident."
    return f"This incident is already {incident.get_state_display().lower()}."


def _clock(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"
