"""A delivery by token: the bytes are committed as a door does it, nothing is parsed before (invariant 1)."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, UnreadablePostError
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError

from apps.api.parsing import TooLarge
from apps.api.problems import Conflict
from apps.collectors import encoding
from apps.collectors.contract import COLLECTORS
from apps.collectors.receiving import NewReceipt, store
from apps.collectors.waking import WAKER
from apps.integrations.models import Integration

CLOSED = (Integration.Lifecycle.PLANNED, Integration.Lifecycle.RETIRED)
_CHUNK = 64 * 1024


class NoLength(APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "no_length"
    default_detail = "Send a Content-Length: half a body must not pass for a whole."


class UnknownEncoding(APIException):
    status_code = status.HTTP_415_UNSUPPORTED_MEDIA_TYPE
    default_code = "unknown_encoding"


def deliver(integration: Integration, request: HttpRequest, now: datetime) -> int:
    """Keeps the body and returns the receipt's number. Raises Conflict where the integration takes none, ParseError,
    TooLarge, NoLength or UnknownEncoding for bodies that are refused, and django.db errors when it cannot commit."""
    collector = COLLECTORS.plugins.get(integration.kind)
    if collector is None or not collector.has_door:
        raise Conflict("This integration takes no deliveries: its collector fetches by itself or is not installed.")
    if not integration.enabled or integration.lifecycle in CLOSED:
        raise Conflict("This integration is switched off, planned or retired, so it takes no deliveries.")
    body = _body(request, collector.max_body)
    headers = {name.lower(): value for name, value in request.headers.items()}
    _check_encoding(body, headers.get("content-encoding", ""), collector.max_body)
    receipt = NewReceipt(
        integration.pk,
        "api",
        body,
        headers.get("content-type", ""),
        headers,
        headers.get("idempotency-key", ""),
        now,
    )
    [number] = store([receipt])
    if settings.WAKE_WORKERS:
        WAKER.wake()
    return number


def _body(request: HttpRequest, limit: int) -> bytes:
    announced = request.META.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in request.META or (not announced and request.META.get("wsgi.input_terminated")):
        raise NoLength
    length = int(announced[:18]) if announced.isascii() and announced.isdigit() else 0
    if length == 0:
        raise ParseError("The body is empty: nothing was delivered.")
    if length > limit:
        raise TooLarge(f"The body is larger than {limit} bytes. Nothing was kept; send it in parts.")
    parts: list[bytes] = []
    missing = length
    while missing > 0:
        try:
            part = request.read(min(missing, _CHUNK))
        except (UnreadablePostError, OSError):
            part = b""
        if not part:
            raise ParseError("The body is shorter than Content-Length says. Nothing was kept.")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _check_encoding(body: bytes, coding: str, limit: int) -> None:
    """What cannot be expanded later is refused now, while the sender still listens."""
    if coding.strip().lower() in ("", "identity"):
        return
    try:
        encoding.expand(body, coding, limit)
    except encoding.TooLarge:
        raise TooLarge(f"The body is larger than {limit} bytes when expanded. Nothing was kept.") from None
    except encoding.Broken as error:
        raise ParseError(f"Nothing was kept: {error}.") from None
    except encoding.Unsupported as error:
        raise UnknownEncoding(f"Nothing was kept: {error}.") from None
