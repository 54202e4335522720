"""The canonical business event: what every collector speaks and every flow is folded from.

Pure values, no database. A collector's ``parse`` turns raw bytes into `CanonicalEvent`s; `flows.recording` stores
them. All times are aware datetimes in UTC; the zone they were written in stays beside them.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

#: Sent too far into the future (or the past) to be believed: kept and flagged, moves no deadline.
FUTURE_TOLERANCE = timedelta(minutes=5)
PAST_TOLERANCE = timedelta(days=400)


#: its source says that an earlier event of its own was wrong: data["withdrawn"] names it, by ``event_id`` (its own
#: identity of it) or, where it has none to name, by ``type`` and ``happened_at`` (ISO 8601) with its references
WITHDRAWN = "event.withdrawn"
#: reference kind: what a source itself calls an event; only of sources that take events back by that name alone
TOLD = "told_event"


class Key(bytes):
    """A 128-bit key as 16 bytes: what a uuid column holds, without the cost of UUID objects on the hot path."""

    __slots__ = ()

    def __str__(self) -> str:
        return str(uuid.UUID(bytes=bytes(self)))


def hash_of(*parts: str) -> Key:
    """First 16 bytes of the SHA-256 of a tuple of strings, parts kept apart by length."""
    pieces: list[bytes] = []
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        pieces += (len(raw).to_bytes(8, "big"), raw)
    return Key(hashlib.sha256(b"".join(pieces)).digest()[:16])


#: keys of references: the events of one case name the same few again and again
_reference_key = lru_cache(maxsize=16_384)(hash_of)


def source_key_of(integration_id: int, identity: str) -> Key:
    """The key of an event by what its source calls it: the same words of two sources are two events."""
    return hash_of(str(integration_id), identity)


def key_of(*parts: str) -> uuid.UUID:
    """`hash_of` as a UUID, for models and forms."""
    return uuid.UUID(bytes=bytes(hash_of(*parts)))


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A typed business key. ``issuer`` is '' for keys of our own house and for keys unique in the world."""

    kind: str
    value: str
    issuer: str = ""

    @property
    def key(self) -> Key:
        return _reference_key(self.kind, self.issuer, self.value)

    @property
    def id(self) -> uuid.UUID:
        """The primary key of its row (`flows.models.Reference`)."""
        return uuid.UUID(bytes=bytes(self.key))


@dataclass(frozen=True, slots=True)
class CanonicalEvent:
    """One business event as its source told it.

    type: a name of the catalogue (``order.released``); an unknown name is kept and listed, never guessed.
    happened_at: at the source; sent_at: by the partner; booked_at: in Odoo. Received is the receipt's time.
    source_event_id: the partner's own identity of this event inside its integration; '' when it has none
        (then its content is its identity).
    dates: named dates of the document (``promised_delivery``, ``eta``, ``ship_by``) that plans and deadlines use.
    parties: role -> partner slug or identifier ``scheme:value`` (``supplier``, ``carrier``, ``warehouse``, ``customer``).
    data: what else is worth keeping; JSON values only.
    position: where in its receipt it stood (``ISA 1 / GS 1 / ST 2``, ``row 17``, ``$.events[3]``).
    """

    type: str
    happened_at: datetime
    references: tuple[Reference, ...]
    source_event_id: str = ""
    sent_at: datetime | None = None
    booked_at: datetime | None = None
    received_at: datetime | None = None
    zone: str = "UTC"
    dates: Mapping[str, datetime] = field(default_factory=dict)
    parties: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    position: str = ""
    trace_id: str = ""

    def content_key(self) -> Key:
        """Hash of everything the source said: the same event told twice has one content key."""
        body = [
            self.type,
            self.happened_at,
            self.sent_at,
            self.booked_at,
            # its own name is no more of its content than its source_event_id is
            sorted([(r.kind, r.issuer, r.value) for r in self.references if r.kind != TOLD]),
            dict(self.dates),
            dict(self.parties),
            self.data,
        ]
        raw = orjson.dumps(body, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
        return Key(hashlib.sha256(raw).digest()[:16])


@dataclass(frozen=True, slots=True)
class ParseIssue:
    """A part of a receipt that could not become an event: code for machines, sentence for people, place to look."""

    code: str
    sentence: str
    position: str = ""
    fragment: str = ""
    #: a warning keeps the events beside it; an error means this part gave none
    severity: str = "error"


class ParseFailure(Exception):
    """The whole receipt cannot be read. Carries one issue."""

    def __init__(self, code: str, sentence: str, position: str = "", fragment: str = "") -> None:
        super().__init__(sentence)
        self.issue = ParseIssue(code, sentence, position, fragment)


@dataclass(frozen=True, slots=True)
class ParseResult:
    """What one receipt held: events in the order they stood, and what could not be read."""

    events: tuple[CanonicalEvent, ...] = ()
    issues: tuple[ParseIssue, ...] = ()
