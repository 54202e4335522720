"""What the page of declared pairs shows: the rules with their counts, and what disagrees, both sides beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator

from apps.anomalies.causes_models import ReconciliationTally
from apps.anomalies.reconciliation.noting import active_rules
from apps.anomalies.reconciliation.rules import EQUALS, FOLLOWS, Rule
from apps.flows.catalogue import label_of_event, label_of_reference
from apps.incidents.models import Finding
from apps.sla.durations import span_in_words

PER_PAGE = 25
CHECKS = {FOLLOWS: "must follow", EQUALS: "amounts must agree"}


@dataclass(slots=True)
class Line:
    """A rule with how it stands. joined_by: what ties the two sides, in words; state: name of a state and its word."""

    rule: Rule
    joined_by: str
    check: str
    grace: str
    tally: ReconciliationTally | None
    state: tuple[str, str]


@dataclass(slots=True)
class Word:
    """What one side said, with the way to the message."""

    who: str
    what: str
    at: datetime
    amount: str
    mark: str
    event: int


@dataclass(slots=True)
class Disagreement:
    finding: Finding
    rule: str
    key: str
    left: tuple[str, str, list[Word]]
    right: tuple[str, str, list[Word]]


def lines() -> list[Line]:
    tallies = {one.slug: one for one in ReconciliationTally.objects.all()}
    found = [_line(rule, tallies.get(rule.slug)) for rule in active_rules()]
    return sorted(found, key=lambda one: (-(one.tally.differ if one.tally else 0), one.rule.name))


def _line(rule: Rule, tally: ReconciliationTally | None) -> Line:
    joined = rule.flow or label_of_reference(rule.reference) if rule.flow or rule.reference else ", ".join(rule.fields)
    if rule.shadow:
        state = ("unknown", "shadow")
    elif tally is None:
        state = ("open", "not looked at yet")
    elif tally.resting:
        state = ("waived", "rests")
    else:
        state = ("late", "differs") if tally.differ else ("on-time", "agrees")
    return Line(rule, joined, CHECKS.get(rule.check, "at most as many"), span_in_words(rule.grace), tally, state)


def open_ones(page: str, rule: str = "") -> Page[Finding]:
    rows = Finding.objects.filter(kind__startswith="reconciliation.", cleared_at=None).select_related(
        "flow", "partner", "incident"
    )
    if rule:
        rows = rows.filter(evidence__rule=rule)
    return Paginator(rows.order_by("-raised_at", "-id"), PER_PAGE).get_page(page)


def disagreements(page: Page[Finding]) -> list[Disagreement]:
    names = {rule.slug: rule.name for rule in active_rules()}
    return [
        Disagreement(
            one,
            names.get(one.evidence.get("rule", ""), one.evidence.get("rule", "")),
            one.evidence.get("key", ""),
            _side(one.evidence.get("left", {})),
            _side(one.evidence.get("right", {})),
        )
        for one in page.object_list
    ]


def _side(raw: dict[str, Any]) -> tuple[str, str, list[Word]]:
    words = [
        Word(
            one.get("who", ""), label_of_event(one["type"]), datetime.fromisoformat(one["happened_at"]),
            one.get("amount", ""), one.get("mark", ""), one["event"],
        )
        for one in raw.get("words", [])
    ]  # fmt: skip
    return raw.get("name", ""), raw.get("total", ""), words
