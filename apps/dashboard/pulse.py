"""Whether the tower itself is awake: the banner on every staff page when one of its parts is late or messages stay behind."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse

from apps.core import clock, heartbeats
from apps.core.htmx import fragment_response
from apps.core.policies import policy
from apps.dashboard.selectors.pulse import troubles

SWEEP_MAX_AGE = timedelta(minutes=3)


@policy("staff")
def pulse(request: HttpRequest) -> HttpResponse:
    """Empty while all runs on time; else what is late and what that means. It asks the database itself, no worker."""
    now = clock.now()
    ages = heartbeats.ages(now)
    age = ages.get("sweep")
    late = age is None or age > SWEEP_MAX_AGE
    context: dict[str, object] = {"late": late, "age": age, "minutes": age // timedelta(minutes=1) if age else None}
    context["troubles"] = troubles(now, ages)
    return fragment_response(request, "partials/_pulse.html", "partials/_pulse.html", context)
