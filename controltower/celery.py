"""Celery: the wake-up for work that lives in rows. Losing the broker delays work and loses none (invariant 5)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from celery import Celery, beat
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controltower.settings.dev")

app = Celery("controltower")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Celery leaves logging alone when somebody listens here; Django has set it up already."""


class DueAtOnce(beat.ScheduleEntry):
    """An entry that has never run is due now, so that a started tower is not blind for one interval."""

    def default_now(self) -> datetime:
        if getattr(self, "last_run_at", None) is None:
            return datetime(2000, 1, 1, tzinfo=UTC)
        return super().default_now()


class Scheduler(beat.Scheduler):
    """Keeps its schedule in memory: every task is idempotent, so there is no file to lose or to tear."""

    Entry = DueAtOnce
