"""EPCIS documents in JSON and JSON-LD: where the events stand in them. Pure.

Read are EPCISDocument, EPCISQueryDocument, a single event and a list of any of these (EPCIS 2.0, section 10).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps.collectors.jsonbody import MAX_EVENTS, excerpt
from apps.flows.canonical import ParseFailure

EVENT_TYPES = frozenset(
    {"ObjectEvent", "AggregationEvent", "TransactionEvent", "TransformationEvent", "AssociationEvent", "QuantityEvent"}
)
#: of EPCIS 1.0; later versions say the same with an ObjectEvent and a quantityList
_QUANTITY_EVENT = "QuantityEvent"
_LISTS = ("eventList", "event")
_INNER = ("epcisBody", "EPCISBody", "queryResults", "resultsBody")


@dataclass(frozen=True, slots=True)
class Item:
    """What stands where an event is expected, in the shape of EPCIS JSON-LD, and its place.

    raw: None for a document without events, whose name is then the position.
    """

    raw: Any
    position: str


def too_many() -> ParseFailure:
    sentence = f"The delivery holds more than {MAX_EVENTS:,} events; send it in smaller parts. None was taken."
    return ParseFailure("receipt.too_many_events", sentence)


def not_events(name: str) -> ParseFailure:
    """For a document that is something else."""
    shown = excerpt(name, 60)
    sentence = f"A document “{shown}” holds no EPCIS events; an EPCISDocument or EPCISQueryDocument was expected."
    return ParseFailure("epcis.not_events", sentence, shown)


def kind_of(raw: Mapping[str, Any]) -> str:
    """The type an object gives itself; '' if none."""
    kind = raw.get("type") or raw.get("@type") or raw.get("isA")
    if isinstance(kind, list) and kind:
        kind = kind[0]
    return kind.removeprefix("epcis:") if isinstance(kind, str) else ""


def current(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event as EPCIS 2.0 says it: a QuantityEvent is an ObjectEvent that observed a quantity of a class."""
    if kind_of(raw) != _QUANTITY_EVENT:
        return raw
    said = {name: value for name, value in raw.items() if name not in ("type", "@type", "isA", "epcClass", "quantity")}
    counted = {"epcClass": raw.get("epcClass", ""), "quantity": raw.get("quantity", "")}
    return {**said, "type": "ObjectEvent", "action": "OBSERVE", "quantityList": [counted]}


def items(value: Any) -> Iterator[Item]:
    """The events of a JSON document, in order. Raises `ParseFailure` when it is no EPCIS document."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, dict) and any(name in one for name in (*_INNER, *_LISTS)):
                yield from _document(one, f"$[{index}]")
            else:
                yield Item(one, f"$[{index}]")
        return
    if not isinstance(value, dict):
        sentence = "An EPCIS document, an event or a list of them was expected; this is neither an object nor a list."
        raise ParseFailure("epcis.not_events", sentence, "$", excerpt(value))
    yield from _document(value, "$")


def _document(value: dict[str, Any], place: str) -> Iterator[Item]:
    kind = kind_of(value)
    if kind in EVENT_TYPES:
        yield Item(value, place)
        return
    for name in _INNER:
        if name in value:
            inner = value[name]
            if not isinstance(inner, dict):
                sentence = f"The field {name} must be an object that holds an event list."
                raise ParseFailure("epcis.no_event_list", sentence, f"{place}.{name}", excerpt(inner))
            yield from _document(inner, f"{place}.{name}")
            return
    for name in _LISTS:
        found = value.get(name)
        if isinstance(found, list):
            for index, one in enumerate(found):
                yield Item(one, f"{place}.{name}[{index}]")
            if not found:
                yield Item(None, f"{place}.{name}")
            return
        if found is not None:
            yield Item(found, f"{place}.{name}")
            return
    if "epcisHeader" in value or kind in ("EPCISDocument", "EPCISQueryDocument"):
        yield Item(None, place)
        return
    if place == "$" and not kind:
        sentence = "The document names no type; an EPCISDocument, an EPCISQueryDocument or an event was expected."
        raise ParseFailure("epcis.not_events", sentence, "$", excerpt(value))
    if kind.endswith("Event") or ":" in kind:
        yield Item(value, place)
        return
    if place == "$":
        raise not_events(kind)
    yield Item(None, place)
