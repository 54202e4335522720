"""Lists of flows: by state, lane and partner, and by any reference. Pages by keyset, so that page 400 costs as page 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from apps.dashboard.selectors import cursors
from apps.flows.models import Flow, FlowReference, Reference
from apps.flows.registry import load
from apps.integrations.models import Partner
from apps.sla.models import Expectation

PAGE = 50
STATES = {
    "open": "Open",
    "late": "Late",
    "at_risk": "At risk",
    "due_soon": "Due within 2 h",
    "unknown": "Unknown",
    "done": "Done",
    "cancelled": "Cancelled",
    "trouble": "Failed hops or conflicts",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader wants to see. All texts; '' means any."""

    flow: str = ""
    partner: str = ""
    milestone: str = ""
    state: str = ""
    q: str = ""
    after: str = ""

    @classmethod
    def read(cls, query: Any) -> Asked:
        texts = {name: query.get(name, "")[:120].strip() for name in cls.__dataclass_fields__}
        return cls(**texts)

    def address(self, **changed: str) -> str:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__} | changed
        return "?" + urlencode({name: value for name, value in values.items() if value})


@dataclass(slots=True)
class Line:
    """One flow of the list with the deadline that matters most for it."""

    flow: Flow
    definition: str
    stage: str
    awaiting: str
    state: str
    due_at: datetime | None
    due_label: str


@dataclass(slots=True)
class Page:
    lines: list[Line]
    older: str
    asked: Asked


def page(asked: Asked, now: datetime) -> Page:
    """One page of flows; `Page.older` is the cursor of the next one ('' at the end)."""
    by_deadline = asked.state in ("late", "at_risk", "due_soon", "unknown")
    flows, older = _by_deadline(asked, now) if by_deadline else _by_age(asked)
    return Page(_lines(flows, asked, now), older, asked)


def _narrow(rows: QuerySet[Any], asked: Asked, prefix: str = "") -> QuerySet[Any]:
    """Filters by flow, partner and reference; prefix leads from the row to its flow."""
    if asked.flow:
        rows = rows.filter(**{f"{prefix}definition__slug": asked.flow})
    if asked.partner == "none":
        rows = rows.filter(**{f"{prefix}partner__isnull": True})
    elif asked.partner:
        rows = rows.filter(**{f"{prefix}partner__slug": asked.partner})
    if asked.q:
        rows = rows.filter(**{f"{prefix}id__in": flows_by_reference(asked.q)})
    return rows


def _by_age(asked: Asked) -> tuple[list[Flow], str]:
    rows = _narrow(Flow.objects.exclude(status=Flow.Status.MERGED), asked)
    if asked.state == "done":
        rows = rows.filter(status=Flow.Status.COMPLETED)
    elif asked.state == "cancelled":
        rows = rows.filter(status=Flow.Status.CANCELLED)
    elif asked.state == "trouble":
        rows = rows.filter(Q(failed_hops__gt=0) | Q(conflicts__gt=0) | Q(suspects__gt=0))
    elif asked.state == "open" or asked.milestone or not asked.q:
        rows = rows.filter(status=Flow.Status.OPEN)
    if asked.milestone:
        rows = rows.filter(awaiting=asked.milestone)
    if place := cursors.read(asked.after):
        at, pk = place
        rows = rows.filter(Q(opened_at__lt=at) | Q(opened_at=at, pk__lt=pk))
    found = list(rows.select_related("partner", "definition").order_by("-opened_at", "-pk")[: PAGE + 1])
    older = cursors.cursor(found[PAGE - 1].opened_at, found[PAGE - 1].pk) if len(found) > PAGE else ""
    return found[:PAGE], older


def _by_deadline(asked: Asked, now: datetime) -> tuple[list[Flow], str]:
    rows = Expectation.objects.live().order_by("due_at", "pk")
    if asked.state == "late":
        rows = rows.filter(state=Expectation.State.BREACHED)
    elif asked.state == "unknown":
        rows = rows.filter(state=Expectation.State.SUSPENDED)
    elif asked.state == "due_soon":
        rows = rows.filter(state=Expectation.State.PENDING, due_at__gte=now, due_at__lt=now + timedelta(hours=2))
    else:
        rows = rows.filter(state=Expectation.State.PENDING, at_risk=True)
    if asked.flow:
        rows = rows.filter(definition__slug=asked.flow)
    if asked.partner == "none":
        rows = rows.filter(partner__isnull=True)
    elif asked.partner:
        rows = rows.filter(partner__slug=asked.partner)
    if asked.milestone:
        rows = rows.filter(milestone=asked.milestone)
    if asked.q:
        rows = rows.filter(flow_id__in=flows_by_reference(asked.q))
    if place := cursors.read(asked.after):
        at, pk = place
        rows = rows.filter(Q(due_at__gt=at) | Q(due_at=at, pk__gt=pk))
    found = list(rows.select_related("flow__partner", "flow__definition")[: PAGE + 1])
    older = cursors.cursor(found[PAGE - 1].due_at, found[PAGE - 1].pk) if len(found) > PAGE else ""
    flows = {one.flow.pk: one.flow for one in found[:PAGE]}
    return list(flows.values()), older


def flows_by_reference(text: str) -> QuerySet[FlowReference, Any]:
    """Flows that own a reference whose value is, or begins with, this text (as written, or in capitals)."""
    spellings = {text, text.upper()}
    match = Q(pk__in=[])
    for one in spellings:
        match |= Q(value__startswith=one)
    references = Reference.objects.filter(match).values_list("pk", flat=True)[:500]
    return FlowReference.objects.filter(reference_id__in=list(references)).values_list("flow_id", flat=True)


def find(text: str) -> list[Flow]:
    """Flows that a search box's text names exactly; else those it begins. At most 25, parents first."""
    text = text.strip()[:120]
    if not text:
        return []
    exact = Reference.objects.filter(value__in={text, text.upper()}).values_list("pk", flat=True)[:100]
    own = FlowReference.objects.filter(reference_id__in=list(exact), own=True).values_list("flow_id", flat=True)
    flows = list(
        Flow.objects.filter(pk__in=list(own)[:100])
        .exclude(status="merged")
        .select_related("partner", "definition")[:25]
    )
    if flows:
        return flows
    rows = Flow.objects.filter(pk__in=list(flows_by_reference(text)[:200])).exclude(status="merged")
    return list(rows.select_related("partner", "definition").order_by("-opened_at")[:25])


def _lines(flows: Sequence[Flow], asked: Asked, now: datetime) -> list[Line]:
    catalogue = load().catalogue
    live: dict[int, list[Expectation]] = {}
    for one in Expectation.objects.live().filter(flow__in=[flow.pk for flow in flows]).order_by("due_at"):
        live.setdefault(one.flow_id, []).append(one)
    lines = []
    for flow in flows:
        definition = catalogue.active.get(flow.definition.slug)
        label = definition.label_of if definition else str
        worst = _worst(live.get(flow.pk, []), asked)
        lines.append(
            Line(
                flow=flow,
                definition=flow.definition.name,
                stage=label(flow.stage) if flow.stage else "",
                awaiting=label(flow.awaiting) if flow.awaiting else "",
                state=_state(flow, worst),
                due_at=worst.due_at if worst else None,
                due_label=label(worst.milestone) if worst else "",
            )
        )
    return lines


def _worst(expectations: Sequence[Expectation], asked: Asked) -> Expectation | None:
    """The deadline to show: the one asked for, else the worst by state, else the next."""
    if asked.milestone:
        chosen = [one for one in expectations if one.milestone == asked.milestone]
        if chosen:
            return chosen[0]
    order = {"BREACHED": 0, "SUSPENDED": 1}
    ranked = sorted(expectations, key=lambda one: (order.get(one.state, 2 if one.at_risk else 3), one.due_at))
    return ranked[0] if ranked else None


def _state(flow: Flow, worst: Expectation | None) -> str:
    if flow.status == Flow.Status.COMPLETED:
        return "done"
    if flow.status == Flow.Status.CANCELLED:
        return "waived"
    if worst is None:
        return "open"
    if worst.state == "BREACHED":
        return "late"
    if worst.state == "SUSPENDED":
        return "unknown"
    return "at-risk" if worst.at_risk else "on-time"


def partners() -> list[tuple[str, str]]:
    return list(Partner.objects.values_list("slug", "name"))
