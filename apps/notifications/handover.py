"""The hand-over from one shift to the next: what happened, what is open, what was noted; and the mail of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.urls import reverse

from apps.accounts.models import User
from apps.core import wording
from apps.incidents.models import Incident, IncidentEvent
from apps.incidents.transitions import PAGE_KINDS
from apps.integrations.maintenance import Window, spans, windows_between
from apps.notifications.escalation_models import HandoverMail
from apps.notifications.messages import own_id
from apps.oncall.layers import Shift
from apps.oncall.models import HandoverNote, Schedule
from apps.oncall.rotation import Loaded, load

REACH = timedelta(days=35)
MOST = 100
#: seconds for one step of the conversation with the mail server
TIMEOUT = 10
#: a hand-over that was this long ago is no longer mailed: after an outage nobody wants yesterday's
FRESH = timedelta(minutes=30)
#: hours of the night, on the schedule's clock
NIGHT_FROM, NIGHT_UNTIL = 22, 7


@dataclass(frozen=True, slots=True)
class Report:
    """One shift of one schedule. user: who had it, None in a gap; following: who comes after.

    opened, resolved: incidents of the team (or of none) within the shift; open_now: unresolved at its end or now.
    calls: messages that asked somebody to act; at_night: those of them between 22:00 and 07:00.
    """

    schedule: Schedule
    shift: Shift
    user: User | None
    following: User | None
    opened: list[Incident]
    resolved: list[Incident]
    open_now: list[Incident]
    calls: int
    at_night: int
    notes: list[HandoverNote]
    windows: list[tuple[Window, datetime, datetime]]
    now: datetime

    @property
    def running(self) -> bool:
        return self.shift.start <= self.now < self.shift.end


def shift_around(loaded: Loaded, at: datetime) -> Shift:
    """The whole shift at a moment, whatever layers it is made of; at most five weeks to either side."""
    found = loaded.shifts(at - REACH, at + REACH)
    place = next(n for n, one in enumerate(found) if one.start <= at < one.end)
    first = last = place
    while first > 0 and found[first - 1].user == found[place].user:
        first -= 1
    while last + 1 < len(found) and found[last + 1].user == found[place].user:
        last += 1
    return Shift(found[place].user, found[first].start, found[last].end)


def report(schedule: Schedule, at: datetime, now: datetime) -> Report:
    """What there is to hand over of the shift that runs (or ran) at `at`. Eight queries."""
    [loaded] = load(Schedule.objects.filter(pk=schedule.pk), at - REACH, at + REACH)
    shift = shift_around(loaded, at)
    end = min(shift.end, now)
    ours = Incident.objects.filter(Q(team=schedule.team) | Q(team=None)).select_related("partner", "acknowledged_by")
    calls = IncidentEvent.objects.filter(
        Q(incident__team=schedule.team) | Q(incident__team=None),
        kind__in=PAGE_KINDS, at__gte=shift.start, at__lt=max(end, shift.start),
    )  # fmt: skip
    zone = wording.zone(schedule.time_zone)
    hours = [
        one.astimezone(zone).hour
        for one in calls.filter(deliveries__isnull=False).distinct().values_list("at", flat=True)[:5000]
    ]
    coming = [
        (window, start, finish)
        for window in windows_between(end, end + timedelta(days=2))
        for start, finish in spans(window, end, end + timedelta(days=2), whole=True)
    ]
    return Report(
        schedule=schedule,
        shift=shift,
        user=loaded.people.get(shift.user) if shift.user is not None else None,
        following=loaded.at(shift.end),
        opened=list(ours.filter(opened_at__gte=shift.start, opened_at__lt=shift.end).order_by("-opened_at")[:MOST]),
        resolved=list(
            ours.filter(resolved_at__gte=shift.start, resolved_at__lt=shift.end).order_by("-resolved_at")[:MOST]
        ),
        open_now=list(ours.exclude(state=Incident.State.RESOLVED).order_by("next_breach_at", "-opened_at")[:MOST]),
        calls=len(hours),
        at_night=sum(hour >= NIGHT_FROM or hour < NIGHT_UNTIL for hour in hours),
        notes=list(HandoverNote.objects.filter(schedule=schedule, at__gte=shift.start - REACH, at__lt=shift.end)[:20]),
        windows=sorted(coming, key=lambda one: one[1])[:20],
        now=now,
    )


def mail(found: Report, to: User) -> None:
    """Sends the report. Raises what the mail server says (OSError, smtplib.SMTPException)."""
    zone = wording.zone(to.time_zone)

    def at(moment: datetime) -> str:
        return wording.absolute(moment, zone)

    url = settings.BASE_URL.rstrip("/") + reverse("dashboard:handover", args=[found.schedule.slug])
    context = {
        "report": found,
        "begins": at(found.shift.start),
        "ends": at(found.shift.end),
        "notes": [(note, at(note.at)) for note in found.notes if note.at >= found.shift.start],
        "open_now": [
            (one, at(one.next_breach_at) if one.next_breach_at and one.next_breach_at > found.now else "")
            for one in found.open_now
        ],
        "resolved": found.resolved,
        "windows": [(window, at(start), at(finish)) for window, start, finish in found.windows],
        "url": url,
        "base": settings.BASE_URL.rstrip("/"),
        "to": to,
    }
    who = found.user.display_name if found.user else "nobody"
    message = EmailMultiAlternatives(
        subject=" ".join(f"Handover {found.schedule.name}: {len(found.open_now)} open, from {who}".split()),
        body=render_to_string("notifications/handover.txt", context),
        to=[to.email],
        headers={
            "Message-ID": own_id(
                f"handover/{found.schedule.slug}/{found.shift.start.isoformat()}/{to.pk}/{found.now.isoformat()}"
            )
        },
    )
    message.connection = get_connection(timeout=TIMEOUT)
    message.attach_alternative(render_to_string("notifications/handover.html", context), "text/html")
    message.send()


def mail_due(now: datetime) -> int:
    """Mails the hand-over of every shift that has just begun to who has it now, once; returns how many.

    The row is written before the mail is sent and taken back if it fails, so that the next tick tries again.
    """
    sent = 0
    for one in load(Schedule.objects.filter(mail_handover=True), now - REACH, now + REACH):
        shift = shift_around(one, now)
        user = one.people.get(shift.user) if shift.user is not None else None
        if user is None or not user.email or now - shift.start > FRESH:
            continue
        try:
            with transaction.atomic():
                row = HandoverMail.objects.create(schedule=one.schedule, began_at=shift.start, user=user, sent_at=now)
        except IntegrityError:
            continue  # sent already
        try:
            mail(report(one.schedule, shift.start - timedelta(seconds=1), now), user)
        except Exception:
            row.delete()
            raise
        sent += 1
    return sent
