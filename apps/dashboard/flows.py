"""Flow list, search, one flow, and a message's payload behind a click."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.collectors.models import Receipt
from apps.core.htmx import fragment_response
from apps.core.policies import check, policy, roles
from apps.dashboard.models import SavedFilter
from apps.dashboard.people import signed_in
from apps.dashboard.selectors import flow_list
from apps.dashboard.selectors.board import in_order
from apps.dashboard.selectors.flow_list import STATES, Asked
from apps.dashboard.selectors.flow_page import flow_page
from apps.dashboard.selectors.risk import risk_of
from apps.flows.models import Event, Flow
from apps.flows.registry import load
from apps.sla import waiving
from apps.sla.models import Expectation

WAIVERS = roles("operations", "on_call")
#: characters of a payload shown at once; the rest is in the download
EXCERPT = 20_000


@policy("staff")
def flows(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked = Asked.read(request.GET)
    catalogue = load().catalogue
    definition = catalogue.active.get(asked.flow)
    context = {
        "now": now,
        "asked": asked,
        "page": flow_list.page(asked, now),
        "states": STATES,
        "definitions": [(d.slug, d.name) for d in in_order(catalogue.active.values())],
        "milestones": [(m.name, m.label) for m in definition.milestones] if definition else [],
        "partners": flow_list.partners(),
        "saved": SavedFilter.objects.filter(user=signed_in(request)),
        "here": asked.address(after=""),
        "asked_pairs": [(name, getattr(asked, name)) for name in ("q", "flow", "milestone", "partner", "state")],
        "search_words": asked.q,
    }
    return fragment_response(request, "dashboard/flows.html", "dashboard/_flows.html", context)


@policy("staff")
def search(request: HttpRequest) -> HttpResponse:
    """The one box: straight to the flow when only one has that reference."""
    text = request.GET.get("q", "")
    found = flow_list.find(text)
    if len(found) == 1:
        return redirect("dashboard:flow", pk=found[0].pk)
    context = {"now": timezone.now(), "found": found, "search_words": text.strip()}
    return render(request, "dashboard/search.html", context)


@policy("staff")
def flow(request: HttpRequest, pk: int) -> HttpResponse:
    now = timezone.now()
    found = get_object_or_404(Flow.objects.select_related("definition", "partner", "merged_into"), pk=pk)
    if found.merged_into_id:
        return redirect("dashboard:flow", pk=found.merged_into_id)
    may_waive = check(WAIVERS, request.user) == "allow"
    context = {"now": now, "page": flow_page(found, now), "flow": found, "may_waive": may_waive, "risk": risk_of(pk)}
    return fragment_response(request, "dashboard/flow.html", "dashboard/_flow.html", context)


@policy("staff")
def payload(request: HttpRequest, pk: int) -> HttpResponse:
    """The message as it came; who opens it wants to see the bytes, so nothing is prettified."""
    event = get_object_or_404(Event, pk=pk)
    receipt = Receipt.objects.filter(pk=event.receipt_id).first() if event.receipt_id else None
    if receipt is None:
        return render(request, "dashboard/_payload.html", {"event": event, "text": "", "receipt": None})
    body = bytes(receipt.body)
    text = body[: EXCERPT * 4].decode("utf-8", "replace")[:EXCERPT]
    context = {
        "event": event,
        "receipt": receipt,
        "text": text,
        "cut": len(body) > len(text.encode()),
        "size": len(body),
    }
    return render(request, "dashboard/_payload.html", context)


@policy("staff")
def download(request: HttpRequest, pk: int) -> HttpResponse:
    """A receipt's bytes as a file that no browser will run."""
    receipt = Receipt.objects.filter(pk=pk).first()
    if receipt is None:
        raise Http404
    return HttpResponse(
        bytes(receipt.body),
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="receipt-{receipt.pk}.bin"'},
    )


@policy("staff")
@require_POST
def save_filter(request: HttpRequest) -> HttpResponse:
    """Keeps the list's present filter under a name; the same name again replaces it."""
    name = request.POST.get("name", "").strip()[:60]
    asked = Asked.read(request.POST)
    if name:
        SavedFilter.objects.update_or_create(
            user=signed_in(request), name=name, defaults={"query": asked.address(after="")[1:]}
        )
    return redirect(reverse("dashboard:flows") + asked.address(after=""))


@policy("staff")
@require_POST
def drop_filter(request: HttpRequest, pk: int) -> HttpResponse:
    SavedFilter.objects.filter(user=signed_in(request), pk=pk).delete()
    return redirect("dashboard:flows")


@policy(WAIVERS)
@require_POST
def waive(request: HttpRequest, pk: int, expectation: int) -> HttpResponse:
    """Takes one deadline out of the count, with a reason that the report lists."""
    found = get_object_or_404(Expectation, pk=expectation, flow_id=pk)
    try:
        asked = waiving.ask(found.pk, signed_in(request), timezone.now(), request.POST.get("reason", ""))
    except waiving.NotWaivable as problem:
        messages.error(request, str(problem))
    else:
        told = "Waived. The report lists it with your reason."
        messages.success(request, "This flow is worth much: a second person is asked." if asked else told)
    return redirect("dashboard:flow", pk=pk)
