"""Rebuilds every flow from the events alone, and one hash over the whole projection to compare by.

A rebuild forgets the reference graph and all flows' contents, then takes all events through correlation and projection
again, in batches. Flow rows keep their id when the rebuilt flow has the same key, so that expectations and incidents
stay with their flow.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import datetime

import orjson
from django.db import transaction

from apps.flows import registry, retractions
from apps.flows.canonical import CanonicalEvent, Reference
from apps.flows.correlation import LOCK, correlate
from apps.flows.projection import project
from apps.flows.recording import IncomingEvent, NewEvent
from apps.flows.sets import raw_cursor
from apps.flows.states import FlowState

_FORGET = [
    "DELETE FROM flows_flowlink",
    "DELETE FROM flows_flowreference",
    "DELETE FROM flows_referencelink",
    "DELETE FROM flows_orphan",
]
_PAGE = """
SELECT e.id, e.received_at, e.integration_id, coalesce(p.slug, ''), e.receipt_id, e.type, e.happened_at, e."references"::text,
       e.flags, e.backfill
FROM flows_event e JOIN integrations_integration i ON i.id = e.integration_id
LEFT JOIN integrations_partner p ON p.id = i.partner_id
WHERE e.id > %b ORDER BY e.id LIMIT %b
"""
_KEEP_IDS = """
SELECT d.slug, fr.reference_id, f.id FROM flows_flowreference fr JOIN flows_flow f ON f.id = fr.flow_id
JOIN flows_flowdefinition d ON d.id = f.definition_id WHERE fr.own AND f.status <> 'merged'
"""
_DIGESTS = """
SELECT f.key, f.digest FROM flows_flow f WHERE f.status <> 'merged' ORDER BY f.key
"""
_LINKS = """
SELECT p.key, c.key FROM flows_flowlink l JOIN flows_flow p ON p.id = l.parent_id JOIN flows_flow c ON c.id = l.child_id
ORDER BY 1, 2
"""
_ORPHANS = (
    "SELECT e.source_key, e.content_key FROM flows_orphan o JOIN flows_event e ON e.id = o.event_id ORDER BY 1, 2"
)


def digest() -> uuid.UUID:
    """One hash over all flows (contents, links) and orphans; equal for equal sets of events."""
    total = hashlib.sha256()
    with transaction.atomic(), raw_cursor() as cursor:
        for statement in (_DIGESTS, _LINKS, _ORPHANS):
            cursor.execute(statement, binary=True)
            for one, other in cursor:
                total.update(one + other)
            total.update(b"|")
    return uuid.UUID(bytes=total.digest()[:16])


def _pages(size: int) -> Iterator[list[NewEvent]]:
    last = 0
    while True:
        with raw_cursor() as cursor:
            cursor.execute(_PAGE, [last, size], binary=True)
            rows = cursor.fetchall()
        if not rows:
            return
        last = rows[-1][0]
        yield [
            NewEvent(
                row[0],
                row[1],
                IncomingEvent(
                    CanonicalEvent(
                        type=row[5],
                        happened_at=row[6],
                        references=tuple(
                            Reference(kind, value, issuer) for kind, issuer, value in orjson.loads(row[7])
                        ),
                    ),
                    row[2],
                    row[3],
                    row[4],
                    row[1],
                    row[9],
                ),
                row[8],
            )
            for row in rows
        ]


def rebuild(now: datetime, batch: int = 2000) -> Iterator[tuple[int, list[FlowState]]]:
    """Rebuilds in one transaction; yields (events read so far, states written) after each batch.

    Readers see the old projection until it commits. A flow that the events no longer tell is left as MERGED into nothing.
    """
    with transaction.atomic():
        with raw_cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%b)", [LOCK])
            cursor.execute(_KEEP_IDS, binary=True)
            ids = {(slug, ref): flow for slug, ref, flow in cursor.fetchall()}
            for statement in _FORGET:
                cursor.execute(statement)
        register = registry.load()
        seen: set[int] = set()
        done = 0
        for events in _pages(batch):
            joined = retractions.join(events)
            touched = correlate(joined.events, register.catalogue, ids)
            retractions.settle(joined.late)
            states = project(touched, register)
            seen |= {state.flow_id for state in states if state.status != "merged"}
            done += len(events)
            yield done, states
        gone = sorted(set(ids.values()) - seen)
        with raw_cursor() as cursor:
            cursor.execute("DELETE FROM flows_milestone WHERE flow_id = ANY(%b::bigint[])", [gone])
            cursor.execute(
                "UPDATE flows_flow SET status = 'merged', awaiting = '', key = gen_random_uuid() WHERE id = ANY(%b::bigint[])",
                [gone],
            )
