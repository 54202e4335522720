"""Escalation: which policies there are, which incidents follow which, who would be called, and one's own reminders."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.accounts import audit
from apps.core import wording
from apps.core.policies import check, policy, roles
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import escalations as select
from apps.dashboard.selectors.moments import shown, typed
from apps.incidents.models import Severity
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute, ReminderInterval
from apps.notifications.escalation_outlook import would_call

MAY_EDIT = roles("operations", "manager")
MINUTE = timedelta(minutes=1)
REMIND = ((0, "Do not remind me"), (15, "Every 15 min"), (30, "Every 30 min"), (60, "Every hour"), (120, "Every 2 h"))


@policy("staff")
def escalations(request: HttpRequest) -> HttpResponse:
    now, reader = timezone.now(), signed_in(request)
    zone = wording.zone(reader.time_zone)
    asked = request.GET
    at = typed(asked.get("at", ""), zone) or _three_in_the_morning(now, zone)
    severity = asked.get("severity", "")
    severity = severity if severity in Severity.values else Severity.CRITICAL
    would = would_call(at, severity, asked.get("integration", "")[:64], asked.get("team", "")[:64])
    own = ReminderInterval.objects.filter(user=reader).first()
    context = {
        "now": now,
        "policies": select.policies(now),
        "routes": select.routes(),
        "would": would,
        "would_picture": select.picture(would.calls) if would.calls else None,
        "asked": {"at": shown(at, zone), "severity": severity, "integration": asked.get("integration", ""), "team": asked.get("team", "")},
        "choices": select.route_choices(),
        "remind": REMIND,
        "own": "" if own is None else int(own.every / MINUTE) if own.every else 0,
        "may_edit": check(MAY_EDIT, request.user) == "allow",
    }  # fmt: skip
    return render(request, "escalations/list.html", context)


def _three_in_the_morning(now: datetime, zone: Any) -> datetime:
    """The next time the reader's clock shows 03:00."""
    here = now.astimezone(zone)
    day = here.date() if here.time() < time(3) else here.date() + timedelta(days=1)
    return datetime.combine(day, time(3), zone)


@policy("staff")
@require_POST
def remind_me(request: HttpRequest) -> HttpResponse:
    """How often the reader wants to be reminded of what they acknowledged."""
    said = request.POST.get("every", "")
    if said in {str(minutes) for minutes, _ in REMIND}:
        every = int(said) * MINUTE or None
        ReminderInterval.objects.update_or_create(user=signed_in(request), defaults={"every": every})
        messages.success(request, "Kept." if every else "You are not reminded any more.")
    elif said == "":
        ReminderInterval.objects.filter(user=signed_in(request)).delete()
        messages.success(request, "The policy's own interval counts.")
    return redirect("dashboard:escalations")


@policy(MAY_EDIT)
@require_POST
def route_add(request: HttpRequest) -> HttpResponse:
    """A new route at the end of the list."""
    post, choices = request.POST, select.route_choices()
    row = EscalationRoute.objects.order_by("-position").first()
    hours, calendar = post.get("hours", "any"), post.get("calendar", "")
    if hours not in EscalationRoute.Hours.values or (hours != "any" and calendar not in dict(choices["calendars"])):
        messages.error(request, "Choose the calendar whose working hours you mean.")
        return redirect("dashboard:escalations")
    chosen = {
        name: [value for value in post.getlist(name) if value in dict(choices[name])]
        for name in ("severities", "integrations", "teams")
    }
    with transaction.atomic():
        made = EscalationRoute.objects.create(
            position=row.position + 10 if row else 10,
            policy=get_object_or_404(EscalationPolicy, slug=post.get("policy", "")[:64]),
            hours=hours,
            calendar=calendar if hours != "any" else "",
            **chosen,
        )
        audit.record(
            signed_in(request), "escalation.route_added", f"escalation:{made.policy.slug}", None, chosen, timezone.now()
        )
    messages.success(request, "Added as the last one: move it up where it should be asked earlier.")
    return redirect("dashboard:escalations")


@policy(MAY_EDIT)
@require_POST
def route_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Moves a route up or removes it (`do`)."""
    row = get_object_or_404(EscalationRoute.objects.select_related("policy"), pk=pk)
    with transaction.atomic():
        rows = list(EscalationRoute.objects.select_for_update(of=("self",)).order_by("position", "id"))
        place = next((n for n, one in enumerate(rows) if one.pk == row.pk), 0)
        if request.POST.get("do") == "up":
            rows.insert(max(place - 1, 0), rows.pop(place))
        else:
            rows.pop(place)
            row.delete()
        for number, one in enumerate(rows, 1):
            one.position = number * 10
        EscalationRoute.objects.bulk_update(rows, ["position"])
        action = "escalation.route_moved" if request.POST.get("do") == "up" else "escalation.route_removed"
        audit.record(
            signed_in(request), action, f"escalation:{row.policy.slug}", {"place": place + 1}, None, timezone.now()
        )
    return redirect("dashboard:escalations")
