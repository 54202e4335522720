"""The HTTP doors: authenticate, commit the raw bytes, answer. Nothing is parsed before (invariant 1).

A door is one function from a WSGI environ to an `Answer`. `Doors` puts it in front of Django (no middleware, no
resolver: they would cost more than the commit); `door` is the same as a Django view for every other way in.
Whatever fails before the commit answers 503 with Retry-After, never 500: some protocols drop the data on a 500.
"""

from __future__ import annotations

import hmac
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import Error, close_old_connections
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from apps.collectors import encoding, jobs
from apps.collectors.authentication import Verdict
from apps.collectors.batches import BATCH, BATCH_BODY, body_limit
from apps.collectors.contract import COLLECTORS, Collector, RawDelivery
from apps.collectors.directory import DIRECTORY, Busy, Endpoint
from apps.collectors.groupcommit import GROUP, Unavailable
from apps.collectors.receiving import REDACTED, NewReceipt, store
from apps.collectors.refusals import REFUSALS
from apps.collectors.waking import WAKER
from apps.core import clock
from apps.core.policies import declare

log = structlog.get_logger(__name__)

PREFIX = "/in/"
RETRY_AFTER = "5"
_CHUNK = 64 * 1024
#: the server's own environment variables look like headers in some servers' environ (HTTP_PROXY, with a password)
_NOT_HEADERS = frozenset(name for name in os.environ if name.startswith("HTTP_"))
_NOBODY = b"control tower: no such door"

#: a job of a protocol with jobs: ``capture/4711``
_JOB = re.compile(r"([a-z]{1,32})/([0-9]{1,18})", re.ASCII)

Environ = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """The door turns a delivery away; carries the answer and the reason it is counted under."""

    def __init__(self, answer: Answer, reason: str) -> None:
        super().__init__(reason)
        self.answer = answer
        self.reason = reason


def _error(status: int, code: str, sentence: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, orjson.dumps({"error": {"code": code, "sentence": sentence}}), headers=headers)


NOT_OPEN = _error(
    401,
    "door.not_open",
    "This address takes nothing from you: check the address and the key, and that the integration is enabled.",
    ("WWW-Authenticate", "Bearer"),
)
POST_ONLY = _error(405, "door.post_only", "Send deliveries with POST.", ("Allow", "POST"))
UNAVAILABLE = _error(
    503, "door.unavailable", "Nothing was kept. Send the same again in a few seconds.", ("Retry-After", RETRY_AFTER)
)
BAD_LENGTH = _error(400, "door.bad_length", "The body is not as long as Content-Length says. Nothing was kept.")
NO_JOB = _error(404, "door.no_job", "No delivery by this address has that number.")
NO_LENGTH = _error(
    411,
    "door.no_length",
    "Send a Content-Length (or sign or compress the body): half a body must not pass for a whole.",
)


def too_large(limit: int) -> Answer:
    return _error(413, "door.too_large", f"The body is larger than {limit} bytes. Nothing was kept; send it in parts.")


def split(path: str) -> tuple[str, str]:
    """``/in/<endpoint id>/<rest>`` -> (endpoint id, rest without slashes around it)."""
    endpoint_id, _, rest = path.removeprefix(PREFIX).partition("/")
    return endpoint_id, rest.strip("/")


def answer(environ: Environ, endpoint_id: str, rest: str, now: datetime) -> Answer:
    """What a door says to one request. Never raises."""
    integration_id: int | None = None
    try:
        asked = _JOB.fullmatch(rest) if environ["REQUEST_METHOD"] == "GET" else None
        if environ["REQUEST_METHOD"] != "POST" and asked is None:
            return POST_ONLY
        endpoint = DIRECTORY.find(endpoint_id, now)
        integration_id = endpoint.integration_id if endpoint else None
        if asked is not None:
            return _tell(environ, endpoint, asked[1], int(asked[2]), now)
        return _take(environ, endpoint, endpoint_id, rest, now)
    except Refused as refused:
        REFUSALS.count(integration_id, refused.reason, now)
        return refused.answer
    except (Error, Busy, Unavailable) as error:
        _OUTAGE.tell(type(error).__name__)
        return UNAVAILABLE
    except Exception:
        log.exception("door_failed", integration_id=integration_id)
        return UNAVAILABLE


class _Outage:
    """One line a second about an outage, with the number of deliveries it turned away, not one for each of them."""

    def __init__(self) -> None:
        self._since = 0
        self._next = 0.0

    def tell(self, error: str) -> None:
        self._since += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1.0
            log.warning("door_unavailable", error=error, deliveries=self._since)
            self._since = 0


_OUTAGE = _Outage()


def _take(environ: Environ, endpoint: Endpoint | None, endpoint_id: str, rest: str, now: datetime) -> Answer:
    # the same ceiling for everybody: the answer to a large body must not tell which doors exist
    body, announced = _read_body(environ, ceiling())
    if endpoint is None or rest not in ("", BATCH, *endpoint.collector.door_paths):
        hmac.digest(_NOBODY, body, "sha256")
        raise Refused(NOT_OPEN, "no_such_door")
    collector = endpoint.collector
    headers = _headers(environ)
    secrets = endpoint.secrets(now)
    verdict = _authentic(endpoint, headers, body, secrets, now)
    way = BATCH if rest == BATCH else "http"
    coded = _check_size(body, headers.get("content-encoding", ""), body_limit(collector, way))
    if not (announced or coded or _vouched(endpoint, headers, body, secrets, now)):
        raise Refused(NO_LENGTH, "bad_length")
    kept = {name: _without_secrets(value, secrets) for name, value in headers.items()}
    receipt = NewReceipt(
        endpoint.integration_id,
        way,
        body,
        headers.get("content-type", ""),
        kept,
        verdict.delivery_id,
        now,
    )
    receipt_id = GROUP.submit(receipt) if settings.GROUP_COMMIT else store([receipt])[0]
    if settings.WAKE_WORKERS:
        WAKER.wake()
    said = _accepted(collector, receipt, receipt_id)
    if rest in collector.job_paths:
        location = f"{PREFIX}{endpoint_id}/{rest}/{receipt_id}"
        said = replace(said, headers=(*said.headers, ("Location", location)))
    return said


def _authentic(
    endpoint: Endpoint, headers: Mapping[str, str], body: bytes, secrets: list[str], now: datetime
) -> Verdict:
    """The verdict on who is speaking. Raises `Refused`."""
    try:
        verdict = endpoint.collector.authenticate(headers, body, secrets, now, endpoint.settings)
    except Exception:  # what makes an authentication fall over is not authentic
        log.exception("authentication_failed", integration_id=endpoint.integration_id)
        raise Refused(NOT_OPEN, "authentication_crashed") from None
    if not verdict.accepted:
        raise Refused(NOT_OPEN, "not_authentic")
    return verdict


def _tell(environ: Environ, endpoint: Endpoint | None, path: str, number: int, now: datetime) -> Answer:
    """How a job stands, told to whoever may deliver here. Whose job it is not, it does not exist for."""
    if endpoint is None or path not in endpoint.collector.job_paths:
        raise Refused(NOT_OPEN, "no_such_door")
    _authentic(endpoint, _headers(environ), b"", endpoint.secrets(now), now)
    job = jobs.find(endpoint.integration_id, number)
    if job is None:
        return NO_JOB
    reply = endpoint.collector.tell_job(job, endpoint.settings)
    return Answer(reply.status, reply.body, reply.content_type)


def _accepted(collector: Collector, receipt: NewReceipt, receipt_id: int) -> Answer:
    """Committed: from here on the answer is a success, whatever else may fail."""
    try:
        delivery = RawDelivery(receipt.body, receipt.content_type, receipt.headers, receipt.received_at)
        reply = collector.respond(delivery) if receipt.door != BATCH else None
        if reply is not None:
            return Answer(reply.status, reply.body, reply.content_type)
    except Exception:
        log.exception("respond_failed", receipt_id=receipt_id)
    return Answer(202, b'{"receipt":%d,"status":"accepted"}' % receipt_id)


def ceiling() -> int:
    """Bytes the doors read at most, of anybody."""
    return max(BATCH_BODY, *(c.max_body for c in COLLECTORS.plugins.values() if c.has_door))


def _vouched(endpoint: Endpoint, headers: Mapping[str, str], body: bytes, secrets: list[str], now: datetime) -> bool:
    """Whether the sender's authentication covers the body, so that a longer or shorter one would not be authentic."""
    return not endpoint.collector.authenticate(headers, body + b"\0", secrets, now, endpoint.settings).accepted


def _read_body(environ: Environ, limit: int) -> tuple[bytes, bool]:
    """The body as it came, transfer coding removed, and whether its length was announced.

    A body that is longer or shorter than announced is refused. One of unknown length (chunked) may have been cut: not
    every server tells (granian 2.8 reports a broken chunk as the end), so the caller wants another proof of its length.
    """
    stream = environ["wsgi.input"]
    announced = environ.get("CONTENT_LENGTH")
    chunked = "HTTP_TRANSFER_ENCODING" in environ
    if announced in (None, ""):
        if not environ.get("wsgi.input_terminated"):
            if chunked:
                raise Refused(NO_LENGTH, "bad_length")
            return b"", True
        body = _read(stream, limit + 1)
        if len(body) > limit:
            raise Refused(too_large(limit), "too_large")
        return body, not (body or chunked)
    text = str(announced)
    if chunked or not (text.isascii() and text.isdigit()):
        raise Refused(BAD_LENGTH, "bad_length")
    length = int(text[:18])
    if length > limit:
        raise Refused(too_large(limit), "too_large")
    body = _read(stream, length)
    if len(body) != length:
        raise Refused(BAD_LENGTH, "bad_length")
    return body, True


def _read(stream: Any, size: int) -> bytes:
    """Up to size bytes. A body that breaks off is refused: half a delivery is no delivery."""
    parts: list[bytes] = []
    while size > 0:
        try:
            part = stream.read(min(size, _CHUNK))
        except Exception:  # servers raise what they like when a client goes away
            raise Refused(BAD_LENGTH, "bad_length") from None
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _headers(environ: Environ) -> dict[str, str]:
    """Header names in lower case; values as the server decoded them."""
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and name not in _NOT_HEADERS
    }
    content_type = environ.get("CONTENT_TYPE")
    if content_type:
        headers["content-type"] = content_type
    return headers


def _without_secrets(value: str, secrets: list[str]) -> str:
    """A sender may put its secret into a header of any name; no live secret is kept."""
    for secret in secrets:
        if secret and secret in value:
            return REDACTED
    return value


def _check_size(body: bytes, coding: str, limit: int) -> bool:
    """Refuses what is too large, compressed or not, or cannot be expanded. True: it is compressed, and whole."""
    if len(body) > limit:
        raise Refused(too_large(limit), "too_large")
    if coding.strip().lower() in ("", "identity"):
        return False
    try:
        encoding.expand(body, coding, limit)
    except encoding.TooLarge:
        raise Refused(too_large(limit), "too_large") from None
    except encoding.Broken as error:
        raise Refused(_error(400, "door.bad_encoding", f"Nothing was kept: {error}."), "bad_encoding") from None
    except encoding.Unsupported as error:
        answer = _error(
            415, "door.unknown_encoding", f"Nothing was kept: {error}.", ("Accept-Encoding", encoding.SUPPORTED)
        )
        raise Refused(answer, "bad_encoding") from None
    return True


def _count_up() -> bool:
    """Writes the refusals of the last seconds, if it is time; whether it was."""
    if not REFUSALS.due():
        return False
    try:
        REFUSALS.write()
    except Exception:
        log.exception("refusals_not_written")
    return True


def _door(request: HttpRequest, endpoint_id: str, rest: str = "") -> HttpResponse:
    """The doors as a Django view."""
    said = answer(request.META, endpoint_id, rest.strip("/"), clock.now())
    _count_up()
    return HttpResponse(said.body, status=said.status, content_type=said.content_type, headers=dict(said.headers))


#: a machine's signature is the permission, so there is no cookie a forged request could ride on
door = declare(csrf_exempt(_door), "machine")


class Doors:
    """WSGI: the doors in front of an application. Only paths below ``/in/`` are theirs."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        COLLECTORS.plugins  # noqa: B018 (found now, at start-up: their imports would keep the first requests waiting)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not path.startswith(PREFIX) or path == PREFIX:
            return self._application(environ, start_response)
        # a question after a job reads the database on this thread, whoever writes the deliveries
        alone = not settings.GROUP_COMMIT or environ.get("REQUEST_METHOD") == "GET"
        if alone:
            close_old_connections()
        reads = DIRECTORY.reads
        said = answer(environ, *split(path), clock.now())
        counted = _count_up()
        if alone or counted or DIRECTORY.reads != reads:  # Django's connection of this thread was used
            close_old_connections()
        start_response(
            f"{said.status} {HTTPStatus(said.status).phrase}",
            [
                ("Content-Type", said.content_type),
                ("Content-Length", str(len(said.body))),
                ("X-Content-Type-Options", "nosniff"),
                ("Cache-Control", "no-store"),
                *said.headers,
            ],
        )
        return [said.body]
