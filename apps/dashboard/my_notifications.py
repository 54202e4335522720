"""One's own notifications, made for the telephone: addresses, quiet hours, and what comes how."""

from __future__ import annotations

from datetime import time
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.accounts.models import User
from apps.core.policies import policy
from apps.dashboard.forms import dress, zones
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import channels as select
from apps.incidents.models import Severity
from apps.notifications import keeping, proving
from apps.notifications.contract import CHANNELS, DeliveryError
from apps.notifications.models import Channel, ContactMethod, Preference
from apps.notifications.preferences import DIGEST_AT, EMAIL, WORDS, How, Rule, When, write_rules
from apps.notifications.trying import TEST, plain_message, send_now

MAIL = "mail"


class HoursForm(forms.Form):
    """Times in the reader's own zone."""

    time_zone = forms.ChoiceField(choices=zones, label="Your time zone")
    quiet_from = forms.TimeField(required=False, label="Quiet from", widget=forms.TimeInput(attrs={"type": "time"}))
    quiet_until = forms.TimeField(required=False, label="until", widget=forms.TimeInput(attrs={"type": "time"}))
    digest_at = forms.TimeField(label="Daily digest at", widget=forms.TimeInput(attrs={"type": "time"}))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        begin, end = cleaned.get("quiet_from"), cleaned.get("quiet_until")
        if (begin is None) != (end is None):
            self.add_error("quiet_until", "Quiet hours need a beginning and an end; leave both empty for none.")
        elif begin is not None and begin == end:
            self.add_error("quiet_until", "This would be quiet all day: choose another end.")
        return cleaned


@policy("staff")
def page(request: HttpRequest) -> HttpResponse:
    return _page(request)


def _page(request: HttpRequest, status: int = 200, **more: Any) -> HttpResponse:
    user = signed_in(request)
    own = select.own(user)
    preferences = own.preferences
    initial = {
        "time_zone": user.time_zone,
        "quiet_from": _shown(preferences.quiet_from),
        "quiet_until": _shown(preferences.quiet_until),
        "digest_at": _shown(preferences.digest_at),
    }
    hours = more.pop("hours", None) or HoursForm(initial=initial)
    dress(hours)
    now = timezone.now()
    local = now.astimezone(preferences.zone).time()
    ways = [(MAIL, "Another mailbox", CHANNELS.get(keeping.OWN_MAIL).address_help)]
    for row in Channel.objects.filter(enabled=True, kind__in=[k for k, p in CHANNELS.plugins.items() if p.personal]):
        plugin = CHANNELS.get(row.kind)
        ways.append((row.slug, f"{row.name}: {plugin.address_label.lower()}", plugin.address_help))
    context = {
        "now": now,
        "own": own,
        "hours": hours,
        "hows": list(WORDS.items()),
        "now_only": {How.NOW: WORDS[How.NOW]},
        "spans": select.day_picture(preferences),
        "now_at": select.hours(local),
        "digest_hour": select.hours(preferences.digest_at),
        "ways": ways,
        **more,
    }
    return render(request, "channels/mine.html", context, status=status)


def _shown(value: time | None) -> str:
    return f"{value:%H:%M}" if value else ""


@policy("staff")
@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Hours and choices at once. What is critical stays "at once", whatever the form says."""
    user, form = signed_in(request), HoursForm(request.POST)
    if not form.is_valid():
        return _page(request, 422, hours=form)
    keys = {key for key, _label in select.own(user).methods}
    rules: dict[tuple[str, str], Rule] = {}
    for severity in Severity.values:
        for when in When:
            name = f"{severity}-{when}"
            how = request.POST.get(name, "")
            how = How.NOW if severity == Severity.CRITICAL or how not in list(How) else How(how)
            by = tuple(key for key in request.POST.getlist(f"{name}-by") if key in keys)
            rules[severity, when.value] = Rule(how, by or (EMAIL,))
    clean = form.cleaned_data
    Preference.objects.update_or_create(
        user=user,
        defaults={
            "quiet_from": clean["quiet_from"],
            "quiet_until": clean["quiet_until"],
            "digest_at": clean["digest_at"] or DIGEST_AT,
            "rules": write_rules(rules),
            "changed_at": timezone.now(),
        },
    )
    User.objects.filter(pk=user.pk).update(time_zone=clean["time_zone"])
    messages.success(request, "Kept. It holds from the next message on.")
    return redirect("dashboard:my_notifications")


@policy("staff")
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """A new address: a code is sent there at once."""
    way, address = request.POST.get("way", ""), request.POST.get("address", "")[:300]
    channel = None if way == MAIL else Channel.objects.filter(slug=way, enabled=True).first()
    typed = {"way": way, "address": address}
    if channel is None and way != MAIL:
        return _page(request, 422, trouble="Choose how you want to be reached.", typed=typed)
    now = timezone.now()
    try:
        method = proving.add(signed_in(request), channel, address, now)
    except ValidationError as wrong:
        return _page(request, 422, trouble=" ".join(wrong.messages), typed=typed)
    except (proving.NotPossible, DeliveryError) as refused:
        return _page(request, 422, trouble=str(refused), typed=typed)
    return _code(request, method)


def _method(request: HttpRequest, pk: int) -> ContactMethod:
    found = ContactMethod.objects.filter(pk=pk, user=signed_in(request)).select_related("channel", "user").first()
    if found is None:
        raise Http404
    return found


@policy("staff")
@require_POST
def code(request: HttpRequest, pk: int) -> HttpResponse:
    return _code(request, _method(request, pk))


def _code(request: HttpRequest, method: ContactMethod) -> HttpResponse:
    try:
        proving.send_code(method, timezone.now())
    except proving.NotPossible as refused:
        messages.warning(request, str(refused))
    except DeliveryError as error:
        messages.error(request, f"The code could not be sent. {error}")
    else:
        messages.success(request, f"A code is on its way to {method.address}. Type it in below.")
    return redirect("dashboard:my_notifications")


@policy("staff")
@require_POST
def prove(request: HttpRequest, pk: int) -> HttpResponse:
    method = _method(request, pk)
    try:
        proving.prove(method, request.POST.get("code", "")[:20], timezone.now())
    except proving.NotPossible as refused:
        return _page(request, 422, wrong_code=(pk, str(refused)))
    messages.success(request, f"{method.address} is yours. What is critical comes there from now on.")
    return redirect("dashboard:my_notifications")


@policy("staff")
@require_POST
def test(request: HttpRequest) -> HttpResponse:
    """A test to one's own address; what the receiver answered is shown."""
    user, key = signed_in(request), request.POST.get("key", "")
    if key == EMAIL and user.email:
        slug, address = keeping.OWN_MAIL, user.email
    else:
        number = key.removeprefix("m")
        method = _method(request, int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0)
        if method.verified_at is None:
            raise Http404
        slug, address = (method.channel.slug if method.channel else keeping.OWN_MAIL), method.address
    now = timezone.now()
    try:
        answer = send_now(slug, plain_message(address, "Test from the control tower", TEST), now)
    except DeliveryError as error:
        return _page(request, tested={"ok": False, "answer": str(error), "address": address})
    return _page(request, tested={"ok": True, "answer": answer, "address": address})


@policy("staff")
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    method = _method(request, pk)
    proving.remove(method, timezone.now())
    messages.success(request, f"{method.address} was removed. Nothing goes there any more.")
    return redirect("dashboard:my_notifications")
