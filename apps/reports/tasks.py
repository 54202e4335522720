"""What beat asks of the reports."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task

from apps.core import clock
from apps.reports import objectives, penalties, rollups, scores, sending

log = structlog.get_logger(__name__)


@shared_task(name="reports.fold")
def fold() -> None:
    """Folds what the ledger's triggers appended; in the zone of the settings."""
    rollups.keep_zone()
    rollups.fold()


@shared_task(name="reports.objectives")
def judge_objectives(*, now: str | None = None) -> None:
    """Burn rates of every objective; now: ISO 8601, else the present."""
    objectives.tick(clock.parse_moment(now) if now else clock.now())


@shared_task(name="reports.work_out")
def work_out() -> None:
    """Penalties and scorecards of this month and the one before."""
    now = clock.now()
    penalties.refresh_lately(now)
    scores.refresh_lately(now)


@shared_task(name="reports.send")
def send(*, now: str | None = None) -> None:
    """Freezes and sends what schedules have due; now: ISO 8601, else the present."""
    sending.tick(clock.parse_moment(now) if now else clock.now())


@shared_task(name="reports.check")
def check() -> None:
    """Compares the rollups with a recount and mends them; says so, for it should never happen."""
    today = clock.now().date()
    different = rollups.differences(today - timedelta(days=40), today + timedelta(days=40))
    if different:
        log.error("report_rollups_differed", cells=different)
        rollups.rebuild()
