"""Messages in by token: committed as they came, then answered; what becomes of them can be asked."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from apps.api import delivering
from apps.collectors.models import Receipt, ReceiptState
from apps.collectors.processing import process
from apps.core import clock
from apps.flows.models import Event
from tests.api.world import World, bearer, machine, person

pytestmark = pytest.mark.django_db
EVENT = {
    "type": "asn.received",
    "id": "evt-1",
    "happened_at": "2026-03-02T08:30:00Z",
    "references": [{"kind": "despatch_advice", "value": "ASN-77"}],
}
BODY = json.dumps(EVENT).encode() + b"  \n"


def deliver(client: Client, body: bytes = BODY, slug: str = "metalworks-feed", **headers: str) -> Any:
    kind = headers.pop("content_type", "application/json")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/api/v1/integrations/{slug}/receipts/", body, content_type=kind, headers=named)


def test_a_delivery_is_kept_byte_for_byte_then_processed(world: World) -> None:
    _, token = bearer("receipts:write")
    client = Client(headers={"authorization": f"Bearer {token}"})
    answer = deliver(client, idempotency_key="k-1")
    assert answer.status_code == 202
    number = answer.json()["receipt"]
    assert answer.json() == {"receipt": number, "status": "accepted"}
    kept = Receipt.objects.get(pk=number)
    assert (bytes(kept.body), kept.delivery_id, kept.content_type) == (BODY, "k-1", "application/json")
    assert token not in json.dumps(kept.headers)
    path = f"/api/v1/integrations/metalworks-feed/receipts/{number}/"
    assert client.get(path).json()["status"] == "waiting"
    process(clock.now(), only=[number])
    told = client.get(path).json()
    assert (told["status"], told["events"], told["issues"]) == ("done", 1, [])
    assert Event.objects.get(receipt_id=number).type == "asn.received"


def test_nothing_is_parsed_before_the_answer_and_a_dead_letter_says_why(world: World) -> None:
    client = machine("receipts:write")
    for body in (b"{not json", b"\0\xff", b"[" * 2000):
        number = deliver(client, body, content_type="text/plain").json()["receipt"]
        process(clock.now(), only=[number])
        told = client.get(f"/api/v1/integrations/metalworks-feed/receipts/{number}/").json()
        assert told["status"] == "dead"
        assert told["issues"][0]["sentence"]
        assert bytes(Receipt.objects.get(pk=number).body) == body


def test_what_is_refused_is_not_kept(world: World) -> None:
    client = machine("receipts:write")
    before = ReceiptState.objects.count()
    limit = 1024 * 1024
    assert deliver(client, b"").status_code == 400
    assert deliver(client, b"x" * (limit + 1)).status_code == 413
    assert deliver(client, gzip.compress(b"x" * (limit + 1)), content_encoding="gzip").status_code == 413
    assert deliver(client, b"no gzip", content_encoding="gzip").status_code == 400
    assert deliver(client, b"x", content_encoding="zip").status_code == 415
    assert deliver(client, transfer_encoding="chunked").status_code == 411
    cut: dict[str, Any] = {"CONTENT_LENGTH": "9", "wsgi.input": io.BytesIO(b"abc")}
    short = client.post(
        "/api/v1/integrations/metalworks-feed/receipts/",
        b"abc",
        content_type="text/plain",
        **cut,
    )
    assert short.status_code == 400
    assert deliver(client, slug="odoo").status_code == 409
    world.own.integration.enabled = False
    world.own.integration.save()
    assert deliver(client).status_code == 409
    assert ReceiptState.objects.count() == before
    world.own.integration.enabled = True
    world.own.integration.save()
    assert deliver(client, b"x" * limit).status_code == 202
    assert deliver(client, gzip.compress(BODY), content_encoding="gzip").status_code == 202


def test_deliveries_come_by_token_only(world: World) -> None:
    for client, status in ((person("admin"), 403), (machine("flows:read"), 403), (Client(), 401)):
        assert deliver(client).status_code == status
    told = person("operations").get(f"/api/v1/integrations/metalworks-feed/receipts/{world.own.receipt}/")
    assert told.status_code == 200


def test_a_partner_delivers_to_its_own_feed_and_sees_its_own_receipts(world: World) -> None:
    client = machine(partner=world.own.partner)
    number = deliver(client).json()["receipt"]
    own = client.get(f"/api/v1/integrations/metalworks-feed/receipts/{number}/")
    assert own.json()["status"] == "waiting"
    foreign, missing = deliver(client, slug="oakline-feed"), deliver(client, slug="nobody-feed")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content
    crossed = client.get(f"/api/v1/integrations/metalworks-feed/receipts/{world.foreign.receipt}/")
    assert (crossed.status_code, crossed.content) == (404, missing.content)


def test_what_cannot_be_committed_is_503(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(deliveries: Any) -> list[int]:
        raise OperationalError("away")

    monkeypatch.setattr(delivering, "store", gone)
    answer = deliver(machine("receipts:write"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
