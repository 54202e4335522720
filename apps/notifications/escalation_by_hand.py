"""Somebody escalates an incident without waiting: the next step of its policy is called now, and what follows is laid out
from here. The tick goes on from the row this leaves behind, as after a step of its own."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.incidents import workflow
from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.incidents.workflow import Actor, NotPossible, name_of
from apps.notifications import escalation_plans as plans
from apps.notifications.escalation import STARTS, reachable, said, wait_for
from apps.notifications.escalation_models import AwaitedStep
from apps.notifications.escalation_plans import Due
from apps.notifications.escalation_targets import Resolver, Routes, ladder_of
from apps.notifications.escalation_tick import position
from apps.notifications.planning import plan

Awaited = AwaitedStep.Kind
#: batches of the outbox planned for the sake of one incident
MOST_BATCHES = 5


@transaction.atomic
def escalate(incident_id: int, actor: Actor, now: datetime, text: str = "") -> IncidentEvent:
    """Calls the next step at once; an acknowledgment or a snooze ends with it. text: why, for whoever is called.

    Without a policy whoever is on call is called. A window that silences the incident does not hold this up: a person
    asks. Raises NotPossible; Incident.DoesNotExist.
    """
    if not text.strip():
        raise NotPossible("Say why: whoever is called now will want to know.")
    _plan_first_call(incident_id, now)
    incident = (
        Incident.objects.select_related("team", "integration")
        .select_for_update(of=("self",), no_key=True)
        .get(pk=incident_id)
    )
    version, step, round_ = position(incident, Routes(now))
    ladder = ladder_of(version)
    data: dict[str, object] = {"by_hand": True}
    later = None
    if version is not None and ladder is not None:
        due = Due(step if step < len(ladder.steps) else 0, round_, now)
        due, called = reachable(ladder, due, Resolver(now, ladder.steps), incident.severity)
        data |= said(version, due, called) | {"steps": len(ladder.steps)}
        later = plans.after_calling(ladder, due, now)
    data["first"] = f"{name_of(actor)} escalated it: {text.strip()} {_first_sentence(incident_id)}".strip()
    if incident.state != Incident.State.OPEN:
        data["taken_before"] = True
    row = workflow.escalate(incident_id, actor, now, text, data)
    awaited = AwaitedStep.objects.filter(incident_id=incident_id, done_at=None).exclude(kind=Awaited.UNMUTE)
    awaited.update(done_at=now, outcome="escalated by hand")
    if version is not None and later is not None:
        wait_for(incident_id, version, later, now)
    return row


def _plan_first_call(incident_id: int, now: datetime) -> None:
    """What began (again) only now is planned before: its first step must not be called a second time afterwards."""
    begun = IncidentEvent.objects.filter(incident_id=incident_id, notify=True, dispatched_at=None, kind__in=STARTS)
    for _ in range(MOST_BATCHES):
        if not begun.exists() or not plan(now):
            return


def _first_sentence(incident_id: int) -> str:
    rows = Finding.objects.filter(incident_id=incident_id, cleared_at=None).order_by("due_at", "id")
    return rows.values_list("sentence", flat=True).first() or ""
