"""Runbooks: what to do about a kind of incident or an integration's, written by those who know, read at night."""

from __future__ import annotations

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods

from apps.accounts import audit
from apps.core.policies import policy, roles
from apps.dashboard.incident_markdown import render as as_html
from apps.dashboard.people import signed_in
from apps.incidents.models import Incident, Runbook
from apps.integrations.models import Integration

LONGEST = 20_000


@policy("staff")
def runbooks(request: HttpRequest) -> HttpResponse:
    context = {"now": timezone.now(), "rows": Runbook.objects.select_related("integration")}
    return render(request, "dashboard/runbooks.html", context)


@policy(roles("operations", "on_call"))
@require_http_methods(["GET", "HEAD", "POST"])
def runbook(request: HttpRequest, slug: str = "") -> HttpResponse:
    """One runbook's form; without a slug a new one. `preview` shows it without keeping it; `drop` deletes it."""
    found = get_object_or_404(Runbook, slug=slug) if slug else Runbook()
    before = {"title": found.title, "text": found.text} if slug else None
    actor, now = signed_in(request), timezone.now()
    problem = ""
    if request.method == "POST":
        if "drop" in request.POST and slug:
            audit.record(actor, "runbook.dropped", f"runbook:{slug}", before, None, now)
            found.delete()
            messages.success(request, "The runbook is gone.")
            return redirect("dashboard:runbooks")
        said = {name: request.POST.get(name, "") for name in ("title", "kind", "integration", "text")}
        found.title, found.kind = said["title"].strip()[:200], said["kind"].strip()[:64]
        found.text, found.author_name = said["text"][:LONGEST], actor.display_name
        found.integration = Integration.objects.filter(slug=said["integration"][:64]).first()
        problem = "" if found.title and found.text.strip() else "Give it a title and say what to do."
        if not problem and "preview" not in request.POST:
            found.slug = found.slug or slugify(found.title)[:64] or "runbook"
            try:
                with transaction.atomic():
                    found.save()
                    audit.record(
                        actor,
                        "runbook.saved",
                        f"runbook:{found.slug}",
                        before,
                        {"title": found.title, "text": found.text},
                        now,
                    )
            except IntegrityError:
                problem = "There is a runbook of this title already: choose another title."
            else:
                messages.success(request, "Saved. Incidents it is about show it from now on.")
                return redirect("dashboard:runbooks")
    context = {
        "now": now,
        "one": found,
        "problem": problem,
        "slug": slug,
        "html": as_html(found.text) if found.text else "",
        "kinds": Incident.objects.order_by("kind").values_list("kind", flat=True).distinct(),
        "integrations": Integration.objects.values_list("slug", "name"),
    }
    return render(request, "dashboard/runbook.html", context, status=422 if problem else 200)
