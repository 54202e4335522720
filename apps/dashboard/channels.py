"""Channels: the list, adding and changing one, the test that shows the real answer, on and off, removing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from apps.core.policies import check, policy, roles, roles_of
from apps.dashboard.forms import dress
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import channels as select
from apps.incidents.models import Severity
from apps.notifications import keeping
from apps.notifications.contract import CHANNELS
from apps.notifications.contract import Channel as Plugin
from apps.notifications.fields import AddressField
from apps.notifications.models import Channel, ContactMethod
from apps.notifications.trying import try_channel

MAY_EDIT = roles("operations", "manager")
RESERVED = frozenset({"add", keeping.OWN_MAIL})


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    """What is agreed about a channel, whatever its kind."""

    class Meta:
        model = Channel
        fields = ("name", "team", "listens", "min_severity")
        labels = {"listens": "Gets every incident", "min_severity": "From severity", "team": "Owner team"}
        help_texts = {
            "name": "As people say it: “Night shift room”",
            "team": "With a team it hears of that team's incidents only",
            "listens": "Without being named by an escalation policy",
        }

    def __init__(self, *args: Any, plugin: Plugin, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].empty_label = "All teams"  # type: ignore[attr-defined]
        self.fields["min_severity"].choices = Severity.choices  # type: ignore[attr-defined]
        dress(self)


class SecretsForm(forms.Form):
    """One field per secret; a kept one may stay empty. Nothing typed here is ever shown again."""

    def __init__(self, *args: Any, plugin: Plugin, kept: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for one in plugin.secrets:
            is_kept, made = one.name in kept, plugin.kind == "webhook"
            self.fields[one.name] = forms.CharField(
                required=one.required and not is_kept and not made,
                max_length=4000,
                strip=True,
                label=one.label,
                help_text="Kept; empty: it stays as it is" if is_kept else one.help,
                widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
            )
        dress(self)


def _found(slug: str) -> Channel:
    return get_object_or_404(Channel.objects.select_related("team"), slug=slug)


@policy("staff")
def channels(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    context = {
        "now": now,
        "lines": select.listed(now),
        "mail": select.own_mail(now),
        "dead": select.dead_count(),
        "may_edit": check(MAY_EDIT, request.user) == "allow",
    }
    return render(request, "channels/channels.html", context)


@policy(MAY_EDIT)
def choose_kind(request: HttpRequest) -> HttpResponse:
    return render(request, "channels/kinds.html", {"now": timezone.now(), "groups": select.kinds()})


@policy(MAY_EDIT)
@sensitive_post_parameters()
@never_cache
def add(request: HttpRequest, kind: str) -> HttpResponse:
    if kind not in CHANNELS.plugins:
        raise Http404
    return _edit(request, Channel(kind=kind, min_severity=Severity.NORMAL))


@policy(MAY_EDIT)
@sensitive_post_parameters()
@never_cache
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    found = _found(slug)
    if found.kind not in CHANNELS.plugins:
        raise Http404
    return _edit(request, found)


@sensitive_variables("given", "hidden")
def _edit(request: HttpRequest, row: Channel) -> HttpResponse:
    plugin, is_new = CHANNELS.get(row.kind), row.pk is None
    data = request.POST if request.method == "POST" else None
    form = ChannelForm(data, instance=row, plugin=plugin)
    own = plugin.ConfigForm(data, prefix="settings", initial=None if is_new else row.config)
    hidden = SecretsForm(data, prefix="secret", plugin=plugin, kept=row.hints)
    if "admin" not in roles_of(request.user):
        own.fields.pop("allow_networks", None)
    dress(own)
    if data is not None and all([form.is_valid(), own.is_valid(), hidden.is_valid()]) and _same_house(own, hidden, row):
        built = form.save(commit=False)
        unknown = {name: value for name, value in row.config.items() if name not in own.fields}
        built.config = unknown | {
            name: value for name, value in own.cleaned_data.items() if value not in ("", None, [])
        }
        if is_new:
            built.slug = _free_slug(slugify(built.name)[:56] or row.kind)
        given = {name: value for name, value in hidden.cleaned_data.items() if value}
        try:
            keeping.save(built, given, signed_in(request), timezone.now())
        except IntegrityError:
            form.add_error("name", "Somebody added a channel of this name just now: choose another.")
        else:
            return _kept(request, built, is_new and built.kind == "webhook" and not given)
    context = {"form": form, "own": own, "hidden": hidden, "plugin": plugin, "channel": row, "is_new": is_new}
    context |= {"now": timezone.now(), "name": Channel.objects.filter(pk=row.pk).values_list("name", flat=True).first()}
    return render(request, "channels/edit.html", context, status=200 if data is None else 422)


def _same_house(own: forms.Form, hidden: forms.Form, row: Channel) -> bool:
    """A kept secret does not follow to another address: whoever may change the address need not know the secret."""
    moved = any(
        isinstance(one, AddressField) and row.config.get(name) and own.cleaned_data[name] != row.config[name]
        for name, one in own.fields.items()
    )
    missing = [name for name in row.hints if name in hidden.fields and not hidden.cleaned_data.get(name)]
    for name in missing if moved else []:
        hidden.add_error(name, "The address has changed: enter this again, so that it goes to nobody by mistake.")
    return not (moved and missing)


def _kept(request: HttpRequest, row: Channel, made: bool) -> HttpResponse:
    if made:  # this one answer shows the secret the tower made, and nothing else ever does
        return _page(request, row, secret=keeping.live_secrets(row, timezone.now())["secret"])
    messages.success(request, f"{row.name} is kept. Send a test to see whether it works.")
    return redirect("dashboard:channel", slug=row.slug)


def _free_slug(wanted: str) -> str:
    taken = set(Channel.objects.filter(slug__startswith=wanted).values_list("slug", flat=True)) | RESERVED
    slug, number = wanted, 2
    while slug in taken:
        slug, number = f"{wanted}-{number}", number + 1
    return slug


@policy("staff")
def channel(request: HttpRequest, slug: str) -> HttpResponse:
    return _page(request, _found(slug))


def _page(request: HttpRequest, row: Channel, **more: Any) -> HttpResponse:
    now = timezone.now()
    plugin = CHANNELS.plugins.get(row.kind)
    sent, older = select.deliveries(select.Asked(channel=row.slug))
    state, label = select.standing(row)
    context = {
        "now": now,
        "channel": row,
        "plugin": plugin,
        "kind": select.label_of(row.kind),
        "state": state,
        "label": label,
        "facts": select.facts_of(row),
        "lines": sent[:10],
        "older": bool(older) or len(sent) > 10,
        "dead": select.dead_count(row.slug),
        "people": ContactMethod.objects.filter(channel=row, verified_at__isnull=False).count(),
        "place": plugin.place(row.config) if plugin else "",
        "may_edit": check(MAY_EDIT, request.user) == "allow",
        **more,
    }
    response = render(request, "channels/channel.html", context, status=more.get("status", 200))
    response.headers["Cache-Control"] = "no-store"
    return response


@policy(MAY_EDIT)
@require_POST
def test(request: HttpRequest, slug: str) -> HttpResponse:
    """Sends a test now and shows what the receiver answered, word for word."""
    row = _found(slug)
    plugin = CHANNELS.plugins.get(row.kind)
    if plugin is None:
        raise Http404
    recipient = request.POST.get("to", "").strip()[:300] or plugin.place(row.config)
    try:
        recipient = recipient if recipient == "*" else plugin.clean_address(recipient)
    except forms.ValidationError as wrong:
        return _page(
            request, row, tested={"ok": False, "answer": " ".join(wrong.messages)}, typed=recipient, status=422
        )
    ok, answer = try_channel(row, recipient, signed_in(request).display_name, timezone.now())
    return _page(
        request, _found(slug), tested={"ok": ok, "answer": answer}, typed="" if recipient == "*" else recipient
    )


@policy(MAY_EDIT)
@require_POST
def switch(request: HttpRequest, slug: str) -> HttpResponse:
    row, enabled = _found(slug), request.POST.get("enabled") == "1"
    if keeping.switch(row, enabled, signed_in(request), timezone.now()):
        word = "on: messages go over it again" if enabled else "off: nothing goes over it"
        messages.success(request, f"{row.name} is {word}.")
    return redirect("dashboard:channel", slug=slug)


@policy(MAY_EDIT)
@require_POST
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    row = _found(slug)
    with transaction.atomic():
        keeping.remove(row, signed_in(request), timezone.now())
    messages.success(request, f"{row.name} was removed. What was sent over it stays in the log.")
    return redirect("dashboard:channels")
