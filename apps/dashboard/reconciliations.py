"""Pairs that must agree: the declared rules, and what disagrees now."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.core.htmx import fragment_response
from apps.core.policies import policy
from apps.dashboard.selectors import reconciliations as select


@policy("staff")
@require_safe
def reconciliations(request: HttpRequest) -> HttpResponse:
    rule = request.GET.get("rule", "")[:64]
    page = select.open_ones(request.GET.get("page", "")[:12], rule)
    context = {
        "now": timezone.now(),
        "lines": select.lines(),
        "page": page,
        "disagreements": select.disagreements(page),
        "rule": rule,
    }
    return fragment_response(request, "dashboard/reconciliations.html", "dashboard/_reconciliations.html", context)
