"""What the pages of objectives show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from apps.core import wording
from apps.incidents.models import Finding
from apps.reports import burning, objectives
from apps.reports.models import Objective
from apps.reports.objectives import Standing
from apps.sla.models import SlaRule


@dataclass(frozen=True, slots=True)
class Shown:
    """An objective as its row and its page show it. links: outcome -> the promises behind."""

    standing: Standing
    scope: str
    window: str
    sentence: str
    links: Mapping[str, str]
    spark: list[float | None]

    @property
    def left_note(self) -> str:
        one = self.standing
        return f"{wording.number(one.tally.missed)} missed of {one.allowed:,.1f} that may be"

    @property
    def kept_note(self) -> str:
        return f"of {wording.number(self.standing.tally.judged)} judged, target {float(self.standing.objective.target):g} %"


def shown(standing: Standing, names: Mapping[str, str]) -> Shown:
    one = standing.objective
    left = [None if day.spent is None else 100 * (1 - day.spent) for day in standing.days]
    return Shown(
        standing,
        objectives.scope_words(one, names.items()),
        objectives.window_words(one),
        sentence(standing),
        {outcome: address(standing, outcome) for outcome in ("kept", "missed", "unknown")},
        left,
    )


def rule_names() -> dict[str, str]:
    return dict(SlaRule.objects.order_by("version").values_list("slug", "name"))


def address(standing: Standing, outcome: str) -> str:
    """Query of the page with the promises behind a figure."""
    one, span = standing.objective, standing.frame
    values = {
        "since": span.first.isoformat(),
        "until": (span.after - timedelta(days=1)).isoformat(),
        "rule": one.rule,
        "partner": one.partner.slug if one.partner else "",
        "flow": one.flow,
        "lane": one.lane,
        "service": one.service,
        "outcome": outcome,
    }
    return "?" + urlencode({name: value for name, value in values.items() if value})


def sentence(standing: Standing) -> str:
    one = standing
    if one.share is None or one.left is None:
        unknown = f"; {wording.number(one.unknown)} are unknown" if one.unknown else ""
        return f"Nothing was judged in this window yet{unknown}."
    kept = f"{wording.share(one.share)} of {wording.number(one.tally.judged)} promises kept, target {float(one.objective.target):g} %"
    if one.left <= 0:
        over = round(one.tally.missed - one.allowed)
        return f"{kept}: the budget is used up" + (f", {over:,} more were missed than may be." if over else ".")
    if burn := one.burning:
        told = burning.told(burn, one.target, one.frame.period, one.left)
        return f"{kept}. {told}."
    if one.state == "unknown":
        verb = "is" if one.unknown == 1 else "are"
        return f"{kept}; but {wording.number(one.unknown)} {verb} unknown or paused: if missed, it is below target."
    return f"{kept}: {wording.share(one.left, 0)} of the error budget is left."


def open_findings(objective: Objective) -> list[Finding]:
    found = Finding.objects.filter(kind=objectives.KIND, cleared_at=None, evidence__objective=objective.slug)
    return list(found.select_related("incident"))


def plot(standing: Standing) -> dict[str, Any]:
    """The budget that is left by day, above the even pace; below zero it is used up."""
    known = [day for day in standing.days if day.spent is not None]
    left = [round(100 * (1 - (day.spent or 0)), 1) for day in known]
    even = [100 * (1 - number / len(standing.days)) for number in range(len(standing.days) + 1)]
    low = min([0, *left])
    over = bool(left) and left[-1] < 0
    area = {
        "type": "scatter",
        "mode": "lines",
        "x": [day.day.isoformat() for day in known],
        "y": left,
        "line": {"color": "@late" if over else "@ink-2", "width": 2, "shape": "hv"},
        "fill": "tozeroy",
        "fillcolor": "@band",
        "hovertemplate": "%{y:.0f} % left<extra></extra>",
    }
    pace = {
        "type": "scatter",
        "mode": "lines",
        "x": [day.day.isoformat() for day in standing.days],
        "y": [round(one, 1) for one in even[1:]],
        "line": {"color": "@ink-3", "width": 1.5, "dash": "dot"},
        "hovertemplate": "%{y:.0f} % at an even pace<extra></extra>",
    }
    layout = {
        "xaxis": {"type": "date", "tickformat": "%-d %b", "nticks": 8, "showgrid": False},
        "yaxis": {"range": [low * 1.1 - 2, 104], "ticksuffix": " %", "nticks": 6},
        "shapes": [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "line": {"color": "@late", "width": 1}}
        ],
        "annotations": [
            {
                "xref": "paper", "x": 1, "y": 0, "text": "used up", "showarrow": False, "yanchor": "bottom",
                "xanchor": "right", "font": {"color": "@late", "size": 12},
            }
        ],
    }  # fmt: skip
    return {"data": [area, pace], "layout": layout}


def listed(now: datetime) -> list[Shown]:
    names = rule_names()
    return [shown(one, names) for one in objectives.standings(now)]
