"""Into which hops the time of a month's late milestones went."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from apps.reports import figures
from apps.reports.figures import Narrowing, Span
from apps.sla import blame, hop_norms
from apps.sla.durations import span_in_words
from apps.sla.models import Expectation

#: of more late milestones the last due are looked at
MOST = 2_000
NAMES = {
    blame.PROCESS: ("The process", "from knowing to doing"),
    blame.PARTNER: ("Sending", "from happened to sent"),
    blame.TRANSPORT: ("Transport", "from sent to received"),
    blame.BOOKING: ("Booking", "from received to booked in Odoo"),
}


@dataclass(frozen=True, slots=True)
class HopLine:
    """How many late milestones were held up most by one kind of hop; over: the median of its time beyond the usual."""

    kind: str
    name: str
    means: str
    count: int
    share: float
    over: str


@dataclass(frozen=True, slots=True)
class HopTable:
    """cut: only the last due of more."""

    lines: list[HopLine]
    judged: int
    cut: bool


def table(span: Span, only: Narrowing, now: datetime) -> HopTable:
    """Two statements beside the late rows themselves."""
    rows, named = _named(span, only, now)
    overs: dict[str, list[float]] = defaultdict(list)
    for found in named.values():
        overs[found.hop.kind].append(found.over.total_seconds())
    lines = [
        HopLine(
            kind,
            *NAMES[kind],
            len(overs[kind]),
            len(overs[kind]) / len(named),
            span_in_words(timedelta(seconds=median(overs[kind]))),
        )
        for kind in sorted(overs, key=lambda kind: -len(overs[kind]))
    ]
    return HopTable(lines, len(named), len(rows) == MOST)


def behind(span: Span, only: Narrowing, kind: str, now: datetime) -> list[int]:
    """Ids of the late milestones that a line of the table counts."""
    return [pk for pk, found in _named(span, only, now)[1].items() if found.hop.kind == kind]


def _named(span: Span, only: Narrowing, now: datetime) -> tuple[list[Expectation], dict[int, blame.Blame]]:
    rows = list(figures.behind(span, only, "missed").select_related("flow__definition")[:MOST])
    return rows, hop_norms.behind(rows, now)
