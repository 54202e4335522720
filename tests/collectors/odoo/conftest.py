from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.collectors.contract import COLLECTORS, RawDelivery
from apps.collectors.models import Receipt
from apps.collectors.polling import PollSummary, poll_one
from apps.collectors.sources import context_of
from apps.core.secrets import encrypt
from apps.flows.canonical import CanonicalEvent, ParseIssue
from apps.integrations.models import Credential, Integration, SourceState
from apps.simulator.odoo_server import OdooServer
from apps.simulator.odoo_store import OdooStore, standard_store

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@dataclass
class Tower:
    """An integration with an Odoo, polled by hand; ``events`` and ``issues`` of all receipts, in order of receipt."""

    integration: Integration
    server: OdooServer
    seen: int = 0
    events: list[CanonicalEvent] = field(default_factory=list)
    issues: list[ParseIssue] = field(default_factory=list)

    def poll(self, now: datetime) -> PollSummary:
        summary = poll_one(self.integration.slug, now)
        assert summary is not None
        self.read()
        return summary

    def read(self) -> list[CanonicalEvent]:
        """Parses what came since the last reading."""
        new: list[CanonicalEvent] = []
        collector, source = COLLECTORS.get("odoo"), context_of(self.integration)
        for receipt in Receipt.objects.filter(integration=self.integration, id__gt=self.seen).order_by("id"):
            delivery = RawDelivery(bytes(receipt.body), receipt.content_type, receipt.headers, receipt.received_at)
            result = collector.parse(delivery, source)
            assert collector.parse(delivery, source) == result, "parsing is pure"
            new += result.events
            self.issues += result.issues
            self.seen = receipt.pk
        self.events += new
        return new

    def take(self) -> list[CanonicalEvent]:
        """The events since the last take."""
        taken, self.events = self.events, []
        return taken

    def set(self, **settings: Any) -> None:
        self.integration.settings |= settings
        self.integration.save()

    @property
    def state(self) -> SourceState:
        return SourceState.objects.get(integration=self.integration)


@pytest.fixture
def connect(db: None) -> Iterator[Callable[..., Tower]]:
    servers: list[OdooServer] = []

    def start(store: OdooStore, key: str, login: str, **settings: Any) -> Tower:
        server = OdooServer(store)
        server.__enter__()
        servers.append(server)
        integration = Integration.objects.create(
            slug=f"odoo-{len(servers)}",
            name="Odoo",
            kind="odoo",
            settings={
                "base_url": server.url,
                "database": store.database,
                "login": login,
                "allow_networks": ["127.0.0.0/8"],
                **settings,
            },
        )
        Credential.objects.create(
            integration=integration, purpose="api_key", ciphertext=encrypt(key), hint=key[-4:], created_at=START
        )
        return Tower(integration, server)

    yield start
    for server in servers:
        server.__exit__()


class Clock:
    """A clock that stands still until moved; Odoo's and ours."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> datetime:
        self.now += timedelta(**delta)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> OdooStore:
    found = standard_store(19, "demo", {"demo-key": "tower"})
    found.clock = clock
    return found


@pytest.fixture
def tower(connect: Callable[..., Tower], store: OdooStore) -> Tower:
    """A tower that has read an empty Odoo once, so that what comes is no history."""
    found = connect(store, "demo-key", "tower")
    assert found.poll(store.clock()).error == ""
    return found
