"""Our own events inside of other formats, so that an export can be read back without loss. Pure.

An event's extra facts are attributes with the prefix `tower.`; the type, the time and the objects are the log's own. A
value a format has no type for (a list, an object, null) goes into `tower.more` as JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import quote, unquote

from apps.collectors.times import Replay, zone_of
from apps.flows.canonical import CanonicalEvent, Reference

PREFIX = "tower."
#: the source's own id; its presence tells that the event is from an export of ours
ID, INTEGRATION, MORE, REFERENCES = "tower.id", "tower.integration", "tower.more", "tower.references"
CLOCKS = ("sent_at", "booked_at", "received_at")
#: objects that stand for flows, not for references
FLOW_TYPE = "flow "
Scalar = str | int | float | bool
#: what XML cannot say, or says in another way
_UNCLEAR = re.compile("[%\x00-\x1f\ufffe\uffff]")
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def attributes_of(event: CanonicalEvent, integration: str, types: Mapping[str, str]) -> dict[str, Scalar]:
    """Everything of an event but type, time and references. Times as ISO 8601 texts in UTC.

    types: the attributes of the event's type in this log; what does not fit them goes into `MORE`.
    """
    found: dict[str, Scalar] = {ID: event.source_event_id, INTEGRATION: integration, f"{PREFIX}zone": event.zone}
    more: dict[str, Any] = {}
    if not writable(event.source_event_id):
        found[ID], more["id"] = "", event.source_event_id
    for name in CLOCKS:
        if (moment := getattr(event, name)) is not None:
            found[f"{PREFIX}{name}"] = iso(moment)
    if event.trace_id:
        found[f"{PREFIX}trace_id"] = event.trace_id
    for name, moment in event.dates.items():
        if f"date.{name}" in types:
            found[f"date.{name}"] = iso(moment)
        else:
            more.setdefault("dates", {})[name] = iso(moment)
    for part, values in (("party", event.parties), ("data", event.data)):
        for name, value in values.items():
            if types.get(f"{part}.{name}") == type_of(value):
                found[f"{part}.{name}"] = value
            else:
                more.setdefault(part, {})[name] = value
    if more:
        found[MORE] = json.dumps(more)
    return found


def type_of(value: Any) -> str:
    """The attribute type that holds a value in every format without loss; '' for none."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if abs(value) < 10**18 else ""
    if isinstance(value, float):
        return "float" if math.isfinite(value) and not value.is_integer() else ""
    return "string" if isinstance(value, str) and writable(value) else ""


def writable(text: str) -> bool:
    """Whether every format can say a text."""
    return not _UNWRITABLE.search(text)


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
    clocks = {name: _moment(attributes[PREFIX + name]) for name in CLOCKS if PREFIX + name in attributes}
    more = json.loads(str(attributes.get(MORE) or "{}"))
    if not isinstance(more, dict):
        raise TypeError(f"{MORE} is no object")
    dates = {name[5:]: value for name, value in attributes.items() if name.startswith("date.")}
    parties = {name[6:]: str(value) for name, value in attributes.items() if name.startswith("party.")}
    data = {name[5:]: value for name, value in attributes.items() if name.startswith("data.")}
    return CanonicalEvent(
        type=kind,
        happened_at=happened_at,
        references=tuple(references),
        source_event_id=str(more.get("id", attributes[ID])),
        zone=str(attributes.get(f"{PREFIX}zone") or "UTC"),
        dates={name: _moment(value) for name, value in {**dates, **more.get("dates", {})}.items()},
        parties={**parties, **more.get("party", {})},
        data={**data, **more.get("data", {})},
        position=position,
        trace_id=str(attributes.get(f"{PREFIX}trace_id") or ""),
        **clocks,
    )


def object_id(reference: Reference) -> str:
    """The id of a reference as an object: kind/issuer/value, percent-encoded where that would not be clear."""
    value = _UNCLEAR.sub(lambda found: quote(found[0], safe=""), reference.value)
    return f"{reference.kind}/{quote(reference.issuer, safe='')}/{value}"


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
    return Reference(kind, unquote(value), unquote(issuer))


def moved(event: CanonicalEvent, replay: Replay | None, backfill: bool) -> CanonicalEvent:
    """The event as history (received when it happened, unless it says otherwise), told anew by a replay."""
    if replay is not None:
        zone = zone_of(event.zone)
        times = {name: _replayed(getattr(event, name), replay, zone) for name in ("happened_at", *CLOCKS)}
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
