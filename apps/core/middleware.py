"""Around every request: where it really comes from, its id, one line in the log, no NUL, and an honest 503."""

from __future__ import annotations

import re
import sys
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.template import loader

View = Callable[[HttpRequest], HttpResponseBase]
logger = structlog.get_logger("tower.request")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
#: seconds after which it is worth asking again while the database is away
RETRY_AFTER = "5"
#: SQLSTATE read_only_sql_transaction: the server is a standby or was set read-only
READ_ONLY = "25006"


class ClientAddress:
    """REMOTE_ADDR behind TRUSTED_PROXIES reverse proxies: the address the outermost of them saw.

    Each proxy appends the address it was called from to X-Forwarded-For; what stands further left was written by the
    caller and is not believed. With no trusted proxy the header counts for nothing.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        proxies = settings.TRUSTED_PROXIES
        if proxies:
            hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
            if len(hops) >= proxies:
                request.META["REMOTE_ADDR"] = hops[-proxies]
        return self.get_response(request)


class RequestLog:
    """Gives each request an id (kept from X-Request-ID when a trusted proxy set it) and writes one line when it ends.

    The line names the route, not the path: paths may hold one-time tokens.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "") if settings.TRUSTED_PROXIES else ""
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        if request.path not in _QUIET:
            match = request.resolver_match
            level = logger.error if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR else logger.info
            level(
                "request",
                method=request.method,
                route=match.route if match else None,
                status=response.status_code,
                ms=round((time.perf_counter() - started) * 1000, 1),
                address=request.META.get("REMOTE_ADDR"),
            )
        return response


class NoNul:
    """Takes NUL characters out of what pages are asked and sent: no person types them, and PostgreSQL's text holds none.

    Only where Django's own check of the token has read forms already. Doors and the API are exempt from that check: a door
    sees every byte as it came, and the API says what is wrong with a question.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: View, args: Any, kwargs: Any) -> None:
        if getattr(view, "csrf_exempt", False):
            return
        request.GET = _without_nul(request.GET)  # type: ignore[assignment]  # as immutable as it was
        if request.method == "POST":
            request.POST = _without_nul(request.POST)  # type: ignore[assignment]


def _without_nul(given: QueryDict) -> QueryDict:
    if not any("\x00" in text for name, texts in given.lists() for text in (name, *texts) if isinstance(text, str)):
        return given
    clean = QueryDict(mutable=True, encoding=given.encoding)
    for name, texts in given.lists():
        for text in texts:
            clean.appendlist(name.replace("\x00", ""), text.replace("\x00", "") if isinstance(text, str) else text)
    clean._mutable = False
    return clean


def is_outage(exc: BaseException | None) -> bool:
    """Whether the database is away, refuses connections or takes no writes, rather than a mistake of ours."""
    if isinstance(exc, (OperationalError, InterfaceError)):
        return True
    return getattr(exc.__cause__, "sqlstate", None) == READ_ONLY if exc is not None else False


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: a database that is away is 503 with Retry-After, everything else a plain 500.

    Django calls this while the exception is being handled, wherever it was raised (view or middleware).
    """
    outage = is_outage(sys.exc_info()[1])
    status = HTTPStatus.SERVICE_UNAVAILABLE if outage else HTTPStatus.INTERNAL_SERVER_ERROR
    text = (
        "The control tower cannot reach its database right now. Nothing that was accepted is lost; try again shortly."
        if outage
        else "Something broke in the control tower; the log has the details. Try again, then tell your administrator."
    )
    response = HttpResponse(text + "\n", status=status, content_type="text/plain; charset=utf-8")
    if "text/html" in request.META.get("HTTP_ACCEPT", "") and not request.headers.get("HX-Request"):
        try:
            page = loader.render_to_string("errors/unavailable.html", {"title": status.phrase, "text": text})
            response = HttpResponse(page, status=status)
        except Exception:  # whatever broke, the answer is still an answer
            logger.exception("error_page_broken")
    if outage:
        response["Retry-After"] = RETRY_AFTER
    return response
