"""A call for help that a person's telephone, push or chat does not take goes to their mailbox as well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from apps.incidents.transitions import PAGE_KINDS
from apps.notifications.keeping import OWN_MAIL
from apps.notifications.messages import message_id
from apps.notifications.models import Delivery


def fall_back(deliveries: Sequence[Delivery], now: datetime) -> int:
    """Writes the same news as mails to the account's own address; returns how many are new. Needs event and user."""
    rows = [
        Delivery(
            incident_event=one.event,
            user=one.user,
            channel=OWN_MAIL,
            recipient=one.user.email,
            message_id=message_id(one.event.pk, OWN_MAIL, one.user.email),
            subject=one.subject,
            text=one.text,
            next_at=now,
            created_at=now,
        )
        for one in deliveries
        if one.user is not None and one.user.email and one.channel != OWN_MAIL
        if one.incident_event is not None and one.event.kind in PAGE_KINDS
    ]
    known = set(
        Delivery.objects.filter(message_id__in=[row.message_id for row in rows]).values_list("message_id", flat=True)
    )
    fresh = [row for row in rows if row.message_id not in known]
    Delivery.objects.bulk_create(fresh, ignore_conflicts=True)
    return len(fresh)
