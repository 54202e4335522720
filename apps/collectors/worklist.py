"""The work list of receipts in PostgreSQL: claim, lock, read, defer, release (invariant 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import transaction

from apps.flows.sets import raw_cursor

#: covers the moment between the commit of the claim and the lock of the work; after a death, the delay of the next try
LEASE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Claim:
    """A receipt in our hands. lost: the worker that had it before died; size: bytes of its body."""

    receipt_id: int
    received_at: datetime
    attempts: int
    lost: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """A receipt as it was kept, with what its state row says. body is None when the bytes are gone."""

    receipt_id: int
    received_at: datetime
    integration_id: int
    backfill: bool
    earlier_events: int
    door: str
    content_type: str
    headers: Mapping[str, str]
    body: bytes | None


_CLAIM = """
WITH due AS (
    SELECT receipt_id, lease_until IS NOT NULL AS lost FROM collectors_receiptstate
    WHERE status = 'waiting' AND next_at <= %b AND (lease_until IS NULL OR lease_until <= %b)
      AND (%b::bigint[] IS NULL OR receipt_id = ANY(%b::bigint[]))
    ORDER BY next_at, receipt_id LIMIT %b FOR UPDATE SKIP LOCKED
)
UPDATE collectors_receiptstate AS s
SET lease_until = %b, attempts = least(s.attempts + 1, 30000)
FROM due WHERE s.receipt_id = due.receipt_id
RETURNING s.receipt_id, s.received_at, s.attempts, due.lost
"""
_LOCK = """
SELECT s.receipt_id, octet_length(r.body) FROM collectors_receiptstate AS s
LEFT JOIN collectors_receipt AS r ON r.id = s.receipt_id AND r.received_at = s.received_at
  AND r.received_at BETWEEN %b AND %b
WHERE s.receipt_id = ANY(%b::bigint[]) AND s.status = 'waiting'
ORDER BY s.receipt_id FOR UPDATE OF s SKIP LOCKED
"""
_READ = """
SELECT s.receipt_id, s.received_at, s.integration_id, s.backfill, s.events, r.door, r.content_type, r.headers, {body}
FROM collectors_receiptstate AS s
LEFT JOIN collectors_receipt AS r ON r.id = s.receipt_id AND r.received_at = s.received_at
  AND r.received_at BETWEEN %b AND %b
WHERE s.receipt_id = ANY(%b::bigint[]) ORDER BY s.receipt_id
"""
_FIND = """
SELECT s.receipt_id, s.received_at, s.attempts, coalesce(octet_length(r.body), 0) FROM collectors_receiptstate AS s
LEFT JOIN collectors_receipt AS r ON r.id = s.receipt_id AND r.received_at = s.received_at
WHERE s.receipt_id = ANY(%b::bigint[]) ORDER BY s.receipt_id
"""
_DEFER = """
UPDATE collectors_receiptstate AS s SET next_at = t.next_at, lease_until = NULL
FROM unnest(%b::bigint[], %b::timestamptz[]) AS t (receipt_id, next_at)
WHERE s.receipt_id = t.receipt_id AND s.status = 'waiting'
"""
_RELEASE = """
UPDATE collectors_receiptstate SET lease_until = NULL, attempts = greatest(attempts - 1, 0)
WHERE receipt_id = ANY(%b::bigint[]) AND status = 'waiting'
"""
_COUNT_LOSS = """
UPDATE collectors_receiptstate SET losses = least(losses + 1, 30000), lease_until = %b
WHERE receipt_id = (
    SELECT receipt_id FROM collectors_receiptstate WHERE receipt_id = %b AND status = 'waiting' FOR UPDATE SKIP LOCKED
) RETURNING losses
"""


def claim(now: datetime, limit: int, only: Sequence[int] | None = None) -> list[Claim]:
    """Leases up to `limit` due receipts, oldest first, and counts the attempt; commits unless inside a transaction."""
    ids = list(only) if only is not None else None
    with transaction.atomic(), raw_cursor() as cursor:
        cursor.execute(_CLAIM, [now, now, ids, ids, limit, now + LEASE], binary=True)
        return [Claim(*row) for row in sorted(cursor.fetchall())]


def find(receipt_ids: Sequence[int]) -> list[Claim]:
    """These receipts in whatever state, without claiming them."""
    with raw_cursor() as cursor:
        cursor.execute(_FIND, [list(receipt_ids)], binary=True)
        return [Claim(i, received_at, attempts, False, size) for i, received_at, attempts, size in cursor.fetchall()]


def lock(claims: Sequence[Claim]) -> list[Claim]:
    """Those of our claims nobody else works on, locked to the end of the transaction, with the size of their bodies."""
    if not claims:
        return []
    with raw_cursor() as cursor:
        cursor.execute(_LOCK, [*_span(claims), [claim.receipt_id for claim in claims]], binary=True)
        sizes = {receipt_id: size or 0 for receipt_id, size in cursor.fetchall()}
    return [
        Claim(claim.receipt_id, claim.received_at, claim.attempts, claim.lost, sizes[claim.receipt_id])
        for claim in claims
        if claim.receipt_id in sizes
    ]


def read(claims: Sequence[Claim], bodies: bool = True) -> list[Kept]:
    """The receipts of these claims, in order of id; without bodies if they are not wanted."""
    if not claims:
        return []
    statement = _READ.format(body="r.body" if bodies else "NULL::bytea")
    with raw_cursor() as cursor:
        cursor.execute(statement, [*_span(claims), [claim.receipt_id for claim in claims]], binary=True)
        return [_kept(row) for row in cursor.fetchall()]


def defer(claims: Sequence[Claim], until: Mapping[int, datetime]) -> None:
    """Puts receipts back for later: receipt id -> when."""
    if not claims:
        return
    ids = sorted(claim.receipt_id for claim in claims)
    with transaction.atomic(), raw_cursor() as cursor:
        cursor.execute(_DEFER, [ids, [until[receipt_id] for receipt_id in ids]], binary=True)


def release(claims: Sequence[Claim]) -> None:
    """Puts receipts back as if they had not been claimed."""
    if claims:
        with raw_cursor() as cursor:
            cursor.execute(_RELEASE, [sorted(claim.receipt_id for claim in claims)], binary=True)


def count_loss(claim: Claim, now: datetime) -> int | None:
    """How often workers died with this receipt in their hands, this time included; None if somebody else has it."""
    with transaction.atomic(), raw_cursor() as cursor:
        cursor.execute(_COUNT_LOSS, [now + LEASE, claim.receipt_id], binary=True)
        row = cursor.fetchone()
        return row[0] if row else None


def _span(claims: Iterable[Claim]) -> tuple[datetime, datetime]:
    """First and last time of receipt: lets PostgreSQL skip the partitions of other months."""
    times = [claim.received_at for claim in claims]
    return min(times), max(times)


def _kept(row: tuple[Any, ...]) -> Kept:
    receipt_id, received_at, integration_id, backfill, events, door, content_type, headers, body = row
    if isinstance(headers, str | bytes):
        headers = orjson.loads(headers)
    return Kept(
        receipt_id,
        received_at,
        integration_id,
        backfill,
        events,
        door or "",
        content_type or "",
        headers or {},
        bytes(body) if body is not None else None,
    )
