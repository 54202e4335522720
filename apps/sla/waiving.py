"""Waiving by hand: somebody decides that a missed or coming deadline does not count, and says why."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from apps.accounts.models import AuditEntry, User
from apps.incidents.workflow import clear_findings
from apps.sla.expectations import finding_key
from apps.sla.models import Expectation

State = Expectation.State
WAIVABLE = (State.PENDING, State.SUSPENDED, State.BREACHED, State.MET_LATE)


class NotWaivable(Exception):
    """It cannot be waived (any more); the message is for people."""


@transaction.atomic
def waive(expectation_id: int, actor: User, now: datetime, reason: str) -> Expectation:
    """Takes one expectation out of the count for ever, clears its finding and leaves an audit row.

    reason: for people, 1 to 300 characters. Raises NotWaivable when it was met, is waived already, or the reason is
    empty; Expectation.DoesNotExist for an unknown id. Of two people at once one wins.
    """
    reason = reason.strip()
    if not reason:
        raise NotWaivable("Say why it does not count.")
    if len(reason) > 300:
        raise NotWaivable(f"The reason has {len(reason)} characters; 300 is the most.")
    row = Expectation.objects.select_for_update(of=("self",)).select_related("flow", "rule").get(pk=expectation_id)
    if row.state not in WAIVABLE:
        raise NotWaivable(f"It is {row.get_state_display().lower()} already: there is nothing to waive.")
    before = {"state": row.state, "due_at": row.due_at.isoformat(), "rule": str(row.rule)}
    row.state, row.waived_reason, row.waived_by = State.WAIVED, reason, actor
    row.settled_at, row.at_risk, row.suspended_at = now, False, None
    row.save(update_fields=["state", "waived_reason", "waived_by", "settled_at", "at_risk", "suspended_at"])
    AuditEntry.objects.create(
        at=now,
        actor=actor,
        actor_name=actor.display_name,
        action="expectation.waive",
        subject=f"expectation {row.pk}: {row.milestone} of {row.flow.label}"[:200],
        before=before,
        after={"state": State.WAIVED, "reason": reason},
    )
    if row.finding_id is not None:
        clear_findings([finding_key(row.pk)], f"Waived by {actor.display_name}: {reason}", now)
    return row
