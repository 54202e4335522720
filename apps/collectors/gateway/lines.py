"""One line of an access log as one call: nginx and Apache (combined, with what is written behind it), Traefik's common
format, and JSON lines of nginx, Envoy, Kong and Traefik. Pure.

What is not needed is not looked at: no headers, no bodies, no addresses unless asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import orjson

from apps.collectors.gateway.routes import path_of
from apps.collectors.mapping_rules import plain
from apps.collectors.times import EPOCH, EPOCH_MS, ISO, TimeError, read_time

ANONYMOUS = "anonymous"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
_CLF = re.compile(
    r'(?P<address>\S{1,200}) \S+ (?P<user>.{1,200}?) \[(?P<time>[^\]]{10,40})\] "(?P<request>(?:[^"\\]|\\.)*)" '
    r"(?P<status>\d{3}|-) (?:\d+|-)(?P<rest>.*)",
    re.DOTALL,
)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
#: what people add behind the combined format: rt=0.123, request_time=0.123, a bare 0.123, Traefik's 17ms
_SECONDS = re.compile(
    r"(?:\b(?:rt|request_time|rqt|reqtime)[=:]\s*|(?<![\w.])(?=\d+\.\d{3}(?![\w.])))(\d{1,6}(?:\.\d{1,6})?)"
)
_MILLISECONDS = re.compile(r"(?<![\w.])(\d{1,9}(?:\.\d+)?)ms\b")
_CLF_TIME = "%d/%b/%Y:%H:%M:%S %z"


_OWN_STATUS = frozenset({"status", "response", "DownstreamStatus", "response_code", "status_code"})


class NoCall(Exception):
    """A line that is no call. reason: a short code; its text is a sentence's end: 'has no status'."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Call:
    """at: in UTC, when it began or was logged; path: without query; milliseconds: None when the log does not say;

    had_query: the line carried a query string; router: what the gateway itself calls the route ('' if nothing).
    """

    at: datetime
    consumer: str
    method: str
    path: str
    status: int
    milliseconds: float | None
    router: str = ""
    had_query: bool = False

    def as_json(self) -> dict[str, Any]:
        """All that is kept of a line where we write it ourselves; `read_call` reads it back."""
        return {
            "time": self.at.isoformat(),
            "consumer": self.consumer,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "duration_ms": self.milliseconds,
            "router": self.router,
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """How an integration's lines are read. places: what (a name of `PLACES`) -> field of a JSON line; a dot leads inside."""

    zone: tzinfo
    places: Mapping[str, str]
    by_address: bool = False


def read_call(line: bytes, reading: Reading) -> Call:
    """Raises `NoCall`."""
    if line.lstrip()[:1] != b"{":
        return _read_text(line, reading)
    document = _document(line)
    if "unreadable" in document:
        raise NoCall("unreadable", plain(document.get("why")) or "could not be read")
    inner = document.get("log", document.get("message"))
    if isinstance(inner, str) and not _OWN_STATUS & set(document):
        # a log shipper's wrapper around the line; a wrapper in a wrapper is none
        text = inner.strip().encode("utf-8", "replace")
        return _read_json(_document(text), reading) if text[:1] == b"{" else _read_text(text, reading)
    return _read_json(document, reading)


def _document(line: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise NoCall("json", "is no valid JSON") from None
    return document


def _read_text(line: bytes, reading: Reading) -> Call:
    match = _CLF.fullmatch(line.decode("utf-8", "replace").strip())
    if match is None:
        raise NoCall("format", "is in none of the formats that are read (combined, JSON)")
    method, target = _request(match["request"])
    user = match["user"].strip()
    consumer = user if user != "-" else match["address"] if reading.by_address else ANONYMOUS
    rest = _QUOTED.sub(" ", match["rest"])
    milliseconds = _first(_MILLISECONDS, rest)
    if milliseconds is None and (seconds := _first(_SECONDS, rest)) is not None:
        milliseconds = seconds * 1000
    try:
        at = read_time(match["time"], _CLF_TIME, reading.zone)
    except TimeError:
        at = _time(match["time"], reading.zone)
    status = int(match["status"]) if match["status"] != "-" else 0
    return Call(at, consumer, method, path_of(target), status, milliseconds, had_query="?" in target)


def _first(pattern: re.Pattern[str], text: str) -> float | None:
    match = pattern.search(text)
    return float(match[1]) if match else None


def _request(text: str) -> tuple[str, str]:
    """Method and target of a request line; what is none (a TLS hello on a plain port) has neither."""
    method, _, rest = text.partition(" ")
    return (method, rest.rpartition(" ")[0] or rest) if method in _METHODS else ("OTHER", "/")


# -- JSON lines ------------------------------------------------------------------------------------------------------

#: what -> where gateways write it, in this order (nginx by custom, Envoy's documented example, Kong's log plugins, Traefik)
PLACES: dict[str, tuple[str, ...]] = {
    "time": ("started_at", "StartUTC", "start_time", "time_iso8601", "@timestamp", "timestamp", "time", "ts", "msec", "time_local"),
    "consumer": (
        "consumer.username", "consumer.custom_id", "consumer", "consumer_username", "ClientUsername", "remote_user", "client_id",
        "user", "x_consumer_username",
    ),
    "address": ("client_ip", "ClientHost", "remote_addr", "downstream_remote_address", "x_forwarded_for"),
    "method": ("request.method", "RequestMethod", "request_method", "method", "http_method"),
    "path": ("request.uri", "request.path", "RequestPath", "request_uri", "uri", "path", "url", "request.url"),
    "status": ("response.status", "DownstreamStatus", "response_code", "status", "status_code"),
    "milliseconds": ("latencies.request", "duration", "duration_ms", "latency_ms", "response_time_ms"),
    "seconds": ("request_time", "duration_s"),
    "nanoseconds": ("Duration",),
    "router": ("route.name", "RouterName", "route_name", "router", "service.name", "upstream_cluster"),
}  # fmt: skip


def _read_json(document: Mapping[str, Any], reading: Reading) -> Call:
    def found(what: str) -> Any:
        return _find(document, what, reading.places)

    status = _number(found("status"))
    if status is None or not 0 <= status <= 999:
        raise NoCall("status", "has no status")
    method, target = plain(found("method")), plain(found("path"))
    if (method is None or target is None) and isinstance(document.get("request"), str):
        method, target = _request(document["request"])
    if target is None:
        raise NoCall("path", "has no path")
    method = (method or "").upper()
    when = found("time")
    if when is None:
        raise NoCall("time", "has no time")
    consumer = plain(found("consumer"))
    if consumer in (None, "", "-") or isinstance(found("consumer"), bool):
        consumer = _address(plain(found("address"))) if reading.by_address else ANONYMOUS
    return Call(
        at=_time(when, reading.zone),
        consumer=consumer or ANONYMOUS,
        method=method if method in _METHODS else "OTHER",
        path=path_of(target),
        status=int(status),
        milliseconds=_milliseconds(found),
        router=plain(found("router")) or "",
        had_query="?" in target,
    )


def _find(document: Mapping[str, Any], what: str, own: Mapping[str, str]) -> Any:
    places = (own[what],) if what in own else PLACES[what]
    for place in places:
        if place in document:
            value: Any = document[place]
        elif "." in place:
            outer, _, inner = place.partition(".")
            held = document.get(outer)
            value = held.get(inner) if isinstance(held, dict) else None
        else:
            continue
        if value is not None and not isinstance(value, dict | list):
            return value
    return None


def _milliseconds(found: Callable[[str], Any]) -> float | None:
    for what, factor in (("nanoseconds", 1e-6), ("seconds", 1000.0), ("milliseconds", 1.0)):
        number = _number(found(what))
        if number is not None and number >= 0:
            return round(number * factor, 3)
    return None


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _address(text: str | None) -> str:
    """The address alone: no port, and the first of a list of proxies."""
    first = (text or "").split(",")[0].strip()
    return first.rpartition(":")[0] if first.count(":") == 1 else first


def _time(value: Any, zone: tzinfo) -> datetime:
    number = _number(value)
    try:
        if number is not None:
            return read_time(value, EPOCH_MS if number > 100_000_000_000 else EPOCH, zone)
        try:
            return read_time(value, ISO, zone)
        except TimeError:
            return read_time(value, _CLF_TIME, zone)
    except TimeError:
        raise NoCall(
            "time", "has a time that is neither ISO 8601 nor seconds since 1970 nor as in access logs"
        ) from None
