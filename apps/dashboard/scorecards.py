"""Partner scorecards: all partners of a month beside each other, and one partner's card."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from apps.core.policies import policy
from apps.dashboard.selectors import report as select
from apps.dashboard.selectors.report_asked import Asked
from apps.integrations.models import Partner
from apps.reports import rollups, scores
from apps.reports.charts import charted

COLUMNS = ("kept", "complete", *(f"on_time_{step}" for step in scores.STEPS), "partner_p50", "volume", "usual")


def _asked(request: HttpRequest) -> tuple[Asked, date, str]:
    zone = rollups.zone()
    asked = Asked.read(request.GET, timezone.now().astimezone(ZoneInfo(zone)).date())
    return asked, asked.first, zone


@policy("staff")
def scorecards(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked, first, zone = _asked(request)
    found = scores.cards(first, Partner.objects.all())
    lines = [
        (
            partner,
            [
                (scores.BY_KEY[key], scores.said(scores.BY_KEY[key], cells[key].value if key in cells else None))
                for key in COLUMNS
            ],
        )
        for partner, cells in found
    ]
    months = select.months(now, zone)
    context = {
        "now": now,
        "asked": asked,
        "months": months if asked.month in dict(months) else [(asked.month, asked.when), *months],
        "columns": [scores.BY_KEY[key] for key in COLUMNS],
        "lines": lines,
        "as_of": max((cell.as_of for _, cells in found for cell in cells.values()), default=None),
    }
    return render(request, "dashboard/scorecards.html", context)


@policy("staff")
def scorecard(request: HttpRequest, slug: str) -> HttpResponse:
    now = timezone.now()
    asked, first, zone = _asked(request)
    partner = get_object_or_404(Partner, slug=slug)
    months = select.months(now, zone)
    card = scores.card(partner.pk, partner.kind, first)
    context = {
        "now": now,
        "asked": asked,
        "months": months if asked.month in dict(months) else [(asked.month, asked.when), *months],
        "partner": partner,
        "card": card,
        "plot": charted(card.chart, "peers") if card.value("kept").known else None,
        "kind": partner.get_kind_display(),
        "least": scores.LEAST_PEERS,
    }
    return render(request, "dashboard/scorecard.html", context)
