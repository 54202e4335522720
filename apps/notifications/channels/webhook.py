"""Outgoing webhooks by Standard Webhooks 1.0.0: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``.

The id is the same over all attempts; the timestamp is of the attempt. While a secret is being replaced both sign, so the
receiver can change at its own pace. Retries from 5 s to 24 h, 75 h in all, then dead and replayable: see `retries`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any, ClassVar

from apps.notifications.contract import Message, News, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import Call, HttpChannel, Steps


class WebhookForm(HttpForm):
    url = AddressField(label="Address", help_text="Takes a POST with JSON and answers 2xx within 10 s")
    field_order = ("url",)


class Webhook(HttpChannel):
    kind = "webhook"
    label = "Webhook"
    purpose = "Signed JSON for a program of yours (Standard Webhooks), each piece of news by itself"
    paced = False
    ConfigForm = WebhookForm
    secrets: ClassVar = (
        Secret(
            "secret", "Signing secret", "Like whsec_… with 24 to 64 bytes; empty: the tower makes one and shows it once"
        ),
    )

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        body = json.dumps(payload(message, now), ensure_ascii=False, separators=(",", ":")).encode()
        message_id, timestamp = f"msg_{message.key}", int(now.timestamp())
        signing = [target.secrets.get("secret", ""), target.secrets.get("previous", "")]
        signatures = " ".join(sign(secret, message_id, timestamp, body) for secret in signing if secret)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures,
        }
        yield Call("POST", str(target.config.get("url", "")), headers, body)
        return None


def payload(message: Message, now: datetime) -> dict[str, Any]:
    """``{"type": "incident.opened", "timestamp": .., "data": {..}}``; a test is of the type ``test``."""
    one = message.news[0] if message.news else None
    if one is None:
        return {"type": "test", "timestamp": now.isoformat(), "data": {"text": message.short or message.subject}}
    return {"type": f"incident.{one.kind}", "timestamp": (one.moment or now).isoformat(), "data": _data(one)}


def _data(one: News) -> dict[str, Any]:
    return {
        "incident": one.incident_id,
        "key": one.key,
        "title": one.title,
        "severity": one.severity,
        "state": one.state,
        "text": one.text,
        "facts": dict(one.facts),
        "url": one.url,
    }


def key_of(secret: str) -> bytes:
    """The bytes behind ``whsec_`` + base64; a secret in no such form is its own key. Raises nothing."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """``v1,`` + base64 HMAC-SHA256 of ``id.timestamp.body``."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()
