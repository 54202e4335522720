"""The SLA report of a month, the promises behind each of its figures, and both as CSV."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from apps.core import wording
from apps.core.policies import policy
from apps.dashboard import report_work
from apps.dashboard.report_asking import asked_of, month_of
from apps.dashboard.selectors import promises as behind
from apps.dashboard.selectors import report as select
from apps.dashboard.selectors.board import in_order
from apps.dashboard.selectors.report_asked import OUTCOME_WORDS, Asked
from apps.flows.registry import load
from apps.reports import archive, figures, spreadsheet
from apps.reports import hops as report_hops
from apps.reports import operations as work
from apps.reports import pauses as report_pauses


@policy("staff")
def report(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    asked, partners, zone = month_of(request, now)
    months, register = select.months(now, zone), load()
    context = {
        "now": now,
        "page": select.month_page(asked, partners, now, zone, register),
        "asked": asked,
        "months": months if asked.month in dict(months) else [(asked.month, f"{asked.first:%B %Y}"), *months],
        "newest": months[0][0],
        "frozen": archive.find(asked.first, partner=partners.get(asked.partner)),
        "partners": partners.values(),
        "flows": [(one.slug, one.name) for one in in_order(register.catalogue.active.values())],
    }
    return render(request, "dashboard/report.html", context)


@policy("staff")
def numbers(request: HttpRequest) -> HttpResponse:
    """The tables behind the plots, by day and by month: a fragment, fetched when they are opened."""
    now = timezone.now()
    asked, partners, zone = month_of(request, now)
    context = {"now": now, "asked": asked, "page": select.month_page(asked, partners, now, zone)}
    return render(request, "dashboard/_report_numbers.html", context)


@policy("staff")
def operations(request: HttpRequest) -> HttpResponse:
    """How the work around the month's promises went: a fragment, fetched when the page is there."""
    now = timezone.now()
    asked, partners, zone = month_of(request, now)
    span, only = asked.span(zone), asked.narrowing(partners)
    found = work.operations(span, now, only.partner)
    went, visible = found.continuity, found.visibility
    live, hops = len(found.onboarded), report_hops.table(span, only, now)
    context = {
        "now": now,
        "asked": asked,
        "work": found,
        "hops": hops,
        "hop_lines": [(line, asked.address(outcome="missed", hop=line.kind)) for line in hops.lines],
        **select.uncounted(asked, report_pauses.uncounted(span, only, now)),
        "inbox": f"{reverse('dashboard:incidents')}?{urlencode({'opened': asked.month, 'partner': asked.partner})}",
        "behind": {
            kind: f"{reverse('dashboard:report_work')}{report_work.address(asked, kind)}" for kind in report_work.SHOWN
        },
        "acknowledged_note": f"median of {wording.number(found.incidents.acknowledged)}; 95th percentile ",
        "resolved_note": f"median of {wording.number(found.incidents.resolved)}; 95th percentile ",
        "visible_note": f"{visible.covered} of {visible.critical} critical or high",
        "continuity_note": f"{wording.number(went.moved)} of {wording.number(went.flows)} flows in {went.incidents} incidents",
        "onboarded_note": f"{live} went live" if live else "nothing went live",
    }
    return render(request, "dashboard/_report_operations.html", context)


@policy("staff")
def promises(request: HttpRequest) -> HttpResponse:
    """The promises behind one figure; the address says which."""
    now = timezone.now()
    asked, partners, zone = asked_of(request, now)
    found, older = behind.promise_page(asked, partners, zone, now)
    chips = [
        (label, value, asked.address(**{name: ""}))
        for name, label, value in (
            ("day", "Day", asked.day),
            (
                "partner",
                "Partner",
                partners[asked.partner].name if asked.partner in partners else asked.partner and "No partner",
            ),
            ("flow", "Flow", asked.flow),
            ("rule", "Rule", behind.rule_name(asked.rule) if asked.rule else ""),
            ("milestone", "Milestone", asked.milestone.replace("_", " ")),
            ("lane", "Lane", asked.lane.replace(">", " → ")),
            ("service", "Service", asked.service),
            ("why", "Excluded", asked.why.partition(":")[2] or (asked.why and "No reason was given")),
            ("hop", "Time lost in", report_hops.NAMES[asked.hop][0].lower() if asked.hop else ""),
            ("term", "Term", behind.term_name(asked.term) if asked.term else ""),
            ("pause", "Time that did not count", report_pauses.kind_name(asked.pause) if asked.pause else ""),
        )
        if value
    ]
    context = {
        "now": now,
        "asked": asked,
        "promises": found,
        "older": asked.address(after=older) if older else "",
        "outcomes": [(name, word, asked.address(outcome=name)) for name, word in OUTCOME_WORDS.items()],
        "everything": asked.address(outcome=""),
        "chips": chips,
        "back": Asked(asked.month, partner=asked.partner, flow=asked.flow).whole().address(),
        "zone": zone,
    }
    return render(request, "dashboard/promises.html", context)


@policy("staff")
def report_csv(request: HttpRequest) -> HttpResponseBase:
    """All figures of the report in one table."""
    now = timezone.now()
    asked, partners, zone = month_of(request, now)
    page = select.month_page(asked, partners, now, zone)
    span = figures.month(asked.first.year, asked.first.month, zone)
    uncounted = report_pauses.uncounted(span, asked.narrowing(partners), now)
    return spreadsheet.download(f"sla-{asked.month}", select.figure_rows(page, uncounted))


@policy("staff")
def promises_csv(request: HttpRequest) -> HttpResponseBase:
    """Every promise of the choice, one a row."""
    now = timezone.now()
    asked, partners, zone = asked_of(request, now)
    return spreadsheet.download(f"sla-{asked.month}-promises", behind.promise_rows(asked, partners, zone, now))
