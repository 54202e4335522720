"""The register of integrations: list, one of them with its credentials, adding and changing. All read, operations edit."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from apps.collectors.contract import COLLECTORS
from apps.core.htmx import fragment_response, is_fragment
from apps.core.policies import check, policy, roles
from apps.dashboard.forms import IntegrationForm, SecretForm, settings_form, settings_of
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import integrations as select
from apps.dashboard.selectors.sending import kinds
from apps.integrations import changes
from apps.integrations import credentials as secrets
from apps.integrations.models import SIGNING, Credential, Integration

MAY_EDIT = roles("operations")


def _may_edit(request: HttpRequest) -> bool:
    return check(MAY_EDIT, request.user) == "allow"


@policy("staff")
def integrations(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    q, kind, state = (request.GET.get(name, "")[:80].strip() for name in ("q", "kind", "state"))
    everything = select.lines(now, q=q, kind=kind)
    context = {
        "now": now,
        "lines": [line for line in everything if not state or line.state == state],
        "any_error": any(line.last_error for line in everything),
        "q": q,
        "kind": kind,
        "state": state,
        "kinds": COLLECTORS.choices(),
        "states": [
            (name, label, select.counts_by_state(everything)[name]) for name, (_, label) in select.STATES.items()
        ],
        "is_empty": not everything and not (q or kind),
        "may_edit": _may_edit(request),
    }
    return fragment_response(request, "dashboard/integrations.html", "dashboard/_integrations.html", context)


def _found(slug: str) -> Integration:
    return get_object_or_404(
        Integration.objects.select_related("partner", "system", "team", "mapping", "state"), slug=slug
    )


@policy("staff")
def integration(request: HttpRequest, slug: str) -> HttpResponse:
    found, now = _found(slug), timezone.now()
    context = {
        "now": now,
        "integration": found,
        "page": select.integration_page(found, now),
        "credentials": select.credentials(found, now),
        "secret_form": SecretForm(),
        "may_edit": _may_edit(request),
    }
    return fragment_response(request, "dashboard/integration.html", "dashboard/_integration.html", context)


@policy(MAY_EDIT)
def choose_kind(request: HttpRequest) -> HttpResponse:
    """The first step: what kind of source is it?"""
    return render(request, "dashboard/integration_kinds.html", {"kinds": kinds(), "now": timezone.now()})


@policy(MAY_EDIT)
def add(request: HttpRequest, kind: str) -> HttpResponse:
    """Its name, partner, team and settings. Leads to the page that guides through the rest (`onboarding`)."""
    if kind not in COLLECTORS.plugins:
        raise Http404
    return _edit(request, Integration(kind=kind))


@policy(MAY_EDIT)
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    found = _found(slug)
    if found.kind not in COLLECTORS.plugins:
        raise Http404
    return _edit(request, found)


def _edit(request: HttpRequest, found: Integration) -> HttpResponse:
    collector, is_new = COLLECTORS.get(found.kind), found.pk is None
    before = None if is_new else changes.facts(found)
    data = request.POST if request.method == "POST" else None
    form = IntegrationForm(data, instance=found, collector=collector)
    own = settings_form(found.kind, data, found.settings)
    if data is not None and all([form.is_valid(), own.is_valid()]):
        with transaction.atomic():
            built = form.build()
            built.settings = settings_of(own, built.settings)
            changed = changes.save(built, signed_in(request), timezone.now(), before)
        if is_new:
            messages.success(request, f"{built.name} is in the register.")
            return redirect("dashboard:start", slug=built.slug)
        messages.success(request, "Saved." if changed else "Nothing was changed.")
        return redirect("dashboard:integration", slug=built.slug)
    name = Integration.objects.filter(pk=found.pk).values_list("name", flat=True).first()
    context = {
        "form": form,
        "own": own,
        "collector": collector,
        "integration": found,
        "is_new": is_new,
        "name": name,
        "now": timezone.now(),
    }
    return render(request, "dashboard/integration_edit.html", context, status=200 if data is None else 422)


@policy(MAY_EDIT)
@require_POST
def switch(request: HttpRequest, slug: str) -> HttpResponse:
    found, enabled = _found(slug), request.POST.get("enabled") == "1"
    if changes.switch(found, enabled, signed_in(request), timezone.now()):
        word = (
            "on: its door takes messages"
            if enabled
            else "off: its door turns senders away, and their messages are not kept"
        )
        messages.success(request, f"{found.name} is {word}.")
    return redirect("dashboard:integration", slug=slug)


def _credentials(
    request: HttpRequest, found: Integration, secret: str = "", form: SecretForm | None = None
) -> HttpResponse:
    """The panel alone for htmx, else the whole page; a new secret is in this one answer and nowhere else."""
    if not is_fragment(request) and not secret and form is None:
        return redirect(reverse("dashboard:integration", args=[found.slug]) + "#credentials")
    now = timezone.now()
    context = {
        "now": now,
        "integration": found,
        "credentials": select.credentials(found, now),
        "secret": secret,
        "secret_form": form or SecretForm(),
        "may_edit": True,
        "page": select.integration_page(found, now),
    }
    name = "dashboard/_credentials.html" if is_fragment(request) else "dashboard/integration.html"
    status = 422 if form is not None else 200
    return render(request, name, context, status=status)


@policy(MAY_EDIT)
@sensitive_post_parameters("secret")
@sensitive_variables("plain", "form")
@never_cache
@require_POST
def issue(request: HttpRequest, slug: str) -> HttpResponse:
    """A new secret; the one before stays good for 24 hours. Shown once when the tower made it."""
    found = _found(slug)
    form = SecretForm(request.POST)
    if not form.is_valid():
        return _credentials(request, found, form=form)
    given, purpose = form.cleaned_data["secret"], form.cleaned_data["purpose"] or SIGNING
    if purpose != SIGNING and not given:
        form.add_error("secret", "Paste it here: the other side makes it, the tower cannot.")
        return _credentials(request, found, form=form)
    _, plain = secrets.issue(found, timezone.now(), signed_in(request), secret=given, purpose=purpose)
    return _credentials(request, found, "" if given else plain)


@policy(MAY_EDIT)
@require_POST
def revoke(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    found = _found(slug)
    credential = get_object_or_404(Credential, pk=pk, integration=found)
    secrets.revoke(credential, timezone.now(), signed_in(request))
    return _credentials(request, found)
