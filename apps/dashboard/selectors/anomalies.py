"""Anomalies as pages show them: the list with its pictures, one with its evidence, and the detectors' own record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q

from apps.anomalies.contract import DETECTORS
from apps.anomalies.health import SUPPRESSED, Coverage
from apps.anomalies.models import Anomaly
from apps.integrations.models import Partner

PAGE = 30
TABS = {"open": "Open", "all": "All", "audit": "Held back, to check", "held": "All that was held back"}
STATES = {"page": "late", "task": "at-risk", "watch": "open"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader narrowed the list to."""

    tab: str = "open"
    detector: str = ""
    partner: str = ""
    before: int = 0
    reason: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Asked:
        tab = given.get("tab", "open")
        before = given.get("before", "")
        known = before.isascii() and before.isdecimal() and len(before) < 19
        return cls(
            tab if tab in TABS else "open",
            given.get("detector", ""),
            given.get("partner", ""),
            int(before) if known else 0,
            given.get("reason", ""),
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
    elif asked.tab == "held":
        rows = rows.exclude(suppressed="")
        rows = rows.filter(suppressed=asked.reason) if asked.reason else rows
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


def coverage_plot(of: Coverage) -> dict[str, Any]:
    """Share before the 90 % deadline by day; the dashed line is the promise."""
    line = {"color": "@ink-2", "width": 1, "dash": "dash"}
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": of.days,
                "y": of.shares,
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
