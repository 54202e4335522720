"""A receipt of channel messages: one JSON document a line, each message byte for byte with what stood beside it. Pure.

``{"id": "orders/0@17", "at": "2026-01-19T14:00:00Z", "content_type": "application/json", "headers": {...}, "body": ".."}``;
a body that is no UTF-8 stands in ``body_base64``. A line with ``gone`` says that messages were lost before we read them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from apps.collectors import jsonbody
from apps.collectors.mapping_rules import plain
from apps.flows.canonical import ParseFailure

CONTENT_TYPE = "application/vnd.controltower.messages+jsonl"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a channel. id: its place there (``queue#7``, a stream's entry id, ``topic/partition@offset``);

    headers: names in lower case; at: when the broker or the producer stamped it; gone: a sentence about messages that no
    longer exist, in place of a body.
    """

    id: str
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None
    gone: str = ""

    @property
    def size(self) -> int:
        """About how many bytes it takes in a receipt."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers.items()) + 100


def write(messages: Iterable[Message]) -> bytes:
    return b"".join(orjson.dumps(_line(one)) + b"\n" for one in messages)


def _line(one: Message) -> dict[str, Any]:
    if one.gone:
        return {"id": _sound(one.id), "gone": _sound(one.gone)}
    found: dict[str, Any] = {"id": _sound(one.id)}
    if one.at is not None:
        found["at"] = one.at.isoformat()
    if one.content_type:
        found["content_type"] = _sound(one.content_type)
    if one.headers:
        found["headers"] = {_sound(name): _sound(value) for name, value in one.headers.items()}
    try:
        found["body"] = one.body.decode()
    except UnicodeDecodeError:
        found["body_base64"] = base64.b64encode(one.body).decode()
    return found


def _sound(text: str) -> str:
    """Lone surrogates (bytes of a header that are no UTF-8) as visible escapes: JSON has no place for them."""
    return text.encode("utf-8", "backslashreplace").decode()


def read(body: bytes) -> Iterator[tuple[str, Message | ParseFailure]]:
    """(position, message) for each line; a line that is no message gives the failure in its place."""
    for number, line in enumerate(body.split(b"\n"), start=1):
        if line.strip():
            try:
                message = _message(line)
                yield f"message {number} ({jsonbody.excerpt(message.id, 80)})", message
            except ParseFailure as failure:
                yield f"message {number}", failure


def _message(line: bytes) -> Message:
    try:
        document: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = jsonbody.read(line, max_bytes=64 * 1024 * 1024).value  # says where and why not
    if not isinstance(document, dict):
        raise _no_message(line)
    if gone := plain(document.get("gone")):
        return Message(plain(document.get("id")) or "", gone=gone)
    text, encoded, headers = document.get("body"), document.get("body_base64"), document.get("headers", {})
    if not isinstance(headers, dict):
        raise _no_message(line)
    try:
        body = text.encode() if isinstance(text, str) else base64.b64decode(encoded or "", validate=True)
    except (binascii.Error, ValueError, TypeError, UnicodeEncodeError):
        raise _no_message(line) from None
    if not isinstance(text, str) and not isinstance(encoded, str):
        raise _no_message(line)
    return Message(
        id=plain(document.get("id")) or "",
        body=body,
        content_type=plain(document.get("content_type")) or "",
        headers={name.lower(): plain(value) or "" for name, value in headers.items()},
    )


def _no_message(line: bytes) -> ParseFailure:
    sentence = "The line is no message of a channel: an object with id, and body or body_base64."
    return ParseFailure("channel.envelope", sentence, "", jsonbody.excerpt(line))
