"""The desk's own figures: how fast, how often, how much noise."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from apps.core.policies import policy
from apps.dashboard.selectors.desk_metrics import NIGHT_BEGINS, NIGHT_ENDS, PERIODS, desk_metrics


@policy("staff")
def metrics(request: HttpRequest) -> HttpResponse:
    asked = request.GET.get("days", "")
    days = int(asked) if asked in {str(one) for one in PERIODS} else 30
    now = timezone.now()
    context = {
        "now": now,
        "page": desk_metrics(now, days),
        "days": days,
        "periods": PERIODS,
        "night": (NIGHT_BEGINS, NIGHT_ENDS),
    }
    return render(request, "dashboard/desk_metrics.html", context)
