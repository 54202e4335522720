"""What a collector made of a delivery, checked before it goes to the database, so that nothing fails there.

Pure. Small oddities are made visible inside the event (a NUL becomes ``\\u0000`` as text) and noted as a warning; an
event that cannot be kept faithfully is refused with a code, a sentence and its position. Nothing is dropped in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from apps.collectors.jsonbody import excerpt
from apps.flows.canonical import CanonicalEvent, ParseIssue, Reference

MOST_EVENTS = 10_000
MOST_REFERENCES = 2_000
DEPTH = 64
#: of a whole number; far below the 4,300 digits Python refuses to write
_BITS = 12_000
_TYPE, _ZONE, _TRACE, _KIND, _ISSUER, _VALUE = 64, 64, 32, 32, 64, 200
_SOURCE_EVENT_ID = 1_000
#: characters PostgreSQL has no place for
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Unsound(ValueError):
    """This event cannot be kept as it is."""

    def __init__(self, code: str, sentence: str, fragment: Any = "") -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.fragment = code, sentence, fragment


def clean(text: str) -> str:
    r"""Text PostgreSQL can hold: NUL and lone surrogates become visible escapes (``\u0000``, ``\ud800``)."""
    if text.isascii():
        return text.replace("\0", "\\u0000") if "\0" in text else text
    return text.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode()


def check(event: CanonicalEvent) -> tuple[CanonicalEvent | None, list[ParseIssue]]:
    """The event as it can be stored (times in UTC), or None, with what there is to say about it."""
    try:
        position = clean(event.position)
    except (AttributeError, TypeError):
        return None, [ParseIssue("event.malformed", "The collector gave something that is not an event.")]
    notes: list[str] = []
    try:
        sound = _sound(event, position, notes)
    except Unsound as error:
        return None, [ParseIssue(error.code, error.sentence, position, excerpt(error.fragment))]
    except (AttributeError, TypeError, ValueError, RecursionError, OverflowError) as error:
        sentence = f"The event cannot be stored ({type(error).__name__})."
        return None, [ParseIssue("event.malformed", sentence, position)]
    issues = [ParseIssue("event.adjusted", note, position, severity="warning") for note in dict.fromkeys(notes)]
    return sound, issues


def _sound(event: CanonicalEvent, position: str, notes: list[str]) -> CanonicalEvent:
    _name("type", event.type, _TYPE)
    _name("source event id", event.source_event_id, _SOURCE_EVENT_ID)
    _name("zone", event.zone, _ZONE)
    _name("trace id", event.trace_id, _TRACE)
    clocks = (
        _moment("happened_at", event.happened_at),
        _moment("sent_at", event.sent_at) if event.sent_at is not None else None,
        _moment("booked_at", event.booked_at) if event.booked_at is not None else None,
        _moment("received_at", event.received_at) if event.received_at is not None else None,
    )
    references = _references(event.references)
    dates, parties = event.dates, event.parties
    if dates:
        dates = {_text(name, notes): _moment(name, moment) for name, moment in dates.items()}
    if parties:
        parties = {_text(role, notes): _text(party, notes) for role, party in parties.items()}
    data = _data(event.data, notes)
    if (
        position is event.position
        and data is event.data
        and references is event.references
        and clocks[0] is event.happened_at
        and clocks[1] is event.sent_at
        and clocks[2] is event.booked_at
        and clocks[3] is event.received_at
        and all(dates.get(name) is moment for name, moment in event.dates.items())
        and parties == event.parties
    ):
        return event  # nearly always: to make it anew costs more than all of these checks
    # every field is given: several times as fast as `replace`
    return CanonicalEvent(
        type=event.type,
        happened_at=clocks[0],
        sent_at=clocks[1],
        booked_at=clocks[2],
        received_at=clocks[3],
        references=references,
        source_event_id=event.source_event_id,
        zone=event.zone,
        trace_id=event.trace_id,
        dates=dates,
        parties=parties,
        data=data,
        position=position,
    )


def _name(what: str, text: str, length: int) -> str:
    if len(text) > length:
        raise Unsound("event.too_long", f"The {what} is longer than {length} characters.", text)
    if not _is_storable(text):
        raise Unsound("event.unreadable_name", f"The {what} holds a NUL or half a character.", text)
    return text


def _is_storable(text: str) -> bool:
    return "\0" not in text if text.isascii() else _UNSTORABLE.search(text) is None


def _moment(what: str, moment: datetime) -> datetime:
    if type(moment) is datetime and moment.tzinfo is UTC:
        return moment
    if not isinstance(moment, datetime):
        raise Unsound("event.no_time", f"{excerpt(what, 60)} is not a time.", str(moment))
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise Unsound("event.naive_time", f"{excerpt(what, 60)} has no time zone.", str(moment))
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise Unsound("event.time_out_of_range", f"{excerpt(what, 60)} is out of range.", str(moment)) from None


def _references(references: Sequence[Reference]) -> tuple[Reference, ...]:
    if len(references) > MOST_REFERENCES:
        raise Unsound(
            "event.too_many_references",
            f"The event names {len(references)} references; at most {MOST_REFERENCES} are kept.",
        )
    for reference in references:
        if not reference.value:
            raise Unsound("event.empty_reference", f"A reference of kind {excerpt(reference.kind, 40)} is empty.")
        if len(reference.value) > _VALUE or len(reference.issuer) > _ISSUER or len(reference.kind) > _KIND:
            raise Unsound(
                "event.reference_too_long",
                f"A reference of kind {excerpt(reference.kind, 40)} is longer than {_VALUE} characters"
                f" (its issuer: {_ISSUER}).",
                reference.value,
            )
        if not (_is_storable(reference.value) and _is_storable(reference.issuer) and _is_storable(reference.kind)):
            raise Unsound(
                "event.unreadable_reference",
                f"A reference of kind {excerpt(reference.kind, 40)} holds a NUL or half a character.",
                reference.value,
            )
    return references if type(references) is tuple else tuple(references)


def _text(text: str, notes: list[str]) -> str:
    cleaned = clean(text)
    if cleaned != text:
        notes.append("Characters no database can hold (NUL, half a character) are shown as escapes.")
    return cleaned


def _data(data: Mapping[str, Any], notes: list[str]) -> Mapping[str, Any]:
    """Unchanged when plain JSON, which is nearly always; else rebuilt value by value."""
    if not isinstance(data, Mapping):
        raise Unsound("event.malformed", f"The event's data is a {type(data).__name__}, not an object.")
    try:
        raw = orjson.dumps(data)
    except TypeError:
        raw = b""
    # null may stand for NaN or an infinity, which orjson writes as null
    if raw and b"\\u0000" not in raw and b"null" not in raw:
        return data
    return {_text(str(key), notes): _value(value, notes, 1) for key, value in data.items()}


def _value(value: Any, notes: list[str], depth: int) -> Any:
    if depth > DEPTH:
        raise Unsound("event.too_deep", f"The event's data is nested deeper than {DEPTH} levels.")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, notes)
    if isinstance(value, int):
        return _integer(value, notes)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        notes.append("A number that is not finite is kept as text.")
        return str(value)
    if isinstance(value, Mapping):
        return {_text(str(key), notes): _value(inner, notes, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_value(inner, notes, depth + 1) for inner in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise Unsound("event.not_json", f"The event's data holds a {type(value).__name__}, which is no JSON value.")


def _integer(value: int, notes: list[str]) -> int | str:
    if -(2**63) <= value < 2**63:
        return value
    if value.bit_length() > _BITS:
        raise Unsound("event.number_too_long", "The event's data holds a number of thousands of digits.")
    notes.append("A whole number of more than 64 bits is kept as text.")
    return str(value)
