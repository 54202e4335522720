"""Incidents that people say have to do with each other: both show it, each has a line about it, and either can end it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from apps.accounts import audit
from apps.incidents.models import Incident, IncidentEvent, Relation
from apps.incidents.transitions import Verb
from apps.incidents.workflow import Actor, NotPossible, name_of, note, person_of

#: relations of one incident
MOST = 50
LONGEST_REASON = 400


@dataclass(frozen=True, slots=True)
class Linked:
    """The other incident of a relation."""

    incident: Incident
    relation: Relation


@transaction.atomic
def relate(incident_id: int, other_id: int, actor: Actor, now: datetime, text: str = "") -> IncidentEvent:
    """Says that both belong together, and why. Raises NotPossible; Incident.DoesNotExist."""
    lower, upper = _pair(incident_id, other_id)
    reason = " ".join(text.split())[:LONGEST_REASON]
    if not reason:
        raise NotPossible("Say what they have to do with each other: the next one will want to know.")
    for pk in (lower, upper):
        if Relation.objects.filter(Q(lower=pk) | Q(upper=pk)).count() >= MOST:
            raise NotPossible(f"#{pk} has {MOST} related incidents: merge some, or take one away first.")
    who = {"actor": person_of(actor), "actor_name": name_of(actor)}
    row, made = Relation.objects.get_or_create(
        lower_id=lower, upper_id=upper, defaults={"at": now, "reason": reason, **who}
    )
    if not made:
        raise NotPossible(f"{row.actor_name} already related #{lower} and #{upper}: {row.reason}")
    audit.record(actor, "incident.related", f"incident:{lower}", None, {"other": upper, "reason": reason}, now)
    return _say_both(Verb.RELATE, incident_id, other_id, actor, now, reason)


@transaction.atomic
def unrelate(incident_id: int, other_id: int, actor: Actor, now: datetime, text: str = "") -> IncidentEvent:
    """They have nothing to do with each other after all. Raises NotPossible; Incident.DoesNotExist."""
    lower, upper = _pair(incident_id, other_id)
    row = Relation.objects.select_for_update().filter(lower=lower, upper=upper).first()
    if row is None:
        raise NotPossible(f"#{lower} and #{upper} are not related by hand, or somebody has just ended that.")
    before = {"other": upper, "reason": row.reason}
    row.delete()
    audit.record(actor, "incident.unrelated", f"incident:{lower}", before, None, now)
    return _say_both(Verb.UNRELATE, incident_id, other_id, actor, now, " ".join(text.split())[:LONGEST_REASON])


def relations_of(incident_id: int) -> list[Linked]:
    """What was related to it by hand, the latest first; one query."""
    rows = Relation.objects.filter(Q(lower=incident_id) | Q(upper=incident_id)).select_related(
        "lower__partner", "upper__partner"
    )
    return [Linked(row.upper if row.lower_id == incident_id else row.lower, row) for row in rows]


def _pair(one: int, other: int) -> tuple[int, int]:
    """Both, locked in one order, the smaller first."""
    if one == other:
        raise NotPossible("An incident is not related to itself: name another one.")
    lower, upper = min(one, other), max(one, other)
    found = Incident.objects.filter(pk__in=[lower, upper]).order_by("pk").select_for_update(no_key=True).only("pk")
    if missing := {lower, upper} - {row.pk for row in found}:
        if one in missing:
            raise Incident.DoesNotExist(f"There is no incident #{one}.")
        raise NotPossible(f"There is no incident #{other}.")
    return lower, upper


def _say_both(verb: Verb, one: int, other: int, actor: Actor, now: datetime, reason: str) -> IncidentEvent:
    rows = {
        pk: note(verb, pk, actor, now, f"#{neighbour}: {reason}" if reason else f"#{neighbour}", {"other": neighbour})
        for pk, neighbour in sorted(((one, other), (other, one)))
    }
    return rows[one]
