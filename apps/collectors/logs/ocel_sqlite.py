"""OCEL 2.0 as an SQLite database, event by event. Only tables of the standard are read, and nothing is ever written.

The database comes from somebody else: its own triggers, views and functions are not run (only tables are read, the
schema is not trusted), and a statement that takes too many steps is stopped.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from apps.collectors.logs.ocel import OcelBroken, row_of

MAGIC = b"SQLite format 3\x00"
#: steps of SQLite's machine between two looks, and the looks of one statement (some minutes of work)
_STEPS, _LOOKS = 1_000_000, 20_000
_NEEDED = ("event", "event_map_type", "object", "event_object")
_READS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})


def read_file(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a database on disk, type by type. Raises `OcelBroken`."""
    with _guarded(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        yield from _rows(database)


def read_bytes(body: bytes) -> Iterator[dict[str, Any]]:
    """The events of a database in memory. Raises `OcelBroken`."""
    if not body.startswith(MAGIC):
        raise OcelBroken("it is no SQLite database")
    database = sqlite3.connect(":memory:")
    try:
        database.deserialize(body)
    except (sqlite3.Error, OverflowError) as error:
        database.close()
        raise OcelBroken(f"it is no SQLite database that can be read ({error})") from None
    with _guarded(database) as guarded:
        yield from _rows(guarded)


@contextmanager
def _guarded(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    looks = 0

    def look() -> int:
        nonlocal looks
        looks += 1
        return looks > _LOOKS

    def may(action: int, what: str | None, *more: Any) -> int:
        allowed = action in _READS or (action == sqlite3.SQLITE_PRAGMA and what == "table_info")
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    with closing(connection):
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.set_authorizer(may)
            connection.set_progress_handler(look, _STEPS)
            yield connection
        except sqlite3.Error as error:
            raise OcelBroken(f"the database cannot be read ({error})") from None


def _rows(database: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    missing = [name for name in _NEEDED if name not in tables]
    if missing:
        raise OcelBroken(f"it has no table {missing[0]!r}: it is no OCEL 2.0")
    types = {
        _text(object_id): sys.intern(_text(kind))
        for object_id, kind in database.execute("SELECT ocel_id, ocel_type FROM object")
    }
    kinds = database.execute("SELECT ocel_type, ocel_type_map FROM event_map_type ORDER BY ocel_type").fetchall()
    for kind, map_name in kinds:
        table = f"event_{map_name}"
        if table not in tables:
            raise OcelBroken(f"it has no table {table!r} for the events of the type {kind!r}")
        yield from _events(database, _text(kind), table, types)


def _events(database: sqlite3.Connection, kind: str, table: str, types: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Events and their relations, both in the order of the ids: no index is needed, and none may be there."""
    cursor = database.execute(f"SELECT * FROM {_quoted(table)} ORDER BY ocel_id")
    relations = database.execute(
        "SELECT ocel_event_id, ocel_object_id, ocel_qualifier FROM event_object "
        f"WHERE ocel_event_id IN (SELECT ocel_id FROM {_quoted(table)}) ORDER BY ocel_event_id"
    )
    relation = relations.fetchone()
    described = database.execute(f"PRAGMA table_info({_quoted(table)})")
    booleans = {_text(column[1]) for column in described if _text(column[2]).upper() == "BOOLEAN"}
    names = [_text(column[0]) for column in cursor.description]
    for values in cursor:
        found = dict(zip(names, values, strict=True))
        event_id = found.pop("ocel_id", None)
        named = []
        while relation is not None and relation[0] == event_id:
            named.append((_text(relation[1]), _text(relation[2])))
            relation = relations.fetchone()
        event = {
            "id": _text(event_id),
            "type": kind,
            "time": found.pop("ocel_time", None),
            "attributes": {
                name: bool(value) if name in booleans and value in (0, 1) else _plain(value)
                for name, value in found.items()
                if value is not None
            },
        }
        yield row_of(event, types, named)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
