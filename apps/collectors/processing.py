"""From receipts to flows: claim, read, take, refresh, mark; everything after the claim in one transaction a batch.

The claim is a commit of its own that counts the attempt and leases the rows for the moment between the two commits;
then row locks hold them. A worker that dies anywhere leaves nothing half done: its locks go with it, its lease runs
out, and what it held is tried again, alone, so that a receipt that kills workers is found and set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, transaction

from apps.anomalies import feeds
from apps.anomalies.reconciliation import noting
from apps.collectors import outcomes, worklist
from apps.collectors.contract import RawDelivery
from apps.collectors.outcomes import Outcome
from apps.collectors.reading import read
from apps.collectors.sources import Source, load
from apps.collectors.worklist import Claim, Kept
from apps.flows import pipeline
from apps.flows.canonical import ParseIssue
from apps.flows.recording import IncomingEvent
from apps.sla import expectations

log = structlog.get_logger(__name__)

BATCH = 500
#: of one transaction: bytes read and events taken, beyond the first receipt
MOST_BYTES = 16 * 1024 * 1024
MOST_EVENTS = 5_000
#: a worker died this often with one receipt alone in its hands: no further try without a person
MOST_LOSSES = 4
#: tries of a receipt that fails for a reason of ours (a defect): in all some hours
MOST_FAILURES = 8

#: before the second try, four times as long before the next, at last
PAUSE = timedelta(seconds=5)
LAST_PAUSE = timedelta(hours=1)


@dataclass(slots=True)
class Processed:
    """What one call did. events: recorded for the first time; dead: receipts that gave nothing; deferred: to be tried
    again later; issues: dead letters and warnings written."""

    receipts: int = 0
    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    issues: int = 0
    dead: int = 0
    deferred: int = 0
    settled: list[int] = field(default_factory=list)

    def add(self, done: Sequence[Outcome]) -> None:
        for one in done:
            self.receipts += 1
            self.events += one.events
            self.duplicates += one.duplicates
            self.conflicts += one.conflicts
            self.issues += len(one.issues)
            self.dead += one.is_dead
            self.settled.append(one.kept.receipt_id)

    @property
    def moved(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.receipts or self.deferred)

    @property
    def fitting(self) -> int:
        """How many receipts like these fill one transaction: what a worker claims beyond that keeps others idle."""
        told = self.events + self.duplicates + self.conflicts
        return max(1, min(BATCH, MOST_EVENTS * self.receipts // told)) if told else BATCH


def process(now: datetime, limit: int = BATCH, only: Sequence[int] | None = None) -> Processed:
    """Takes up to `limit` waiting receipts (of `only`, if given) through to flows and expectations.

    Call it until nothing moves. Safe to run in any number of workers. Raises only when the database is away.
    """
    done = Processed()
    claims = worklist.claim(now, limit, only)
    fresh = [claim for claim in claims if not claim.lost]
    if fresh:
        _settle(fresh, now, done)
    for claim in claims:
        if claim.lost:
            _settle_lost(claim, now, done)
    return done


def rehearse(
    receipt_ids: Sequence[int], now: datetime, look: Callable[[Sequence[Outcome]], None] | None = None
) -> list[Outcome]:
    """What processing these receipts again would give, by doing it and rolling it back. In batches, nothing is kept.

    look: called after each batch, before it is rolled back.
    """
    found: list[Outcome] = []
    remaining = worklist.find(receipt_ids)
    while remaining:
        with transaction.atomic():
            outcomes_of_batch, remaining = _work(remaining, now, lock=False)
            if look is not None:
                look(outcomes_of_batch)
            transaction.set_rollback(True)
        found += outcomes_of_batch
    return found


def _settle(claims: Sequence[Claim], now: datetime, done: Processed) -> None:
    """One transaction for all; when it fails, halves, down to the one receipt it fails for."""
    try:
        with transaction.atomic():
            finished, rest = _work(claims, now)
            worklist.release(rest)
        done.add(finished)
    except (OperationalError, InterfaceError) as error:  # deadlock, lost connection, disk full: not the receipt's fault
        log.warning("batch_deferred", error=type(error).__name__, receipts=len(claims))
        worklist.defer(claims, _later(claims, now))
        done.deferred += len(claims)
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        if len(claims) > 1:
            half = len(claims) // 2
            _settle(claims[:half], now, done)
            _settle(claims[half:], now, done)
        else:
            _refuse(claims[0], error, now, done)


def _settle_lost(claim: Claim, now: datetime, done: Processed) -> None:
    """A receipt whose worker died: alone, and counted before it is touched."""
    losses = worklist.count_loss(claim, now)
    if losses is None:
        return
    if losses > MOST_LOSSES:
        sentence = (
            f"Workers died {MOST_LOSSES} times while they processed this delivery, so it is not tried again by itself. "
            "The log of the worker says more; replay it once the cause is gone."
        )
        _set_aside(claim, ParseIssue("processing.killed", sentence), now, done)
    else:
        _settle([claim], now, done)


def _work(claims: Sequence[Claim], now: datetime, lock: bool = True) -> tuple[list[Outcome], list[Claim]]:
    """The batch inside the caller's transaction: (what became of the receipts, what was left for the next batch)."""
    held, rest = _portion(worklist.lock(claims) if lock else list(claims))
    batch = worklist.read(held)
    sources = load({kept.integration_id for kept in batch})
    finished: list[Outcome] = []
    incoming: list[IncomingEvent] = []
    for place, kept in enumerate(batch):
        if len(incoming) >= MOST_EVENTS:
            held_ids = {kept.receipt_id for kept in batch[place:]}
            rest += [claim for claim in held if claim.receipt_id in held_ids]
            break
        outcome = _read(kept, sources.get(kept.integration_id))
        finished.append(outcome)
        incoming += outcome.incoming
    taken = pipeline.take(incoming, now)
    expectations.refresh(taken.states, now)
    feeds.count(taken.new)
    noting.note(taken.new)
    outcomes.record(finished, taken, now)
    return finished, rest


def _portion(claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
    """As many receipts as fit into memory, at least one; and the rest."""
    size = 0
    for place, claim in enumerate(claims):
        size += claim.size
        if place and size > MOST_BYTES:
            return list(claims[:place]), list(claims[place:])
    return list(claims), []


def _read(kept: Kept, source: Source | None) -> Outcome:
    if kept.body is None:
        sentence = "The bytes of this receipt are no longer kept (retention), so it cannot be processed."
        return Outcome(kept, (), (ParseIssue("receipt.gone", sentence),))
    if source is None:
        sentence = "The integration this delivery came by no longer exists."
        return Outcome(kept, (), (ParseIssue("integration.gone", sentence),))
    delivery = RawDelivery(kept.body, kept.content_type, kept.headers, kept.received_at)
    result = read(source.collector, delivery, source.context, kept.door)
    incoming = tuple(
        IncomingEvent(
            event, kept.integration_id, source.context.partner, kept.receipt_id, kept.received_at, kept.backfill
        )
        for event in result.events
    )
    return Outcome(kept, incoming, result.issues)


def _refuse(claim: Claim, error: Exception, now: datetime, done: Processed) -> None:
    """One receipt the lower floors do not take: refused by the database for good, or a defect worth some more tries."""
    if isinstance(error, DataError | IntegrityError):
        log.error("receipt_refused", receipt_id=claim.receipt_id, error=type(error).__name__)
        sentence = f"The database refused what this delivery says ({type(error).__name__}). The bytes are kept."
        _set_aside(claim, ParseIssue("storage.refused", sentence), now, done)
        return
    log.exception("receipt_failed", receipt_id=claim.receipt_id, attempts=claim.attempts)
    if claim.attempts < MOST_FAILURES:
        worklist.defer([claim], _later([claim], now))
        done.deferred += 1
        return
    sentence = (
        f"Processing this delivery failed {claim.attempts} times ({type(error).__name__}). The log of the worker says"
        " where; replay it once that is mended."
    )
    _set_aside(claim, ParseIssue("processing.failed", sentence), now, done)


def _set_aside(claim: Claim, issue: ParseIssue, now: datetime, done: Processed) -> None:
    """Dead letter without reading it."""
    with transaction.atomic():
        held = worklist.lock([claim])
        finished = [Outcome(kept, (), (issue,)) for kept in worklist.read(held, bodies=False)]
        outcomes.record(finished, None, now)
    done.add(finished)


def _later(claims: Sequence[Claim], now: datetime) -> dict[int, datetime]:
    """When to try again: 5 s, 20 s, 80 s ... up to an hour."""
    return {claim.receipt_id: now + min(LAST_PAUSE, PAUSE * 4 ** min(claim.attempts - 1, 6)) for claim in claims}
