"""What the pages of SLA rules show: all rules in the order they are tried, one rule as text, and what it would do."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from django.db.models import Count, Q

from apps.dashboard.selectors.board import in_order
from apps.flows.definitions import Definition
from apps.flows.registry import load as load_definitions
from apps.incidents.models import Severity
from apps.integrations.models import Calendar, Partner
from apps.sla import backtest, check_words, describing, library
from apps.sla.models import Deviation, SlaRule
from apps.sla.rule_versions import Wanted
from apps.sla.rules import RuleRow

#: id of a version that is not stored
UNSAVED = 0
SAMPLES = 3
SHOWN = 50
STARTER = """# Which flows (leave out: all). Conditions: partner, integration, service, attributes, weekday, lane, value, season
# when: {partner: [acme], weekday: [mon, tue]}
due:
  after: {milestone: %s, duration: P2D, kind: working_days, cut_off: "14:00"}
warn: {before: PT4H}
zone: partner
calendar: partner
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One rule in the list. state: its shape and word."""

    rule: SlaRule
    milestone: str
    words: str
    who: str
    state: tuple[str, str]


STATES = {"active": ("on-time", "active"), "shadow": ("unknown", "shadow"), "draft": ("waived", "draft")}
STATES["retired"] = ("waived", "retired")


def listed() -> list[tuple[Definition, list[Line]]]:
    """Every rule's newest version by flow, in the order of the milestones and then as they are tried."""
    partners = dict(Partner.objects.values_list("slug", "name"))
    catalogue = load_definitions().catalogue.active
    found: dict[str, list[Line]] = defaultdict(list)
    for rule in newest():
        definition = catalogue.get(rule.flow_slug)
        labels = labels_of(definition)
        found[rule.flow_slug].append(
            Line(
                rule,
                labels.get(rule.milestone, rule.milestone),
                in_words(rule.spec, labels),
                describing.conditions(rule.spec, partners),
                STATES[rule.lifecycle],
            )
        )
    groups = []
    for definition in in_order(catalogue.values()):
        order = {one.name: one.ordinal for one in definition.milestones}
        lines = found.get(definition.slug, [])
        lines.sort(key=lambda line: (order.get(line.rule.milestone, 99), line.rule.position, line.rule.slug))
        groups.append((definition, lines))
    return groups


def newest() -> list[SlaRule]:
    return list(SlaRule.objects.order_by("slug", "-version").distinct("slug"))


def versions(slug: str) -> list[SlaRule]:
    return list(SlaRule.objects.filter(slug=slug).order_by("-version"))


def labels_of(definition: Definition | None) -> dict[str, str]:
    return {one.name: one.label for one in definition.milestones} if definition else {}


def in_words(spec: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The rule in words; a spec of an older form that cannot be read is shown as it is."""
    try:
        return describing.rule(spec, labels)
    except (KeyError, TypeError, ValueError, AssertionError):
        return yaml.safe_dump(dict(spec), default_flow_style=True, width=200).strip()


def text_of(spec: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True, width=90)
    return text


def values_of(rule: SlaRule) -> dict[str, str]:
    return {
        "slug": rule.slug,
        "name": rule.name,
        "flow": rule.flow_slug,
        "milestone": rule.milestone,
        "position": str(rule.position),
        "severity": rule.severity,
        "target": f"{rule.target.normalize():f}",
        "lifecycle": rule.lifecycle,
        "spec": text_of(rule.spec),
    }


def row_of(wanted: Wanted, rule: SlaRule | None, now: datetime) -> RuleRow:
    return RuleRow(
        UNSAVED,
        wanted.slug,
        (rule.version if rule else 0) + 1,
        wanted.name,
        rule.flow_slug if rule else wanted.flow_slug,
        rule.milestone if rule else wanted.milestone,
        wanted.position,
        wanted.spec,
        "active",
        now.astimezone(UTC),
        wanted.severity,
    )


@dataclass(slots=True)
class Tried:
    """A backtest as the page shows it."""

    result: backtest.Backtest
    days: int
    labels: dict[str, str]
    plot: dict[str, Any]

    @property
    def sentence(self) -> str:
        """ "In the last 90 days it would have fired 14 times: 11 real, 2 short, 1 repeated." """
        fired = len(self.result.fired)
        if not self.result.measured:
            return f"In the last {self.days} days no flow was one this rule speaks for."
        if not fired:
            return f"In the last {self.days} days it would not have fired once, on {self.result.judged:,} judged."
        parts = [f"{self.result.count(sort):,} {sort}" for sort in ("real", "short", "repeated")]
        times = "once" if fired == 1 else f"{fired:,} times"
        return f"In the last {self.days} days it would have fired {times}: {', '.join(parts)}."

    @property
    def lists(self) -> list[tuple[str, list[backtest.Firing]]]:
        """The flows that change, as tables with their titles."""
        found = [("Would become late", self.result.becoming), ("Would stop being late", self.result.ceasing)]
        return [(title, lines) for title, lines in found if lines]

    @property
    def changes(self) -> bool:
        return bool(self.result.more_late or self.result.less_late)


def try_out(row: RuleRow, now: datetime) -> Tried:
    """The draft on the flows of the last days."""
    result = backtest.run(library.load(now).book, row, now)
    labels = labels_of(load_definitions().catalogue.active.get(row.flow_slug))
    return Tried(result, backtest.DAYS, labels, _plot(result, now))


def _plot(result: backtest.Backtest, now: datetime) -> dict[str, Any]:
    """Firings by day, in three sorts that colour and pattern tell apart."""
    first = (now - timedelta(days=backtest.DAYS)).date()
    days = [first + timedelta(days=n) for n in range(backtest.DAYS + 1)]
    by: dict[str, dict[Any, int]] = {sort: defaultdict(int) for sort in ("real", "short", "repeated")}
    for one in result.fired:
        by[one.sort][one.due_at.date()] += 1
    looks = {"real": ("@late", ""), "short": ("@at-risk", "/"), "repeated": ("@ink-3", ".")}
    return {
        "data": [
            {
                "type": "bar",
                "name": sort,
                "x": [day.isoformat() for day in days],
                "y": [by[sort][day] for day in days],
                "marker": {"color": looks[sort][0], "pattern": {"shape": looks[sort][1]}},
                "hovertemplate": "%{y} " + sort + "<extra></extra>",
            }
            for sort in by
        ],
        "layout": {
            "barmode": "stack",
            "showlegend": True,
            "legend": {"orientation": "h", "y": 1.12},
            "yaxis": {"rangemode": "tozero", "tickformat": ",d", "nticks": 5},
        },
    }


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found lately: how much, how much of it was told, the newest with a sentence each."""

    days: int
    count: int
    told: int
    rows: list[tuple[Deviation, str]]


def found_by(rule: SlaRule, now: datetime) -> Found:
    """By any version of the rule."""
    rows = Deviation.objects.filter(rule__slug=rule.slug, at__gte=now - timedelta(days=backtest.DAYS))
    counts = rows.aggregate(count=Count("pk"), told=Count("pk", filter=Q(told_at__isnull=False)))
    labels = labels_of(load_definitions().catalogue.active.get(rule.flow_slug))
    label = labels.get(rule.milestone, rule.milestone)
    newest_first = rows.select_related("flow", "partner").order_by("-at", "-pk")[:SHOWN]
    told = [(one, check_words.sentence(one.kind, label, one.facts, labels)) for one in newest_first]
    return Found(backtest.DAYS, counts["count"], counts["told"], told)


def fingerprint(values: Mapping[str, str]) -> str:
    """Of a form: what was shown is what is saved."""
    return hashlib.sha256("\0".join(f"{name}={values[name]}" for name in sorted(values)).encode()).hexdigest()[:32]


def words_of(row: RuleRow) -> str:
    return in_words(row.spec, labels_of(load_definitions().catalogue.active.get(row.flow_slug)))


def who_of(row: RuleRow) -> str:
    return describing.conditions(row.spec, dict(Partner.objects.values_list("slug", "name")))


def deadlines(row: RuleRow, now: datetime) -> list[tuple[int, str, str]]:
    """(flow id, label, sentence) of the newest flows the draft speaks for."""
    return backtest.samples(library.load(now).book, row, now, SAMPLES)


def choices() -> dict[str, Sequence[Any]]:
    catalogue = load_definitions().catalogue.active
    return {
        "flows": [
            (one.slug, one.name, [(m.name, m.label) for m in one.milestones]) for one in in_order(catalogue.values())
        ],
        "severities": Severity.choices,
        "lifecycles": SlaRule.Lifecycle.choices,
        "calendars": list(Calendar.objects.order_by("slug").values_list("slug", flat=True).distinct()),
    }


def starter(flow: str) -> str:
    definition = load_definitions().catalogue.active.get(flow)
    first = definition.milestones[0].name if definition else "placed"
    return STARTER % first


def wanted_of(rule: SlaRule) -> Wanted:
    return Wanted(
        rule.slug,
        rule.name,
        rule.flow_slug,
        rule.milestone,
        rule.position,
        rule.spec,
        rule.severity,
        rule.target,
        rule.lifecycle,
    )
