"""Channels over HTTP: they say which requests to make; the requests leave by the outbound door, here and nowhere else.

What an answer means: 2xx taken. 408, 425, 429, 5xx and silence: later, and not before a ``Retry-After``. 401, 403, 404,
410: the channel's own key or address is wrong. Any other 4xx: this message will never be taken.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from base64 import b64encode
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode

from apps.core import outbound
from apps.notifications.contract import Channel, DeliveryError, Message, Target
from apps.notifications.fields import HttpForm

TIMEOUT = 10.0
MAX_REPLY = 64 * 1024
#: of one message; each takes TIMEOUT at most, together less than `dispatch.LEASE`
MOST_STEPS = 5
SHOWN = 300
LATER = frozenset({408, 425, 429})
OWN_FAULT = frozenset({401, 403, 404, 410})
#: a receiver that asks for more is tried again after this
LONGEST_WAIT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. fine: statuses besides 2xx that are an answer and no failure."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fine: frozenset[int] = frozenset()


Steps = Generator[Call, outbound.Response, str | None]


class HttpChannel(Channel):
    """Subclasses write `steps`: a generator that yields calls and gets the replies. Pure, apart from the door."""

    ConfigForm = HttpForm

    @abstractmethod
    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        """The calls of one message, in turn; returns a sentence on the outcome, or None for the last reply's."""

    def send(self, message: Message, target: Target, now: datetime) -> str:
        steps = self.steps(message, target, now)
        try:
            call = next(steps)
            for _step in range(MOST_STEPS):
                reply = self._exchange(call, message, target, now)
                call = steps.send(reply)
        except StopIteration as end:
            return _scrubbed(end.value or said(reply), target)
        raise DeliveryError("The receiver asked for too many steps.", permanent=True)

    def _exchange(self, call: Call, message: Message, target: Target, now: datetime) -> outbound.Response:
        headers = {"idempotency-key": message.key, **call.headers}
        try:
            reply = target.door(
                call.method,
                call.url,
                headers=headers,
                body=call.body,
                timeout=TIMEOUT,
                max_bytes=MAX_REPLY,
                allow=[ip_network(one) for one in target.config.get("allow_networks", ())],
            )
        except outbound.OutboundRefused as refused:
            raise DeliveryError(_scrubbed(str(refused), target), permanent=True, blames_channel=True) from None
        except outbound.ReplyTooLarge as large:  # it has answered, at length; whether it took it is not known
            raise DeliveryError(_scrubbed(str(large), target)) from None
        except outbound.OutboundFailed as failed:
            text = _scrubbed(str(failed), target)
            raise DeliveryError(
                text, permanent=failed.permanent, blames_channel=failed.permanent, unreachable=not failed.permanent
            ) from None
        if 200 <= reply.status < 300 or reply.status in call.fine:
            return reply
        raise self.refusal(reply, target, now)

    def refusal(self, reply: outbound.Response, target: Target, now: datetime) -> DeliveryError:
        """What an answer other than "taken" means. Channels with rules of their own override it."""
        text = _scrubbed(said(reply), target)
        if reply.status in LATER or reply.status >= 500:
            return DeliveryError(text, retry_after=self.asked_pause(reply, now), unreachable=reply.status >= 500)
        return DeliveryError(text, permanent=True, blames_channel=reply.status in OWN_FAULT, gone=reply.status == 410)

    def asked_pause(self, reply: outbound.Response, now: datetime) -> timedelta | None:
        """``Retry-After`` as seconds or as a date (RFC 9110, 10.2.3)."""
        return retry_after(reply.headers.get("retry-after", ""), now)


def retry_after(text: str, now: datetime) -> timedelta | None:
    """None when it says nothing usable; never more than a day."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return max(min(when - now, LONGEST_WAIT), timedelta(0))


def said(reply: outbound.Response) -> str:
    """The receiver's answer in one line for people."""
    text = " ".join(reply.body[: SHOWN * 4].decode(errors="replace").split())
    text = "".join(one for one in text if one.isprintable())
    return f"Answered {reply.status}" + (f": {text[:SHOWN]}" if text else "")


def _scrubbed(text: str, target: Target) -> str:
    """Some receivers repeat what they were sent: secrets go no further."""
    for secret in sorted(target.secrets.values(), key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(secret, "•••")
    return text


def json_call(
    method: str,
    url: str,
    payload: Any,
    headers: Mapping[str, str] | None = None,
    fine: frozenset[int] = frozenset(),
) -> Call:
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return Call(method, url, {"content-type": "application/json", **(headers or {})}, body, fine)


def form_call(url: str, values: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Call:
    body = urlencode(values).encode()
    return Call("POST", url, {"content-type": "application/x-www-form-urlencoded", **(headers or {})}, body)


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def read_json(reply: outbound.Response) -> Any:
    """The reply's JSON; an empty mapping when it is none."""
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}


def cut(text: str, length: int) -> str:
    """At most so many characters, ending in an ellipsis when something is missing."""
    return text if len(text) <= length else text[: length - 1] + "…"
