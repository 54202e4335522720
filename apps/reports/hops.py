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
    rows = list(figures.behind(span, only, "missed").select_related("flow__definition")[:MOST])
    named = hop_norms.behind(rows, now)
    overs: dict[str, list[float]] = defaultdict(list)
    for found in named.values():
        overs[found.hop.kind].append(found.over.total_seconds())
    lines = [
        HopLine(
            *NAMES[kind],
            len(overs[kind]),
            len(overs[kind]) / len(named),
            span_in_words(timedelta(seconds=median(overs[kind]))),
        )
        for kind in sorted(overs, key=lambda kind: -len(overs[kind]))
    ]
    return HopTable(lines, len(named), len(rows) == MOST)
