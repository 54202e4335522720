"""The dispatcher's round; beat wakes it every few seconds, and any number may run at once."""

from __future__ import annotations

from dataclasses import asdict

from celery import shared_task
from django.utils import timezone

from apps.core import heartbeats
from apps.incidents import workflow
from apps.notifications import dispatch


@shared_task(name="notifications.dispatch")
def dispatch_messages() -> None:
    """Ends snoozes that are over, then sends what waits."""
    workflow.wake(timezone.now())
    summary = dispatch.run(timezone.now(), timezone.now)
    heartbeats.beat("dispatch", timezone.now(), asdict(summary))
