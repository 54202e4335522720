"""The order in which one machine hears of one incident: an alert that is opened late must not outlive its end.

A trigger that fails and is tried again could overtake the resolve that came after it, and leave an alert open outside for
good. So of one alert (an incident in one place) at most one message is under way, and the earlier ones are done, sent or
given up, before a later one goes. What is sent out of its turn all the same (a message that was given up and is replayed, a
worker that comes back after its lease) is followed by the latest message once more.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from apps.notifications.models import Delivery

State = Delivery.State


def not_its_turn(machines: Collection[str], now: datetime) -> Q:
    """Deliveries to these channels (slugs) that have to wait for others of their alert."""
    others = Delivery.objects.filter(
        channel=OuterRef("channel"),
        recipient=OuterRef("recipient"),
        incident_event__incident=OuterRef("incident_event__incident"),
    ).exclude(pk=OuterRef("pk"))
    earlier = Q(incident_event__lt=OuterRef("incident_event"), state__in=[State.WAITING, State.SENDING])
    under_way = Q(state=State.SENDING, lease_until__gt=now)
    return Q(channel__in=list(machines)) & Q(Exists(others.filter(earlier | under_way)))


def repeat_last(one: Delivery, now: datetime) -> None:
    """Once more the latest message of its alert, if that was sent before this one: the last word must be the last.

    Call it with every outcome of a message to a machine, in the transaction that marks it.
    """
    last = _alert(one).filter(incident_event__gt=one.incident_event_id).order_by("-incident_event").first()
    if last is not None and last.state == State.SENT:
        Delivery.objects.filter(pk=last.pk, state=State.SENT).update(
            state=State.WAITING, next_at=now, attempts_before=F("attempts")
        )


def _alert(one: Delivery) -> QuerySet[Delivery]:
    return Delivery.objects.filter(
        channel=one.channel,
        recipient=one.recipient,
        incident_event__incident__in=Delivery.objects.filter(pk=one.pk).values("incident_event__incident"),
    )
