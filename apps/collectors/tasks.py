"""Wake-ups for the collectors. The work is rows; a task that never comes delays it until the next one (invariant 5)."""

from __future__ import annotations

import time

from celery import shared_task

from apps.collectors.expecting import open_due
from apps.collectors.polling import poll_due
from apps.collectors.processing import BATCH, process
from apps.collectors.replay_runs import advance
from apps.core import clock, heartbeats

#: seconds one task works before it makes room; the next wake-up goes on
ROUND = 20.0


@shared_task(name="collectors.process", soft_time_limit=120, time_limit=150)
def process_waiting() -> None:
    """Processes what waits, until nothing does or the round is over."""
    ends = time.monotonic() + ROUND
    receipts = events = 0
    limit = BATCH
    while time.monotonic() < ends:
        done = process(clock.now(), limit)
        limit = done.fitting
        receipts += done.receipts
        events += done.events
        if not done.moved:
            break
    heartbeats.beat("processing", clock.now(), {"receipts": receipts, "events": events})


@shared_task(name="collectors.poll", soft_time_limit=240, time_limit=270)
def poll_sources() -> None:
    """Reads the sources that are due."""
    now = clock.now()
    sources = poll_due(now)
    heartbeats.beat("polling", now, {"sources": len(sources)})


@shared_task(name="collectors.replay", soft_time_limit=120, time_limit=150)
def replay_runs() -> None:
    """Goes on with replays of many receipts, until none has work or the round is over."""
    ends = time.monotonic() + ROUND
    while time.monotonic() < ends and advance(clock.now()):
        pass


@shared_task(name="collectors.expect", soft_time_limit=120, time_limit=150)
def expect_files() -> None:
    """Opens what is expected of files by a time, once their day has come."""
    open_due(clock.now())
