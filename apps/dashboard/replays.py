"""Replays of many messages: one with its verdicts and its progress, all of them, and the verbs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.collectors import replay_runs
from apps.collectors.models import ReplayRun
from apps.collectors.waking import REPLAYER
from apps.core.htmx import fragment_response
from apps.core.policies import check, policy, roles
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import replays as select

MAY_ACT = roles("operations", "on_call")
#: messages tried (or replayed) while the reader waits; larger runs go on in the background
AT_ONCE = 20


def go_on(run_id: int, now: datetime) -> None:
    """A small run goes on at once, a large one in a worker."""
    run = ReplayRun.objects.get(pk=run_id)
    if run.total <= AT_ONCE:
        replay_runs.advance(now, only=run_id)
    elif settings.WAKE_WORKERS:
        REPLAYER.wake()


@policy("staff")
def replays(request: HttpRequest) -> HttpResponse:
    context = {"now": timezone.now(), "runs": select.runs(), "waiting": select.waiting()}
    return fragment_response(request, "dashboard/replays.html", "dashboard/_replays.html", context)


@policy("staff")
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """One replay; while it works its page asks every second or so, and wakes a worker should none be at it."""
    found = get_object_or_404(ReplayRun.objects.select_related("asked_by", "approved_by"), pk=pk)
    if found.state in ("trying", "running") and settings.WAKE_WORKERS:
        REPLAYER.wake()
    page = select.run_page(found, request.GET.get("verdict", ""), request.GET.get("after", ""))
    user = signed_in(request)
    context = {
        "now": timezone.now(),
        "run": found,
        "page": page,
        "threshold": replay_runs.threshold(),
        "may_act": check(MAY_ACT, user) == "allow",
        "own": found.asked_by_id == user.pk,
    }
    return fragment_response(request, "dashboard/replay.html", "dashboard/_replay.html", context)


def _verb(request: HttpRequest, pk: int, act: Callable[[datetime], ReplayRun], done: str) -> HttpResponse:
    get_object_or_404(ReplayRun, pk=pk)
    now = timezone.now()
    try:
        changed = act(now)
    except replay_runs.NotAllowed as refused:
        messages.warning(request, str(refused))
        return redirect("dashboard:replay", pk=pk)
    if changed.state == ReplayRun.State.ASKED:
        messages.success(request, "A second person is asked. Send them this page's address.")
    else:
        messages.success(request, done)
    if changed.state == ReplayRun.State.RUNNING:
        go_on(pk, now)
    return redirect("dashboard:replay", pk=pk)


@policy(MAY_ACT)
@require_POST
def start(request: HttpRequest, pk: int) -> HttpResponse:
    reason = request.POST.get("reason", "").strip()
    return _verb(
        request, pk, lambda now: replay_runs.start(pk, signed_in(request), now, reason), "The replay has begun."
    )


@policy(MAY_ACT)
@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    return _verb(request, pk, lambda now: replay_runs.approve(pk, signed_in(request), now), "The replay has begun.")


@policy(MAY_ACT)
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    return _verb(request, pk, lambda now: replay_runs.cancel(pk, signed_in(request), now), "The replay is cancelled.")
