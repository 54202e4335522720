"""Whether the tower itself is awake: the banner on every staff page when its sweep is late."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse

from apps.core import clock, heartbeats
from apps.core.htmx import fragment_response
from apps.core.policies import policy

SWEEP_MAX_AGE = timedelta(minutes=3)


@policy("staff")
def pulse(request: HttpRequest) -> HttpResponse:
    """Empty while the sweep runs on time; a sentence when it does not: what is shown may then be out of date."""
    age = heartbeats.ages(clock.now()).get("sweep")
    late = age is None or age > SWEEP_MAX_AGE
    context = {"late": late, "age": age, "minutes": age // timedelta(minutes=1) if age else None}
    return fragment_response(request, "partials/_pulse.html", "partials/_pulse.html", context)
