"""A new integration, guided: its secret, a first message waited for, what was read from it, the first flow, then live."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from apps.core.htmx import fragment_response
from apps.core.policies import policy, roles
from apps.dashboard.forms import SecretForm
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import onboarding as select
from apps.dashboard.selectors.integrations import label_of_kind
from apps.integrations import changes
from apps.integrations import credentials as secrets
from apps.integrations.models import Integration

MAY_EDIT = roles("operations")


def _found(slug: str) -> Integration:
    return get_object_or_404(
        Integration.objects.select_related("partner", "system", "team", "mapping", "state"), slug=slug
    )


@policy(MAY_EDIT)
@sensitive_post_parameters("secret")
@sensitive_variables("plain", "form")
@never_cache
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """The steps. A POST makes (or stores) the secret; it stands in this one answer and nowhere else."""
    found, now, plain = _found(slug), timezone.now(), ""
    form = SecretForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data["secret"]
        _, made = secrets.issue(found, now, signed_in(request), secret=given)
        if given:
            messages.success(request, "The secret is stored, encrypted.")
            return redirect("dashboard:start", slug=slug)
        plain = made
    context = {
        "now": now,
        "integration": found,
        "kind": label_of_kind(found.kind),
        "progress": select.progress(found, now),
        "secret": plain,
        "secret_form": form if request.method == "POST" else SecretForm(),
    }
    if request.method == "POST":
        return render(request, "dashboard/start.html", context, status=200 if plain else 422)
    return fragment_response(request, "dashboard/start.html", "dashboard/_start.html", context)


@policy(MAY_EDIT)
@require_POST
def go_live(request: HttpRequest, slug: str) -> HttpResponse:
    """From now on its silence and its lateness count."""
    found, now = _found(slug), timezone.now()
    before = changes.facts(found)
    found.lifecycle = Integration.Lifecycle.LIVE
    if changes.save(found, signed_in(request), now, before):
        messages.success(request, f"{found.name} is live: from now on its silence and its lateness count.")
    return redirect("dashboard:integration", slug=slug)
