"""The promises behind a figure of the report: one page of them, or all as CSV rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from apps.dashboard.selectors import cursors
from apps.dashboard.selectors.report import milestone_names
from apps.dashboard.selectors.report_asked import Asked
from apps.flows.registry import load
from apps.integrations.models import Partner
from apps.reports import figures as reports
from apps.reports import hops, pauses, penalties
from apps.reports.models import ContractTerm
from apps.sla.explaining import sentence
from apps.sla.models import Expectation, SlaRule

PAGE = 100


@dataclass(slots=True)
class Promise:
    """One expectation as the list behind a figure shows it."""

    expectation: Expectation
    milestone: str
    outcome: str
    why: str
    late_by: timedelta | None


def promises(asked: Asked, partners: Mapping[str, Partner], zone: str, now: datetime) -> QuerySet[Expectation]:
    """The expectations behind a figure, latest due first."""
    span, only = asked.span(zone), asked.narrowing(partners)
    rows = reports.behind(span, only, asked.outcome)
    rows = pauses.having(rows, asked.pause, now) if asked.pause else rows
    if asked.why:
        by, _, reason = asked.why.partition(":")
        rows = rows.filter(state="WAIVED", waived_reason=reason, waived_by__isnull=by == "rule")
    if asked.hop:
        rows = rows.filter(pk__in=hops.behind(span, only, asked.hop, now))
    if asked.term:
        rows = rows.filter(penalties.counted_for(asked.first, asked.term))
    return rows.filter(partner__isnull=True) if asked.partner == "none" else rows


def promise_page(asked: Asked, partners: Mapping[str, Partner], zone: str, now: datetime) -> tuple[list[Promise], str]:
    """One page of promises, and the cursor of the next ('' at the end)."""
    rows = promises(asked, partners, zone, now)
    if place := cursors.read(asked.after):
        at, pk = place
        rows = rows.filter(Q(due_at__lt=at) | Q(due_at=at, pk__lt=pk))
    found = list(rows[: PAGE + 1])
    older = cursors.cursor(found[PAGE - 1].due_at, found[PAGE - 1].pk) if len(found) > PAGE else ""
    names = milestone_names(load())
    return [promise(one, names) for one in found[:PAGE]], older


def promise(one: Expectation, names: Mapping[tuple[str, str], str]) -> Promise:
    outcome = reports.outcome_of(one)
    why = f"Waived: {one.waived_reason}" if one.state == "WAIVED" else sentence(one.origin, one.due_at)
    late_by = one.met_at - one.due_at if one.state == "MET_LATE" and one.met_at else None
    return Promise(one, names.get((one.rule.flow_slug, one.milestone), one.milestone), outcome, why, late_by)


def promise_rows(asked: Asked, partners: Mapping[str, Partner], zone: str, now: datetime) -> Iterator[Sequence[Any]]:
    """Every promise behind the choice as rows of a CSV; times in UTC."""
    yield [
        "flow",
        "partner",
        "flow_kind",
        "milestone",
        "rule",
        "rule_version",
        "outcome",
        "due_at",
        "met_at",
        "late_seconds",
        "value",
        "currency",
        "why",
    ]
    names = milestone_names(load())
    for one in promises(asked, partners, zone, now).iterator(chunk_size=2000):
        told = promise(one, names)
        yield [
            one.flow.label,
            one.partner.name if one.partner else None,
            one.rule.flow_slug,
            one.milestone,
            one.rule.name,
            one.rule.version,
            told.outcome,
            one.due_at.isoformat(),
            one.met_at.isoformat() if one.met_at else None,
            int(told.late_by.total_seconds()) if told.late_by else None,
            one.flow.value,
            one.flow.currency,
            told.why,
        ]


def term_name(slug: str) -> str:
    return ContractTerm.objects.filter(slug=slug).values_list("name", flat=True).first() or slug


def rule_name(slug: str) -> str:
    newest = SlaRule.objects.filter(slug=slug).order_by("-version").first()
    return newest.name if newest else slug
