"""The handover page of a schedule: what happened in the shift, what is open, notes for the next, and the mail of it."""

from __future__ import annotations

import smtplib
from datetime import datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.accounts.models import Role, User
from apps.core.clock import parse_moment
from apps.core.policies import check, policy, roles
from apps.dashboard.people import signed_in
from apps.dashboard.selectors.oncall import staff
from apps.notifications import handover as handing
from apps.oncall.models import HandoverNote, Schedule

MAY_WRITE = roles("operations", "on_call", "manager")
SECOND = timedelta(seconds=1)
FURTHEST = timedelta(days=400)


def _found(slug: str) -> Schedule:
    return get_object_or_404(Schedule.objects.select_related("team"), slug=slug)


def _at(request: HttpRequest, now: datetime) -> datetime:
    """The moment whose shift is asked for (`at`); now when it is missing or out of reach."""
    try:
        at = parse_moment((request.GET.get("at") or request.POST.get("at") or "")[:40])
    except (ValueError, OverflowError):
        return now
    return at if abs(at - now) <= FURTHEST else now


@policy("staff")
def handover(request: HttpRequest, slug: str) -> HttpResponse:
    now, found = timezone.now(), _found(slug)
    report = handing.report(found, _at(request, now), now)
    context = {
        "now": now,
        "report": report,
        "night_words": f"{report.at_night} at night",
        "schedule": found,
        "before": (report.shift.start - SECOND).isoformat(),
        "after": report.shift.end.isoformat() if report.shift.end <= now else "",
        "at": report.shift.start.isoformat(),
        "staff": staff(),
        "reader": signed_in(request),
        "may_write": check(MAY_WRITE, request.user) == "allow",
    }
    return render(request, "oncall/handover.html", context)


def _back(request: HttpRequest, slug: str) -> HttpResponse:
    return redirect(reverse("dashboard:handover", args=[slug]))


@policy(MAY_WRITE)
@require_POST
def note(request: HttpRequest, slug: str) -> HttpResponse:
    found, author = _found(slug), signed_in(request)
    text = request.POST.get("text", "").strip()[:4000]
    if not text:
        messages.error(request, "The note is empty: write something first.")
    else:
        HandoverNote.objects.create(
            schedule=found, at=timezone.now(), author=author, author_name=author.display_name, text=text
        )
        messages.success(request, "Noted for the next.")
    return _back(request, slug)


@policy(MAY_WRITE)
@require_POST
def drop_note(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One's own note only."""
    gone, _ = HandoverNote.objects.filter(pk=pk, schedule=_found(slug), author=signed_in(request)).delete()
    if gone:
        messages.success(request, "Note removed.")
    else:
        messages.error(request, "Only whoever wrote a note can remove it.")
    return _back(request, slug)


@policy(MAY_WRITE)
@require_POST
def mail(request: HttpRequest, slug: str) -> HttpResponse:
    """Mails the shift's handover to one person of the staff."""
    now, found = timezone.now(), _found(slug)
    number = request.POST.get("to", "")
    to = None
    if number.isascii() and number.isdigit() and len(number) < 18:
        to = User.objects.filter(pk=number, is_active=True).exclude(role=Role.PARTNER).first()
    if to is None or not to.email:
        messages.error(request, "Choose somebody who has an e-mail address.")
        return _back(request, slug)
    try:
        handing.mail(handing.report(found, _at(request, now), now), to)
    except (OSError, smtplib.SMTPException) as error:
        messages.error(request, f"The mail server did not take it: {str(error)[:200]}. Nothing was sent.")
    else:
        messages.success(request, f"Sent to {to.display_name}.")
    return _back(request, slug)
