"""From a shop's webhook to the flow's milestones: one order, told by its shop, its mail provider and its SMS provider."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from apps.collectors.processing import process
from apps.collectors.shops.notice_signatures import sign_twilio
from apps.flows.models import Event, Flow, Milestone
from apps.integrations import credentials
from apps.integrations.models import Integration, Partner
from tests.collectors.shops.conftest import START, Tower
from tests.collectors.shops.servers import shopify_order
from tests.flows.builders import load_definitions

MINUTE = timedelta(minutes=1)
KEY = "a-key-of-the-provider"


@pytest.fixture
def order(shopify: Tower) -> dict[str, Any]:
    load_definitions()
    placed = shopify_order(1, START)
    assert shopify.webhook("orders/create", placed) == 202
    read()
    return placed


def read() -> None:
    while process(START).moved:
        pass


def told() -> dict[str, datetime]:
    flow = Flow.objects.get(definition__slug="order-to-ship")
    rows = Milestone.objects.filter(flow=flow, actual_at__isnull=False)
    return {one.name: one.actual_at for one in rows if one.actual_at is not None}


def provider(name: str, **settings: Any) -> Integration:
    partner, _ = Partner.objects.get_or_create(slug="fjordlicht", defaults={"name": "F", "kind": "marketplace"})
    made = Integration.objects.create(
        slug=name, name=name, kind="notifications", partner=partner, settings={"orders": "channel_order", **settings}
    )
    credentials.issue(made, START, None, secret=KEY)
    return made


def postmark(integration: Integration, record: str, at: datetime) -> None:
    body = {
        "RecordType": record,
        "Type": "HardBounce",
        "MessageID": f"{record}-{at.minute}",
        "DeliveredAt": at.isoformat(),
        "BouncedAt": at.isoformat(),
        "Metadata": {"order_number": "#F1"},
    }
    pair = base64.b64encode(f"postmark:{KEY}".encode()).decode()
    answer = Client().post(
        f"/in/{integration.endpoint_id}/",
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Basic {pair}"},
    )
    assert answer.status_code == 202
    read()


def test_the_customer_is_told_and_a_bounce_takes_it_back(order: dict[str, Any]) -> None:
    mail = provider("mail", provider="postmark")
    assert set(told()) == {"placed"}
    postmark(mail, "Delivery", START + MINUTE)
    assert told()["customer_told"] == START + MINUTE
    postmark(mail, "Bounce", START + 2 * MINUTE)
    assert "customer_told" not in told()
    postmark(mail, "Delivery", START + 3 * MINUTE)
    assert told()["customer_told"] == START + 3 * MINUTE


def test_an_sms_status_joins_the_order_by_its_message_id(order: dict[str, Any], shopify: Tower) -> None:
    path = "/in/{}/"
    sms = provider("sms", provider="twilio")
    url = "https://tower.example" + path.format(sms.endpoint_id)
    sms.settings["callback_url"] = url
    sms.save()
    shop = Integration.objects.create(
        slug="sender", name="Sender", kind="webhook", partner=shopify.integration.partner, settings={"scheme": "bearer"}
    )
    credentials.issue(shop, START, None, secret=KEY)
    sent = {
        "type": "notification.sent",
        "happened_at": START.isoformat(),
        "references": [{"kind": "channel_order", "value": "#F1"}, {"kind": "notification", "value": "SM1"}],
    }
    answer = Client().post(
        path.format(shop.endpoint_id), sent, content_type="application/json", headers={"Authorization": f"Bearer {KEY}"}
    )
    assert answer.status_code == 202
    status = {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "30003"}
    answer = Client().post(
        path.format(sms.endpoint_id),
        urlencode(status),
        content_type="application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": sign_twilio(KEY, url, status)},
    )
    assert answer.status_code == 202
    read()
    assert Event.objects.filter(type="notification.bounced").count() == 1
    assert "customer_told" not in told()
    assert Flow.objects.filter(definition__slug="order-to-ship").count() == 1
