"""The partner's status page: own promises in plain words, and a way to answer."""

from __future__ import annotations

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from apps.accounts.models import User
from apps.core.htmx import fragment_response
from apps.core.policies import policy
from apps.incidents import workflow
from apps.integrations.models import PartnerAccess
from apps.portal import selectors
from apps.reports import scores
from apps.reports.charts import charted
from apps.sla.models import PartnerReply


def partner_of(request: HttpRequest) -> tuple[User, int]:
    """The person and the one partner it belongs to; 404 for a partner's sign-in that is bound to nobody."""
    user = request.user
    access = PartnerAccess.objects.filter(user_id=user.pk, partner__active=True).first() if user.pk else None
    if access is None or not isinstance(user, User):
        raise Http404
    return user, access.partner_id


@policy("partner")
def status(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    _, partner_id = partner_of(request)
    found = selectors.status(partner_id, now)
    state, sentence = selectors.sentence_of(found)
    context = {
        "now": now,
        "status": found,
        "state": state,
        "sentence": sentence,
        "portal_name": found.name,
        "page_zone": found.zone,
        "plot": _plot(found),
    }
    return fragment_response(request, "portal/status.html", "portal/_status.html", context)


@policy("partner")
def scorecard(request: HttpRequest) -> HttpResponse:
    """The partner's own figures of a month, beside the anonymous median of its peers."""
    now = timezone.now()
    _, partner_id = partner_of(request)
    name, kind, card, months = selectors.scorecard(partner_id, request.GET.get("month", "")[:7], now)
    context = {
        "now": now,
        "portal_name": name,
        "kind": kind,
        "card": card,
        "plot": charted(card.chart, "peers") if card.value("kept").known else None,
        "month": card.month,
        "months": months,
        "least": scores.LEAST_PEERS,
    }
    return render(request, "portal/scorecard.html", context)


def _plot(found: selectors.Status) -> dict[str, object]:
    shares = [
        None if score.counts.share is None else round(float(score.counts.share) * 100, 1) for score in found.scores
    ]
    bars = {"type": "bar", "x": [score.label for score in found.scores], "y": shares, "marker": {"color": "@accent"}}
    return {"data": [bars], "layout": {"yaxis": {"range": [0, 100], "ticksuffix": " %"}}}


@policy("partner")
@require_POST
def reply(request: HttpRequest, pk: int) -> HttpResponse:
    """ "We sent it": kept, and shown to whoever works the incident."""
    now = timezone.now()
    user, partner_id = partner_of(request)
    expectation = selectors.visible_expectation(partner_id, pk)
    if expectation is None:
        raise Http404
    text = request.POST.get("text", "").strip()[:2000]
    if not text:
        return render(request, "portal/reply_empty.html", {"now": now, "pk": pk}, status=422)
    with transaction.atomic():
        PartnerReply.objects.create(partner_id=partner_id, expectation_id=pk, user=user, at=now, text=text)
        if expectation.finding_id is not None and (finding := selectors.finding_of(expectation.finding_id)):
            workflow.comment(finding.incident_id, user, now, f"About {expectation.flow.label}: {text}")
    return redirect("portal:status")
