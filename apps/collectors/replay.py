"""Receipts processed once more, after a mapping or a collector was mended. Safe: events have keys, none comes twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from apps.accounts.models import AuditEntry, User
from apps.collectors import processing
from apps.collectors.models import DeadLetter, ReceiptState

#: receipts of one call
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """receipts: put back to work (in a dry run: looked at). A dry run also says what would come: events that would be
    new, duplicates, receipts that would give nothing still, and how often each issue code."""

    receipts: tuple[int, ...]
    dry_run: bool
    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    failing: tuple[int, ...] = ()
    codes: dict[str, int] = field(default_factory=dict)


def replay(receipt_ids: Sequence[int], actor: User | None, now: datetime, *, dry_run: bool = False) -> Replayed:
    """Puts settled receipts back on the work list and marks their open dead letters as replayed; a worker goes on.

    Receipts that still wait, or do not exist, are left alone. A dry run writes nothing. At most `MOST` receipts a call.
    """
    wanted = sorted(set(receipt_ids))
    if len(wanted) > MOST:
        raise ValueError(f"{len(wanted)} receipts; replay at most {MOST} at once")
    if dry_run:
        return _rehearse(wanted, now)
    settled = [ReceiptState.Status.DONE, ReceiptState.Status.DEAD]
    with transaction.atomic():
        rows = ReceiptState.objects.filter(pk__in=wanted, status__in=settled).order_by("pk").select_for_update()
        ids = list(rows.values_list("pk", flat=True))
        ReceiptState.objects.filter(pk__in=ids).update(
            status=ReceiptState.Status.WAITING, attempts=0, losses=0, next_at=now, lease_until=None, done_at=None
        )
        DeadLetter.objects.filter(receipt_id__in=ids, state=DeadLetter.State.OPEN).update(
            state=DeadLetter.State.REPLAYED, resolved_at=now, resolved_by=actor
        )
        if ids:
            AuditEntry.objects.create(
                at=now,
                actor=actor,
                actor_name=actor.display_name if actor else "the system",
                action="receipts.replayed",
                subject=f"receipts: {len(ids)}",
                after={"receipts": ids},
            )
    return Replayed(tuple(ids), dry_run=False)


def receipts_of(letters: Sequence[DeadLetter]) -> list[int]:
    """The receipts behind dead letters, each once."""
    return sorted({letter.receipt_id for letter in letters})


def _rehearse(receipt_ids: Sequence[int], now: datetime) -> Replayed:
    found = processing.rehearse(receipt_ids, now)
    codes = Counter(issue.code for outcome in found for issue in outcome.issues)
    return Replayed(
        receipts=tuple(outcome.kept.receipt_id for outcome in found),
        dry_run=True,
        events=sum(outcome.events for outcome in found),
        duplicates=sum(outcome.duplicates for outcome in found),
        conflicts=sum(outcome.conflicts for outcome in found),
        failing=tuple(outcome.kept.receipt_id for outcome in found if outcome.is_dead),
        codes=dict(sorted(codes.items())),
    )
