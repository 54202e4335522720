"""The page behind the signed link of a swap: two buttons that answer in the name of the link's person.

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
from apps.dashboard.link_page import unlisted
from apps.oncall.changing import NotPossible, answer_swap
from apps.oncall.links import LinkNotValid, read
from apps.oncall.models import Swap

TEMPLATE = "oncall/swap_link.html"


@policy("public")
@never_cache
@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def swap_link(request: HttpRequest, token: str) -> HttpResponse:
    now = timezone.now()
    try:
        link = read(token, now)
    except LinkNotValid as error:
        return unlisted(request, TEMPLATE, {"trouble": str(error)}, 404)
    swap = Swap.objects.select_related("schedule", "asker", "asked", "answered_by").filter(pk=link.swap_id).first()
    person = User.objects.filter(pk=link.user_id).first()
    if swap is None or person is None or not person.is_active or person.is_partner:
        return unlisted(
            request, TEMPLATE, {"trouble": "The swap or the person it was made for is not there any more."}, 404
        )
    if request.method != "POST":
        return _show(request, swap, person, now)
    answer = request.POST.get("answer", "")
    if answer not in ("agree", "decline"):
        return _show(request, swap, person, now, "Choose one of the two.", 400)
    try:
        answer_swap(swap.pk, person, answer == "agree", now)
    except NotPossible as error:
        swap.refresh_from_db()
        return _show(request, swap, person, now, str(error), 409)
    # so that loading the page again asks nothing and sends nothing
    return redirect("dashboard:swap_link", token=token)


def _show(
    request: HttpRequest, swap: Swap, person: User, now: datetime, refusal: str = "", status: int = 200
) -> HttpResponse:
    context = {
        "now": now,
        "page_zone": person.time_zone,
        "swap": swap,
        "person": person,
        "refusal": refusal,
        "waits": swap.state == Swap.State.ASKED and swap.end > now,
        "own": swap.answered_by_id == person.pk,
    }
    return unlisted(request, TEMPLATE, context, status)
