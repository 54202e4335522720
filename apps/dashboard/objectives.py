"""Objectives: where each stands, what is left of its error budget, and how fast it burns."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from apps.core.policies import check, policy
from apps.dashboard.agreements import MAY_EDIT
from apps.dashboard.selectors import objective_page as select
from apps.reports import objectives as standing
from apps.reports import rollups
from apps.reports.models import Objective


@policy("staff")
def objectives(request: HttpRequest) -> HttpResponse:
    """Every objective, what is worst first."""
    now = timezone.now()
    found = select.listed(now)
    worst = sum(one.standing.state == "late" for one in found)
    context = {
        "now": now,
        "may_edit": check(MAY_EDIT, request.user) == "allow",
        "objectives": found,
        "missed": worst,
        "burning": sum(one.standing.burning is not None for one in found),
        "zone": rollups.zone(),
    }
    return render(request, "dashboard/objectives.html", context)


@policy("staff")
def objective(request: HttpRequest, slug: str) -> HttpResponse:
    """One objective: its burn-down and its burn rates."""
    now = timezone.now()
    found = get_object_or_404(Objective.objects.select_related("partner", "team"), slug=slug)
    one = standing.standing(found, now)
    context = {
        "now": now,
        "may_edit": check(MAY_EDIT, request.user) == "allow",
        "objective": found,
        "shown": select.shown(one, select.rule_names()),
        "standing": one,
        "plot": select.plot(one),
        "findings": select.open_findings(found),
        "zone": rollups.zone(),
    }
    return render(request, "dashboard/objective.html", context)
