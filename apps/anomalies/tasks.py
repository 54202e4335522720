"""What beat asks of the detectors."""

from __future__ import annotations

from celery import shared_task

from apps.anomalies import feeds
from apps.core import clock


@shared_task(name="anomalies.tick")
def tick(*, now: str | None = None) -> None:
    """One round of the detectors; now: ISO 8601, else the present."""
    feeds.tick(clock.parse_moment(now) if now else clock.now())
