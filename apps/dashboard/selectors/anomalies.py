"""Anomalies as pages show them: the list with its pictures, one with its evidence, and the detectors' own record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Count, Q

from apps.anomalies.contract import DETECTORS
from apps.anomalies.deadlines import COVERAGE
from apps.anomalies.models import Anomaly, DetectorSwitch, KnownSpan, MetricState, VoiceBudget
from apps.anomalies.voicing import PROMISED, RECORD, budget, lowered, operators
from apps.core.wording import share
from apps.integrations.models import Partner

PAGE = 30
FALSE = ("expected", "not_useful")
TABS = {"open": "Open", "all": "All", "audit": "Held back, to check"}
SUPPRESSED = {
    "budget": "held back: the day's budget, or chance among so many streams, asks for more evidence",
    "switched off": "held back: the detector is switched off here",
    "its own voice": "held back: the detector has lowered its own voice",
}
STATES = {"page": "late", "task": "at-risk", "watch": "open"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader narrowed the list to."""

    tab: str = "open"
    detector: str = ""
    partner: str = ""
    before: int = 0

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Asked:
        tab = given.get("tab", "open")
        before = given.get("before", "")
        known = before.isascii() and before.isdecimal() and len(before) < 19
        return cls(
            tab if tab in TABS else "open",
            given.get("detector", "").replace("\x00", ""),
            given.get("partner", "").replace("\x00", ""),
            int(before) if known else 0,
        )


@dataclass(frozen=True, slots=True)
class Card:
    """One anomaly and its picture: a line over the band of the usual, or how far along a flow is."""

    row: Anomaly
    state: str
    detector: str
    held_back: str
    line: list[float] | None
    lower: list[float] | None
    upper: list[float] | None
    share: int | None

    @property
    def odds(self) -> str:
        return f"{10 ** min(self.row.score, 12):,.0f}"

    @property
    def told_from(self) -> str:
        return f"{10 ** min(self.row.threshold, 12):,.0f}"


def cards(asked: Asked) -> tuple[list[Card], int]:
    """(a page of anomalies, newest first, where the next page begins or 0)."""
    rows = Anomaly.objects.select_related("partner", "integration", "flow", "finding__incident", "verdict_by")
    if asked.tab == "audit":
        rows = rows.filter(audited=True, verdict="")
    else:
        rows = rows.filter(suppressed="")
        rows = rows.filter(cleared_at=None, verdict="") if asked.tab == "open" else rows
    if asked.detector:
        rows = rows.filter(detector=asked.detector)
    if asked.partner:
        rows = rows.filter(partner__slug=asked.partner)
    if asked.before:
        rows = rows.filter(pk__lt=asked.before)
    found = list(rows.order_by("-pk")[: PAGE + 1])
    return [card(row) for row in found[:PAGE]], found[PAGE - 1].pk if len(found) > PAGE else 0


def card(row: Anomaly) -> Card:
    seen, share = row.evidence, None
    if "age_hours" in seen and seen.get("task_hours"):
        share = min(100, round(100 * seen["task_hours"] / max(seen["age_hours"], 1e-9)))
    label = DETECTORS.plugins[row.detector].label if row.detector in DETECTORS.plugins else row.detector
    return Card(
        row,
        "done" if row.cleared_at else STATES[row.tier],
        label,
        SUPPRESSED.get(row.suppressed, row.suppressed),
        seen.get("seen"),
        seen.get("lower"),
        seen.get("upper"),
        share,
    )


def counts() -> dict[str, int]:
    """tab -> how many."""
    found = Anomaly.objects.aggregate(
        open=Count("pk", filter=Q(suppressed="", cleared_at=None, verdict="")),
        audit=Count("pk", filter=Q(audited=True, verdict="")),
    )
    return {key: found.get(key) or 0 for key in ("open", "audit")}


def kinds() -> list[tuple[str, str]]:
    return DETECTORS.choices()


def partners() -> list[tuple[str, str]]:
    return list(Partner.objects.filter(active=True).values_list("slug", "name"))


def plot(row: Anomaly) -> dict[str, Any] | None:
    """The expected band with what came over it; of a flow, how many of its like are still under way at its age."""
    seen = row.evidence
    if seen.get("hours") and seen.get("seen"):
        return _band(seen)
    return _curve(seen) if seen.get("curve") and seen.get("age_hours") else None


def _band(seen: Mapping[str, Any]) -> dict[str, Any]:
    edge = {"width": 0, "color": "@band"}
    common = {"type": "scatter", "mode": "lines", "x": seen["hours"]}
    marks = []
    if seen.get("since"):
        marks = [
            {
                "type": "line",
                "x0": seen["since"],
                "x1": seen["since"],
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": "@late", "width": 1, "dash": "dash"},
            }
        ]
    return {
        "data": [
            {**common, "y": seen["lower"], "line": edge, "hoverinfo": "skip"},
            {**common, "y": seen["upper"], "line": edge, "fill": "tonexty", "fillcolor": "@band", "hoverinfo": "skip"},
            {**common, "y": seen["expected"], "line": {"color": "@ink-3", "width": 1, "dash": "dot"}, "name": "usual"},
            {**common, "y": seen["seen"], "line": {"color": "@accent", "width": 2}, "name": "came"},
        ],
        "layout": {"xaxis": {"type": "date", "showgrid": False}, "yaxis": {"rangemode": "tozero"}, "shapes": marks},
    }


def _curve(seen: Mapping[str, Any]) -> dict[str, Any]:
    hours = [point[0] / 24 for point in seen["curve"]]
    shares = [100 * point[1] for point in seen["curve"]]
    age = seen["age_hours"] / 24
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "x": [0, *hours],
                "y": [100, *shares],
                "fill": "tozeroy",
                "fillcolor": "@band",
                "line": {"color": "@ink-3", "width": 1},
                "hovertemplate": "%{y:.0f} of 100 take longer than %{x:.1f} d<extra></extra>",
            },
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [age],
                "y": [2],
                "text": ["this one"],
                "textposition": "top center",
                "marker": {"color": "@late", "symbol": "square", "size": 10},
                "hovertemplate": "this one: %{x:.1f} d<extra></extra>",
            },
        ],
        "layout": {"xaxis": {"ticksuffix": " d", "rangemode": "tozero"}, "yaxis": {"ticksuffix": " %", "nticks": 5}},
    }


# -- the record -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """What a detector promised and what happened in the last 60 days. false, missed: shares, None when nobody judged."""

    kind: str
    label: str
    model: str
    promised: float
    told: int
    judged: int
    false: float | None
    held_back: int
    checked: int
    missed: float | None
    soon: timedelta | None
    lowered: float
    enabled: bool
    reason: str
    off_for: list[str]

    @property
    def state(self) -> str:
        if not self.enabled:
            return "waived"
        if self.false is None:
            return "unknown"
        return "late" if self.lowered else "on-time"

    @property
    def words(self) -> str:
        if not self.enabled:
            return "switched off"
        if self.false is None:
            return "nobody has judged it yet"
        return f"asks for {10**self.lowered:.1f} times the evidence by itself" if self.lowered else "keeps its promise"


def records(now: datetime) -> list[Record]:
    """Every detector; a fixed number of statements."""
    rows = Anomaly.objects.filter(raised_at__gt=now - RECORD).order_by()
    told, judged, answered = Q(suppressed=""), ~Q(verdict=""), Q(verdict__in=FALSE)
    sums = {
        row["detector"]: row
        for row in rows.values("detector").annotate(
            told=Count("pk", filter=told),
            judged=Count("pk", filter=told & judged),
            false=Count("pk", filter=told & answered),
            held=Count("pk", filter=~told),
            checked=Count("pk", filter=~told & judged),
            missed=Count("pk", filter=~told & judged & ~answered),
        )
    }
    delays: dict[str, list[float]] = {}
    for kind, began, raised in rows.filter(told).values_list("detector", "began_at", "raised_at")[:5_000]:
        delays.setdefault(kind, []).append((raised - began).total_seconds())
    off: dict[str, list[DetectorSwitch]] = {}
    for one in DetectorSwitch.objects.filter(enabled=False).select_related("partner"):
        off.setdefault(one.detector, []).append(one)
    quieter = lowered(now)
    return [_record(kind, sums.get(kind, {}), delays.get(kind), off.get(kind, []), quieter) for kind, _ in kinds()]


def _record(
    kind: str,
    sums: Mapping[str, Any],
    delays: Sequence[float] | None,
    off: Sequence[DetectorSwitch],
    quieter: Mapping[str, float],
) -> Record:
    judged, checked = sums.get("judged", 0), sums.get("checked", 0)
    everywhere = next((one for one in off if one.partner is None), None)
    plugin = DETECTORS.get(kind)
    return Record(
        kind,
        plugin.label,
        plugin.model,
        PROMISED.get(kind, 0.3),
        sums.get("told", 0),
        judged,
        sums["false"] / judged if judged else None,
        sums.get("held", 0),
        checked,
        sums["missed"] / checked if checked else None,
        timedelta(seconds=median(delays)) if delays else None,
        quieter.get(kind, 0.0),
        everywhere is None,
        everywhere.reason if everywhere else "",
        [f"{one.partner.name}: {one.reason}" for one in off if one.partner],
    )


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many milestones came before their learned deadlines, by day, and altogether."""

    n: int
    watch: float | None
    task: float | None
    days: list[str]
    shares: list[float]

    @property
    def watch_words(self) -> str:
        return share(self.watch)

    @property
    def task_words(self) -> str:
        return share(self.task)

    @property
    def plot(self) -> dict[str, Any]:
        line = {"color": "@ink-2", "width": 1, "dash": "dash"}
        return {
            "data": [
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": self.days,
                    "y": self.shares,
                    "line": {"color": "@accent", "width": 1.5},
                    "hovertemplate": "%{y:.1f} % before the deadline<extra></extra>",
                }
            ],
            "layout": {
                "xaxis": {"type": "date", "tickformat": "%-d %b", "showgrid": False},
                "yaxis": {"ticksuffix": " %", "nticks": 5},
                "shapes": [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 90, "y1": 90, "line": line}],
            },
        }


def coverage(now: datetime) -> Coverage:
    rows = MetricState.objects.filter(detector=COVERAGE, at__gt=now - RECORD).order_by("key")
    states = [(row.key, row.state) for row in rows if row.state.get("n")]
    n = sum(state["n"] for _, state in states)

    def kept(name: str) -> float | None:
        return sum(state[name] for _, state in states) / n if n else None

    days = [(key, 100 * state["watch"] / state["n"]) for key, state in states]
    return Coverage(n, kept("watch"), kept("task"), [key for key, _ in days], [round(value, 1) for _, value in days])


@dataclass(frozen=True, slots=True)
class Budget:
    """pages, tasks: for each operator and day. told: of both tiers in the last 24 hours, by all."""

    pages: int
    tasks: int
    operators: int
    told_pages: int
    told_tasks: int
    all_pages: int
    all_tasks: int
    changed_by: str
    changed_at: datetime | None

    @property
    def pages_words(self) -> str:
        return f"of {self.all_pages:,} allowed"

    @property
    def tasks_words(self) -> str:
        return f"of {self.all_tasks:,} allowed"


def spent(now: datetime) -> Budget:
    row, whole = VoiceBudget.objects.first() or VoiceBudget(), budget()
    told = Anomaly.objects.told().filter(raised_at__gt=now - timedelta(days=1))
    today = dict(told.order_by().values_list("tier").annotate(n=Count("pk")))
    return Budget(
        row.pages,
        row.tasks,
        operators(),
        today.get("page", 0),
        today.get("task", 0),
        math.floor(whole[Anomaly.Tier.PAGE]),
        math.floor(whole[Anomaly.Tier.TASK]),
        row.changed_by_name,
        row.changed_at,
    )


def spans(now: datetime) -> list[KnownSpan]:
    """What was declared about the last 60 days and the time ahead."""
    rows = KnownSpan.objects.filter(undone_at=None, ends_at__gt=now - RECORD).select_related("integration", "partner")
    return list(rows[:50])
