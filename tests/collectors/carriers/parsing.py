"""Samples of the carriers' kinds as Python values, changed and read again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseResult
from tests.collectors.samples import FOLDER

RECEIVED_AT = datetime(2026, 1, 20, 12, tzinfo=UTC)

#: kind -> (sample with a history, where the history stands, newest scan first, fields of a scan's status)
HISTORIES: dict[str, tuple[str, tuple[str | int, ...], tuple[str, ...]]] = {
    "easypost": ("updated", ("result", "tracking_details"), ("status", "status_detail")),
    "aftership": ("delivered", ("msg", "checkpoints"), ("tag", "subtag")),
    "seventeentrack": (
        "updated",
        ("data", "track_info", "tracking", "providers", 0, "events"),
        ("sub_status", "stage"),
    ),
    "shippo": ("updated", ("data", "tracking_history"), ("status", "substatus")),
    "shipengine": ("track", ("data", "events"), ("status_code", "status_detail_code")),
    "fedex": (
        "pushed",
        ("output", "completeTrackResults", 0, "trackResults", 0, "scanEvents"),
        ("eventType", "derivedStatusCode"),
    ),
    "ups": ("polled", ("trackResponse", "shipment", 0, "package", 0, "activity"), ("status",)),
    "dhl": ("pushed", ("shipments", 0, "events"), ("statusCode", "status")),
    "karrio": ("tracker", ("data", "events"), ("status",)),
}


def sample(kind: str, name: str) -> Any:
    return json.loads((FOLDER / kind / f"{name}.json").read_text())


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


def changed(document: Any, change: Callable[[Any], object]) -> Any:
    """A copy, changed in place."""
    other = copy.deepcopy(document)
    change(other)
    return other


def read(kind: str, document: Any, zone: str = "Europe/Berlin", **settings: Any) -> ParseResult:
    """What the kind makes of a document (or of bytes); a failure counts as its one issue."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    source = SourceContext("hook", "acme", zone, settings)
    try:
        return COLLECTORS.get(kind).parse(RawDelivery(body, "application/json", {}, RECEIVED_AT), source)
    except ParseFailure as failure:
        return ParseResult((), (failure.issue,))


def told(result: ParseResult) -> set[tuple[str, str]]:
    """(identity, content) of the events: what recording compares."""
    return {(event.source_event_id, str(event.content_key())) for event in result.events}


def scans(result: ParseResult) -> list[CanonicalEvent]:
    return [event for event in result.events if "status_code" in event.data]


def codes(result: ParseResult) -> list[str]:
    return [issue.code for issue in result.issues]
