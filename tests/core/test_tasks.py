"""Upkeep, heartbeats and what a task's failure leaves in the log."""

from __future__ import annotations

import datetime
import logging
from typing import Any

import pytest
import structlog
from celery import shared_task
from django.contrib.sessions.models import Session
from django.db import connection

from apps.core import heartbeats, maintenance, tasks
from apps.core.models import Heartbeat
from controltower.celery import CAUSE, DueAtOnce, app, carry_cause

NOW = datetime.datetime(2031, 12, 31, 23, 30, tzinfo=datetime.UTC)
CANARY = "c4n4ry-55aa01"


@pytest.mark.django_db
def test_partitions_are_made_ahead_of_time_and_only_once() -> None:
    Session.objects.create(session_key="old", session_data="", expire_date=NOW - datetime.timedelta(seconds=1))
    Session.objects.create(session_key="live", session_data="", expire_date=NOW + datetime.timedelta(seconds=1))
    assert maintenance.run(NOW) == {"partitions": 2 * 4, "sessions": 1}
    assert maintenance.run(NOW) == {"partitions": 0, "sessions": 0}
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('flows_event_203112'), to_regclass('collectors_receipt_203203')")
        assert None not in cursor.fetchone()


@pytest.mark.django_db
def test_the_last_beat_counts() -> None:
    heartbeats.beat("sweep", NOW)
    heartbeats.beat("sweep", NOW + datetime.timedelta(seconds=5), {"checked": 3})
    assert Heartbeat.objects.get().detail == {"checked": 3}
    assert heartbeats.ages(NOW + datetime.timedelta(seconds=7)) == {"sweep": datetime.timedelta(seconds=2)}
    assert heartbeats.ages(NOW)["sweep"] == datetime.timedelta(0)


@pytest.mark.django_db
def test_ping_leaves_a_heartbeat() -> None:
    tasks.ping.apply()
    assert list(Heartbeat.objects.values_list("name", flat=True)) == ["beat"]


def test_the_schedule_is_due_at_once_when_beat_starts() -> None:
    entry = DueAtOnce(name="x", task="x", schedule=30.0, app=app)
    assert entry.is_due().is_due
    assert not next(entry).is_due().is_due


def test_a_task_knows_the_request_that_asked_for_it() -> None:
    headers: dict[str, Any] = {}
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        carry_cause(headers=headers)
    assert headers == {CAUSE: "r-1"}


@shared_task(name="core.fails_in_tests")
def fails(text: str) -> None:
    raise ValueError(text)


def test_a_failed_task_is_told_without_what_it_was_given(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        result = fails.apply(args=[CANARY])
    assert result.failed()
    told = [record for record in caplog.records if isinstance(record.msg, dict)]
    assert [record.msg["event"] for record in told] == ["task_failed"]
    assert not [record for record in caplog.records if CANARY in record.getMessage() and record not in told]


def test_a_killed_worker_gives_its_task_back_and_nothing_waits_for_results() -> None:
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.task_ignore_result
