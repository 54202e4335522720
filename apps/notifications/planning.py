"""From the outbox of the incidents to deliveries: who gets what, decided once, in one transaction."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from apps.incidents.models import IncidentEvent
from apps.notifications.escalation import begin
from apps.notifications.messages import message_id, tell
from apps.notifications.models import Delivery
from apps.notifications.passing_on import PASSED_ON, TURNS, alerts_of
from apps.notifications.routing import Recipient, Router

#: events planned in one transaction
BATCH = 200
#: advisory lock of those who plan or claim: short, so that they may queue, and so that a claim is never overlooked
LOCK = 0x0C7D


def take_turn() -> None:
    """Plans and claims happen one after the other, until the transaction ends. Sending is outside."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


@transaction.atomic
def plan(now: datetime) -> int:
    """Turns up to BATCH timeline rows of the outbox into waiting deliveries; returns how many rows it took."""
    take_turn()
    events = list(
        IncidentEvent.objects.filter(notify=True, dispatched_at=None)
        .select_related("incident__team", "incident__integration", "incident__assignee", "incident__acknowledged_by")
        .order_by("id")
        .select_for_update(of=("self",), skip_locked=True, no_key=True)[:BATCH]
    )
    if not events:
        return 0
    router = Router(now)
    deliveries: list[Delivery] = []
    unheard: list[IncidentEvent] = []
    to_send = begin([event for event in events if event.kind not in PASSED_ON], now)
    for event in to_send:
        recipients = router.recipients(event)
        deliveries += [_delivery(event, recipient, now) for recipient in recipients]
        if event.pk in router.unheard:
            unheard.append(_nobody(event, router.unheard[event.pk], recipients, now))
    chosen = {event.pk for event in to_send}
    for event in events:
        # the first step of its policy has its time; channels that listen do not wait for people
        if event.pk not in chosen and event.data.get("waits_until"):
            deliveries += [_delivery(event, recipient, now) for recipient in router.listening(event)]
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
    # after the calls: what was opened and ended within one turn is opened and ended over there as well
    passed_on = [event for event in events if event.kind in TURNS]
    alerts = alerts_of(passed_on)
    Delivery.objects.bulk_create(
        (_delivery(event, recipient, now) for event in passed_on for recipient in alerts.get(event.pk, ())),
        ignore_conflicts=True,
    )
    IncidentEvent.objects.bulk_create(unheard)
    IncidentEvent.objects.filter(pk__in=[event.pk for event in events]).update(dispatched_at=now)
    return len(events)


def _delivery(event: IncidentEvent, recipient: Recipient, now: datetime) -> Delivery:
    subject, text = tell(event)
    return Delivery(
        incident_event=event,
        user_id=recipient.user_id,
        channel=recipient.channel,
        recipient=recipient.address,
        message_id=message_id(event.pk, recipient.channel, recipient.address),
        subject=subject,
        text=text,
        held_until=recipient.held_until,
        next_at=recipient.held_until or now,
        created_at=now,
    )


def _nobody(event: IncidentEvent, tried: list[str], listening: list[Recipient], now: datetime) -> IncidentEvent:
    """The row that says so; the auditor looks for it (`nobody`)."""
    heard = f" Only channels that listen were told: {', '.join(one.channel for one in listening)}." if listening else ""
    return IncidentEvent(
        incident_id=event.incident_id,
        kind=IncidentEvent.Kind.NOTIFIED,
        at=now,
        text=f"Nobody could be called: {'; '.join(tried)}.{heard}",
        data={"failed": True, "nobody": True, "about": event.pk},
    )
