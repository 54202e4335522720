"""Appends canonical events, set-wise and each one once.

The key of an event is the hash of its integration and its source's own id (or, without one, of its content). A unique
table of keys decides duplicates over all partitions and for ever. The same source id with other content is kept too,
under a key of its own, and flagged: a conflict a person can see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.flows.canonical import CanonicalEvent, Key, hash_of, source_key_of
from apps.flows.folding import is_suspect
from apps.flows.models import Event
from apps.flows.sets import EMPTY, Keys, Stage, jsonb, raw_cursor


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """A parsed event with where and when we got it. partner: slug of the integration's partner ('' if none)."""

    event: CanonicalEvent
    integration_id: int
    partner: str
    receipt_id: int | None
    received_at: datetime
    backfill: bool = False


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event recorded just now for the first time. received_at: as recorded (a backfill brings its own)."""

    id: int
    received_at: datetime
    incoming: IncomingEvent
    flags: int
    #: as recorded now; none for an event of before
    source_key: Key | None = None
    content_key: Key | None = None

    @property
    def type(self) -> str:
        return self.incoming.event.type


@dataclass(frozen=True, slots=True)
class Recorded:
    """new: in the order they came; duplicates: told before, word for word; conflicts: same id, other content.

    The two lists name receipts (None for events without one), one entry for each event.
    """

    new: list[NewEvent]
    duplicates: list[int | None]
    conflicts: list[int | None]


@dataclass(slots=True)
class _Candidate:
    incoming: IncomingEvent
    key: Key
    source_key: Key
    content_key: Key
    conflict: bool = False


_KEYS = """
INSERT INTO flows_eventkey (key, content_key)
SELECT * FROM unnest(%b::uuid[], %b::uuid[]) ON CONFLICT (key) DO NOTHING RETURNING key
"""
_KNOWN = "SELECT key, content_key FROM flows_eventkey WHERE key = ANY(%b::uuid[])"
_STAGE = Stage(
    "event",
    (
        ("id", "bigint"),
        ("received_at", "timestamptz"),
        ("recorded_at", "timestamptz"),
        ("integration_id", "bigint"),
        ("receipt_id", "bigint"),
        ("position", "text"),
        ("type", "text"),
        ("happened_at", "timestamptz"),
        ("sent_at", "timestamptz"),
        ("booked_at", "timestamptz"),
        ("zone", "text"),
        ("source_event_id", "text"),
        ("source_key", "uuid"),
        ("content_key", "uuid"),
        ("flags", "smallint"),
        ("backfill", "boolean"),
        ("trace_id", "text"),
        ('"references"', "jsonb"),
        ("dates", "jsonb"),
        ("parties", "jsonb"),
        ("data", "jsonb"),
    ),
)
_EVENTS = f"INSERT INTO flows_event ({_STAGE.columns}) SELECT {_STAGE.select} FROM {_STAGE.table}"
_IDS = "SELECT nextval('flows_event_id_seq') FROM generate_series(1, %b)"


def record(incoming: Sequence[IncomingEvent], now: datetime) -> Recorded:
    """Stores what is new of a batch inside the caller's transaction."""
    candidates = [_candidate(one) for one in incoming]
    fresh, rest = _claim(candidates)
    duplicates: list[int | None] = []
    clashing: list[_Candidate] = []
    if rest:
        known = _contents([c.key for c in rest])
        for candidate in rest:
            if known.get(candidate.key) == candidate.content_key:
                duplicates.append(candidate.incoming.receipt_id)
            else:
                candidate.key = hash_of(candidate.source_key.hex(), candidate.content_key.hex())
                candidate.conflict = True
                clashing.append(candidate)
    if clashing:
        kept, again = _claim(clashing)
        fresh += kept
        duplicates += [c.incoming.receipt_id for c in again]
        order = {id(one): place for place, one in enumerate(incoming)}
        fresh.sort(key=lambda c: order[id(c.incoming)])
    return Recorded(_append(fresh, now), duplicates, [c.incoming.receipt_id for c in fresh if c.conflict])


def _candidate(one: IncomingEvent) -> _Candidate:
    event = one.event
    content = event.content_key()
    source = source_key_of(one.integration_id, event.source_event_id or content.hex())
    return _Candidate(one, source, source, content)


def _claim(candidates: Sequence[_Candidate]) -> tuple[list[_Candidate], list[_Candidate]]:
    """Splits into those whose key we are the first to claim and the rest. Keys in order: no deadlock."""
    firsts: dict[Key, _Candidate] = {}
    rest: list[_Candidate] = []
    for candidate in candidates:
        if candidate.key in firsts:
            rest.append(candidate)
        else:
            firsts[candidate.key] = candidate
    if not firsts:
        return [], rest
    keys = sorted(firsts)
    with raw_cursor() as cursor:
        cursor.execute(_KEYS, [Keys(keys), Keys(firsts[key].content_key for key in keys)], binary=True)
        if cursor.rowcount == len(firsts):
            return list(firsts.values()), rest
        won = {row[0] for row in cursor.fetchall()}
    rest += [candidate for key, candidate in firsts.items() if key not in won]
    return [candidate for key, candidate in firsts.items() if key in won], rest


def _contents(keys: Sequence[Key]) -> dict[Key, Key]:
    with raw_cursor() as cursor:
        cursor.execute(_KNOWN, [Keys(keys)], binary=True)
        return dict(cursor.fetchall())


def _append(fresh: Sequence[_Candidate], now: datetime) -> list[NewEvent]:
    if not fresh:
        return []
    new: list[NewEvent] = []
    with raw_cursor() as cursor:
        cursor.execute(_IDS, [len(fresh)], binary=True)
        ids = sorted(row[0] for row in cursor.fetchall())
        # rows are made while PostgreSQL reads those before
        _STAGE.fill(cursor, _rows(ids, fresh, now, new))
        cursor.execute(_EVENTS)
    return new


def _rows(
    ids: Sequence[int], fresh: Sequence[_Candidate], now: datetime, new: list[NewEvent]
) -> Iterator[tuple[Any, ...]]:
    """The rows of the stage; what they record is added to ``new`` on the way."""
    for event_id, candidate in zip(ids, fresh, strict=True):
        one, event = candidate.incoming, candidate.incoming.event
        received_at = event.received_at or one.received_at
        if one.backfill and event.received_at is None:
            # nobody knows when history arrived; when it was sent comes nearest
            received_at = max(event.sent_at or event.happened_at, event.happened_at)
        flags = Event.CLOCK_SUSPECT * is_suspect(event.happened_at, received_at, one.backfill)
        flags |= Event.CONFLICT * candidate.conflict
        new.append(NewEvent(event_id, received_at, one, flags, candidate.source_key, candidate.content_key))
        yield (
            event_id,
            received_at,
            now,
            one.integration_id,
            one.receipt_id,
            event.position,
            event.type,
            event.happened_at,
            event.sent_at,
            event.booked_at,
            event.zone,
            event.source_event_id,
            candidate.source_key,
            candidate.content_key,
            flags,
            one.backfill,
            event.trace_id,
            jsonb([(r.kind, r.issuer, r.value) for r in event.references]),
            jsonb(dict(event.dates)) if event.dates else EMPTY,
            jsonb(dict(event.parties)) if event.parties else EMPTY,
            jsonb(dict(event.data)) if event.data else EMPTY,
        )
