"""Microsoft Teams through a workflow ("Post to a channel when a webhook request is received") with an Adaptive Card 1.4."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

from apps.notifications.contract import Message, News, Secret, Target
from apps.notifications.http import HttpChannel, Steps, cut, json_call

CARD = "application/vnd.microsoft.card.adaptive"
SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
#: a workflow takes 28 KB
MOST_NEWS = 12
COLOURS = {"critical": "attention", "high": "warning"}


class Teams(HttpChannel):
    kind = "teams"
    label = "Microsoft Teams"
    purpose = "A card in a Teams channel or chat, posted by a workflow"
    secrets: ClassVar = (
        Secret(
            "url",
            "Workflow address",
            "In Teams: Workflows, “Post to a channel when a webhook request is received”. It holds a signature",
        ),
    )

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        body = [block for one in message.news[:MOST_NEWS] for block in _block(one)]
        if not body:
            body = [_text(message.subject, weight="bolder"), _text(message.short)]
        elif len(message.news) > MOST_NEWS:
            body.append(_text(f"And {len(message.news) - MOST_NEWS} more."))
        card = {"$schema": SCHEMA, "type": "AdaptiveCard", "version": "1.4", "body": body}
        one = message.news[0] if message.news else None
        if one:
            buttons = [("Acknowledge", one.acknowledge_url), ("Open the incident", one.url)]
            card["actions"] = [{"type": "Action.OpenUrl", "title": words, "url": url} for words, url in buttons if url]
        attachment = {"contentType": CARD, "contentUrl": None, "content": card}
        payload = {"type": "message", "attachments": [attachment]}
        yield json_call("POST", target.secrets.get("url", ""), payload)
        return None


def _text(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "TextBlock", "text": cut(_plain(text), 1500), "wrap": True, **style}


def _block(news: News) -> Iterator[dict[str, Any]]:
    yield _text(news.subject, weight="bolder", color=COLOURS.get(news.severity, "default"), separator=True)
    if news.text:
        yield _text(news.text)
    if news.facts:
        facts = [{"title": _plain(name), "value": _plain(value)} for name, value in news.facts]
        yield {"type": "FactSet", "facts": facts}


def _plain(text: str) -> str:
    """Text blocks read a little Markdown: links and emphasis of strangers stay words."""
    for mark in "\\[]*_":
        text = text.replace(mark, "\\" + mark)
    return text
