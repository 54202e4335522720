"""The page behind the signed link of a message: one button that acknowledges in the name of the link's person.

Opening it changes nothing, since mail scanners and previews open links too. Nobody is signed in by it.
"""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from apps.accounts.models import User
from apps.core.policies import policy
from apps.dashboard.incidents import BACK_IN, Given, may_work, zone_of
from apps.dashboard.link_page import unlisted
from apps.dashboard.selectors.incident_inbox import lines
from apps.dashboard.selectors.incident_page import load_incident
from apps.incidents import workflow
from apps.incidents.links import LinkExpired, LinkNotValid, read
from apps.incidents.models import Incident
from apps.incidents.workflow import NotPossible

TEMPLATE = "dashboard/incident_link.html"


@policy("public")
@never_cache
@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def acknowledge_link(request: HttpRequest, token: str) -> HttpResponse:
    now = timezone.now()
    try:
        link = read(token, now)
    except LinkExpired as error:
        context = {"trouble": "expired", "sentence": str(error), "incident_id": error.incident_id}
        return unlisted(request, TEMPLATE, context, 410)
    except LinkNotValid as error:
        return unlisted(request, TEMPLATE, {"trouble": "invalid", "sentence": str(error)}, 404)
    person = User.objects.filter(pk=link.user_id).first()
    if person is None or not may_work(person):
        return unlisted(request, TEMPLATE, {"trouble": "person", "person": person}, 403)
    if request.method != "POST":
        return _show(request, link.incident_id, person, now)
    given = Given(request, now, zone_of(person))
    try:
        workflow.acknowledge(link.incident_id, person, now, back_at=given.moment())
    except Incident.DoesNotExist:
        return unlisted(request, TEMPLATE, {"trouble": "invalid"}, 404)
    except NotPossible as error:
        return _show(request, link.incident_id, person, now, str(error), 409)
    # so that loading the page again asks nothing and sends nothing
    return redirect("dashboard:acknowledge_link", token=token)


def _show(
    request: HttpRequest, pk: int, person: User, now: datetime, refusal: str = "", status: int = 200
) -> HttpResponse:
    incident = load_incident(pk)
    if incident is None:
        return unlisted(request, TEMPLATE, {"trouble": "invalid"}, 404)
    [line] = lines([incident], now, may_work=True)
    context = {
        "now": now,
        "page_zone": person.time_zone,
        "person": person,
        "incident": incident,
        "line": line,
        "refusal": refusal,
        "back_in": BACK_IN,
        "own": incident.acknowledged_by_id == person.pk,
    }
    return unlisted(request, TEMPLATE, context, status)
