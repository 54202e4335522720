"""One setting of every kind of channel that leads to a server of ours, and a message."""

from __future__ import annotations

from typing import Any

from apps.notifications.contract import CHANNELS, Door, Message, News, Target
from apps.notifications.http import HttpChannel
from tests.incidents.builders import NOW
from tests.notifications.receiver import LOOPBACK, door_to

ID = "9d1f0c5e-0000-5000-8000-000000000001"
#: kind -> how its settings, secrets and a person's address look with a server at {url}
SAMPLES: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "slack": ({}, {"url": "{url}/services/T0/B0/hook-secret-1"}, "*"),
    "teams": ({}, {"url": "{url}/workflows/abc?sig=signature-secret-1"}, "*"),
    "telegram": ({"base_url": "{url}"}, {"token": "123456:telegram-secret"}, "4711"),
    "ntfy": ({"base_url": "{url}"}, {"token": "tk_ntfy-secret-1"}, "mara-nights"),
    "gotify": ({"base_url": "{url}"}, {"token": "Agotify-secret-1"}, "*"),
    "twilio_sms": (
        {"base_url": "{url}", "account": "AC123", "sender": "+4930123"},
        {"token": "twilio-secret-1"},
        "+491701234567",
    ),
    "twilio_voice": (
        {"base_url": "{url}", "account": "AC123", "sender": "+4930123"},
        {"token": "twilio-secret-1"},
        "+491701234567",
    ),
    "sms_gateway": (
        {"url": "{url}/sms", "format": "json", "field_id": "reference", "extra": '{{"from": "Tower"}}'},
        {"key": "Bearer gateway-secret-1"},
        "+491701234567",
    ),
    "voice_gateway": (
        {"url": "{url}/call", "format": "form", "field_to": "number", "field_text": "say"},
        {"key": "Bearer gateway-secret-1"},
        "+491701234567",
    ),
    "pagerduty": ({"base_url": "{url}"}, {"routing_key": "pagerduty-secret-routing-key"}, "*"),
    "opsgenie": ({"base_url": "{url}"}, {"key": "opsgenie-secret-1"}, "*"),
    "jira": (
        {"base_url": "{url}", "edition": "cloud", "project": "OPS", "issue_type": "Task", "account": "a@b.example"},
        {"token": "jira-secret-1"},
        "*",
    ),
    "servicenow": (
        {"base_url": "{url}", "table": "incident", "account": "tower"},
        {"password": "servicenow-secret-1"},
        "*",
    ),
    "webhook": ({"url": "{url}/hook"}, {"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}, "*"),
}
HTTP_KINDS = sorted(kind for kind, plugin in CHANNELS.plugins.items() if isinstance(plugin, HttpChannel))


def config_of(kind: str, url: str) -> dict[str, Any]:
    return {name: value.format(url=url) for name, value in SAMPLES[kind][0].items()}


def secrets_of(kind: str, url: str) -> dict[str, str]:
    return {name: value.format(url=url) for name, value in SAMPLES[kind][1].items()}


def target(kind: str, url: str, door: Door | None = None, inside: bool = True) -> Target:
    """inside: the loopback is allowed, as an administrator allows an internal network."""
    networks = {"allow_networks": [LOOPBACK]} if inside else {}
    return Target(config_of(kind, url) | networks, secrets_of(kind, url), door or door_to(["127.0.0.1"]))


def news(kind: str = "opened", **changes: Any) -> News:
    values: dict[str, Any] = {
        "subject": "[HIGH] No scans from <Northwind> & Co",
        "text": "Parcel 1Z has no first scan, due 18:00.",
        "at": "Mon 02 Mar 2026, 10:00 CET",
        "state": "Open",
        "facts": (("Hits", "12 flows, 41,200 EUR"), ("Late since", "Mon 02 Mar 2026, 09:00 CET")),
        "url": "https://tower.example/incidents/17/",
        "acknowledge_url": "https://tower.example/incidents/acknowledge/token/",
        "kind": kind,
        "severity": "high",
        "title": "No scans from <Northwind> & Co",
        "incident_id": 17,
        "key": "aaaaaaaa-0000-5000-8000-000000000017",
        "moment": NOW,
    }
    return News(**(values | changes))


def message(kind: str, *items: News, message_id: str = ID) -> Message:
    items = items or (news(),)
    return Message(
        message_id=f"<{message_id}@tower.example>",
        thread="<aaaaaaaa-0000-5000-8000-000000000017@tower.example>",
        recipient=SAMPLES[kind][2],
        subject=items[0].subject,
        text="Everything in text.",
        html="<p>Everything</p>",
        short="No scans. Hits: 12 flows. https://tower.example/incidents/17/",
        spoken="This is the control tower. High. No scans <&>.",
        severity="high",
        news=items,
    )
