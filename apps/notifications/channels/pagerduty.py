"""PagerDuty through its Events API v2: one alert per incident, acknowledged and resolved when the incident is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from apps.notifications.contract import Message, News, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import HttpChannel, Steps, cut, json_call

SEVERITY = {"critical": "critical", "high": "error", "normal": "warning", "low": "info"}


class PagerDutyForm(HttpForm):
    base_url = AddressField(
        label="Events API",
        initial="https://events.pagerduty.com",
        help_text="EU accounts: https://events.eu.pagerduty.com",
    )
    field_order = ("base_url",)


class PagerDuty(HttpChannel):
    kind = "pagerduty"
    label = "PagerDuty"
    purpose = "One alert per incident on a PagerDuty service, acknowledged and resolved with it"
    paced = False
    acknowledges = True
    ConfigForm = PagerDutyForm
    secrets: ClassVar = (Secret("routing_key", "Integration key", "Of a service's “Events API v2” integration"),)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        event: dict[str, Any] = {"routing_key": target.secrets.get("routing_key", ""), "client": "Control tower"}
        one = message.news[0] if message.news else None
        event["dedup_key"] = one.key if one else message.key
        url = str(target.config.get("base_url", "https://events.pagerduty.com")).rstrip("/") + "/v2/enqueue"
        if one and (one.is_over or one.is_taken):
            yield json_call("POST", url, event | {"event_action": "resolve" if one.is_over else "acknowledge"})
            return None
        if one and one.given_back:
            # a trigger leaves an acknowledged alert acknowledged; only a new alert calls anybody
            yield json_call("POST", url, event | {"event_action": "resolve"})
        more = {"client_url": one.url, "links": [{"href": one.url, "text": "Open the incident"}]} if one else {}
        yield json_call("POST", url, event | more | {"event_action": "trigger", "payload": _payload(message, one)})
        if one and one.held:
            yield json_call("POST", url, event | {"event_action": "acknowledge"})
        return None


def _payload(message: Message, one: News | None) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "summary": cut(message.subject, 1024),
        "source": "control tower",
        "severity": SEVERITY.get(message.severity, "warning"),
        "custom_details": {"message": message.key, "text": message.short},
    }
    if one:
        payload["custom_details"] = {"message": message.key, "text": one.text, **dict(one.facts)}
        if one.moment:
            payload["timestamp"] = one.moment.isoformat()
    return payload
