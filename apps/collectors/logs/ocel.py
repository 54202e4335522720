"""OCEL 2.0 as JSON and as XML, event by event; of OCEL 1.0 the JSON form. Pure.

Both are read twice: first for the types of the objects, then for the events, since either may stand first. Memory holds
the objects' ids and types, never the events. What an event says in an unexpected shape is left out with a word on it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from apps.collectors.logs.jsonstream import JsonBroken, members
from apps.collectors.logs.xmlstream import XmlBroken, XmlStream

Pieces = Callable[[], Iterator[bytes]]

_PARTS = frozenset({"events", "objects", "ocel:events", "ocel:objects"})


class OcelBroken(Exception):
    """The log cannot be read on. Its text is the end of a sentence; position as its format tells places."""

    def __init__(self, why: str, position: str = "") -> None:
        super().__init__(why)
        self.position = position


def row_of(event: Mapping[str, Any], types: Mapping[str, str], relations: list[tuple[str, str]]) -> dict[str, Any]:
    """An event in the form of all OCEL formats. An object nobody declared has the type ''."""
    objects: dict[str, list[dict[str, str]]] = {}
    for object_id, qualifier in relations:
        objects.setdefault(types.get(object_id, ""), []).append({"id": object_id, "qualifier": qualifier})
    return {
        "id": event.get("id"),
        "type": event.get("type"),
        "time": event.get("time"),
        "attributes": event.get("attributes") or {},
        "objects": objects,
    }


# -- JSON ---------------------------------------------------------------------


def read_json(pieces: Pieces) -> Iterator[dict[str, Any]]:
    """The events of an OCEL 2.0 JSON log. pieces: opens the file, and is called twice. Raises `OcelBroken`."""
    try:
        types = _json_types(pieces())
        for name, value in members(pieces(), _PARTS):
            if name == "events":
                yield _json_row(value, types)
            elif name == "ocel:events":
                yield _old_row(value, types)
    except JsonBroken as error:
        raise OcelBroken(str(error), error.position) from None


def _json_types(pieces: Iterator[bytes]) -> dict[str, str]:
    types: dict[str, str] = {}
    seen: set[str] = set()
    try:
        for name, value in members(pieces, _PARTS):
            seen.add(name)
            if name == "objects" and isinstance(value, dict):
                types[_text(value.get("id"))] = sys.intern(_text(value.get("type")))
            elif name == "ocel:objects" and isinstance(value, tuple) and isinstance(value[1], dict):
                types[value[0]] = sys.intern(_text(value[1].get("ocel:type")))
    except JsonBroken:
        pass  # the second reading comes to the same place, after the events before it
    if not seen & {"events", "eventTypes", "ocel:events"}:
        raise OcelBroken("it has no events: it is no OCEL")
    return types


def _old_row(value: Any, types: Mapping[str, str]) -> dict[str, Any]:
    """An event of OCEL 1.0: (id, what it says)."""
    event_id, event = value if isinstance(value, tuple) else (None, value)
    if not isinstance(event, dict):
        event = {}
    vmap = event.get("ocel:vmap")
    told = {"id": event_id, "type": event.get("ocel:activity"), "time": event.get("ocel:timestamp")}
    relations = [(_text(one), "") for one in _list(event.get("ocel:omap"))]
    return row_of({**told, "attributes": vmap if isinstance(vmap, dict) else {}}, types, relations)


def _json_row(value: Any, types: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"id": None, "type": None, "time": None, "attributes": {}, "objects": {}}
    attributes = {}
    for one in _list(value.get("attributes")):
        if isinstance(one, dict) and "name" in one:
            attributes[_text(one["name"])] = one.get("value")
    relations = [
        (_text(one.get("objectId")), _text(one.get("qualifier")))
        for one in _list(value.get("relationships"))
        if isinstance(one, dict)
    ]
    return row_of({**value, "attributes": attributes}, types, relations)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


# -- XML ----------------------------------------------------------------------


def read_xml(pieces: Pieces) -> Iterator[dict[str, Any]]:
    """The events of an OCEL 2.0 XML log. pieces: opens the file, and is called twice. Raises `OcelBroken`."""
    first = _XmlReader({}, {})
    try:
        for _ in first.read(pieces()):
            pass
    except XmlBroken:
        pass  # the second reading comes to the same place, after the events before it
    if not first.is_ocel:
        raise OcelBroken("it has no objects and no events: it is no OCEL 2.0")
    try:
        yield from _XmlReader(first.types, first.kinds).read(pieces())
    except XmlBroken as error:
        raise OcelBroken(str(error), error.position) from None


class _XmlReader:
    """One reading: fills `types` with the objects it meets, and gives out the events."""

    def __init__(self, types: dict[str, str], kinds: dict[tuple[str, str], str]) -> None:
        self.types = types
        #: (event type, attribute) -> the type it was declared with
        self.kinds = kinds
        self.is_ocel = False
        self._path: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._event: dict[str, Any] = {}
        self._relations: list[tuple[str, str]] = []
        self._attribute = ""
        self._text: list[str] = []

    def read(self, pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
        stream = XmlStream(self._start, self._end, self._text.append)
        try:
            for piece in pieces:
                stream.feed(piece)
                yield from self._ready()
            stream.feed(b"", last=True)
        except XmlBroken:
            yield from self._ready()
            raise
        yield from self._ready()

    def _ready(self) -> list[dict[str, Any]]:
        rows, self._rows = self._rows, []
        return rows

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        path = self._path
        path.append(name)
        self._text.clear()
        if len(path) == 2:
            self.is_ocel = self.is_ocel or name in ("objects", "object-types", "event-types")
        elif len(path) == 3 and path[1] == "objects" and name == "object":
            self.types[attributes.get("id", "")] = sys.intern(attributes.get("type", ""))
        elif len(path) == 3 and path[1] == "events" and name == "event":
            self._event = {**attributes, "attributes": {}}
            self._relations = []
        elif path[1:3] == ["events", "event"]:
            if name == "attribute":
                self._attribute = attributes.get("name", "")
            elif name in ("relationship", "object"):
                self._relations.append((attributes.get("object-id", ""), attributes.get("qualifier", "")))
        elif path[1:3] == ["event-types", "event-type"]:
            self._declare(name, attributes)

    def _declare(self, name: str, attributes: dict[str, str]) -> None:
        if name == "event-type":
            self._attribute = attributes.get("name", "")
        elif name == "attribute":
            self.kinds[self._attribute, attributes.get("name", "")] = attributes.get("type", "")

    def _end(self, name: str) -> None:
        path = self._path
        if path[1:3] == ["events", "event"]:
            if name == "attribute":
                kind = self.kinds.get((self._event.get("type", ""), self._attribute), "")
                self._event["attributes"][self._attribute] = typed("".join(self._text), kind)
            elif len(path) == 3:
                self._rows.append(row_of(self._event, self.types, self._relations))
        path.pop()
        self._text.clear()


def typed(text: str, kind: str) -> Any:
    """A value by the type its log declares; what does not fit stays text."""
    try:
        if kind == "integer" and len(text) <= 18:
            return int(text)
        if kind == "float" and len(text) <= 64:
            number = float(text)
            return number if number - number == 0 else text
    except ValueError:
        return text
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)
    return text
