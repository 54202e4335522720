"""Our own events inside of other formats, so that an export can be read back without loss. Pure.

An event's extra facts are attributes with the prefix `tower.`; the type, the time and the objects are the log's own. A
value a format has no type for (a list, an object, null) goes into `tower.more` as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import quote, unquote

import orjson

from apps.collectors.times import Replay, zone_of
from apps.flows.canonical import CanonicalEvent, Reference

PREFIX = "tower."
#: the source's own id; its presence tells that the event is from an export of ours
ID, INTEGRATION, MORE, REFERENCES = "tower.id", "tower.integration", "tower.more", "tower.references"
_CLOCKS = ("sent_at", "booked_at", "received_at")
#: objects that stand for flows, not for references
FLOW_TYPE = "flow "
Scalar = str | int | float | bool


def attributes_of(event: CanonicalEvent, integration: str) -> dict[str, Scalar]:
    """Everything of an event but type, time and references. Times as ISO 8601 texts in UTC."""
    found: dict[str, Scalar] = {ID: event.source_event_id, INTEGRATION: integration, f"{PREFIX}zone": event.zone}
    more: dict[str, Any] = {}
    for name in _CLOCKS:
        if (moment := getattr(event, name)) is not None:
            found[f"{PREFIX}{name}"] = iso(moment)
    if event.trace_id:
        found[f"{PREFIX}trace_id"] = event.trace_id
    for name, moment in event.dates.items():
        found[f"date.{name}"] = iso(moment)
    for name, party in event.parties.items():
        found[f"party.{name}"] = party
    for name, value in event.data.items():
        if isinstance(value, str | int | float) and not (isinstance(value, int) and abs(value) >= 2**63):
            found[f"data.{name}"] = value
        else:
            more[name] = value
    if more:
        found[MORE] = orjson.dumps(more).decode()
    return found


def is_ours(attributes: Mapping[str, Any]) -> bool:
    return isinstance(attributes.get(ID), str) and isinstance(attributes.get(INTEGRATION), str)


def decoded(
    attributes: Mapping[str, Any],
    kind: str,
    happened_at: datetime,
    references: Iterable[Reference],
    position: str,
) -> CanonicalEvent:
    """The event `attributes_of` was made of. Raises ValueError or TypeError for an export somebody changed."""
    clocks = {name: _moment(attributes[PREFIX + name]) for name in _CLOCKS if PREFIX + name in attributes}
    data = {name[5:]: value for name, value in attributes.items() if name.startswith("data.")}
    if isinstance(attributes.get(MORE), str):
        more = orjson.loads(attributes[MORE])
        data |= more if isinstance(more, dict) else {}
    return CanonicalEvent(
        type=kind,
        happened_at=happened_at,
        references=tuple(references),
        source_event_id=str(attributes[ID]),
        zone=str(attributes.get(f"{PREFIX}zone") or "UTC"),
        dates={name[5:]: _moment(value) for name, value in attributes.items() if name.startswith("date.")},
        parties={name[6:]: str(value) for name, value in attributes.items() if name.startswith("party.")},
        data=data,
        position=position,
        trace_id=str(attributes.get(f"{PREFIX}trace_id") or ""),
        **clocks,
    )


def object_id(reference: Reference) -> str:
    """The id of a reference as an object: kind/issuer/value, the issuer written so that it has no slash."""
    return f"{reference.kind}/{quote(reference.issuer, safe='')}/{reference.value}"


def referenced(named: Iterable[tuple[str, str]]) -> list[Reference]:
    """References from (object type, object id); objects that are flows say nothing here."""
    return [_reference(one) for kind, one in named if not kind.startswith(FLOW_TYPE)]


def named(attributes: Mapping[str, Any]) -> list[Reference]:
    """References from the list that an exported XES event carries."""
    found = attributes.get(REFERENCES)
    return [_reference(str(one)) for one in found] if isinstance(found, list) else []


def _reference(text: str) -> Reference:
    kind, _, rest = text.partition("/")
    issuer, _, value = rest.partition("/")
    return Reference(kind, value, unquote(issuer))


def moved(event: CanonicalEvent, replay: Replay | None, backfill: bool) -> CanonicalEvent:
    """The event as history (received when it happened, unless it says otherwise), told anew by a replay."""
    if replay is not None:
        zone = zone_of(event.zone)
        times = {name: _replayed(getattr(event, name), replay, zone) for name in ("happened_at", *_CLOCKS)}
        dates = {name: replay.move(moment, zone) for name, moment in event.dates.items()}
        event = replace(event, dates=dates, **times)
    if backfill and event.received_at is None:
        event = replace(event, received_at=event.happened_at)
    return event


def _replayed(moment: datetime | None, replay: Replay, zone: tzinfo) -> Any:
    return None if moment is None else replay.move(moment, zone)


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
