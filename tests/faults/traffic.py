"""Partners that send: orders told as events, packed into signed deliveries, sent again until they are acknowledged."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from apps.collectors.signatures import sign_standard

SECRET = "whsec_" + base64.b64encode(b"a key for the tower under fault").decode()
#: integration -> the steps its sender tells: event type and the references it names
STEPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("shop", "order.placed", ("channel_order", "sales_order")),
    ("shop", "order.created", ("sales_order",)),
    ("shop", "order.released", ("sales_order",)),
    ("shop", "stock.allocated", ("sales_order", "picking")),
    ("shop", "pick.completed", ("picking",)),
    ("shop", "pack.completed", ("picking", "tracking_number")),
    ("shop", "shipment.dispatched", ("picking", "tracking_number")),
    ("carrier", "transport.picked_up", ("tracking_number",)),
    ("carrier", "transport.in_transit", ("tracking_number",)),
    ("carrier", "delivery.completed", ("tracking_number",)),
    ("shop", "invoice.posted", ("sales_order", "invoice")),
)
INTEGRATIONS = ("shop", "carrier")
#: of the events, how many go alone; the others go in batches of up to BATCH
SINGLE = 0.15
BATCH = 100
TOLD_AGAIN = 0.02
PAUSE = 0.1
#: a partner's patience with one request, in seconds
TIMEOUT = 15.0
SENDERS = 4


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request: who sends it, its name (the same at every attempt), path below the door, body, ids of its events."""

    integration: str
    name: str
    path: str
    body: bytes
    events: tuple[str, ...]


def events_of(count: int, start: datetime, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """`count` events of as many orders as it takes, mixed up: a delivery scan may come before its order."""
    chance = random.Random(seed)
    told = []
    for number in range(count):
        order, step = divmod(number, len(STEPS))
        integration, kind, references = STEPS[step]
        at = start + timedelta(seconds=order * 7 + step * 900)
        event = {
            "id": f"{integration}-{number}",
            "type": kind,
            "happened_at": at.isoformat(),
            "references": [{"kind": one, "value": f"{one[:3].upper()}{order:06d}"} for one in references],
            "data": {"value": f"{order % 90 + 10}.50", "currency": "EUR"} if step == 0 else {},
        }
        told.append((number + chance.uniform(0, 400), integration, event))
    return [(integration, event) for _, integration, event in sorted(told, key=lambda one: one[0])]


def deliveries_of(events: Sequence[tuple[str, dict[str, Any]]], seed: int) -> list[Delivery]:
    """Singles and batches in the order of the events; some events are told a second time in another delivery."""
    chance = random.Random(seed)
    made: list[Delivery] = []
    waiting: dict[str, list[dict[str, Any]]] = {name: [] for name in INTEGRATIONS}
    size = dict.fromkeys(INTEGRATIONS, BATCH)
    for integration, event in events:
        if chance.random() < SINGLE:
            made.append(_delivery(integration, len(made), [event]))
            continue
        waiting[integration].append(event)
        if chance.random() < TOLD_AGAIN:
            made.append(_delivery(integration, len(made), [event]))
        if len(waiting[integration]) >= size[integration]:
            made.append(_delivery(integration, len(made), waiting[integration]))
            waiting[integration], size[integration] = [], chance.randint(BATCH // 5, BATCH)
    made += [_delivery(name, len(made) + place, rest) for place, (name, rest) in enumerate(waiting.items()) if rest]
    return made


def _delivery(integration: str, number: int, events: Sequence[Mapping[str, Any]]) -> Delivery:
    alone = len(events) == 1
    body = json.dumps(events[0] if alone else list(events)).encode()
    return Delivery(integration, f"d-{number}", "" if alone else "batch", body, tuple(one["id"] for one in events))


@dataclass
class Account:
    """What the partners know: delivery name -> receipt id, how often which status was answered (0: no answer), and how
    long the slowest answer took, in seconds."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    without_retry_after: int = 0
    problems: list[str] = field(default_factory=list)


class Sending:
    """Senders in threads. They stop before delivery number `allowed`; `raise_to` lets them go on."""

    def __init__(self, port: int, endpoints: Mapping[str, str], deliveries: Sequence[Delivery]) -> None:
        self.port = port
        self.endpoints = endpoints
        self.deliveries = deliveries
        self.account = Account()
        self.allowed = 0
        self._next = 0
        self._change = threading.Condition()
        self._stopped = False
        self._threads = [threading.Thread(target=self._run, name=f"sender-{n}") for n in range(SENDERS)]

    def __enter__(self) -> Sending:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._change:
            self._stopped = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(TIMEOUT * 2)

    def raise_to(self, allowed: int) -> None:
        with self._change:
            self.allowed = allowed
            self._change.notify_all()

    def wait_for(self, acknowledged: int, seconds: float) -> None:
        """Until so many deliveries are acknowledged; AssertionError when they are not in time."""
        until = time.monotonic() + seconds
        with self._change:
            while len(self.account.acknowledged) < acknowledged:
                assert not self.account.problems, self.account.problems
                rest = until - time.monotonic()
                told = f"{len(self.account.acknowledged)} of {acknowledged} acknowledged, {self.account.statuses}"
                assert rest > 0, told
                self._change.wait(min(rest, 1.0))

    def _run(self) -> None:
        while (delivery := self._take()) is not None:
            while not self._stopped and not self._send(delivery):
                time.sleep(PAUSE)

    def _take(self) -> Delivery | None:
        with self._change:
            while self._next >= self.allowed and not self._stopped:
                self._change.wait()
            if self._stopped or self._next >= len(self.deliveries):
                return None
            self._next += 1
            return self.deliveries[self._next - 1]

    def _send(self, delivery: Delivery) -> bool:
        """One attempt; True when it is over with this delivery."""
        started = time.monotonic()
        status, headers, body = post(self.port, self.endpoints[delivery.integration], delivery)
        took = time.monotonic() - started
        with self._change:
            account = self.account
            account.slowest = max(account.slowest, took)
            account.statuses[status] += 1
            if status == 202:
                account.acknowledged[delivery.name] = json.loads(body)["receipt"]
                self._change.notify_all()
                return True
            if status == 503 and "retry-after" not in headers:
                account.without_retry_after += 1
            if status not in (0, 503):
                account.problems.append(f"{delivery.name}: {status} {body[:300]!r}")
                self._change.notify_all()
            return False


def headers_of(delivery: Delivery) -> dict[str, str]:
    """Signed now, as Standard Webhooks wants each attempt to be; the id stays."""
    timestamp = int(time.time())
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery.name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign_standard(SECRET, delivery.name, timestamp, delivery.body),
    }


def post(port: int, endpoint: str, delivery: Delivery) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers (names in lower case), body; status 0 when the server broke off or nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("POST", f"/in/{endpoint}/{delivery.path}", delivery.body, headers_of(delivery))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, {}, b""
    finally:
        connection.close()


@dataclass(frozen=True)
class Verdict:
    """lost: events of acknowledged deliveries that are not recorded; doubled: recorded more than once; unknown:
    recorded, but nobody sent them; changed: acknowledged deliveries whose bytes are not kept as sent."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    unknown: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.unknown or self.changed)


def judge(
    deliveries: Sequence[Delivery],
    acknowledged: Mapping[str, int],
    recorded: Mapping[str, int],
    kept: Mapping[int, bytes],
) -> Verdict:
    """recorded: event id -> how often; kept: receipt id -> sha256 of the bytes kept."""
    owed = {event for one in deliveries if one.name in acknowledged for event in one.events}
    sent = {event for one in deliveries for event in one.events}
    return Verdict(
        lost=tuple(sorted(owed - set(recorded))),
        doubled=tuple(sorted(event for event, times in recorded.items() if times > 1)),
        unknown=tuple(sorted(set(recorded) - sent)),
        changed=tuple(_changed(deliveries, acknowledged, kept)),
    )


def _changed(
    deliveries: Sequence[Delivery], acknowledged: Mapping[str, int], kept: Mapping[int, bytes]
) -> Iterator[str]:
    for one in deliveries:
        if one.name in acknowledged and kept.get(acknowledged[one.name]) != hashlib.sha256(one.body).digest():
            yield one.name
