"""One flow in full: milestones with their clocks and deadlines, children, messages, and why it is late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from apps.flows.catalogue import label_of_event, label_of_reference
from apps.flows.definitions import Definition
from apps.flows.models import Event, EventReference, Flow, FlowLink, FlowReference, Milestone, Reference
from apps.flows.registry import load
from apps.flows.totals import PARTS
from apps.incidents.models import Finding
from apps.integrations.models import Integration
from apps.sla import blame, hop_norms
from apps.sla.explaining import sentence, steps
from apps.sla.models import Expectation, WaiverRequest
from apps.sla.waiving import WAIVABLE, needs_second_eye

MESSAGES = 200


@dataclass(slots=True)
class Clock:
    """One leg between two clocks of a milestone."""

    name: str
    took: timedelta


@dataclass(slots=True)
class Step:
    """One milestone as the timeline shows it."""

    name: str
    label: str
    optional: bool
    planned_at: datetime | None
    estimated_at: datetime | None
    actual_at: datetime | None
    due_at: datetime | None
    state: str
    clocks: list[Clock]
    sentence: str = ""
    steps: list[tuple[str, str]] = field(default_factory=list)
    waived: str = ""
    #: why its clock stands still, although we hear everything
    paused: str = ""
    #: why somebody asked for a waiver that waits for a second person
    asked: str = ""
    #: the expectation a person may waive, or None
    waivable: int | None = None
    #: what the partner answered to it on its own page, newest first: (when, text)
    replies: list[tuple[datetime, str]] = field(default_factory=list)
    source: str = ""
    #: of a late one: into which hop the time went
    hop: str = ""


@dataclass(slots=True)
class Message:
    """One event of the flow, as it was told."""

    id: int
    receipt_id: int | None
    type: str
    label: str
    source: str
    happened_at: datetime
    received_at: datetime
    delay: timedelta
    position: str
    suspect: bool
    conflict: bool
    failed: bool
    detail: str


@dataclass(slots=True)
class FlowPage:
    flow: Flow
    definition: Definition
    steps: list[Step]
    start: datetime
    end: datetime
    references: list[tuple[str, str]]
    children: list[Flow]
    parents: list[Flow]
    messages: list[Message]
    more_messages: bool
    findings: list[Finding]
    state: str
    verdict: str
    attributes: list[tuple[str, Any]]


def flow_page(flow: Flow, now: datetime) -> FlowPage:
    """Everything of one flow in a bounded number of queries."""
    catalogue = load().catalogue
    definition = next((d for d in catalogue.versions[flow.definition.slug] if d.id == flow.definition_id), None)
    definition = definition or catalogue.active[flow.definition.slug]
    milestones = {m.name: m for m in Milestone.objects.filter(flow=flow)}
    expected = {
        e.milestone: e for e in Expectation.objects.filter(flow=flow).select_related("rule").prefetch_related("replies")
    }
    sources = dict(Integration.objects.values_list("pk", "name"))
    told = [
        _step(definition, name, milestones.get(name), expected.get(name), sources)
        for name in (m.name for m in definition.milestones)
    ]
    _blame(told, definition, flow, expected.values(), now)
    if needs_second_eye(flow.value):
        asked = dict(
            WaiverRequest.objects.filter(expectation__flow=flow, state=WaiverRequest.State.ASKED).values_list(
                "expectation__milestone", "reason"
            )
        )
        for step in told:
            step.asked = asked.get(step.name, "")
    shown = [step for step in told if not step.optional or step.actual_at or step.due_at or step.planned_at]
    times = [t for s in shown for t in (s.planned_at, s.estimated_at, s.actual_at, s.due_at) if t] + [flow.opened_at]
    messages = _messages(flow, sources)
    state, verdict = _verdict(flow, shown, now)
    links = FlowLink.objects.filter(child=flow).values_list("parent_id", flat=True)
    children = FlowLink.objects.filter(parent=flow).values_list("child_id", flat=True)
    related = Flow.objects.exclude(status="merged").select_related("definition", "partner")
    return FlowPage(
        flow=flow,
        definition=definition,
        steps=shown,
        start=min(times),
        end=max([*times, now if flow.status == "open" else flow.opened_at]),
        references=_references(flow),
        children=list(related.filter(pk__in=list(children)).order_by("opened_at")[:100]),
        parents=list(related.filter(pk__in=list(links)).order_by("opened_at")[:100]),
        messages=messages[:MESSAGES],
        more_messages=len(messages) > MESSAGES,
        findings=list(Finding.objects.filter(flow=flow).select_related("incident").order_by("-raised_at")[:20]),
        state=state,
        verdict=verdict,
        attributes=[
            (name.replace("_", " "), _words(value))
            for name, value in sorted(flow.attributes.items())
            if value not in ("", None) and name != PARTS
        ],
    )


def _blame(
    told: Sequence[Step], definition: Definition, flow: Flow, expected: Iterable[Expectation], now: datetime
) -> None:
    """Says of late steps into which hop the time went."""
    labels = {one.name: one.label for one in definition.milestones}
    rows = list(expected)
    for row in rows:
        row.flow = flow
    named = hop_norms.behind(rows, now)
    by_milestone = {row.milestone: named[row.pk] for row in rows if row.pk in named}
    for step in told:
        if step.name in by_milestone:
            step.hop = blame.sentence(by_milestone[step.name], labels)


def _words(value: Any) -> str:
    """An attribute for people; a pair of numbers is a count of children: "1 of 2"; pauses by what they are called."""
    if isinstance(value, list) and value and all(isinstance(one, list) and len(one) == 4 for one in value):
        return ", ".join(f"{one[1]}{'' if one[3] else ' (lasts)'}" for one in value)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) for one in value):
        return f"{value[0]} of {value[1]}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _step(
    definition: Definition,
    name: str,
    milestone: Milestone | None,
    expected: Expectation | None,
    sources: Mapping[int, str],
) -> Step:
    spec = definition.milestone(name)
    assert spec is not None
    step = Step(
        name=name,
        label=spec.label,
        optional=spec.optional,
        planned_at=milestone.planned_at if milestone else None,
        estimated_at=milestone.estimated_at if milestone else None,
        actual_at=milestone.actual_at if milestone else None,
        due_at=expected.due_at if expected else None,
        state=_step_state(milestone, expected),
        clocks=_clocks(milestone) if milestone else [],
        source=sources.get(milestone.integration_id or 0, "") if milestone else "",
    )
    if expected is not None:
        step.waivable = expected.pk if expected.state in WAIVABLE else None
        step.replies = [(reply.at, reply.text) for reply in expected.replies.all()]
        step.sentence = sentence(expected.origin, expected.due_at)
        step.steps = steps(expected.origin, expected.due_at)
        step.paused = expected.paused
        step.waived = expected.waived_reason if expected.state == "WAIVED" else ""
    return step


def _step_state(milestone: Milestone | None, expected: Expectation | None) -> str:
    if expected is not None and expected.state != "PENDING":
        return str(expected.state)
    if milestone is not None and milestone.actual_at is not None:
        return "done"
    if expected is not None:
        return "at-risk" if expected.at_risk else "on-time"
    return ""


def _clocks(m: Milestone) -> list[Clock]:
    """Legs of the four clocks that are known: happened > sent > received, and when Odoo booked it."""
    legs = []
    if m.actual_at and m.sent_at:
        legs.append(Clock("to send", m.sent_at - m.actual_at))
    left_at = m.sent_at or m.actual_at
    if m.received_at and left_at:
        legs.append(Clock("on the way", m.received_at - left_at))
    if m.booked_at and m.actual_at:
        legs.append(Clock("to book", m.booked_at - m.actual_at))
    return [leg for leg in legs if leg.took >= timedelta(0)]


def _references(flow: Flow) -> list[tuple[str, str]]:
    ids = FlowReference.objects.filter(flow=flow).values_list("reference_id", "own")
    own = dict(ids[:200])
    rows = Reference.objects.filter(pk__in=list(own))
    ranked = sorted(rows, key=lambda r: (not own[r.pk], r.kind, r.value))
    return [(label_of_reference(r.kind), r.value) for r in ranked if r.kind != "trace"]


def _messages(flow: Flow, sources: Mapping[int, str]) -> list[Message]:
    scope = FlowReference.objects.filter(flow=flow).values_list("reference_id", flat=True)
    places = (
        EventReference.objects.filter(reference_id__in=list(scope))
        .values_list("event_id", "event_received_at")
        .distinct()
    )
    found = list(places[: MESSAGES * 3])
    if not found:
        return []
    rows = Event.objects.filter(pk__in=[pk for pk, _ in found], received_at__in={at for _, at in found})
    return [_message(event, sources) for event in rows.order_by("happened_at", "pk")[: MESSAGES + 1]]


def _message(event: Event, sources: Mapping[int, str]) -> Message:
    return Message(
        id=event.pk,
        receipt_id=event.receipt_id,
        type=event.type,
        label=label_of_event(event.type),
        source=sources.get(event.integration_id, "unknown source"),
        happened_at=event.happened_at,
        received_at=event.received_at,
        delay=event.received_at - event.happened_at,
        position=event.position,
        suspect=bool(event.flags & Event.CLOCK_SUSPECT),
        conflict=bool(event.flags & Event.CONFLICT),
        failed=event.type == "hop.failed",
        detail=_detail(event),
    )


def _detail(event: Event) -> str:
    data = event.data
    if event.type.startswith("hop."):
        parts = (data.get("service"), data.get("operation"), data.get("status_message") or data.get("error"))
        return " · ".join(str(part) for part in parts if part)
    values = [f"{kind} {value}" for kind, _, value in event.references if kind not in ("trace",)]
    return ", ".join(value.split(" ", 1)[1] for value in values[:3])


def _verdict(flow: Flow, shown: Sequence[Step], now: datetime) -> tuple[str, str]:
    """(state, the sentence at the top of the page)."""
    late = [s for s in shown if s.state == "BREACHED"]
    unknown = [s for s in shown if s.state == "SUSPENDED"]
    if late:
        return "late", f"{late[0].label} is late"
    if unknown:
        return "unknown", f"{unknown[0].label}: {unknown[0].paused or 'we cannot hear the source'}"
    if flow.status == "completed":
        missed = [s for s in shown if s.state == "MET_LATE"]
        return ("met-late", f"done, {missed[0].label.lower()} was late") if missed else ("done", "done")
    if flow.status == "cancelled":
        return "waived", "cancelled"
    risky = [s for s in shown if s.state == "at-risk"]
    if risky:
        return "at-risk", f"{risky[0].label} is at risk"
    return "on-time", "moving"
