"""The flow board, and the same on a wall screen."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.core.htmx import fragment_response
from apps.core.policies import policy
from apps.dashboard.selectors.board import board as select
from apps.dashboard.selectors.board import in_order
from apps.dashboard.selectors.risk import likely_late
from apps.flows.registry import load
from apps.integrations.models import Partner


@policy("staff")
def board(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    flow, partner = request.GET.get("flow", "")[:64], request.GET.get("partner", "")[:64]
    context = {
        "now": now,
        "board": select(now, flow=flow, partner=partner),
        "flows": [(d.slug, d.name) for d in in_order(load().catalogue.active.values())],
        "partners": Partner.objects.filter(active=True).values_list("slug", "name"),
        "likely": likely_late(),
        "flow": flow,
        "partner": partner,
    }
    return fragment_response(request, "dashboard/board.html", "dashboard/_board.html", context)


@policy("staff")
def wall(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    context = {"now": now, "board": select(now, flow=request.GET.get("flow", "")[:64]), "likely": likely_late()}
    return fragment_response(request, "dashboard/wall.html", "dashboard/_board.html", context)
