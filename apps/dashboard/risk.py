"""Breach risk: which flows will likely be late, and what the models' word is worth."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.core.policies import policy
from apps.dashboard.selectors import risk as select


@policy("staff")
@require_safe
def risk(request: HttpRequest) -> HttpResponse:
    context = {"now": timezone.now(), "stages": select.stages(), "top": select.top(), "likely": select.likely_late()}
    return render(request, "dashboard/risk.html", context)
