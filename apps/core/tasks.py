"""The tower's own upkeep."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.core import heartbeats, maintenance


@shared_task(name="core.ping")
def ping() -> None:
    """Beat, broker and worker are alive: leaves a heartbeat."""
    heartbeats.beat("beat", timezone.now())


@shared_task(name="core.maintain")
def maintain() -> None:
    """Partitions for the coming months, sessions that ended."""
    now = timezone.now()
    heartbeats.beat("maintain", now, maintenance.run(now))
