"""OCEL 2.0 as JSON, XML and SQLite, and XES: written row by row. Pure but for the file.

A log appears under its name only when it is whole; before that it is written beside it as ``<name>.part``.
"""

from __future__ import annotations

import gzip
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from apps.collectors.logs.own import Scalar

#: name -> string, time, integer, float or boolean
Attributes = Mapping[str, str]
Relations = Sequence[tuple[str, str]]
_EPOCH = "1970-01-01T00:00:00Z"
_ESCAPES = {
    **dict.fromkeys((*range(32), 65534, 65535), "�"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
    **{
        ord(sign): code
        for sign, code in zip('&<>"\t\n\r', ("&amp;", "&lt;", "&gt;", "&quot;", "&#9;", "&#10;", "&#13;"), strict=True)
    },
}


@dataclass(frozen=True, slots=True)
class LogObject:
    """attributes: as they are, without a history; relations: (object id, qualifier)."""

    id: str
    type: str
    attributes: Mapping[str, Scalar]
    relations: Relations = ()


@dataclass(frozen=True, slots=True)
class LogEvent:
    """time: ISO 8601 in UTC; relations: (object id, qualifier)."""

    id: str
    type: str
    time: str
    attributes: Mapping[str, Scalar]
    relations: Relations = ()


@dataclass(frozen=True)
class Schema:
    """Types that occur, with the types of their attributes."""

    events: Mapping[str, Attributes]
    objects: Mapping[str, Attributes] = field(default_factory=dict)


class Writer(Protocol):
    """Everything in this order: begin, objects, events."""

    def begin(self, schema: Schema) -> None: ...

    def object(self, one: LogObject) -> None: ...

    def event(self, one: LogEvent) -> None: ...

    def end(self) -> None: ...


def text_of(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def escaped(value: Scalar) -> str:
    """A value inside of XML, as text or in an attribute's quotes; characters that XML has not are replaced."""
    return text_of(value).translate(_ESCAPES)


@contextmanager
def text_file(path: Path) -> Iterator[IO[str]]:
    """A text file that takes its name when it is whole; packed if the name ends with .gz."""
    part = path.with_name(f"{path.name}.part")
    try:
        packed = path.suffix == ".gz"
        opened: Any = gzip.open(part, "wt", encoding="utf-8") if packed else part.open("w", encoding="utf-8")  # noqa: SIM115
        with opened as file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class OcelJson:
    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._list = ""

    def begin(self, schema: Schema) -> None:
        for name, types in (("objectTypes", schema.objects), ("eventTypes", schema.events)):
            value = [
                {"name": one, "attributes": [{"name": key, "type": kind} for key, kind in attributes.items()]}
                for one, attributes in types.items()
            ]
            self._file.write(f'{"{" if name == "objectTypes" else ","}"{name}":{orjson.dumps(value).decode()}')

    def object(self, one: LogObject) -> None:
        attributes = [{"name": name, "time": _EPOCH, "value": value} for name, value in one.attributes.items()]
        self._element("objects", {"id": one.id, "type": one.type, "attributes": attributes}, one.relations)

    def event(self, one: LogEvent) -> None:
        attributes = [{"name": name, "value": value} for name, value in one.attributes.items()]
        head = {"id": one.id, "type": one.type, "time": one.time, "attributes": attributes}
        self._element("events", head, one.relations)

    def end(self) -> None:
        self._turn_to("events")
        self._file.write("\n]}\n")

    def _element(self, name: str, value: dict[str, Any], relations: Relations) -> None:
        value["relationships"] = [{"objectId": other, "qualifier": qualifier} for other, qualifier in relations]
        comma = "\n" if self._turn_to(name) else ",\n"
        self._file.write(comma + orjson.dumps(value).decode())

    def _turn_to(self, name: str) -> bool:
        """Opens the list of this name; an empty list of objects before the events, too. Whether it is a new one."""
        if self._list == name:
            return False
        if name == "events" and not self._list:
            self._turn_to("objects")
        self._file.write(("\n]" if self._list else "") + f',"{name}":[')
        self._list = name
        return True


class OcelXml:
    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._section = ""

    def begin(self, schema: Schema) -> None:
        self._file.write('<?xml version="1.0" encoding="UTF-8"?>\n<log>\n')
        for tag, types in (("object", schema.objects), ("event", schema.events)):
            self._file.write(f"<{tag}-types>\n")
            for name, attributes in types.items():
                inner = "".join(f'<attribute name="{escaped(key)}" type="{kind}"/>' for key, kind in attributes.items())
                self._file.write(f'<{tag}-type name="{escaped(name)}"><attributes>{inner}</attributes></{tag}-type>\n')
            self._file.write(f"</{tag}-types>\n")

    def object(self, one: LogObject) -> None:
        self._turn_to("objects")
        inner = "".join(
            f'<attribute name="{escaped(name)}" time="{_EPOCH}">{escaped(value)}</attribute>'
            for name, value in one.attributes.items()
        )
        self._element("object", f'id="{escaped(one.id)}" type="{escaped(one.type)}"', inner, one.relations)

    def event(self, one: LogEvent) -> None:
        self._turn_to("events")
        inner = "".join(
            f'<attribute name="{escaped(name)}">{escaped(value)}</attribute>' for name, value in one.attributes.items()
        )
        head = f'id="{escaped(one.id)}" type="{escaped(one.type)}" time="{one.time}"'
        self._element("event", head, inner, one.relations)

    def end(self) -> None:
        self._turn_to("events")
        self._file.write("</events>\n</log>\n")

    def _element(self, tag: str, head: str, inner: str, relations: Relations) -> None:
        related = "".join(
            f'<relationship object-id="{escaped(other)}" qualifier="{escaped(qualifier)}"/>'
            for other, qualifier in relations
        )
        self._file.write(f"<{tag} {head}><attributes>{inner}</attributes><objects>{related}</objects></{tag}>\n")

    def _turn_to(self, section: str) -> None:
        if self._section == section:
            return
        if section == "events" and not self._section:
            self._turn_to("objects")
        self._file.write((f"</{self._section}>\n" if self._section else "") + f"<{section}>\n")
        self._section = section


_COLUMNS = {"integer": "INTEGER", "float": "REAL", "boolean": "BOOLEAN", "time": "TIMESTAMP", "string": "TEXT"}
_TABLES = """
CREATE TABLE event (ocel_id TEXT PRIMARY KEY, ocel_type TEXT NOT NULL);
CREATE TABLE event_map_type (ocel_type TEXT PRIMARY KEY, ocel_type_map TEXT NOT NULL);
CREATE TABLE object (ocel_id TEXT PRIMARY KEY, ocel_type TEXT NOT NULL);
CREATE TABLE object_map_type (ocel_type TEXT PRIMARY KEY, ocel_type_map TEXT NOT NULL);
CREATE TABLE event_object (ocel_event_id TEXT, ocel_object_id TEXT, ocel_qualifier TEXT,
    PRIMARY KEY (ocel_event_id, ocel_object_id, ocel_qualifier));
CREATE TABLE object_object (ocel_source_id TEXT, ocel_target_id TEXT, ocel_qualifier TEXT,
    PRIMARY KEY (ocel_source_id, ocel_target_id, ocel_qualifier));
"""


class OcelSqlite:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._tables: dict[tuple[str, str], tuple[str, list[str]]] = {}

    def begin(self, schema: Schema) -> None:
        self._database.executescript(_TABLES)
        own = {"event": "ocel_time TIMESTAMP", "object": "ocel_time TIMESTAMP, ocel_changed_field TEXT"}
        for tag, types in (("event", schema.events), ("object", schema.objects)):
            taken: set[str] = {"map_type", "object"}
            for name, attributes in types.items():
                short = _short(name, taken)
                self._database.execute(f"INSERT INTO {tag}_map_type VALUES (?, ?)", (name, short))
                columns = "".join(f", {_quoted(key)} {_COLUMNS[kind]}" for key, kind in attributes.items())
                self._database.execute(
                    f"CREATE TABLE {_quoted(f'{tag}_{short}')} (ocel_id TEXT PRIMARY KEY, {own[tag]}{columns})"
                )
                self._tables[tag, name] = (f"{tag}_{short}", list(attributes))

    def object(self, one: LogObject) -> None:
        self._database.execute("INSERT INTO object VALUES (?, ?)", (one.id, one.type))
        self._row("object", one.type, [one.id, _EPOCH, None], one.attributes)
        self._database.executemany(
            "INSERT OR IGNORE INTO object_object VALUES (?, ?, ?)", [(one.id, *relation) for relation in one.relations]
        )

    def event(self, one: LogEvent) -> None:
        self._database.execute("INSERT INTO event VALUES (?, ?)", (one.id, one.type))
        self._row("event", one.type, [one.id, one.time], one.attributes)
        self._database.executemany(
            "INSERT OR IGNORE INTO event_object VALUES (?, ?, ?)", [(one.id, *relation) for relation in one.relations]
        )

    def end(self) -> None:
        self._database.commit()

    def _row(self, tag: str, kind: str, head: list[Any], attributes: Mapping[str, Scalar]) -> None:
        table, names = self._tables[tag, kind]
        values = [*head, *(attributes.get(name) for name in names)]
        self._database.execute(f"INSERT INTO {_quoted(table)} VALUES ({', '.join('?' * len(values))})", values)


@contextmanager
def sqlite_file(path: Path) -> Iterator[sqlite3.Connection]:
    """A database file that takes its name when it is whole."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        database = sqlite3.connect(part)
        try:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            yield database
        finally:
            database.close()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _short(name: str, taken: set[str]) -> str:
    """A table's name for a type; SQLite does not tell capitals from small letters."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    short, number = plain, 2
    while short.lower() in taken:
        short, number = f"{plain}_{number}", number + 1
    taken.add(short.lower())
    return short


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_XES_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849-2016" xes.features="nested-attributes" xmlns="http://www.xes-standard.org/">
<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
<extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
<classifier name="Activity" keys="concept:name"/>
"""


class Xes:
    """Traces instead of objects: `trace`, then its events, then `end_trace`."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        file.write(_XES_HEAD)

    def trace(self, attributes: Mapping[str, Scalar]) -> None:
        self._file.write("<trace>\n" + _xes(attributes))

    def event(self, one: LogEvent, lists: Mapping[str, Sequence[str]]) -> None:
        head: dict[str, Scalar] = {"concept:name": one.type, "lifecycle:transition": "complete"}
        self._file.write(
            f'<event>\n{_xes(head)}<date key="time:timestamp" value="{one.time}"/>\n{_xes(one.attributes)}'
        )
        for key, values in lists.items():
            inner = "".join(f'<string key="{number}" value="{escaped(one)}"/>' for number, one in enumerate(values))
            self._file.write(f'<list key="{escaped(key)}"><values>{inner}</values></list>\n')
        self._file.write("</event>\n")

    def end_trace(self) -> None:
        self._file.write("</trace>\n")

    def end(self) -> None:
        self._file.write("</log>\n")


_TAGS: tuple[tuple[type, str], ...] = ((bool, "boolean"), (int, "int"), (float, "float"))


def _xes(attributes: Mapping[str, Scalar]) -> str:
    lines = []
    for key, value in attributes.items():
        tag = next((tag for kind, tag in _TAGS if isinstance(value, kind)), "string")
        lines.append(f'<{tag} key="{escaped(key)}" value="{escaped(value)}"/>\n')
    return "".join(lines)


FORMATS: dict[str, Callable[[Any], Writer]] = {"ocel-json": OcelJson, "ocel-xml": OcelXml, "ocel-sqlite": OcelSqlite}
