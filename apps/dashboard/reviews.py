"""Reviews after incidents: which are wanted, one with its actions, and the same as a file."""

from __future__ import annotations

from datetime import date

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.models import Role, User
from apps.core.policies import check, policy, roles
from apps.dashboard.incidents import zone_of
from apps.dashboard.people import signed_in
from apps.dashboard.selectors.desk_metrics import repeats
from apps.dashboard.selectors.incident_page import load_incident
from apps.incidents import reviewing
from apps.incidents.models import IncidentEvent, Review, ReviewAction
from apps.incidents.workflow import NotPossible

WRITERS = roles("operations", "on_call", "manager")
#: rows of the timeline an export shows
LINES = 500


@policy("staff")
def reviews(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    actions = ReviewAction.objects.filter(done_at=None).select_related("owner", "review__incident")
    context = {
        "now": now,
        "today": now.astimezone(zone_of(signed_in(request))).date(),
        "wanted": reviewing.wanted(now)[:50],
        "actions": actions.order_by("due_on", "id")[:100],
        "done": Review.objects.filter(state=Review.State.DONE)
        .select_related("incident__partner")
        .order_by("-done_at")[:50],
        "repeats": repeats(now),
    }
    return render(request, "dashboard/reviews.html", context)


@policy("staff")
@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest, pk: int) -> HttpResponse:
    incident = load_incident(pk)
    if incident is None:
        raise Http404
    now, reader = timezone.now(), signed_in(request)
    found = getattr(incident, "review", None)
    may_write = check(WRITERS, reader) == "allow"
    problem, typed = "", {name: getattr(found, name, "") for name in reviewing.PARTS}
    if request.method == "POST" and may_write:
        typed = {name: request.POST.get(name, "") for name in reviewing.PARTS}
        try:
            reviewing.write(pk, reader, now, typed, done="done" in request.POST)
        except NotPossible as error:
            problem = str(error)
        else:
            messages.success(request, "The review is done." if "done" in request.POST else "Saved as a draft.")
            return redirect("dashboard:review", pk=pk)
    context = {
        "now": now,
        "today": now.astimezone(zone_of(reader)).date(),
        "incident": incident,
        "review": found,
        "problem": problem,
        "may_write": may_write,
        "parts": [(name, heading, hint, typed[name]) for name, (heading, hint) in reviewing.PARTS.items()],
        "actions": found.actions.select_related("owner") if found else [],
        "people": User.objects.filter(is_active=True).exclude(role=Role.PARTNER).order_by("first_name", "username"),
    }
    return render(request, "dashboard/review.html", context, status=422 if problem else 200)


@policy(WRITERS)
@require_POST
def action(request: HttpRequest, pk: int) -> HttpResponse:
    """Adds an action (`text`, `owner`, `due_on`), or turns one over (`tick`)."""
    found = Review.objects.filter(incident_id=pk).first()
    if found is None:
        messages.warning(request, "Save the review first, then add what will be done.")
        return redirect("dashboard:review", pk=pk)
    try:
        if ticked := request.POST.get("tick", ""):
            reviewing.tick(
                int(ticked) if ticked.isascii() and ticked.isdigit() and len(ticked) < 19 else 0, pk, timezone.now()
            )
        else:
            due, owner = request.POST.get("due_on", ""), request.POST.get("owner", "")
            is_number = owner.isascii() and owner.isdigit() and len(owner) < 19
            reviewing.add_action(
                found,
                request.POST.get("text", ""),
                User.objects.filter(pk=owner).first() if is_number else None,
                date.fromisoformat(due) if due else None,
            )
    except (NotPossible, ReviewAction.DoesNotExist, ValueError) as error:
        said = {
            ReviewAction.DoesNotExist: "This action is not there any more.",
            ValueError: "Write the date like 2026-03-31.",
        }
        messages.warning(request, said.get(type(error), str(error)))
    return redirect("dashboard:review", pk=pk)


@policy("staff")
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """The review as Markdown, for the archive or the wiki."""
    incident = load_incident(pk)
    found = getattr(incident, "review", None)
    if incident is None or found is None:
        raise Http404
    lines = IncidentEvent.objects.filter(incident=incident).exclude(kind__in=("joined", "notified", "mentioned"))
    text = reviewing.as_markdown(
        incident,
        found,
        list(found.actions.select_related("owner")),
        list(lines.order_by("at", "id")[:LINES]),
        zone_of(signed_in(request)),
    )
    return HttpResponse(
        text,
        content_type="text/markdown; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="review-{pk}.md"'},
    )
