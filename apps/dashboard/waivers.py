"""Waivers that wait for a second person, and what was decided lately."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.core.policies import check, policy, roles
from apps.dashboard.people import signed_in
from apps.sla import waiving
from apps.sla.explaining import sentence
from apps.sla.models import WaiverRequest

MAY_DECIDE = roles("operations", "manager")
SHOWN = 50


@policy("staff")
def waivers(request: HttpRequest) -> HttpResponse:
    """What waits first, oldest on top; then what was decided, newest on top."""
    rows = WaiverRequest.objects.select_related(
        "expectation__flow__partner", "expectation__rule", "asked_by", "decided_by"
    )
    waiting = list(rows.filter(state=WaiverRequest.State.ASKED).order_by("asked_at")[:SHOWN])
    context = {
        "now": timezone.now(),
        "waiting": [(one, sentence(one.expectation.origin, one.expectation.due_at)) for one in waiting],
        "decided": rows.exclude(state=WaiverRequest.State.ASKED).order_by("-decided_at")[:SHOWN],
        "may_decide": check(MAY_DECIDE, request.user) == "allow",
        "me": signed_in(request).pk,
    }
    return render(request, "dashboard/waivers.html", context)


def _decide(request: HttpRequest, pk: int, act: Callable[[], WaiverRequest]) -> HttpResponse:
    get_object_or_404(WaiverRequest, pk=pk)
    try:
        made = act()
    except waiving.NotWaivable as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, f"{made.get_state_display()}.")
    return redirect("dashboard:waivers")


def _note(request: HttpRequest) -> str:
    return request.POST.get("note", "").strip()[:300]


@policy(MAY_DECIDE)
@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    person, now = signed_in(request), timezone.now()
    return _decide(request, pk, lambda: waiving.approve(pk, person, now, _note(request)))


@policy(roles("operations", "manager", "on_call"))
@require_POST
def refuse(request: HttpRequest, pk: int) -> HttpResponse:
    """Refuses; or takes it back, when it is one's own."""
    person, now = signed_in(request), timezone.now()
    return _decide(request, pk, lambda: waiving.refuse(pk, person, now, _note(request)))
