"""Telegram through a bot (Telegram: Bot API, sendMessage)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import escape
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from apps.core import outbound
from apps.notifications.contract import Message, Secret, Target
from apps.notifications.fields import AddressField, HttpForm
from apps.notifications.http import LONGEST_WAIT, HttpChannel, Steps, cut, json_call, read_json

LONGEST = 4000
_CHAT = re.compile(r"-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,31}")


def clean_chat(text: str) -> str:
    text = text.strip()
    if not _CHAT.fullmatch(text):
        raise ValidationError("A chat is a number like 123456789 (groups: -100123…) or @name.")
    return text


class TelegramForm(HttpForm):
    to = forms.CharField(required=False, max_length=40, label="Group or channel", help_text="Its id, or @name")
    base_url = AddressField(
        label="Bot API", initial="https://api.telegram.org", help_text="Change it only for an own server"
    )
    field_order = ("to", "base_url")

    def clean_to(self) -> str:
        text: str = self.cleaned_data["to"]
        return clean_chat(text) if text else ""


class Telegram(HttpChannel):
    kind = "telegram"
    label = "Telegram"
    purpose = "A message with buttons, to people or to a group, from a bot of yours"
    personal = True
    address_label = "Telegram chat id"
    address_help = "Write to the bot first; @userinfobot tells you your id"
    ConfigForm = TelegramForm
    secrets: ClassVar = (Secret("token", "Bot token", "From @BotFather, like 123456:ABC…"),)

    def clean_address(self, text: str) -> str:
        return clean_chat(text)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        payload: dict[str, Any] = {
            "chat_id": message.recipient,
            "text": _text(message),
            "parse_mode": "HTML",
            # a preview would open the link; opening changes nothing, but it need not
            "link_preview_options": {"is_disabled": True},
        }
        if message.news:
            first = message.news[0]
            buttons = [("Acknowledge", first.acknowledge_url), ("Open the incident", first.url)]
            payload["reply_markup"] = {
                "inline_keyboard": [[{"text": text, "url": url} for text, url in buttons if url]]
            }
        token = target.secrets.get("token", "")
        base = str(target.config.get("base_url", "https://api.telegram.org")).rstrip("/")
        yield json_call("POST", f"{base}/bot{token}/sendMessage", payload)
        return None

    def asked_pause(self, reply: outbound.Response, now: datetime) -> timedelta | None:
        """Telegram says it in the body: ``{"parameters": {"retry_after": 35}}``."""
        parameters = read_json(reply)
        parameters = parameters.get("parameters") if isinstance(parameters, dict) else None
        seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
        if isinstance(seconds, int) and seconds >= 0:
            return min(timedelta(seconds=min(seconds, 10**6)), LONGEST_WAIT)
        return super().asked_pause(reply, now)


def _text(message: Message) -> str:
    parts = [f"<b>{escape(cut(message.subject, 300))}</b>"]
    length = len(parts[0])
    for one in message.news:
        lines = [one.text, *(f"{name}: {value}" for name, value in one.facts)]
        if len(message.news) > 1:
            lines = [one.subject, one.text]
        part = escape(cut("\n".join(line for line in lines if line), 1500))
        if length + len(part) > LONGEST:
            parts.append("…")
            break
        parts.append(part)
        length += len(part) + 2
    if not message.news and message.short:
        parts.append(escape(cut(message.short, 1500)))
    return "\n\n".join(parts)
