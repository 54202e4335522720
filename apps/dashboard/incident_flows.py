"""What to do about an incident's flows: try a replay of their messages, waive, ask the partner, split them off."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.collectors import replay_runs
from apps.collectors.models import DeadLetter
from apps.collectors.waking import REPLAYER
from apps.core import wording
from apps.core.policies import policy, roles
from apps.dashboard.incidents import WORKERS, zone_of
from apps.dashboard.people import signed_in
from apps.dashboard.selectors.incident_page import load_incident
from apps.flows.models import Event, EventReference, Flow, FlowReference
from apps.incidents import workflow
from apps.incidents.merging import split
from apps.incidents.models import Finding, Incident
from apps.incidents.workflow import NotPossible
from apps.sla import waiving
from apps.sla.models import Expectation

#: flows of one step; flows named in a letter
MOST = 500
NAMED = 40


def chosen(request: HttpRequest, pk: int) -> list[int]:
    """Ids of the ticked flows that the incident holds up; every open one with `all`."""
    flows = Finding.objects.filter(incident_id=pk, cleared_at=None, flow__isnull=False)
    if "all" not in request.POST:
        ticked = [int(one) for one in request.POST.getlist("flow") if one.isascii() and one.isdigit() and len(one) < 19]
        flows = flows.filter(flow_id__in=ticked[:MOST])
    return list(flows.order_by("flow_id").values_list("flow_id", flat=True).distinct()[:MOST])


@policy(roles(*WORKERS))
@require_POST
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """`action`: replay, waive (with `reason`), ask or split, over the ticked flows."""
    if not Incident.objects.filter(pk=pk).exists():
        raise Http404
    flows, action = chosen(request, pk), request.POST.get("action", "")
    if not flows:
        messages.warning(request, "No flow was ticked that is still open: choose some first.")
    elif action == "replay":
        return _replay(request, pk, flows)
    elif action == "waive":
        _waive(request, pk, flows)
    elif action == "ask":
        return redirect(
            f"{reverse('dashboard:incident_ask', args=[pk])}?{urlencode([('flow', one) for one in flows[:NAMED]])}"
        )
    elif action == "split":
        return _split(request, pk, flows)
    else:
        messages.warning(request, "Choose what to do with the ticked flows.")
    return redirect(f"{reverse('dashboard:incident', args=[pk])}#affected")


def _replay(request: HttpRequest, pk: int, flows: list[int]) -> HttpResponse:
    """Tries the messages of these flows again, and dead letters of the incident's source; nothing changes by trying."""
    now = timezone.now()
    scope = FlowReference.objects.filter(flow__in=flows).values("reference_id")
    told = EventReference.objects.filter(reference_id__in=scope).values_list("event_id", "event_received_at")
    found = list(told.order_by("-event_received_at")[:5000])
    events = Event.objects.filter(pk__in={one for one, _ in found}, received_at__in={at for _, at in found})
    receipts = {receipt for receipt in events.values_list("receipt_id", flat=True) if receipt is not None}
    source = Incident.objects.values_list("integration_id", flat=True).get(pk=pk)
    if source is not None:
        dead = DeadLetter.objects.filter(integration_id=source, state="open").order_by("-id")
        receipts |= set(dead.values_list("receipt_id", flat=True)[:1000])
    what = f"messages of {len(flows)} flows of incident #{pk}"
    try:
        run = replay_runs.ask(sorted(receipts)[: replay_runs.MOST], what, signed_in(request), now, f"incident #{pk}")
    except replay_runs.NotAllowed as error:
        messages.warning(request, f"{error} Their events came without a message that is kept.")
        return redirect("dashboard:incident", pk=pk)
    if run.total <= 20:
        replay_runs.advance(now, only=run.pk)
    elif settings.WAKE_WORKERS:
        REPLAYER.wake()
    return redirect("dashboard:replay", pk=run.pk)


def _waive(request: HttpRequest, pk: int, flows: list[int]) -> None:
    reason = request.POST.get("reason", "").strip()
    wanted = Expectation.objects.filter(
        Q(finding__incident_id=pk, finding__cleared_at=None), flow_id__in=flows, state__in=waiving.WAIVABLE
    )
    done, refused = 0, ""
    for one in wanted.order_by("pk").values_list("pk", flat=True)[:MOST]:
        try:
            waiving.waive(one, signed_in(request), timezone.now(), reason)
            done += 1
        except waiving.NotWaivable as problem:
            refused = str(problem)
    if done:
        messages.success(request, f"{done} waived. The report lists them with your reason.")
    if refused or not done:
        messages.warning(request, refused or "None of these has a promise that can be waived.")


def _split(request: HttpRequest, pk: int, flows: list[int]) -> HttpResponse:
    findings = list(
        Finding.objects.filter(incident_id=pk, cleared_at=None, flow_id__in=flows).values_list("pk", flat=True)
    )
    title = request.POST.get("reason", "")[:300]
    try:
        new = split(pk, findings, signed_in(request), timezone.now(), title)
    except NotPossible as error:
        messages.warning(request, str(error))
        return redirect(f"{reverse('dashboard:incident', args=[pk])}#affected")
    messages.success(request, f"{len(findings)} findings split off #{pk}: you have this one.")
    return redirect("dashboard:incident", pk=new.pk)


@policy(roles(*WORKERS))
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: HttpRequest, pk: int) -> HttpResponse:
    """A prepared letter to the partner. It is sent by the reader's own mail program; POST notes that it was."""
    incident = load_incident(pk)
    if incident is None:
        raise Http404
    now, reader = timezone.now(), signed_in(request)
    if request.method == "POST":
        try:
            workflow.ask(pk, reader, now, request.POST.get("text", ""))
        except NotPossible as error:
            messages.warning(request, str(error))
        else:
            messages.success(request, "Noted that the partner was asked.")
        return redirect("dashboard:incident", pk=pk)
    ticked = [
        int(one) for one in request.GET.getlist("flow")[:NAMED] if one.isascii() and one.isdigit() and len(one) < 19
    ]
    rows = Flow.objects.filter(findings__incident_id=pk, findings__cleared_at=None)
    rows = rows.filter(pk__in=ticked) if ticked else rows
    flows = list(rows.distinct().order_by("label")[:NAMED])
    subject = f"Incident #{pk}: {incident.title}"
    zone = zone_of(reader)
    since = wording.absolute(incident.first_breach_at or incident.opened_at, zone)
    lines = [
        f"Dear {incident.partner.name if incident.partner else 'partner'},",
        "",
        f"{incident.title}: since {since} we have been waiting for messages about",
        "",
        *(f"- {flow.label}" for flow in flows),
        "",
        "Could you tell us when they will be sent, or whether they were sent already and to where?",
        "",
        "Kind regards",
        reader.display_name,
    ]
    text = "\n".join(lines)
    address = incident.partner.email if incident.partner else ""
    context = {
        "now": now,
        "incident": incident,
        "subject": subject,
        "text": text,
        "address": address,
        "mailto": f"mailto:{quote(address)}?subject={quote(subject)}&body={quote(text)}",
    }
    return render(request, "dashboard/incident_ask.html", context)
