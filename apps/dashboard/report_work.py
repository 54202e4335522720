"""What stands behind the figures of how the work went: incidents, flows and integrations, one a row."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from apps.core import wording
from apps.core.policies import policy
from apps.dashboard.report_asking import month_of
from apps.dashboard.selectors.report_asked import Asked
from apps.reports import operation_lists

PAGE = 100


@dataclass(frozen=True, slots=True)
class Shown:
    """How a list is said. at, took: heads of its columns ('' for none); yes, no: whether a row speaks for the figure.

    none: what is said where there is no row.
    """

    title: str
    means: str
    rows: str
    at: str = ""
    took: str = ""
    yes: str = ""
    no: str = ""
    none: str = "Nothing in this month"


SHOWN = {
    "acknowledged": Shown("Time to acknowledge", "Incidents opened in the month that somebody took, the quickest first. The figure is the median.", "incidents acknowledged", "Opened", "Taken after"),
    "resolved": Shown("Time to resolve", "Incidents opened in the month that are resolved, the quickest first. The figure is the median.", "incidents resolved", "Opened", "Resolved after"),
    "critical": Shown("Critical integrations with a rule", "Live integrations in production of criticality critical or high, as they are now. Those on which no rule depends come first.", "integrations", yes="with a rule", no="no rule", none="No live integration is critical or high"),
    "continuity": Shown("Went on while degraded", "Flows that were open while a critical or high incident stood at their partner. Those that stood still come first; a flow counts once for each such incident.", "flows", "Opened", yes="went on", no="stood still"),
    "live": Shown("Days to go live", "Integrations that went live in the month, by the audit record. The figure is the median of those whose first day is on record.", "integrations", "Live since", "Days"),
}  # fmt: skip


def address(asked: Asked, kind: str, page: int = 1) -> str:
    """The query string of a list: its month and partner; nothing else narrows these figures."""
    said = {"show": kind, "month": asked.month, "partner": asked.partner, "page": page if page > 1 else ""}
    return "?" + urlencode({name: value for name, value in said.items() if value})


@policy("staff")
def work_list(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked, partners, zone = month_of(request, now)
    kind = request.GET.get("show", "")
    kind = kind if kind in SHOWN else "acknowledged"
    page = _page(request.GET.get("page", ""))
    begin = (page - 1) * PAGE
    lines, total, counted = operation_lists.lines(
        kind, asked.span(zone), now, asked.narrowing(partners).partner, begin, begin + PAGE
    )
    shown = SHOWN[kind]
    said = f"{wording.number(counted)} of {wording.number(total)} {shown.rows} {shown.yes}" if shown.yes else ""
    context = {
        "now": now,
        "asked": asked,
        "kind": kind,
        "shown": shown,
        "lines": lines,
        "total": total,
        "said": said or f"{wording.number(total)} {shown.rows}",
        "kinds": [(key, one.title, address(asked, key)) for key, one in SHOWN.items()],
        "first": address(asked, kind) if page > 1 else "",
        "more": address(asked, kind, page + 1) if begin + len(lines) < total else "",
        "partner": partners.get(asked.partner),
        "back": Asked(asked.month, partner=asked.partner).address(),
    }
    return render(request, "dashboard/report_work.html", context)


def _page(text: str) -> int:
    """From 1; 1 for anything that is no page of a list."""
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text) else 1
