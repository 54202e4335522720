"""Tells the tower the demo network's past, through the same receipts and the same processing as everything else.

Stories that ended are told as backfill: judged, but nobody is paged. What is still under way, or ended within the last
hours, is told as if it had just been heard, so that the tower starts with a true picture of today's troubles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

from django.db import connection, transaction

from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.integrations.models import Integration
from apps.simulator.faults import BERLIN
from apps.simulator.wire import Delivery, deliveries
from apps.simulator.world import Message, Story, stories_of

LIVE_HOURS = 18
BUNDLE = 100
#: longest a story can run, in days
REACH = 21


def told_until(now: datetime, days: int, seed: int) -> tuple[list[Story], list[Story]]:
    """(ended stories, stories under way) that began in the last ``days`` days, with messages up to now only."""
    ended: list[Story] = []
    open_: list[Story] = []
    today = now.astimezone(BERLIN).date()
    for back in range(days, -1, -1):
        for story in stories_of(today - timedelta(days=back), seed):
            told = [m for m in story.messages if m.arrives_at <= now]
            if not told:
                continue
            finished = len(told) == len(story.messages) and story.ends_at < now - timedelta(hours=LIVE_HOURS)
            (ended if finished else open_).append(Story(story.key, story.fault, told))
    return ended, open_


def messages_between(start: datetime, end: datetime, seed: int) -> list[Message]:
    """Messages that arrive after start and not after end, in order of arrival."""
    first: date = start.astimezone(BERLIN).date() - timedelta(days=REACH)
    found: list[Message] = []
    for offset in range((end.astimezone(BERLIN).date() - first).days + 1):
        for story in stories_of(first + timedelta(days=offset), seed):
            found += [m for m in story.messages if start < m.arrives_at <= end]
    return sorted(found, key=lambda m: m.arrives_at)


def backfill(now: datetime, days: int, seed: int, progress: Callable[[int, int], None]) -> int:
    """Stores and processes the past; returns how many messages it held."""
    ended, open_ = told_until(now, days, seed)
    past = sorted((m for story in ended for m in story.messages), key=lambda m: m.arrives_at)
    recent = sorted((m for story in open_ for m in story.messages), key=lambda m: m.arrives_at)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tower_ensure_partitions(ARRAY['flows_event', 'collectors_receipt'], %s::date, %s)",
            [(now - timedelta(days=days + 2)).date(), days // 28 + 3],
        )
    total, done = len(past) + len(recent), 0
    for told, is_past in ((past, True), (recent, False)):
        for batch in _chunks(told, 4000):
            requests = deliveries(batch, bundle=BUNDLE if is_past else 1)
            take(requests, now, backfill=is_past)
            done += len(batch)
            progress(done, total)
    return total


def _chunks(messages: list[Message], size: int) -> Iterator[list[Message]]:
    for start in range(0, len(messages), size):
        yield messages[start : start + size]


def take(requests: list[Delivery], now: datetime, *, backfill: bool) -> None:
    """Keeps and processes requests without HTTP, as a bulk load does."""
    ids = dict(Integration.objects.values_list("slug", "id"))
    receipts = [
        NewReceipt(
            integration_id=ids[one.integration],
            door="import" if backfill else "http",
            body=one.body,
            content_type=one.content_type,
            headers={"content-type": one.content_type, **one.headers},
            delivery_id=one.key,
            received_at=one.arrives_at,
            backfill=backfill,
        )
        for one in requests
    ]
    with transaction.atomic():
        store(receipts)
    while process(now).moved:
        pass
