"""Receipts as PostgreSQL's binary arrays, packed by hand for the group commit: a third of the processor time of
psycopg's cursors, which adapt every value anew. Format: array_send and the element types' send functions of PostgreSQL.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

BOOL, BYTEA, INT8, TEXT, TIMESTAMPTZ = 16, 17, 20, 25, 1184

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_HEAD = struct.Struct("!iiIii").pack
_INT4 = struct.Struct("!i").pack
_INT8 = struct.Struct("!q").pack


def array(oid: int, values: Sequence[bytes]) -> bytes:
    """One dimension, no NULL, from 1."""
    parts = [_HEAD(1, 0, oid, len(values), 1)]
    for value in values:
        parts += (_INT4(len(value)), value)
    return b"".join(parts)


def encode(oid: int, value: Any) -> bytes:
    """One value: int, aware datetime, str without NUL, bytes, bool. Raises struct.error for what does not fit."""
    if oid == TEXT:
        encoded: bytes = value.encode()
        return encoded
    if oid == BYTEA:
        return bytes(value)
    if oid == INT8:
        return _INT8(value)
    if oid == TIMESTAMPTZ:
        since = value - _EPOCH
        return _INT8((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    return b"\x01" if value else b"\x00"


def arrays(rows: Sequence[Sequence[Any]], oids: Sequence[int]) -> list[bytes]:
    """Rows turned into one array a column."""
    columns = zip(*rows, strict=True)
    return [array(oid, [encode(oid, value) for value in column]) for oid, column in zip(oids, columns, strict=True)]
