"""What beat asks of the desk."""

from __future__ import annotations

from celery import shared_task

from apps.core import clock
from apps.incidents import tending


@shared_task(name="incidents.tend")
def tend() -> None:
    """Incidents that were quiet for long enough, alerts that are told no more, and what money makes worse."""
    tending.tend(clock.now())
