"""The log of messages: what was sent to whom, what waits, what was given up; given-up ones can be sent once more."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.core.htmx import fragment_response
from apps.core.policies import check, policy, roles
from apps.core.wording import number
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import channels as select
from apps.dashboard.selectors.channels import Asked
from apps.notifications.models import Delivery
from apps.notifications.replaying import replay

MAY_ACT = roles("operations", "on_call", "manager")


@policy("staff")
def deliveries(request: HttpRequest) -> HttpResponse:
    asked = Asked.read(request.GET)
    lines, older = select.deliveries(asked)
    context = {
        "now": timezone.now(),
        "asked": asked,
        "lines": lines,
        "older": asked.address(after=older) if older else "",
        "states": Delivery.State.choices,
        "channels": sorted(select.channel_names().items(), key=lambda pair: pair[1].lower()),
        "dead": select.dead_count(asked.channel),
        "may_act": check(MAY_ACT, request.user) == "allow",
    }
    return fragment_response(request, "channels/deliveries.html", "channels/_deliveries.html", context)


@policy(MAY_ACT)
@require_POST
def send_again(request: HttpRequest) -> HttpResponse:
    """The given-up message named, or all of them (of one channel)."""
    now, channel = timezone.now(), request.POST.get("channel", "")[:64]
    pk = request.POST.get("id", "")
    ids = [int(pk)] if pk.isascii() and pk.isdigit() and len(pk) < 19 else []
    count = replay(None if "all" in request.POST else ids, signed_in(request), now, channel)
    if count:
        messages.success(request, f"{number(count)} message{'' if count == 1 else 's'} will be sent again in a moment.")
    else:
        messages.warning(request, "Nothing was sent again: it waits already, or was delivered.")
    return redirect(reverse("dashboard:deliveries") + Asked(channel=channel).address())
