"""The incidents on a big screen, beside how well the tower itself is."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.core import heartbeats
from apps.core.htmx import fragment_response
from apps.core.policies import policy
from apps.dashboard.selectors.incident_inbox import lines
from apps.incidents.selectors import inbox, standing
from apps.integrations.models import SourceState
from apps.oncall.rotation import on_call_everywhere

SHOWN = 9
#: part of the tower -> (its name for people, how old its last round may be)
PARTS = {
    "sweep": ("Deadlines", timedelta(minutes=3)),
    "dispatch": ("Messages out", timedelta(minutes=3)),
}


@policy("staff")
def incident_wall(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    ages = heartbeats.ages(now)
    health = [
        (name, ages.get(key), ages.get(key) is not None and ages[key] <= limit) for key, (name, limit) in PARTS.items()
    ]
    silent = SourceState.objects.exclude(stale_since=None).select_related("integration").order_by("stale_since")
    rows = list(inbox()[:SHOWN])
    count = standing()
    context = {
        "now": now,
        "lines": lines(rows, now, may_work=False),
        "standing": count,
        "more": max(0, count.open + count.acknowledged + count.snoozed - len(rows)),
        "on_call": on_call_everywhere(now),
        "health": health,
        "silent": silent[:5],
        "silent_count": silent.count(),
    }
    return fragment_response(request, "dashboard/incident_wall.html", "dashboard/_incident_wall.html", context)
