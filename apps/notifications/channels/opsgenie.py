"""Opsgenie, and Jira Service Management which took over its alerts (Alert API v2): one alert per incident,
acknowledged and closed with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from apps.notifications.contract import Message, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import Call, HttpChannel, Steps, cut, json_call

PRIORITY = {"critical": "P1", "high": "P2", "normal": "P3", "low": "P5"}


class OpsgenieForm(HttpForm):
    base_url = AddressField(
        label="API", initial="https://api.opsgenie.com", help_text="EU accounts: https://api.eu.opsgenie.com"
    )
    field_order = ("base_url",)


class Opsgenie(HttpChannel):
    kind = "opsgenie"
    label = "Opsgenie"
    purpose = "One alert per incident in Opsgenie, acknowledged and closed with it"
    paced = False
    acknowledges = True
    ConfigForm = OpsgenieForm
    secrets: ClassVar = (Secret("key", "API key", "Of an API integration with the right to create alerts"),)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        headers = {"authorization": f"GenieKey {target.secrets.get('key', '')}"}
        base = str(target.config.get("base_url", "https://api.opsgenie.com")).rstrip("/")
        one = message.news[0] if message.news else None
        alias = one.key if one else message.key
        note: dict[str, Any] = {"source": "control tower", "note": cut(one.text, 1000) if one else ""}

        def deed(name: str) -> Call:
            return json_call(
                "POST", f"{base}/v2/alerts/{quote(alias, safe='')}/{name}?identifierType=alias", note, headers
            )

        if one and (one.is_over or one.is_taken):
            yield deed("close" if one.is_over else "acknowledge")
            return None
        payload: dict[str, Any] = {
            "message": cut(message.subject, 130),
            "alias": alias,
            "description": cut(message.text or message.short, 10_000),
            "priority": PRIORITY.get(message.severity, "P3"),
            "source": "control tower",
            "details": {"message": message.key, **(dict(one.facts) | {"Incident": one.url} if one else {})},
        }
        yield json_call("POST", f"{base}/v2/alerts", payload, headers)
        if one and one.given_back:
            yield deed("unacknowledge")
        elif one and one.held:
            yield deed("acknowledge")
        return None
