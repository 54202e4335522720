"""Runs the tower through simulated days: every message comes to the real doors at its own time, signed as its sender
signs; receipts are processed and the sweep runs at simulated times. What the tower then says can be held against the truth.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.db import connection

from apps.collectors.doors import PREFIX, answer
from apps.collectors.processing import process
from apps.integrations.credentials import issue, live_secrets
from apps.integrations.models import Integration
from apps.simulator.carrying import Journey, carry
from apps.simulator.faults import BERLIN, Faults
from apps.simulator.wire import Delivery, deliveries, sign
from apps.simulator.world import stories_of
from apps.sla import sweep

#: stories are followed so long after the last day, so that what was promised then has come or is late
TAIL = timedelta(days=14)


class NotAccepted(Exception):
    """A door turned a simulated delivery away; the message says whose and how."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which days are simulated, by which chances. every: simulated time between two sweeps."""

    start: date
    days: int
    seed: int
    faults: Faults
    every: timedelta = timedelta(minutes=30)

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.start, time(0), tzinfo=BERLIN)

    @property
    def end(self) -> datetime:
        return self.begin + timedelta(days=self.days) + TAIL

    def journeys(self) -> list[Journey]:
        stories = (
            story
            for offset in range(self.days)
            for story in stories_of(self.start + timedelta(days=offset), self.seed, self.faults)
        )
        return carry(stories, self.faults, self.seed)


def requests_of(journeys: Sequence[Journey]) -> list[Delivery]:
    """What arrives, one request a message, in order of arrival."""
    arrivals = [message for journey in journeys for one in journey.carried for message in one.arrives]
    return deliveries(sorted(arrivals, key=lambda message: message.arrives_at))


def run(plan: Plan, journeys: Sequence[Journey], progress: Callable[[int, int], None]) -> int:
    """Tells it all; returns the number of requests. Raises `NotAccepted`."""
    _prepare(plan)
    senders = {one.slug: one for one in Integration.objects.all()}
    requests = requests_of(journeys)
    at, done = plan.begin + plan.every, 0
    while at <= plan.end:
        waiting = done
        while done < len(requests) and requests[done].arrives_at < at:
            _send(requests[done], senders[requests[done].integration])
            done += 1
        if done > waiting:
            while process(at).moved:
                pass
        sweep.run(at)
        progress(done, len(requests))
        at += plan.every
    return done


def _prepare(plan: Plan) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tower_ensure_partitions(ARRAY['flows_event', 'collectors_receipt'], %s::date, %s)",
            [plan.start - timedelta(days=2), (plan.end - plan.begin).days // 28 + 3],
        )
    for integration in Integration.objects.all():
        if not live_secrets(integration.pk, plan.begin):
            issue(integration, plan.begin, None)


def _send(delivery: Delivery, sender: Integration) -> None:
    """One request at the real door, at its own time."""
    now = delivery.arrives_at
    headers = sign(delivery, sender.settings.get("scheme", "bearer"), live_secrets(sender.pk, now)[0], now)
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"{PREFIX}{sender.endpoint_id}/{delivery.path}",
        "CONTENT_LENGTH": str(len(delivery.body)),
        "wsgi.input": io.BytesIO(delivery.body),
        **{
            "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in headers.items()
        },
    }
    said = answer(environ, sender.endpoint_id, delivery.path, now)
    if said.status >= 300:
        raise NotAccepted(f"{sender.slug} was turned away with {said.status}: {said.body.decode()}")
