"""Celery: the wake-up for work that lives in rows. Losing the broker delays work and loses none (invariant 5)."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import Celery, Task, beat
from celery.signals import (
    before_task_publish,
    setup_logging,
    task_failure,
    task_postrun,
    task_prerun,
    worker_process_init,
)

from apps.core.tuning import calm_collector, stand_back
from controltower import filebroker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controltower.settings.dev")
logger = structlog.get_logger("tower.task")
#: message header that carries the id of the request (or task) which asked for the task
CAUSE = "tower_cause"
#: tasks that take longer, in seconds, leave a line at level INFO, the others at DEBUG
SLOW = 1.0

filebroker.install()
app = Celery("controltower")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Celery leaves logging alone when somebody listens here; Django has set it up already."""


@worker_process_init.connect
def calm_down(**kwargs: Any) -> None:
    calm_collector()
    stand_back()


@before_task_publish.connect
def carry_cause(headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    bound = structlog.contextvars.get_contextvars()
    if headers is not None and (cause := bound.get("request_id") or bound.get("task_id")):
        headers[CAUSE] = cause


@task_prerun.connect
def open_context(task_id: str, task: Task, **kwargs: Any) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)
    if cause := (task.request.headers or {}).get(CAUSE) or getattr(task.request, CAUSE, None):
        structlog.contextvars.bind_contextvars(cause=cause)
    task.request.tower_started = time.monotonic()


@task_postrun.connect
def close_context(task: Task, state: str | None = None, **kwargs: Any) -> None:
    took = time.monotonic() - getattr(task.request, "tower_started", time.monotonic())
    say = logger.info if took >= SLOW else logger.debug
    say("task", state=state, ms=round(took * 1000))
    structlog.contextvars.clear_contextvars()


@task_failure.connect
def tell_failure(exception: BaseException | None = None, **kwargs: Any) -> None:
    """Celery's own line would quote the message of the exception, and with it perhaps a payload."""
    logger.error("task_failed", exc_info=exception)


class DueAtOnce(beat.ScheduleEntry):
    """An entry that has never run is due now, so that a started tower is not blind for one interval."""

    def default_now(self) -> datetime:
        if getattr(self, "last_run_at", None) is None:
            return datetime(2000, 1, 1, tzinfo=UTC)
        return super().default_now()


class Scheduler(beat.Scheduler):
    """Keeps its schedule in memory: every task is idempotent, so there is no file to lose or to tear."""

    Entry = DueAtOnce
