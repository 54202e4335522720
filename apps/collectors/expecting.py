"""Opens a flow for every file that should come, when its day's window opens: what never comes has a deadline as well.

The event has no receipt, since nobody sent it, and says nothing about whether the feed can be heard. Doing it twice
changes nothing. After a standstill of the tower every day in between is opened; a new feed owes nothing of the past.
"""

from __future__ import annotations

from datetime import date, datetime

import structlog
from django.db import transaction

from apps.collectors.files.expected import Schedule, ScheduleError
from apps.collectors.kinds.files import Files
from apps.collectors.polling import OPEN
from apps.core import heartbeats
from apps.core.models import Heartbeat
from apps.flows import pipeline
from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.recording import IncomingEvent
from apps.integrations.models import Integration
from apps.sla import expectations

log = structlog.get_logger(__name__)

BEAT = "expected files"


def open_due(now: datetime) -> int:
    """Opens what is due to be opened; how many days of feeds were new."""
    since = Heartbeat.objects.filter(name=BEAT).values_list("at", flat=True).first()
    opened = 0
    feeds = Integration.objects.filter(
        kind=Files.kind, enabled=True, lifecycle__in=OPEN, settings__has_key="expected_by"
    ).select_related("partner")
    for feed in feeds.order_by("pk"):
        try:
            schedule = Schedule.of(feed.settings, feed.slug, feed.time_zone)
        except ScheduleError as error:
            log.error("file_expectation_unreadable", integration=feed.slug, problem=str(error))
            continue
        if schedule is None:
            continue
        days = sorted(schedule.open_days(since, now))
        if days:
            opened += _open(feed, schedule, days, now)
    heartbeats.beat(BEAT, now, {"opened": opened})
    return opened


@transaction.atomic
def _open(feed: Integration, schedule: Schedule, days: list[date], now: datetime) -> int:
    partner = feed.partner.slug if feed.partner else ""
    incoming = [IncomingEvent(expected(schedule, day), feed.pk, partner, None, now) for day in days]
    taken = pipeline.take(incoming, now)
    expectations.refresh(taken.states, now)
    return len(taken.new)


def expected(schedule: Schedule, day: date) -> CanonicalEvent:
    """What we expect of a feed on a day, as an event of our own."""
    due_at = schedule.due_at(day)
    return CanonicalEvent(
        type="file.expected",
        happened_at=schedule.opens_at(day),
        references=(Reference("file_delivery", schedule.key(day)),),
        source_event_id=f"expected:{schedule.key(day)}:{due_at.isoformat()}",
        zone=schedule.zone.key,
        dates={"due_by": due_at},
        data={"day": day.isoformat()},
        position="schedule",
    )
