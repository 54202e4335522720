"""The tower's own upkeep."""

from __future__ import annotations

from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from apps.core import heartbeats, maintenance


@shared_task(name="core.ping")
def ping() -> None:
    """Beat, broker and worker are alive: leaves a heartbeat."""
    heartbeats.beat("beat", timezone.now())


@shared_task(name="core.maintain", autoretry_for=(OperationalError,), retry_backoff=5, max_retries=8)
def maintain() -> None:
    """Partitions for the coming months, sessions that ended. Making a partition waits for writers: it may have to retry."""
    now = timezone.now()
    heartbeats.beat("maintain", now, maintenance.run(now))
