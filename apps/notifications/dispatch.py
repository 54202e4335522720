"""Sends what must be sent: claim, send, mark, in this order, so that a crash repeats a message and never loses one.

A person gets one message at once per channel and then at most one per `PACE`; what gathers meanwhile goes into the
next one (its members are `bundled_in` its head). A message that has been tried keeps its id and its members for good.
Machines (channels that are not `paced`) get each piece of news by itself, whatever became of the incident meanwhile, and
in the order in which it happened: `sequence`.
A receiver that does not answer costs one run one wait: the rest of its messages go with the next run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet

from apps.incidents.models import IncidentEvent
from apps.incidents.transitions import NEEDED_WHILE, UNRESOLVED
from apps.notifications import keeping
from apps.notifications.contract import CHANNELS, DeliveryError
from apps.notifications.falling_back import fall_back
from apps.notifications.messages import compose
from apps.notifications.models import Channel, Delivery
from apps.notifications.pacing import PACE, free_at
from apps.notifications.passing_on import machines
from apps.notifications.planning import BATCH, plan, take_turn
from apps.notifications.retries import pause
from apps.notifications.sequence import not_its_turn, repeat_last
from apps.notifications.swaps import compose_swap, needed, plan_swaps

log = logging.getLogger(__name__)
State = Delivery.State

#: a claim that is not marked by then is taken to have died, and is sent again
LEASE = timedelta(seconds=90)
#: one run ends after so long or so many messages; the next one goes on
RUN_FOR = timedelta(seconds=60)
MOST = 500
#: most pieces of news in one message
BUNDLE = 100


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run did: timeline rows planned; messages sent, failed (will be tried again) and given up."""

    planned: int = 0
    sent: int = 0
    failed: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A message we may send until its lease ends: the head, whose id it carries, and the rest of the bundle."""

    head: Delivery
    members: list[Delivery]

    @property
    def ids(self) -> list[int]:
        return [self.head.pk, *(member.pk for member in self.members)]


def run(now: datetime, clock: Callable[[], datetime] | None = None) -> Summary:
    """Plans the outbox and sends what is due. clock: for leases and marks of a run that takes long; default: `now`."""
    clock = clock or (lambda: now)
    planned = plan_swaps(clock())
    while taken := plan(clock()):
        planned += taken
        if taken < BATCH:
            break
    summary = Summary(planned=planned)
    silent: set[str] = set()
    for _message in range(MOST):
        at = clock()
        claim = claim_next(at, silent) if at - now <= RUN_FOR else None
        if claim is None:
            break
        summary = _deliver(claim, clock, summary, silent)
    return summary


def _deliver(claim: Claim, clock: Callable[[], datetime], summary: Summary, silent: set[str]) -> Summary:
    try:
        answer = send(claim, clock())
    except DeliveryError as error:
        if error.unreachable:
            silent.add(claim.head.channel)
        given_up = mark_failed(
            claim, str(error), clock(), permanent=error.permanent, not_before=error.retry_after or timedelta(0)
        )
        keeping.note_failure(claim.head.channel, error, clock())
        return replace(summary, dead=summary.dead + 1) if given_up else replace(summary, failed=summary.failed + 1)
    mark_sent(claim, clock(), answer)
    keeping.note_success(claim.head.channel, clock())
    return replace(summary, sent=summary.sent + 1)


@transaction.atomic
def claim_next(now: datetime, silent: Collection[str] = ()) -> Claim | None:
    """The next message to send, claimed for LEASE; None if nothing is due. Drops on the way what nobody needs now.

    silent: channels that did not answer a moment ago; theirs are left to the next run.
    """
    take_turn()
    due = Q(state=State.WAITING, next_at__lte=now) | Q(state=State.SENDING, lease_until__lte=now)
    held = Channel.objects.filter(hold_until__gt=now).values("slug")
    rows = _loaded().filter(due, bundled_in=None).exclude(channel__in=list(silent)).exclude(channel__in=held)
    unpaced = _unpaced()
    rows = rows.exclude(not_its_turn(unpaced, now))
    while head := rows.order_by("next_at", "id").first():
        members = list(_loaded().filter(bundled_in=head).order_by("id"))
        if head.channel in unpaced:
            return _claim(head, members, now)
        if not any(_needed(delivery, now) for delivery in (head, *members)):
            _settle([head, *members], State.DROPPED)
        elif head.state == State.WAITING and (free := _free_at(head, now)) > now:
            Delivery.objects.filter(
                channel=head.channel,
                recipient=head.recipient,
                state=State.WAITING,
                bundled_in=None,
                next_at__lt=free,
            ).update(next_at=free)
        else:
            return _claim(head, members or _joining(head, now), now)
    return None


def _unpaced() -> set[str]:
    return set(Channel.objects.filter(kind__in=machines()).values_list("slug", flat=True))


def _loaded() -> QuerySet[Delivery]:
    incident = "incident_event__incident"
    return Delivery.objects.select_related(
        "user", f"{incident}__team", f"{incident}__partner", f"{incident}__acknowledged_by"
    )


def _needed(delivery: Delivery, now: datetime) -> bool:
    """Whether it still matters, as the incident stands now; a hand-over only to whom it is still assigned."""
    if delivery.incident_event_id is None:
        return needed(delivery, now)
    event = delivery.event
    if event.incident.state not in NEEDED_WHILE.get(IncidentEvent.Kind(event.kind), UNRESOLVED):
        return False
    assignee = event.data.get("assignee")
    return event.kind != IncidentEvent.Kind.ASSIGNED or assignee is None or assignee == event.incident.assignee_id


def _free_at(head: Delivery, now: datetime) -> datetime:
    theirs = Delivery.objects.filter(channel=head.channel, recipient=head.recipient, bundled_in=None)
    last = theirs.filter(state=State.SENT, sent_at__gt=now - PACE).order_by("-sent_at").first()
    under_way = theirs.filter(state=State.SENDING, lease_until__gt=now).order_by("-lease_until").first()
    return free_at(now, last.sent_at if last else None, under_way.lease_until if under_way else None)


def _joining(head: Delivery, now: datetime) -> list[Delivery]:
    """What else is due for this recipient and was never tried, if this message is itself new and about an incident."""
    if head.attempts or head.incident_event_id is None:
        return []
    waiting = (
        _loaded()
        .filter(channel=head.channel, recipient=head.recipient, state=State.WAITING, attempts=0, bundled_in=None)
        .filter(next_at__lte=now, incident_event__isnull=False)
        .exclude(pk=head.pk)
        .order_by("id")[: BUNDLE - 1]
    )
    wanted = [delivery for delivery in waiting if _needed(delivery, now)]
    _settle([delivery for delivery in waiting if delivery not in wanted], State.DROPPED)
    return wanted


def _claim(head: Delivery, members: list[Delivery], now: datetime) -> Claim:
    claimed = {"state": State.SENDING, "attempts": F("attempts") + 1, "lease_until": now + LEASE}
    Delivery.objects.filter(pk=head.pk).update(**claimed)
    Delivery.objects.filter(pk__in=[member.pk for member in members]).update(**claimed, bundled_in=head)
    head.attempts += 1
    return Claim(head, members)


def _settle(deliveries: list[Delivery], state: Delivery.State) -> None:
    ids = [delivery.pk for delivery in deliveries]
    Delivery.objects.filter(pk__in=ids).update(state=state, lease_until=None)


def send(claim: Claim, now: datetime) -> str:
    """Hands the message to its channel and gives its answer; whatever goes wrong comes out as DeliveryError."""
    try:
        plugin, target = keeping.open_channel(claim.head.channel, now)
        about_swap = claim.head.incident_event_id is None
        message = compose_swap(claim.head, now) if about_swap else compose([claim.head, *claim.members], now)
        return plugin.send(message, target, now)
    except DeliveryError:
        raise
    except Exception as error:  # a broken plugin or template must not stop the others' messages
        log.exception("channel failed", extra={"channel": claim.head.channel, "delivery": claim.head.pk})
        raise DeliveryError(f"{type(error).__name__}: {error}") from error


@transaction.atomic
def mark_sent(claim: Claim, now: datetime, answer: str = "") -> None:
    """Also right when the lease ran out meanwhile: it was sent. The timeline of each incident gets one row."""
    if claim.head.channel in _unpaced():
        repeat_last(claim.head, now)
    fresh = Delivery.objects.filter(pk__in=claim.ids).exclude(state=State.SENT)
    if fresh.update(state=State.SENT, sent_at=now, lease_until=None, error="", answer=(answer or "")[:500]):
        _note(claim, now, f"{_channel(claim)} sent to {_recipient(claim)}", failed=False)


@transaction.atomic
def mark_failed(
    claim: Claim, reason: str, now: datetime, *, permanent: bool, not_before: timedelta = timedelta(0)
) -> bool:
    """Puts it back for later, or gives it up; True if given up. Does nothing if another worker has taken over.

    not_before: the pause the receiver asked for. A call for help that fails goes by mail as well (`falling_back`).
    """
    failures = claim.head.attempts - claim.head.attempts_before
    wait = None if permanent else pause(failures, claim.head.message_id)
    ours = Delivery.objects.filter(pk=claim.head.pk, state=State.SENDING, attempts=claim.head.attempts)
    change: dict[str, object] = {
        "lease_until": None,
        "error": reason[:2000],
        "state": State.DEAD if wait is None else State.WAITING,
    }
    if wait is not None:
        change["next_at"] = now + max(wait, not_before)
    if claim.head.channel in _unpaced():
        repeat_last(claim.head, now)  # it may have arrived all the same
    if not ours.update(**change):
        return False
    Delivery.objects.filter(bundled_in=claim.head).update(**change)
    if wait is None or failures > 1:
        fall_back([claim.head, *claim.members], now)
    log.warning(
        "message not delivered",
        extra={"delivery": claim.head.pk, "attempt": claim.head.attempts, "given_up": wait is None, "reason": reason},
    )
    if wait is None:
        text = f"{_channel(claim)} to {_recipient(claim)} was given up after {claim.head.attempts} attempts: {reason}"
        _note(claim, now, text, failed=True)
    return wait is None


def _channel(claim: Claim) -> str:
    if claim.head.channel == keeping.OWN_MAIL:
        return CHANNELS.get(keeping.OWN_MAIL).label
    row = Channel.objects.filter(slug=claim.head.channel).first()
    return row.name if row else claim.head.channel


def _recipient(claim: Claim) -> str:
    if claim.head.user:
        return claim.head.user.display_name
    return "its place" if claim.head.recipient == "*" else claim.head.recipient


def _note(claim: Claim, now: datetime, text: str, *, failed: bool) -> None:
    if claim.head.incident_event_id is None:
        return
    incidents = {delivery.event.incident_id: delivery.pk for delivery in (claim.head, *claim.members)}
    IncidentEvent.objects.bulk_create(
        IncidentEvent(
            incident_id=incident_id,
            kind=IncidentEvent.Kind.NOTIFIED,
            at=now,
            text=text,
            data={"delivery": delivery_id, "failed": failed},
        )
        for incident_id, delivery_id in sorted(incidents.items())
    )
