"""What changed around the integrations: the list of markers, and the form that adds one by hand."""

from __future__ import annotations

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from apps.core.htmx import fragment_response
from apps.core.policies import policy, roles
from apps.dashboard.incidents import WORKERS, zone_of
from apps.dashboard.people import signed_in
from apps.integrations.models import ChangeMarker, Integration

#: kinds a person chooses from; keys and versions mark themselves
KINDS = (
    ("deploy", "Deploy"),
    ("contract", "Contract or version"),
    ("partner", "The partner changed something"),
    ("infrastructure", "Network or infrastructure"),
    ("other", "Something else"),
)
SHOWN = 200


@policy("staff")
def changes(request: HttpRequest) -> HttpResponse:
    rows = ChangeMarker.objects.select_related("integration").order_by("-at", "-id")
    slug = request.GET.get("integration", "")[:64]
    if slug:
        rows = rows.filter(integration__slug=slug)
    context = {
        "now": timezone.now(),
        "rows": rows[:SHOWN],
        "kinds": KINDS,
        "slug": slug,
        "integrations": Integration.objects.values_list("slug", "name"),
        "back": request.GET.get("back", "")[:200],
    }
    return fragment_response(request, "dashboard/changes.html", "dashboard/_changes.html", context)


@policy(roles(*WORKERS))
@require_POST
def add_change(request: HttpRequest) -> HttpResponse:
    """`text`, `kind`, `integration` (slug; empty: everywhere) and `at` (the reader's clock; empty: now)."""
    actor, now = signed_in(request), timezone.now()
    said = {name: request.POST.get(name, "").strip() for name in ("text", "kind", "integration", "at")}
    integration = Integration.objects.filter(slug=said["integration"][:64]).first() if said["integration"] else None
    at: datetime | None = now
    if said["at"]:
        try:
            at = datetime.fromisoformat(said["at"]).replace(tzinfo=zone_of(actor))
        except ValueError:
            at = None
    if not said["text"]:
        messages.warning(request, "Say what changed.")
    elif said["integration"] and integration is None:
        messages.warning(request, "This integration is not there any more: choose another.")
    elif at is None or at > now:
        messages.warning(request, "Say when it changed: a time that has passed.")
    else:
        kind = said["kind"] if said["kind"] in dict(KINDS) else "other"
        ChangeMarker.objects.create(
            at=at, integration=integration, kind=kind, text=said["text"][:300], actor_name=actor.display_name
        )
        messages.success(request, "Marked: incidents that begin within 24 h after it show it.")
    back = request.POST.get("back", "")
    if back.startswith("/incidents/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        return redirect(back)
    return redirect("dashboard:changes")
