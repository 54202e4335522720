"""What gave no event, for people: list, search, dismiss. Nothing here is ever deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from apps.accounts.models import AuditEntry, User
from apps.collectors.models import DeadLetter

#: dead letters changed by one call
MOST = 10_000


def search(
    text: str = "",
    *,
    integration: str = "",
    code: str = "",
    severity: str = "",
    state: str = DeadLetter.State.OPEN,
) -> QuerySet[DeadLetter]:
    """Dead letters, newest first. integration: slug; state: '' for all; text: a receipt number, or part of the
    sentence, position, fragment or code."""
    found = DeadLetter.objects.select_related("integration")
    filters = {"integration__slug": integration, "code": code, "severity": severity, "state": state}
    found = found.filter(**{name: value for name, value in filters.items() if value})
    text = text.replace("\0", "").strip()
    if text:
        condition = Q(sentence__icontains=text) | Q(position__icontains=text) | Q(fragment__icontains=text)
        condition |= Q(code__icontains=text)
        if text.isascii() and text.isdigit() and len(text) <= 18:
            condition |= Q(receipt_id=int(text))
        found = found.filter(condition)
    return found


def dismiss(ids: Sequence[int], actor: User | None, now: datetime) -> int:
    """Marks open dead letters as needing nothing more. Returns how many; those already settled stay as they are."""
    with transaction.atomic():
        letters = DeadLetter.objects.filter(pk__in=list(ids)[:MOST], state=DeadLetter.State.OPEN)
        count = letters.update(state=DeadLetter.State.DISMISSED, resolved_at=now, resolved_by=actor)
        if count:
            AuditEntry.objects.create(
                at=now,
                actor=actor,
                actor_name=actor.display_name if actor else "the system",
                action="dead_letters.dismissed",
                subject=f"dead letters: {count}",
                after={"ids": sorted(ids)[:MOST]},
            )
    return count


def restore(ids: Sequence[int], actor: User | None, now: datetime) -> int:
    """Opens dismissed dead letters again. Returns how many; open and replayed ones stay as they are."""
    with transaction.atomic():
        letters = DeadLetter.objects.filter(pk__in=list(ids)[:MOST], state=DeadLetter.State.DISMISSED)
        count = letters.update(state=DeadLetter.State.OPEN, resolved_at=None, resolved_by=None)
        if count:
            AuditEntry.objects.create(
                at=now,
                actor=actor,
                actor_name=actor.display_name if actor else "the system",
                action="dead_letters.restored",
                subject=f"dead letters: {count}",
                after={"ids": sorted(ids)[:MOST]},
            )
    return count
