"""What people do to a schedule: overrides, and swaps that are asked and agreed. One transaction each, audited."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import Role, User
from apps.oncall.layers import Shift
from apps.oncall.models import Override, Schedule, Swap, SwapNews
from apps.oncall.rotation import load

LONGEST = timedelta(days=62)
State = Swap.State


class NotPossible(Exception):
    """It cannot be done; the message is for people and says what to do."""


def add_override(
    schedule: Schedule, user: User, start: datetime, end: datetime, actor: User, now: datetime, reason: str = ""
) -> Override:
    """The user is on call from start to end instead of whoever would be."""
    _callable(user)
    _span(start, end, now)
    with transaction.atomic():
        row = Override.objects.create(
            schedule=schedule, user=user, start=start, end=end, reason=reason[:200], author_name=actor.display_name
        )
        audit.record(actor, "oncall.override_added", f"schedule:{schedule.slug}", None, _facts(row), now)
    return row


@transaction.atomic
def remove_override(override_id: int, actor: User, now: datetime) -> Override:
    """Takes an override back; one that has begun ends now, so that the past stays as it was."""
    row = (
        Override.objects.select_for_update(of=("self",))
        .select_related("schedule", "user")
        .filter(pk=override_id)
        .first()
    )
    if row is None:
        raise NotPossible("This override is not there any more.")
    if row.end <= now:
        raise NotPossible("This override is over: the past stays as it was.")
    audit.record(actor, "oncall.override_removed", f"schedule:{row.schedule.slug}", _facts(row), None, now)
    if row.start < now:
        Override.objects.filter(pk=row.pk).update(end=now)
    else:
        Override.objects.filter(pk=row.pk).delete()
    return row


@transaction.atomic
def ask_swap(
    schedule: Schedule,
    asker: User,
    asked: User | None,
    start: datetime,
    end: datetime,
    now: datetime,
    back: tuple[datetime, datetime] | None = None,
    reason: str = "",
) -> Swap:
    """Asks somebody (None: anybody) to take the asker's time from start to end; back: their time, taken in return."""
    _span(start, end, now)
    if asked is not None:
        _callable(asked)
        if asked == asker:
            raise NotPossible("Ask somebody else: you cannot swap with yourself.")
    if not _shifts_of(schedule, asker, start, end):
        raise NotPossible("You are not on call at that time: choose a span in which you are.")
    if back is not None:
        _span(*back, now)
        if asked is None:
            raise NotPossible("Say whom you ask when you want to take their time in return.")
        if not _shifts_of(schedule, asked, *back):
            raise NotPossible(f"{asked.display_name} is not on call at the time you would take: choose another.")
    swap = Swap.objects.create(
        schedule=schedule,
        asker=asker,
        asked=asked,
        start=start,
        end=end,
        back_start=back[0] if back else None,
        back_end=back[1] if back else None,
        reason=reason[:200],
        asked_at=now,
    )
    _tell(swap, SwapNews.Kind.ASKED, asker, now)
    return swap


@transaction.atomic
def answer_swap(swap_id: int, user: User, agree: bool, now: datetime) -> Swap:
    """The one who was asked agrees (overrides are written at once) or declines. Of two who answer at once one wins."""
    swap = _locked(swap_id)
    if swap.state != State.ASKED:
        raise NotPossible(f"This was answered already: {swap.get_state_display().lower()}.")
    if swap.asker_id == user.pk:
        raise NotPossible("Somebody else has to answer; you can withdraw it.")
    if swap.asked_id not in (None, user.pk):
        raise NotPossible("Another person was asked.")
    if agree:
        _callable(user)
        _write(swap, user, now)
    swap.state = State.AGREED if agree else State.DECLINED
    swap.answered_at, swap.answered_by = now, user
    swap.save(update_fields=["state", "answered_at", "answered_by"])
    _tell(swap, SwapNews.Kind.AGREED if agree else SwapNews.Kind.DECLINED, user, now)
    return swap


@transaction.atomic
def withdraw_swap(swap_id: int, user: User, now: datetime) -> Swap:
    """The asker takes the question back; an agreed swap that lies ahead is undone by either of the two."""
    swap = _locked(swap_id)
    parties = {swap.asker_id} | ({swap.answered_by_id} if swap.state == State.AGREED else set())
    if user.pk not in parties:
        raise NotPossible("Only those who swap can take it back.")
    if swap.state not in (State.ASKED, State.AGREED):
        raise NotPossible(f"This is over already: {swap.get_state_display().lower()}.")
    if swap.state == State.AGREED:
        written = Override.objects.filter(schedule=swap.schedule, source="swap", source_name=str(swap.pk))
        if written.filter(start__lte=now).exists():
            raise NotPossible("The swapped time has begun: add an override instead.")
        audit.record(user, "oncall.swap_undone", f"schedule:{swap.schedule.slug}", {"swap": swap.pk}, None, now)
        written.delete()
    _tell(swap, SwapNews.Kind.UNDONE if swap.state == State.AGREED else SwapNews.Kind.WITHDRAWN, user, now)
    swap.state, swap.answered_at = State.WITHDRAWN, now
    swap.save(update_fields=["state", "answered_at"])
    return swap


def _tell(swap: Swap, kind: SwapNews.Kind, actor: User, now: datetime) -> None:
    """For whoever must hear of it: the row is the outbox, and is written in the transaction of its cause."""
    SwapNews.objects.create(swap=swap, kind=kind, at=now, actor=actor)


def _locked(swap_id: int) -> Swap:
    rows = Swap.objects.select_for_update(of=("self",)).select_related("schedule", "asker", "asked")
    swap = rows.filter(pk=swap_id).first()
    if swap is None:
        raise NotPossible("This swap is not there any more.")
    return swap


def _write(swap: Swap, other: User, now: datetime) -> None:
    """Overrides for exactly the time each of them is on call in the spans: nobody else's turn is touched."""
    given = [(other, one) for one in _shifts_of(swap.schedule, swap.asker, max(swap.start, now), swap.end)]
    if not given:
        raise NotPossible(f"{swap.asker.display_name} is not on call then any more: nothing to take over.")
    if swap.back_start is not None and swap.back_end is not None:
        given += [
            (swap.asker, one) for one in _shifts_of(swap.schedule, other, max(swap.back_start, now), swap.back_end)
        ]
    Override.objects.bulk_create(
        Override(
            schedule=swap.schedule, user=user, start=one.start, end=one.end, reason=swap.reason, source="swap",
            source_name=str(swap.pk), author_name=other.display_name,
        )
        for user, one in given
    )  # fmt: skip
    after = {"swap": swap.pk, "from": swap.asker.username, "to": other.username, "spans": len(given)}
    audit.record(other, "oncall.swapped", f"schedule:{swap.schedule.slug}", None, after, now)


def _shifts_of(schedule: Schedule, user: User, start: datetime, end: datetime) -> list[Shift]:
    if start >= end:
        return []
    [loaded] = load(Schedule.objects.filter(pk=schedule.pk), start, end)
    return [one for one in loaded.shifts(start, end) if one.user == user.pk]


def _callable(user: User) -> None:
    if not user.is_active or user.role == Role.PARTNER:
        raise NotPossible(f"{user.display_name} cannot be on call: only active staff can.")


def _span(start: datetime, end: datetime, now: datetime) -> None:
    if end <= start:
        raise NotPossible("The end comes after the beginning: look at both times.")
    if end <= now:
        raise NotPossible("That time is over: choose one that lies ahead.")
    if end - start > LONGEST:
        raise NotPossible(f"At most {LONGEST.days} days at once: for longer, change the schedule itself.")


def _facts(row: Override) -> dict[str, str]:
    return {"user": row.user.username, "start": row.start.isoformat(), "end": row.end.isoformat(), "reason": row.reason}
