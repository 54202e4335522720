"""Finds what a retraction takes back when it names no business key, only what its source calls the event.

Sources that take events back so (DCSA) give each event its own name as a reference of the kind `TOLD`, and a retraction
the name of its event beside its own. The retraction is then correlated as if it named what its event names, whichever of
the two came first; a retraction of a retraction follows the chain. Runs under the correlator's lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from apps.flows.canonical import TOLD, WITHDRAWN, CanonicalEvent, Key, Reference
from apps.flows.correlation import LOCK
from apps.flows.recording import IncomingEvent, NewEvent
from apps.flows.sets import raw_cursor

_NAMING = """
SELECT e.id, e.received_at, e.integration_id, e.type, e.happened_at, e."references"::text, e.flags, e.backfill
FROM flows_eventreference er JOIN flows_event e ON e.id = er.event_id AND e.received_at = er.event_received_at
WHERE er.reference_id = ANY(%b::uuid[])
"""
_OFF_THE_BENCH = """
DELETE FROM flows_orphan o WHERE o.event_id = ANY(%b::bigint[]) AND EXISTS (
    SELECT FROM flows_eventreference er JOIN flows_flowreference fr ON fr.reference_id = er.reference_id
    WHERE er.event_id = o.event_id AND er.reference_id = ANY(%b::uuid[])
)
"""


@dataclass(frozen=True, slots=True)
class Joined:
    """events: the batch as it is to be correlated; late: those retractions in it that came before."""

    events: list[NewEvent]
    late: list[NewEvent]


def join(new: Sequence[NewEvent]) -> Joined:
    """Gives each retraction that names nothing else the references of what it takes back, inside the transaction."""
    nodes = {one.id: one for one in new if _names(one)}
    if not nodes:
        return Joined(list(new), [])
    batch = set(nodes)
    _load(nodes)
    naming: dict[Key, list[NewEvent]] = defaultdict(list)
    for node in nodes.values():
        for name in _names(node):
            naming[name].append(node)
    joined: dict[int, NewEvent] = {}
    for node in nodes.values():
        if node.type == WITHDRAWN and not _others(node) and (gained := _reached(node, naming)):
            event = replace(node.incoming.event, references=(*node.incoming.event.references, *gained))
            joined[node.id] = replace(node, incoming=replace(node.incoming, event=event))
    late = [one for one in joined.values() if one.id not in batch]
    return Joined([*(joined.get(one.id, one) for one in new), *late], late)


def settle(late: Sequence[NewEvent]) -> None:
    """Takes off the orphan bench what waited there for its event, now that a flow knows it."""
    if not late:
        return
    refs = sorted({ref.key for one in late for ref in _others(one)})
    with raw_cursor() as cursor:
        cursor.execute(_OFF_THE_BENCH, [[one.id for one in late], refs], binary=True)


def _names(one: NewEvent) -> list[Key]:
    return [ref.key for ref in one.incoming.event.references if ref.kind == TOLD]


def _others(one: NewEvent) -> list[Reference]:
    return [ref for ref in one.incoming.event.references if ref.kind != TOLD]


def _reached(start: NewEvent, naming: dict[Key, list[NewEvent]]) -> list[Reference]:
    """References of the events at the end of the chain of names, each once, in one order."""
    found: set[Reference] = set()
    seen: set[Key] = set()
    edge = set(_names(start))
    while edge:
        seen |= edge
        around = [node for name in edge for node in naming[name]]
        found.update(ref for node in around for ref in _others(node))
        # what names keys of its own ends the chain
        edge = {name for node in around if not _others(node) for name in _names(node)} - seen
    return sorted(found)


def _load(nodes: dict[int, NewEvent]) -> None:
    """Adds the recorded events that the same names lead to."""
    edge = {name for node in nodes.values() for name in _names(node)}
    seen: set[Key] = set()
    with raw_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%b)", [LOCK])
        while edge:
            seen |= edge
            cursor.execute(_NAMING, [sorted(edge)], binary=True)
            fresh = [_recorded(row) for row in cursor.fetchall() if row[0] not in nodes]
            nodes |= {one.id: one for one in fresh}
            edge = {name for one in fresh for name in _names(one)} - seen


def _recorded(row: tuple[object, ...]) -> NewEvent:
    event_id, received_at, integration_id, type_, happened_at, references, flags, backfill = row
    told = tuple(Reference(kind, value, issuer) for kind, issuer, value in orjson.loads(str(references)))
    event = CanonicalEvent(type=str(type_), happened_at=happened_at, references=told)  # type: ignore[arg-type]
    incoming = IncomingEvent(event, integration_id, "", None, received_at, bool(backfill))  # type: ignore[arg-type]
    return NewEvent(event_id, received_at, incoming, flags)  # type: ignore[arg-type]
