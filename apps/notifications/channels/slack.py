"""Slack through an incoming webhook (Slack: "Sending messages using incoming webhooks", Block Kit)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

from apps.notifications.contract import Message, News, Secret, Target
from apps.notifications.http import HttpChannel, Steps, cut, json_call

MOST_BLOCKS = 48
SECTION = 2900


class Slack(HttpChannel):
    kind = "slack"
    label = "Slack"
    purpose = "A message with buttons in one Slack channel"
    secrets: ClassVar = (
        Secret(
            "url", "Webhook address", "From Slack: Apps, Incoming Webhooks. It begins with https://hooks.slack.com/"
        ),
    )

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        blocks = [block for one in message.news for block in _blocks(one)][:MOST_BLOCKS]
        payload: dict[str, Any] = {"text": _plain(cut(message.subject, SECTION))}
        if blocks:
            payload["blocks"] = blocks
        else:
            payload["text"] = _plain(cut(f"{message.subject}\n{message.short}", SECTION))
        yield json_call("POST", target.secrets.get("url", ""), payload)
        return None


def _blocks(news: News) -> Iterator[dict[str, Any]]:
    yield {"type": "section", "text": {"type": "mrkdwn", "text": cut(f"*{_plain(news.subject)}*", SECTION)}}
    facts = " · ".join(f"{name}: {value}" for name, value in news.facts)
    words = "\n".join(part for part in (news.text, facts) if part)
    if words:
        yield {"type": "section", "text": {"type": "mrkdwn", "text": cut(_plain(words), SECTION)}}
    buttons = [("Acknowledge", news.acknowledge_url), ("Open the incident", news.url)]
    yield {
        "type": "actions",
        "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": words}, "url": url}
            for words, url in buttons
            if url
        ],
    }


def _plain(text: str) -> str:
    """No mentions, links or entities of Slack's own come out of what partners wrote."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
