"""Keeps what came, byte for byte: a receipt and its place on the work list, in one statement (invariants 1 and 12)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from apps.collectors import wire
from apps.collectors.soundness import clean
from apps.flows.sets import columns, raw_cursor

REDACTED = "[not kept]"
#: headers that are secrets themselves; signatures are kept: they prove who sent what and open nothing
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
SECRET_WORDS = ("token", "secret", "password", "passwd", "api-key", "apikey", "access-key", "credential")

#: sizes of the columns of collectors_receipt
CONTENT_TYPE_LENGTH = 200
DOOR_LENGTH = 16


@dataclass(frozen=True, slots=True)
class NewReceipt:
    """One delivery to keep. headers: names in lower case; received_at: aware; door: http, batch, file, poll, import."""

    integration_id: int
    door: str
    body: bytes
    content_type: str
    headers: Mapping[str, str]
    delivery_id: str
    received_at: datetime
    backfill: bool = False


#: types of the columns of `INSERT`, as `wire` numbers them
COLUMNS = (
    wire.INT8,
    wire.TIMESTAMPTZ,
    wire.TEXT,
    wire.TEXT,
    wire.TEXT,
    wire.TEXT,
    wire.BYTEA,
    wire.BYTEA,
    wire.BOOL,
)
INSERT = """
WITH numbered AS (
    SELECT nextval('collectors_receipt_id_seq') AS id, t.*
    FROM unnest(%b::bigint[], %b::timestamptz[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[],
                %b::bytea[], %b::boolean[]) WITH ORDINALITY
      AS t (integration_id, received_at, door, delivery_id, content_type, headers, body, sha256, backfill, place)
), kept AS (
    INSERT INTO collectors_receipt
        (id, received_at, integration_id, door, delivery_id, content_type, headers, body, sha256)
    SELECT id, received_at, integration_id, door, delivery_id, content_type, headers::jsonb, body, sha256 FROM numbered
), listed AS (
    INSERT INTO collectors_receiptstate
        (receipt_id, received_at, integration_id, status, backfill, attempts, losses, next_at, events, duplicates,
         conflicts, issues)
    SELECT id, received_at, integration_id, 'waiting', backfill, 0, 0, received_at, 0, 0, 0, 0 FROM numbered
)
SELECT id FROM numbered ORDER BY place
"""


def store(deliveries: Sequence[NewReceipt]) -> list[int]:
    """Keeps deliveries and lists them as work, inside the caller's transaction (without one: in a commit of its own).

    Returns the receipt ids in the order of the deliveries. One statement: callers keep a call below 256 MiB of bodies.
    """
    if not deliveries:
        return []
    with raw_cursor() as cursor:
        cursor.execute(INSERT, columns(rows_of(deliveries), len(COLUMNS)), binary=True)
        return [row[0] for row in cursor.fetchall()]


def rows_of(deliveries: Sequence[NewReceipt]) -> list[tuple[Any, ...]]:
    """The parameters of `INSERT`, a row for each delivery, in the order of `COLUMNS`."""
    return [
        (
            one.integration_id,
            one.received_at,
            clean(one.door)[:DOOR_LENGTH],
            clean(one.delivery_id),
            clean(one.content_type)[:CONTENT_TYPE_LENGTH],
            headers_json(one.headers),
            one.body,
            hashlib.sha256(one.body).digest(),
            one.backfill,
        )
        for one in deliveries
    ]


def is_secret(header: str) -> bool:
    """Whether a header (lower case) carries a secret, so that its value is not kept."""
    return header in SECRET_HEADERS or any(word in header for word in SECRET_WORDS)


def headers_json(headers: Mapping[str, str]) -> str:
    """Headers as JSON text without secrets."""
    kept = {name: REDACTED if is_secret(name) else value for name, value in headers.items()}
    try:
        text = orjson.dumps(kept).decode()
    except TypeError:  # a lone surrogate
        text = ""
    if not text or "\\u0000" in text:
        text = orjson.dumps({clean(name): clean(value) for name, value in kept.items()}).decode()
    return text
