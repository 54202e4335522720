"""Set-wise SQL on Django's own connection, in binary.

Plain Django cursors bind on the client and in text; arrays in binary are about six times as fast, and COPY into a
session's temporary table faster still for wide rows, since psycopg formats its rows in C.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
from django.db import connection
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format
from psycopg.types import TypeInfo

from apps.flows.canonical import Key

_UUID: TypeInfo = psycopg.adapters.types["uuid"]  # type: ignore[assignment]


class _KeyDumper(Dumper):
    format = Format.BINARY
    oid = _UUID.oid

    def dump(self, obj: Key) -> Buffer | None:
        return obj


class Keys(list[Key]):
    """Keys that travel as an array of uuids: packed at once, where psycopg would look at each."""


class _KeysDumper(Dumper):
    format = Format.BINARY
    oid = _UUID.array_oid
    _EACH = struct.pack("!i", 16)

    def dump(self, obj: Keys) -> Buffer | None:
        if not obj:
            return struct.pack("!iiI", 0, 0, _UUID.oid)
        # dimensions, no nulls, type of the elements; length and lower bound; each element behind its length
        return struct.pack("!iiIii", 1, 0, _UUID.oid, len(obj), 1) + self._EACH + self._EACH.join(obj)


class _KeyLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Key:
        return Key(data)


@contextmanager
def raw_cursor() -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """A psycopg cursor with server-side binding inside the current Django transaction; uuids are `Key`s."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.adapters.register_dumper(Key, _KeyDumper)
        cursor.adapters.register_dumper(Keys, _KeysDumper)
        cursor.adapters.register_loader("uuid", _KeyLoader)
        yield cursor


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows turned into ``width`` lists, for unnest. A column of keys holds nothing else, unless it has nulls."""
    if not rows:
        return [[] for _ in range(width)]
    return [
        Keys(column) if type(column[0]) is Key and None not in column else list(column)
        for column in zip(*rows, strict=True)
    ]


#: SQL names of types -> the names psycopg knows them by; uuids are `Key`s and go as the bytes they are
_WIRE = {"bigint": "int8", "int": "int4", "smallint": "int2", "boolean": "bool", "uuid": "bytea", "jsonb": "bytea"}
#: what stands before the text of a jsonb value on the wire
_JSONB = b"\x01"


def jsonb(value: object, option: int = orjson.OPT_UTC_Z) -> bytes:
    """A value for a jsonb column of a `Stage`."""
    return _JSONB + orjson.dumps(value, option=option)


#: an empty object for a jsonb column
EMPTY = jsonb({})


class Stage:
    """A temporary table of this session that rows are copied into; it empties itself at commit.

    spec: (column, type) pairs. uuids are `Key`s, jsonb is what `jsonb` makes; numeric columns are staged as text, which
    `select` casts.
    """

    def __init__(self, name: str, spec: Sequence[tuple[str, str]]) -> None:
        self.table = f"stage_{name}"
        self.spec = spec
        self.types = ["text" if cast == "numeric" else cast for _, cast in spec]
        fields = ", ".join(f"{column} {cast}" for (column, _), cast in zip(spec, self.types, strict=True))
        self._create = f"CREATE TEMP TABLE IF NOT EXISTS {self.table} ({fields}) ON COMMIT DELETE ROWS"
        self._copy = f"COPY {self.table} ({self.columns}) FROM STDIN (FORMAT BINARY)"

    @property
    def columns(self) -> str:
        return ", ".join(column for column, _ in self.spec)

    @property
    def select(self) -> str:
        return ", ".join(f"{column}::{cast}" if cast == "numeric" else column for column, cast in self.spec)

    def fill(self, cursor: psycopg.Cursor[Any], rows: Iterable[Sequence[Any]]) -> None:
        """Copies rows; what an earlier batch of the same transaction left is removed."""
        cursor.execute(self._create)
        cursor.execute(f"DELETE FROM {self.table}")
        with cursor.copy(self._copy) as copy:
            copy.set_types([_WIRE.get(cast, cast) for cast in self.types])
            for row in rows:
                copy.write_row(row)

    def upsert(self, table: str, keys: Sequence[str]) -> str:
        """INSERT .. SELECT from the stage, on conflict update where a column differs."""
        rest = [column for column, _ in self.spec if column not in keys]
        changed = ", ".join(f"{column} = excluded.{column}" for column in rest)
        mine = ", ".join(f"{table}.{column}" for column in rest)
        theirs = ", ".join(f"excluded.{column}" for column in rest)
        return (
            f"INSERT INTO {table} ({self.columns}) SELECT {self.select} FROM {self.table} ORDER BY {', '.join(keys)} "
            f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed} WHERE ({mine}) IS DISTINCT FROM ({theirs})"
        )
