"""Our own JSON form of a canonical event, for senders that need no mapping. Documented in docs/collectors/webhook.md.

``{"type": "pick.completed", "happened_at": "2026-01-15T10:00:00Z", "references": [{"kind": "picking", "value":
"WH/OUT/1"}]}`` and, if wanted: id, sent_at, booked_at, zone, dates, parties, data, traceparent. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from apps.collectors.jsonbody import MAX_EVENTS, excerpt
from apps.collectors.mapping import known_type
from apps.collectors.mapping_rules import plain
from apps.collectors.times import ISO, TimeError, read_time, zone_of
from apps.collectors.tracing import trace_id_of
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference
from apps.flows.catalogue import REFERENCE_KINDS

FIELDS = frozenset(
    {
        *("id", "type", "happened_at", "sent_at", "booked_at", "zone"),
        *("references", "dates", "parties", "data", "traceparent"),
    }
)


class Unreadable(Exception):
    """This object is no event of our form."""

    def __init__(self, code: str, sentence: str, position: str, fragment: Any = "") -> None:
        super().__init__(sentence)
        self.issue = ParseIssue(code, sentence, position, excerpt(fragment))


def read_events(document: Any, partner: str, zone: str) -> ParseResult:
    """One event, a list of them, or ``{"events": [...]}``. Raises `ParseFailure` when it is none of these."""
    place = "$"
    if isinstance(document, dict) and "events" in document and "type" not in document:
        document, place = document["events"], "$.events"
    if isinstance(document, dict):
        items = [(document, "$")]
    elif isinstance(document, list):
        items = [(item, f"{place}[{index}]") for index, item in enumerate(document)]
    else:
        raise ParseFailure(
            "event.not_an_object", "An event must be a JSON object, or a list of them.", place, excerpt(document)
        )
    if len(items) > MAX_EVENTS:
        sentence = f"The delivery holds {len(items):,} events; at most {MAX_EVENTS:,} are taken from one."
        raise ParseFailure("receipt.too_many_events", sentence, place)
    events: list[CanonicalEvent] = []
    issues: list[ParseIssue] = []
    for item, position in items:
        try:
            events.append(read_event(item, position, partner, zone, issues))
        except Unreadable as problem:
            issues.append(problem.issue)
    return ParseResult(tuple(events), tuple(issues))


def read_event(item: Any, position: str, partner: str, zone: str, issues: list[ParseIssue]) -> CanonicalEvent:
    """One event. Appends warnings to `issues`; raises `Unreadable`."""
    if not isinstance(item, dict):
        raise Unreadable("event.not_an_object", "An event must be a JSON object.", position, item)
    for name in sorted(set(item) - FIELDS)[:10]:
        sentence = f"The field “{excerpt(name, 60)}” is not part of an event and was left out; put it into data."
        issues.append(ParseIssue("event.unknown_field", sentence, f"{position}.{excerpt(name, 60)}", "", "warning"))
    kind = item.get("type")
    if not isinstance(kind, str) or not known_type(kind, f"{position}.type", issues):
        sentence = "The type must be a name of the catalogue, such as pick.completed."
        raise Unreadable("event.bad_type", sentence, f"{position}.type", kind)
    zone_name = item.get("zone") or zone
    try:
        own_zone = zone_of(zone_name if isinstance(zone_name, str) else "")
    except TimeError:
        sentence = "The zone must be an IANA name, such as Europe/Berlin."
        raise Unreadable("event.bad_zone", sentence, f"{position}.zone", zone_name) from None
    happened_at = _time(item, "happened_at", position, own_zone)
    if happened_at is None:
        raise Unreadable("event.missing", "The time happened_at is missing.", f"{position}.happened_at", item)
    trace_id = trace_id_of(plain(item.get("traceparent")) or "")
    return CanonicalEvent(
        type=kind,
        happened_at=happened_at,
        references=_references(item.get("references"), position, partner, trace_id, issues),
        source_event_id=plain(item.get("id")) or "",
        sent_at=_time(item, "sent_at", position, own_zone),
        booked_at=_time(item, "booked_at", position, own_zone),
        zone=zone_name,
        dates={
            name: _date(value, f"{position}.dates.{name}", own_zone) for name, value in _object(item, "dates", position)
        },
        parties={
            role: _party(value, f"{position}.parties.{role}") for role, value in _object(item, "parties", position)
        },
        data=dict(_object(item, "data", position)),
        position=position,
        trace_id=trace_id,
    )


def _object(item: Mapping[str, Any], name: str, position: str) -> list[tuple[str, Any]]:
    value = item.get(name)
    if value is None:
        return []
    if not isinstance(value, dict):
        raise Unreadable("event.not_an_object", f"The field {name} must be a JSON object.", f"{position}.{name}", value)
    return [(key, inner) for key, inner in value.items() if inner is not None]


def _time(item: Mapping[str, Any], name: str, position: str, zone: tzinfo) -> datetime | None:
    value = item.get(name)
    if value is None:
        return None
    try:
        return read_time(value, ISO, zone)
    except TimeError as error:
        sentence = f"The time {name} “{excerpt(value, 60)}” {error}."
        raise Unreadable("event.bad_time", sentence, f"{position}.{name}", value) from None


def _date(value: Any, position: str, zone: tzinfo) -> datetime:
    """A moment, or a whole day (``2026-01-18``)."""
    try:
        day = isinstance(value, str) and len(value.strip()) <= len("2026-01-18")
        return read_time(value, ISO, zone, date_only=day)
    except TimeError as error:
        raise Unreadable("event.bad_time", f"The date “{excerpt(value, 60)}” {error}.", position, value) from None


def _party(value: Any, position: str) -> str:
    text = plain(value)
    if not text or len(text) > 128:
        sentence = "A party must be our slug of it, or scheme:value such as gln:4012345000009."
        raise Unreadable("event.bad_party", sentence, position, value)
    return text


def _references(
    value: Any, position: str, partner: str, trace_id: str, issues: list[ParseIssue]
) -> tuple[Reference, ...]:
    place = f"{position}.references"
    if value is not None and not isinstance(value, list):
        raise Unreadable("event.bad_reference", "The field references must be a list of objects.", place, value)
    found: dict[Reference, None] = {}
    for index, one in enumerate(value or ()):
        found[_reference(one, f"{place}[{index}]", partner, issues)] = None
    if trace_id:
        found[Reference("trace", trace_id)] = None
    if not found:
        sentence = (
            "No references: an event needs a business key to belong to something. If the message says it elsewhere, "
            "give the integration a mapping that reads it there, then replay."
        )
        raise Unreadable("event.no_reference", sentence, place, value)
    return tuple(found)


def _reference(one: Any, place: str, partner: str, issues: list[ParseIssue]) -> Reference:
    kind = one.get("kind") if isinstance(one, dict) else None
    value = plain(one.get("value")) if isinstance(one, dict) else None
    if not isinstance(kind, str) or not kind or not value:
        sentence = 'A reference must be an object such as {"kind": "sales_order", "value": "S0042"}.'
        raise Unreadable("event.bad_reference", sentence, place, one)
    if kind not in REFERENCE_KINDS:
        sentence = f"The reference kind “{excerpt(kind, 40)}” is unknown; it is kept, but no flow uses it."
        issues.append(ParseIssue("event.unknown_reference", sentence, place, severity="warning"))
    needs_issuer = REFERENCE_KINDS.get(kind, ("", False))[1]
    issuer = plain(one.get("issuer"))
    if issuer is None:
        issuer = partner if needs_issuer else ""
    return Reference(kind, value, issuer)
