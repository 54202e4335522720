"""What the detectors promised and what happened: false alarms by people's answers, coverage, what was held back, the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Count, Max, Q

from apps.anomalies.contract import DETECTORS
from apps.anomalies.deadlines import COVERAGE
from apps.anomalies.models import Anomaly, DetectorSwitch, KnownSpan, MetricState, VoiceBudget
from apps.anomalies.voicing import PROMISED, RECORD, budget, lowered, operators
from apps.core.wording import share

FALSE = ("expected", "not_useful")
SUPPRESSED = {
    "budget": "held back: the day's budget, or chance among so many streams, asks for more evidence",
    "switched off": "held back: the detector is switched off here",
    "its own voice": "held back: the detector has lowered its own voice",
    "people's answers": "held back: people answered that this one is told too often",
    "too small": "held back: what changed is too little to matter",
}


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
    return [
        _record(kind, sums.get(kind, {}), delays.get(kind), off.get(kind, []), quieter)
        for kind, _ in DETECTORS.choices()
    ]


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
class Held:
    """What a detector held back in the last 60 days for one reason. open: still so now."""

    kind: str
    label: str
    reason: str
    n: int
    open: int
    last: datetime

    @property
    def words(self) -> str:
        return SUPPRESSED.get(self.reason, self.reason).removeprefix("held back: ")


def held_back(now: datetime) -> list[Held]:
    """By detector and reason; one statement."""
    rows = Anomaly.objects.filter(raised_at__gt=now - RECORD).exclude(suppressed="").order_by()
    found = rows.values_list("detector", "suppressed").annotate(
        n=Count("pk"), open=Count("pk", filter=Q(cleared_at=None)), last=Max("raised_at")
    )
    labels = dict(DETECTORS.choices())
    return [Held(one[0], labels.get(one[0], one[0]), *one[1:]) for one in sorted(found, key=lambda one: -one[2])]


#: milestones from which on the share that came in time is shown
LEAST_FOR_COVERAGE = 100


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
    def enough(self) -> bool:
        """Whether the shares can be told from chance: with fewer, a good day and a bad one look alike."""
        return self.n >= LEAST_FOR_COVERAGE

    @property
    def few_words(self) -> str:
        return f"{self.n:,} judged so far, told from {LEAST_FOR_COVERAGE} on"


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
    drift_percent: int
    drift_minutes: int

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
        round(100 * row.drift_share),
        row.drift_minutes,
    )


def spans(now: datetime) -> list[KnownSpan]:
    """What was declared about the last 60 days and the time ahead."""
    rows = KnownSpan.objects.filter(undone_at=None, ends_at__gt=now - RECORD).select_related("integration", "partner")
    return list(rows[:50])
