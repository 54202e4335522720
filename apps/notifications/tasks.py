"""The dispatcher's round; beat wakes it every few seconds, and any number may run at once."""

from __future__ import annotations

from dataclasses import asdict

from celery import shared_task
from django.utils import timezone

from apps.core import heartbeats
from apps.incidents import workflow
from apps.notifications import auditing, dispatch, escalation_tick, handover


@shared_task(name="notifications.dispatch")
def dispatch_messages() -> None:
    """Ends snoozes that are over, then sends what waits."""
    workflow.wake(timezone.now())
    summary = dispatch.run(timezone.now(), timezone.now)
    heartbeats.beat("dispatch", timezone.now(), asdict(summary))


@shared_task(name="notifications.escalate")
def escalate() -> None:
    """Calls the next ones of incidents that nobody took, reminds, ends acknowledgments and silences whose time is over."""
    summary = escalation_tick.tick(timezone.now())
    heartbeats.beat("escalation", timezone.now(), asdict(summary))


@shared_task(name="notifications.handover")
def mail_handovers() -> None:
    """Mails the hand-over to whoever has just come on call, where the schedule asks for it."""
    handover.mail_due(timezone.now())


@shared_task(name="notifications.audit")
def audit_messages() -> None:
    """Whether everything that is due was sent; on another queue than the dispatcher, so that it speaks when that hangs."""
    auditing.audit(timezone.now())
