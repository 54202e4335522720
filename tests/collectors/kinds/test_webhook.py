"""Webhooks end to end without a database: authentication, our own form, mappings, and real senders' payloads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.kinds.webhook import WebhookForm
from apps.collectors.signatures import SCHEMES, sign_standard
from apps.flows.canonical import ParseFailure, ParseResult, Reference
from tests.collectors.samples import FOLDER

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
PAYLOADS = settings.BASE_DIR.parent / "shared" / "data" / "webhooks" / "payloads"
SENDERS: dict[str, Any] = yaml.safe_load((FOLDER / "webhook" / "senders.yaml").read_text())
WEBHOOK = COLLECTORS.get("webhook")

#: payload -> events and issues its mapping gives
EXPECTED = {
    "amazon_spapi_FBAOutboundShipmentStatusNotification_0": (1, []),
    "amazon_spapi_OrderChangeNotification_0": (1, []),
    "amazon_spapi_ShipmentTrackingMilestoneChangedNotification_0": (3, []),
    "carrier_dhl_universal_tracking": (1, []),
    "carrier_fedex_tracking_response": (1, []),
    "carrier_ups_tracking_response": (2, []),
    "easypost_tracker_updated": (5, []),
    "sendcloud_parcel_status_changed": (1, []),
    "shipengine_api_track": (1, []),
    "shopify_fulfillment_1": (1, []),
    "shopify_fulfillment_2": (1, []),
    "shopify_fulfillment_event_1": (1, []),
    # the payload has no time of its own
    "shopify_fulfillment_order_1": (0, ["mapping.missing"]),
    "shopify_order_1": (1, []),
    "shopify_order_4": (1, []),
    "shopify_order_6": (1, []),
    "ups_track_alert_1": (1, []),
    "woocommerce_order_1": (2, []),
    "woocommerce_order_2": (2, []),
}


def parse(body: bytes, mapping: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> ParseResult:
    source = SourceContext("hook", "acme", "Europe/Berlin", {}, mapping or {})
    return WEBHOOK.parse(RawDelivery(body, "application/json", headers or {}, NOW), source)


def payloads() -> list[Any]:
    if not PAYLOADS.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs shared/data/webhooks/payloads"))]
    return [pytest.param(path, id=path.stem) for path in sorted(PAYLOADS.glob("*.json"))]


@pytest.mark.parametrize("path", payloads())
def test_real_payloads_without_a_mapping_give_clear_issues(path: Path) -> None:
    result = parse(path.read_bytes())
    assert result.events == ()
    assert {issue.code for issue in result.issues} >= {"event.bad_type"}
    assert all(issue.position.startswith("$") for issue in result.issues)


@pytest.mark.parametrize("path", payloads())
def test_real_payloads_with_a_mapping_give_events(path: Path) -> None:
    name = max((name for name in SENDERS if path.stem.startswith(name)), key=len)
    result = parse(path.read_bytes(), SENDERS[name])
    assert (len(result.events), [issue.code for issue in result.issues]) == EXPECTED[path.stem]
    assert all(event.references for event in result.events)
    # a batch of the same
    many = parse(b"[" + b",".join([path.read_bytes()] * 3) + b"]", SENDERS[name])
    assert len(many.events) == 3 * len(result.events)


def test_details_of_real_payloads() -> None:
    if not PAYLOADS.exists():
        pytest.skip("needs shared/data/webhooks/payloads")
    [alert] = parse((PAYLOADS / "ups_track_alert_1.json").read_bytes(), SENDERS["ups_track_alert"]).events
    assert alert.type == "transport.out_for_delivery"
    assert alert.happened_at == datetime(2024, 4, 23, 13, 15, 19, tzinfo=UTC)
    assert alert.dates == {"eta": datetime(2024, 4, 23, 4, tzinfo=UTC)}
    scans = parse((PAYLOADS / "easypost_tracker_updated.json").read_bytes(), SENDERS["easypost"]).events
    assert [scan.position for scan in scans] == [f"$.result.tracking_details[{n}]" for n in (0, 1, 2, 3, 6)]
    [order] = parse((PAYLOADS / "shopify_order_1.json").read_bytes(), SENDERS["shopify_order"]).events
    assert order.references == (Reference("sales_order", "#1001"), Reference("channel_order", "450789469", "acme"))
    assert order.source_event_id == "450789469:order.placed"


def test_authenticates_by_the_configured_scheme() -> None:
    secret, body = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0IDMyIGJ5dGVz", b'{"a": 1}'
    headers = {
        "webhook-id": "msg_7",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": sign_standard(secret, "msg_7", int(NOW.timestamp()), body),
    }
    verdict = WEBHOOK.authenticate(headers, body, [secret], NOW, {})
    assert (verdict.accepted, verdict.delivery_id) == (True, "msg_7")
    assert not WEBHOOK.authenticate(headers, body + b" ", [secret], NOW, {}).accepted
    bearer = {"authorization": f"Bearer {secret}"}
    assert not WEBHOOK.authenticate(bearer, body, [secret], NOW, {}).accepted
    assert WEBHOOK.authenticate(bearer, body, [secret], NOW, {"scheme": "bearer"}).accepted


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_the_form_asks_for_the_header_where_a_scheme_needs_one(scheme: str) -> None:
    form = WebhookForm({"scheme": scheme})
    needs = scheme in ("hmac_sha256_base64", "hmac_sha256_hex", "header_token")
    assert form.is_valid() is not needs
    assert WebhookForm({"scheme": scheme, "signature_header": "X-Sign", "token_header": "X-Token"}).is_valid()
    assert not WebhookForm({"scheme": scheme, "signature_header": "X Sign:", "token_header": "\n"}).is_valid()


def test_a_wrong_mapping_is_a_dead_letter_that_says_where() -> None:
    with pytest.raises(ParseFailure) as failure:
        parse(b"{}", {"events": [{"type": "order.placed"}]})
    assert failure.value.issue.code == "mapping.invalid"
    assert "events[0]" in failure.value.issue.sentence


def test_warnings_of_the_body_stay_beside_its_events() -> None:
    event = {
        "type": "pick.completed",
        "happened_at": "2026-01-19T10:00:00Z",
        "references": [{"kind": "sscc", "value": 1}],
    }
    body = json.dumps(event).replace('"type"', '"type": "x", "type"').encode()
    result = parse(body)
    assert [one.type for one in result.events] == ["pick.completed"]
    assert [issue.code for issue in result.issues] == ["json.duplicate_key"]


def test_a_batch_of_a_hundred() -> None:
    batch = [
        {
            "id": str(n),
            "type": "pick.completed",
            "happened_at": "2026-01-19T10:00:00Z",
            "references": [{"kind": "picking", "value": f"P{n}"}],
        }
        for n in range(100)
    ]
    result = parse(json.dumps(batch).encode())
    assert [event.position for event in result.events] == [f"$[{n}]" for n in range(100)]
    assert result.issues == ()
    with pytest.raises(ParseFailure) as failure:
        parse(json.dumps(batch * 101).encode())
    assert failure.value.issue.code == "receipt.too_many_events"
    assert [issue.code for issue in parse(b"[]").issues] == ["delivery.empty"]
