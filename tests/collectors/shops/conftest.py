"""Shops behind real HTTP, towers that take their signed webhooks at the door and compare by polling."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.collectors.polling import PollSummary, poll_one
from apps.collectors.processing import process
from apps.core import clock
from apps.flows.models import Event
from apps.integrations import credentials
from apps.integrations.models import Integration, Partner, SourceState
from tests.collectors.shops.servers import TOKEN, WOO_KEY, WOO_SECRET, Order, ShopifyServer, ShopServer, WooServer

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SIGNING = "shpss_a-secret-that-signs-webhooks"


@dataclass
class Tower:
    """One shop's integration."""

    integration: Integration
    server: ShopServer
    client: Client

    def webhook(self, topic: str, body: Order, secret: str = SIGNING) -> int:
        """Sends a webhook as the shop signs it, and returns the door's answer."""
        raw = json.dumps(body).encode()
        signature = base64.b64encode(hmac.digest(secret.encode(), raw, hashlib.sha256)).decode()
        names = {
            "shopify": ("X-Shopify-Topic", "X-Shopify-Hmac-Sha256"),
            "woocommerce": ("X-WC-Webhook-Topic", "X-WC-Webhook-Signature"),
        }[self.integration.kind]
        headers = {names[0]: topic, names[1]: signature}
        answer = self.client.post(
            f"/in/{self.integration.endpoint_id}/", raw, content_type="application/json", headers=headers
        )
        return answer.status_code

    def read(self, now: datetime) -> None:
        while process(now).moved:
            pass

    def poll(self, now: datetime, read: bool = True) -> PollSummary:
        summary = poll_one(self.integration.slug, now)
        assert summary is not None
        if read:
            self.read(now)
        return summary

    def connect(self, now: datetime) -> None:
        """The first reading, of an empty shop: what comes afterwards is no history."""
        orders, self.server.orders = self.server.orders, {}
        assert self.poll(now).error == ""
        self.server.orders = orders
        self.server.requests.clear()

    def set(self, **settings: Any) -> None:
        self.integration.settings |= settings
        self.integration.save()

    @property
    def events(self) -> list[str]:
        return list(Event.objects.filter(integration=self.integration).order_by("id").values_list("type", flat=True))

    @property
    def missed(self) -> list[DeadLetter]:
        letters = DeadLetter.objects.filter(integration=self.integration, code__endswith=".webhook_missed")
        return list(letters.order_by("id"))

    @property
    def readings(self) -> list[ReceiptState]:
        """Receipts of the comparison."""
        ids = Receipt.objects.filter(integration=self.integration, door="poll").values("id")
        return list(ReceiptState.objects.filter(receipt_id__in=ids).order_by("receipt_id"))

    @property
    def state(self) -> SourceState:
        return SourceState.objects.get(integration=self.integration)


Make = Callable[..., Tower]


@pytest.fixture
def make(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    servers: list[ShopServer] = []
    monkeypatch.setattr(clock, "now", lambda: START)

    def build(kind: str, server_class: type[ShopServer], keys: tuple[str, ...], **settings: Any) -> Tower:
        server = server_class()
        server.__enter__()
        servers.append(server)
        partner, _ = Partner.objects.get_or_create(slug="fjordlicht", name="Fjordlicht", kind="marketplace")
        common = {"base_url": server.url, "allow_networks": ["127.0.0.0/8"], "overlap_seconds": 600}
        integration = Integration.objects.create(
            slug=f"{kind}-{len(servers)}",
            name="Fjordlicht",
            kind=kind,
            partner=partner,
            settings={**common, "settle_seconds": 300, **settings},
        )
        credentials.issue(integration, START, None, secret=SIGNING)
        for number, key in enumerate(keys):
            credentials.issue(integration, START, None, secret=key, purpose=f"api_key_{number}")
        return Tower(integration, server, Client())

    yield build
    for server in servers:
        server.__exit__()


@pytest.fixture
def shopify(make: Make) -> Tower:
    return make("shopify", ShopifyServer, (TOKEN,))


@pytest.fixture
def woo(make: Make) -> Tower:
    return make("woocommerce", WooServer, (f"{WOO_KEY}:{WOO_SECRET}",))
