"""Reports by e-mail: every schedule once a month, to everyone of its roles, each address once.

A delivery is a row: claimed, sent, marked, in this order. What fails is tried again later, five times at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from smtplib import SMTPException
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse

from apps.accounts.models import Role, User
from apps.core.calendars import instant
from apps.integrations.models import PartnerAccess
from apps.reports import archive, rollups
from apps.reports.models import Archive, Delivery, Schedule

log = structlog.get_logger(__name__)
MOST_TRIES = 5
#: a delivery that was claimed so long ago and is not marked is tried again
AGAIN_AFTER = timedelta(minutes=30)


def due_at(schedule: Schedule, first: date) -> datetime:
    """When the report of the month that begins on this day goes out: on the schedule's day of the month after it."""
    day = archive.after(first) + timedelta(days=schedule.day - 1)
    return instant(day, time(schedule.hour), ZoneInfo(rollups.zone()))


def next_due(schedule: Schedule, now: datetime) -> datetime:
    """The next time it goes out, at the earliest now."""
    first = archive.last_closed(now)
    while due_at(schedule, first) <= now or due_at(schedule, first) < schedule.created_at:
        first = archive.after(first)
    return due_at(schedule, first)


def recipients(schedule: Schedule) -> list[str]:
    """Addresses of active people of its roles, and the extra ones, each once. A partner's report reaches only its people

    where it names the role partner.
    """
    people = User.objects.filter(is_active=True, role__in=[role for role in schedule.roles if role != Role.PARTNER])
    found = set(people.exclude(email="").values_list("email", flat=True)) | set(schedule.extra)
    if Role.PARTNER in schedule.roles and schedule.partner_id is not None:
        theirs = PartnerAccess.objects.filter(partner_id=schedule.partner_id, user__is_active=True)
        found |= set(theirs.exclude(user__email="").values_list("user__email", flat=True))
    return sorted({address.lower() for address in found if address})


def tick(now: datetime) -> int:
    """Sends what is due; how many e-mails went out. Doing it twice sends nothing twice."""
    first = archive.last_closed(now)
    sent = 0
    for schedule in Schedule.objects.filter(active=True).select_related("partner"):
        due = due_at(schedule, first)
        if schedule.created_at <= due <= now:
            sent += send(schedule, first, now)
    return sent


def send(schedule: Schedule, first: date, now: datetime) -> int:
    """Sends the report of that month to whoever has not had it from this schedule. Raises `archive.NotClosed`."""
    frozen = archive.freeze(first, now, kind="scorecard" if schedule.partner else "month", partner=schedule.partner)
    return sum(_deliver(schedule, frozen, address, now) for address in recipients(schedule))


def _deliver(schedule: Schedule, frozen: Archive, address: str, now: datetime) -> bool:
    delivery = _claim(schedule, frozen, address, now)
    if delivery is None:
        return False
    try:
        _message(schedule, frozen, address).send()
    except (SMTPException, OSError) as error:
        delivery.error = f"{type(error).__name__}: {error}"[:300]
        delivery.save(update_fields=["error"])
        log.warning("report_not_sent", schedule=schedule.pk, error=type(error).__name__)
        return False
    delivery.sent_at, delivery.error = now, ""
    delivery.save(update_fields=["sent_at", "error"])
    return True


@transaction.atomic
def _claim(schedule: Schedule, frozen: Archive, address: str, now: datetime) -> Delivery | None:
    """The row of this delivery, ours to send; None when it was sent, is being sent, or failed too often."""
    Delivery.objects.bulk_create(
        [Delivery(schedule=schedule, archive=frozen, address=address, tried_at=now)], ignore_conflicts=True
    )
    row = Delivery.objects.select_for_update().get(schedule=schedule, archive=frozen, address=address)
    claimed_lately = row.tries and now - row.tried_at < AGAIN_AFTER
    if row.sent_at is not None or row.tries >= MOST_TRIES or claimed_lately:
        return None
    row.tries += 1
    row.tried_at = now
    row.save(update_fields=["tries", "tried_at"])
    return row


def _message(schedule: Schedule, frozen: Archive, address: str) -> EmailMessage:
    told = frozen.document
    where = reverse("portal:scorecard") if schedule.partner else reverse("dashboard:report_archived", args=[frozen.pk])
    lines = [
        told["sentence"],
        "",
        *(
            f"{tile['label']}: {tile['value']}" + (f" ({tile['note']})" if tile["note"] else "")
            for tile in told["tiles"]
        ),
        "",
        f"The whole report: {settings.BASE_URL.rstrip('/')}{where}",
        "",
        f"You receive this because of the schedule “{schedule.name}”. Managers of the tower can change it.",
    ]
    message = EmailMessage(told["title"], "\n".join(lines), to=[address])
    for one in frozen.files.filter(kind__in=schedule.formats):
        message.attach(
            f"{archive.file_name(frozen)}.{one.kind}", bytes(one.body), archive.FILES[one.kind][0].split(";")[0]
        )
    return message


def check(
    name: str, roles: Iterable[str], formats: Iterable[str], for_partner: bool, extra: Iterable[str]
) -> list[str]:
    """What is wrong with a schedule, in sentences."""
    roles, formats, extra = list(roles), list(formats), list(extra)
    troubles = []
    if not name.strip():
        troubles.append("Give it a name.")
    if not roles and not extra:
        troubles.append("Choose at least one role, or write an address.")
    if set(roles) - set(Role.values):
        troubles.append("There is no such role.")
    if Role.PARTNER in roles and not for_partner:
        troubles.append("People of partners get their own scorecard only: choose the partner.")
    if not formats or set(formats) - set(archive.FILES):
        troubles.append("Choose at least one file: PDF, XLSX or CSV.")
    return troubles
