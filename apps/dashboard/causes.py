"""Causes: what many findings have in common."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.core.htmx import fragment_response
from apps.core.policies import policy
from apps.dashboard.selectors.causes import causes as select


@policy("staff")
@require_safe
def causes(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    open_now, ended = select(now)
    context = {"now": now, "open_now": open_now, "ended": ended}
    return fragment_response(request, "dashboard/causes.html", "dashboard/_cause_groups.html", context)
