"""The live network: sends each message over HTTP when its time comes, signed as its sender signs.

What cannot be delivered is tried again, in order, as a partner's system would: the tower may be restarting.
"""

from __future__ import annotations

import http.client
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog

from apps.core.models import Heartbeat
from apps.integrations.credentials import issue, live_secrets
from apps.integrations.models import Integration
from apps.simulator.beside import Beside
from apps.simulator.history import LIVE_HOURS, messages_between, take
from apps.simulator.wire import Delivery, deliveries, sign

log = structlog.get_logger(__name__)
LOOK_AHEAD = timedelta(hours=1)
PATIENCE_SECONDS = 10


class Network:
    """Keeps a cursor (time of the last message delivered) in the heartbeat ``demo``. beside: what is no message."""

    def __init__(self, base_url: str, seed: int, clock: Callable[[], datetime], beside: Beside | None = None) -> None:
        self.base = urlsplit(base_url)
        self.seed = seed
        self.clock = clock
        self.queue: deque[Delivery] = deque()
        self.beside = beside
        self.planned_to: datetime | None = None
        self.integrations = {one.slug: one for one in Integration.objects.all()}

    def cursor(self) -> datetime:
        """Where the network stands; the present for a network that never told anything."""
        known = Heartbeat.objects.filter(name="demo").first()
        return datetime.fromisoformat(known.detail["cursor"]) if known and "cursor" in known.detail else self.clock()

    def note(self, cursor: datetime) -> None:
        detail = {"cursor": cursor.isoformat(), "seed": self.seed}
        Heartbeat.objects.update_or_create(name="demo", defaults={"at": self.clock(), "detail": detail})

    def catch_up(self) -> int:
        """Tells in bulk what came to pass while nobody ran; long gaps as history."""
        now, start = self.clock(), self.cursor()
        missed = messages_between(start, now, self.seed)
        recent = now - timedelta(hours=LIVE_HOURS)
        for past, told in (
            (True, [m for m in missed if m.arrives_at < recent]),
            (False, [m for m in missed if m.arrives_at >= recent]),
        ):
            for begin in range(0, len(told), 4000):
                take(deliveries(told[begin : begin + 4000], bundle=100 if past else 1), now, backfill=past)
        self.note(now)
        return len(missed)

    def step(self) -> int:
        """Sends what is due; returns how many requests were accepted."""
        now = self.clock()
        if self.planned_to is None or now > self.planned_to - LOOK_AHEAD / 2:
            start = self.planned_to or self.cursor()
            self.planned_to = now + LOOK_AHEAD
            planned = messages_between(start, self.planned_to, self.seed)
            self.queue.extend(deliveries(planned))
            if self.beside is not None:
                self.beside.plan(planned)
        sent = 0
        for delivery in self.beside.step(now) if self.beside is not None else ():
            # a hint or a copy that is not taken is not told again
            sent += self.post(delivery)
        while self.queue and self.queue[0].arrives_at <= now:
            if not self.post(self.queue[0]):
                break
            self.note(self.queue.popleft().arrives_at)
            sent += 1
        return sent

    def post(self, delivery: Delivery) -> bool:
        """One request; False when it should be tried again."""
        integration = self.integrations[delivery.integration]
        now = self.clock()
        secrets = live_secrets(integration.pk, now)
        secret = secrets[0] if secrets else issue(integration, now, None)[1]
        headers = sign(delivery, integration.settings.get("scheme", "bearer"), secret, now)
        path = f"/in/{integration.endpoint_id}/{delivery.path}"
        connection = http.client.HTTPConnection(
            self.base.hostname or "127.0.0.1", self.base.port, timeout=PATIENCE_SECONDS
        )
        try:
            connection.request("POST", path, delivery.body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as problem:
            log.info("demo.not_delivered", integration=integration.slug, reason=type(problem).__name__)
            return False
        finally:
            connection.close()
        if status >= 400:
            log.warning("demo.refused", integration=integration.slug, status=status)
        return status < 429 or (400 <= status < 500 and status != 429)

    def run(self, stop: Callable[[], bool]) -> None:
        """Until told to stop."""
        while not stop():
            self.step()
            time.sleep(1)
