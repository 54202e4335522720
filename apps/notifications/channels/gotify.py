"""Gotify: push messages from an own server (Gotify API: ``POST /message`` with the token of an application)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from apps.notifications.channels.ntfy import text_of
from apps.notifications.contract import Message, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import HttpChannel, Steps, cut, json_call

PRIORITY = {"critical": 10, "high": 8, "normal": 5, "low": 2}


class GotifyForm(HttpForm):
    base_url = AddressField(label="Server")
    field_order = ("base_url",)


class Gotify(HttpChannel):
    kind = "gotify"
    label = "Gotify"
    purpose = "Push to whoever reads one application of your Gotify server"
    ConfigForm = GotifyForm
    secrets: ClassVar = (Secret("token", "Application token", "In Gotify: Apps"),)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        payload: dict[str, Any] = {
            "title": cut(message.subject, 250),
            "message": cut(text_of(message), 3500),
            "priority": PRIORITY.get(message.severity, 5),
        }
        if message.url:
            payload["extras"] = {"client::notification": {"click": {"url": message.url}}}
        base = str(target.config.get("base_url", "")).rstrip("/")
        yield json_call("POST", f"{base}/message", payload, {"x-gotify-key": target.secrets.get("token", "")})
        return None
