"""What became of receipts, written set-wise: their states, their dead letters, and how well we hear each source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.collectors.models import DeadLetter, ReceiptState
from apps.collectors.worklist import Kept
from apps.flows.canonical import FUTURE_TOLERANCE, ParseIssue
from apps.flows.pipeline import Taken
from apps.flows.recording import IncomingEvent
from apps.flows.sets import columns, raw_cursor


@dataclass(slots=True)
class Outcome:
    """One receipt read and taken. events: new ones; duplicates: told before by another receipt; conflicts: same id with
    other content. The three are counted when the batch is recorded."""

    kept: Kept
    incoming: tuple[IncomingEvent, ...]
    issues: tuple[ParseIssue, ...]
    events: int = 0
    duplicates: int = 0
    conflicts: int = 0

    @property
    def is_dead(self) -> bool:
        """It gave nothing at all, and that is an error."""
        return not self.incoming and any(issue.severity == "error" for issue in self.issues)


_MARK = """
UPDATE collectors_receiptstate AS s
SET status = t.status, done_at = %b, lease_until = NULL, losses = 0, events = s.events + t.events,
    duplicates = t.duplicates, conflicts = s.conflicts + t.conflicts, issues = t.issues
FROM unnest(%b::bigint[], %b::text[], %b::integer[], %b::integer[], %b::integer[], %b::integer[])
  AS t (receipt_id, status, events, duplicates, conflicts, issues)
WHERE s.receipt_id = t.receipt_id
"""
_HEARD = """
INSERT INTO integrations_sourcestate
    (integration_id, last_received_at, last_happened_at, last_error, failures, cursor, stale_reason)
SELECT integration_id, received_at, happened_at, '', 0, '{}'::jsonb, ''
FROM unnest(%b::bigint[], %b::timestamptz[], %b::timestamptz[]) AS t (integration_id, received_at, happened_at)
WHERE EXISTS (SELECT FROM integrations_integration AS i WHERE i.id = t.integration_id)
ON CONFLICT (integration_id) DO UPDATE SET
    last_received_at = greatest(integrations_sourcestate.last_received_at, EXCLUDED.last_received_at),
    last_happened_at = greatest(integrations_sourcestate.last_happened_at, EXCLUDED.last_happened_at)
"""


def record(finished: Sequence[Outcome], taken: Taken | None, now: datetime) -> None:
    """Writes what became of the receipts of a batch, inside the caller's transaction. Fills in their counts."""
    if taken is not None:
        _count(finished, taken)
    _mark(finished, now)
    DeadLetter.objects.bulk_create(
        [_letter(outcome.kept, issue, now) for outcome in finished for issue in outcome.issues], batch_size=1000
    )
    _hear(finished)


def _count(finished: Sequence[Outcome], taken: Taken) -> None:
    new = Counter(event.incoming.receipt_id for event in taken.new)
    conflicts = Counter(taken.conflicts)
    for outcome in finished:
        receipt_id = outcome.kept.receipt_id
        outcome.events = new[receipt_id]
        outcome.conflicts = conflicts[receipt_id]
        # what this receipt itself told in an earlier round (a replay) is no duplicate
        outcome.duplicates = max(0, len(outcome.incoming) - outcome.events - outcome.kept.earlier_events)


def _mark(finished: Sequence[Outcome], now: datetime) -> None:
    rows = sorted(
        (
            outcome.kept.receipt_id,
            str(ReceiptState.Status.DEAD if outcome.is_dead else ReceiptState.Status.DONE),
            outcome.events,
            outcome.duplicates,
            outcome.conflicts,
            len(outcome.issues),
        )
        for outcome in finished
    )
    with raw_cursor() as cursor:
        cursor.execute(_MARK, [now, *columns(rows, 6)], binary=True)


def _letter(kept: Kept, issue: ParseIssue, now: datetime) -> DeadLetter:
    return DeadLetter(
        receipt_id=kept.receipt_id,
        received_at=kept.received_at,
        integration_id=kept.integration_id,
        severity=issue.severity,
        code=issue.code,
        sentence=issue.sentence,
        position=issue.position,
        fragment=issue.fragment,
        created_at=now,
    )


def _hear(finished: Sequence[Outcome]) -> None:
    """Freshness of the sources: when we last received, and the latest thing they told of. History says nothing of it.

    Rows in order of id, at the end of the transaction: workers wait for each other shortly and never in a circle.
    """
    received: dict[int, datetime] = {}
    happened: dict[int, datetime] = {}
    for outcome in finished:
        kept = outcome.kept
        if kept.backfill:
            continue
        received[kept.integration_id] = max(received.get(kept.integration_id, kept.received_at), kept.received_at)
        latest = kept.received_at + FUTURE_TOLERANCE
        for one in outcome.incoming:
            at = one.event.happened_at
            if at <= latest and at > happened.get(kept.integration_id, at.min.replace(tzinfo=at.tzinfo)):
                happened[kept.integration_id] = at
    if not received:
        return
    rows = [
        (integration_id, received[integration_id], happened.get(integration_id)) for integration_id in sorted(received)
    ]
    with raw_cursor() as cursor:
        cursor.execute(_HEARD, columns(rows, 3), binary=True)
