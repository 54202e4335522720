"""ntfy: push messages to phones and desktops, on ntfy.sh or an own server (ntfy: "Publish as JSON")."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from apps.notifications.contract import Message, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import HttpChannel, Steps, cut, json_call

PRIORITY = {"critical": 5, "high": 4, "normal": 3, "low": 2}
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")


def clean_topic(text: str) -> str:
    text = text.strip()
    if not _TOPIC.fullmatch(text):
        raise ValidationError("A topic is made of letters, digits, - and _; choose one that nobody guesses.")
    return text


class NtfyForm(HttpForm):
    base_url = AddressField(label="Server", initial="https://ntfy.sh")
    to = forms.CharField(required=False, max_length=64, label="Topic", help_text="For a topic that a whole team reads")
    field_order = ("base_url", "to")

    def clean_to(self) -> str:
        text: str = self.cleaned_data["to"]
        return clean_topic(text) if text else ""


class Ntfy(HttpChannel):
    kind = "ntfy"
    label = "ntfy"
    purpose = "Push to phones, from ntfy.sh or a server of your own"
    personal = True
    address_label = "ntfy topic"
    address_help = "The topic your app is subscribed to"
    ConfigForm = NtfyForm
    secrets: ClassVar = (Secret("token", "Access token", "Empty for topics that everybody may write to", False),)

    def clean_address(self, text: str) -> str:
        return clean_topic(text)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        payload: dict[str, Any] = {
            "topic": message.recipient,
            "title": cut(message.subject, 250),
            "message": cut(text_of(message), 3500),
            "priority": PRIORITY.get(message.severity, 3),
        }
        if message.news:
            first = message.news[0]
            payload["click"] = message.url
            buttons = [("Acknowledge", first.acknowledge_url), ("Open", first.url)]
            payload["actions"] = [{"action": "view", "label": label, "url": url} for label, url in buttons if url]
        token = target.secrets.get("token", "")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        base = str(target.config.get("base_url", "https://ntfy.sh")).rstrip("/")
        yield json_call("POST", base + "/", payload, headers)
        return None


def text_of(message: Message) -> str:
    if not message.news:
        return message.short
    if len(message.news) > 1:
        return "\n".join(f"{n}. {one.subject}" for n, one in enumerate(message.news, 1))
    one = message.news[0]
    return "\n".join([one.text, *(f"{name}: {value}" for name, value in one.facts)])
