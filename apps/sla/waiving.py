"""Waiving by hand: somebody decides that a missed or coming deadline does not count, and says why.

On a flow worth more than `settings.SLA_SECOND_EYE_ABOVE` somebody else must agree: `ask` makes a request, `approve` and
`refuse` decide it. Each step leaves an audit row.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import User
from apps.incidents.workflow import clear_findings
from apps.sla.expectations import finding_key
from apps.sla.models import Expectation, WaiverRequest

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
    reason = _reason(reason)
    row = _waivable(expectation_id)
    before = {"state": row.state, "due_at": row.due_at.isoformat(), "rule": str(row.rule)}
    row.state, row.waived_reason, row.waived_by = State.WAIVED, reason, actor
    row.settled_at, row.at_risk, row.suspended_at = now, False, None
    row.save(update_fields=["state", "waived_reason", "waived_by", "settled_at", "at_risk", "suspended_at"])
    audit.record(
        actor, "expectation.waive", _subject(row), before, {"state": State.WAIVED.value, "reason": reason}, now
    )
    if row.finding_id is not None:
        clear_findings([finding_key(row.pk)], f"Waived by {actor.display_name}: {reason}", now)
    return row


def _reason(text: str) -> str:
    text = text.strip()
    if not text:
        raise NotWaivable("Say why it does not count.")
    if len(text) > 300:
        raise NotWaivable(f"The reason has {len(text)} characters; 300 is the most.")
    return text


def _waivable(expectation_id: int) -> Expectation:
    """The row, locked."""
    row = Expectation.objects.select_for_update(of=("self",)).select_related("flow", "rule").get(pk=expectation_id)
    if row.state not in WAIVABLE:
        raise NotWaivable(f"It is {row.get_state_display().lower()} already: there is nothing to waive.")
    return row


def _subject(row: Expectation) -> str:
    return f"expectation {row.pk}: {row.milestone} of {row.flow.label}"


# -- a second eye -------------------------------------------------------------


def needs_second_eye(value: Decimal | None) -> bool:
    """Whether a flow of this value needs one; a flow whose value nobody knows does not."""
    above = str(settings.SLA_SECOND_EYE_ABOVE).strip()
    return bool(above) and value is not None and value > Decimal(above)


@transaction.atomic
def ask(expectation_id: int, actor: User, now: datetime, reason: str) -> WaiverRequest | None:
    """Waives at once (None), or asks a second person where the flow is worth so much. Raises NotWaivable."""
    reason = _reason(reason)
    row = _waivable(expectation_id)
    if not needs_second_eye(row.flow.value):
        waive(expectation_id, actor, now, reason)
        return None
    if WaiverRequest.objects.filter(expectation=row, state=WaiverRequest.State.ASKED).exists():
        raise NotWaivable("Somebody asked for this already: it waits for a second person.")
    made = WaiverRequest.objects.create(expectation=row, reason=reason, asked_at=now, asked_by=actor)
    value = f"{row.flow.value} {row.flow.currency}".strip()
    audit.record(actor, "expectation.waiver_asked", _subject(row), None, {"reason": reason, "value": value}, now)
    return made


@transaction.atomic
def approve(request_id: int, actor: User, now: datetime, note: str = "") -> WaiverRequest:
    """Another person agrees: it is waived, in the name of who asked. Raises NotWaivable."""
    found = _asked(request_id)
    if found.asked_by_id == actor.pk:
        raise NotWaivable("You asked for it yourself: somebody else must agree.")
    waive(found.expectation_id, found.asked_by, now, found.reason)
    return _decide(found, WaiverRequest.State.APPROVED, actor, now, note)


@transaction.atomic
def refuse(request_id: int, actor: User, now: datetime, note: str) -> WaiverRequest:
    """Another person says no, and why; who asked takes it back. Nothing is waived."""
    found = _asked(request_id)
    if found.asked_by_id == actor.pk:
        return _decide(found, WaiverRequest.State.WITHDRAWN, actor, now, note)
    if not note.strip():
        raise NotWaivable("Say why not, so that who asked knows.")
    return _decide(found, WaiverRequest.State.REFUSED, actor, now, note)


def _asked(request_id: int) -> WaiverRequest:
    found = (
        WaiverRequest.objects.select_for_update(of=("self",))
        .select_related("expectation__flow", "expectation__rule", "asked_by")
        .get(pk=request_id)
    )
    if found.state != WaiverRequest.State.ASKED:
        raise NotWaivable(f"It was decided already: {found.get_state_display().lower()}.")
    return found


def _decide(found: WaiverRequest, state: WaiverRequest.State, actor: User, now: datetime, note: str) -> WaiverRequest:
    found.state, found.decided_at, found.decided_by, found.note = state, now, actor, note.strip()[:300]
    found.save(update_fields=["state", "decided_at", "decided_by", "note"])
    told = {"state": state.value, "note": found.note, "reason": found.reason, "asked_by": found.asked_by.display_name}
    audit.record(actor, f"expectation.waiver_{state.value}", _subject(found.expectation), None, told, now)
    return found
