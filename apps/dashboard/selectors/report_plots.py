"""The plots of the month report for the partial `_plot.html`. Their numbers stand in the tables below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

from apps.reports.figures import Counts

DASHED = {"color": "@ink-2", "width": 1, "dash": "dash"}
QUIET = {"color": "@ink-2", "size": 12}
MOST_PARTNERS = 15


class Plotted(Protocol):
    """A row of a table: its name, its counts, and whether it is below its target."""

    @property
    def name(self) -> str: ...
    @property
    def counts(self) -> Counts: ...
    @property
    def below(self) -> bool: ...


def plots(days: Sequence[tuple[str, Plotted]], partners: Sequence[Plotted], target: float | None) -> dict[str, Any]:
    """Kept by day, the error budget, kept by partner. days: ISO date and line; target: percent.

    Days before the first that was judged are left out: a tower that began in the middle of the month says nothing of them.
    """
    known = [number for number, (_, line) in enumerate(days) if line.counts.judged]
    shown = days[known[0] : known[-1] + 1] if known else []
    return {
        "day": _by_day(shown, target),
        "budget": _budget(shown, target),
        "partners": _by_partner([line for line in partners if line.counts.judged][:MOST_PARTNERS][::-1], target),
    }


def _percent(line: Plotted) -> float | None:
    return None if line.counts.share is None else round(line.counts.share * 100, 2)


def _markers(lines: Sequence[Plotted]) -> Mapping[str, Any]:
    """State as colour and as shape."""
    return {
        "color": ["@late" if line.below else "@on-time" for line in lines],
        "symbol": ["square" if line.below else "circle" for line in lines],
        "size": 9,
    }


def _by_day(days: Sequence[tuple[str, Plotted]], target: float | None) -> dict[str, Any]:
    shares = [_percent(line) for _, line in days]
    floor = min([*(share for share in shares if share is not None), target or 100, 99])
    shapes, notes = [], []
    if target is not None:
        shapes = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": target, "y1": target, "line": DASHED}]
        notes = [
            {
                "xref": "paper",
                "x": 0,
                "y": target,
                "text": f"target {target:.1f} %",
                "showarrow": False,
                "yanchor": "bottom",
                "xanchor": "left",
                "font": QUIET,
            }
        ]
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [day for day, _ in days],
        "y": shares,
        "line": {"color": "@ink-3", "width": 1.5},
        "marker": _markers([line for _, line in days]),
        "hovertemplate": "%{y:.1f} % kept<extra></extra>",
    }
    layout = {
        "yaxis": {
            "range": [max(0, floor - (100 - floor) * 0.25), 100 + (100 - floor) * 0.08],
            "ticksuffix": " %",
            "nticks": 5,
        },
        "xaxis": _dates(days),
        "shapes": shapes,
        "annotations": notes,
    }
    return {"data": [trace], "layout": layout}


def _budget(days: Sequence[tuple[str, Plotted]], target: float | None) -> dict[str, Any]:
    """Missed so far against what the target allows of as many promises as were judged so far."""
    labels = [day for day, _ in days]
    missed = list(accumulate(line.counts.missed for _, line in days))
    judged = accumulate(line.counts.judged for _, line in days)
    allowed = [round(n * (1 - (target if target is not None else 100) / 100), 1) for n in judged]
    over = bool(missed) and missed[-1] > allowed[-1]
    area = {
        "type": "scatter",
        "mode": "lines",
        "x": labels,
        "y": allowed,
        "fill": "tozeroy",
        "fillcolor": "@band",
        "line": {"color": "@band", "width": 1},
        "hovertemplate": "%{y:,.0f} allowed<extra></extra>",
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": labels,
        "y": missed,
        "line": {"color": "@late" if over else "@ink-2", "width": 2},
        "hovertemplate": "%{y:,.0f} missed<extra></extra>",
    }
    layout = {"xaxis": _dates(days), "yaxis": {"rangemode": "tozero", "nticks": 5}}
    return {"data": [area, line], "layout": layout}


def _dates(days: Sequence[Any]) -> dict[str, Any]:
    return {
        "type": "date",
        "tickformat": "%-d %b",
        "nticks": 8,
        "showgrid": False,
        **({"dtick": 86_400_000} if len(days) < 9 else {}),
    }


def _by_partner(lines: Sequence[Plotted], target: float | None) -> dict[str, Any]:
    """Partners by share kept, the worst on top; the dashed line is the target. Labels instead of an axis."""
    values = [_percent(line) or 0 for line in lines]
    floor = min([*values, target or 100])
    reach = max(100 - floor, 1)
    shapes = []
    if target is not None:
        shapes = [{"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": target, "x1": target, "line": DASHED}]
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "y": [line.name for line in lines],
        "x": values,
        "text": [f"  {value:.1f} %" for value in values],
        "textposition": "middle right",
        "textfont": QUIET,
        "cliponaxis": False,
        "marker": _markers(lines),
        "hovertemplate": "%{y}: %{x:.1f} % kept<extra></extra>",
    }
    layout = {
        "hovermode": "closest",
        "xaxis": {"range": [floor - reach * 0.1, 100 + reach * 0.25], "showticklabels": False, "showgrid": False},
        "shapes": shapes,
    }
    return {"data": [trace], "layout": layout}


def trend_plot(months: Sequence[tuple[str, Plotted]], target: float | None) -> dict[str, Any]:
    """Share kept by month, each told above its point."""
    shares = [_percent(line) for _, line in months]
    known = [share for share in shares if share is not None]
    floor = min([*known, target or 100, 99])
    trace = {
        "type": "scatter",
        "mode": "lines+markers+text",
        "x": [line.name for _, line in months],
        "y": shares,
        "text": ["" if share is None else f"{share:.1f}" for share in shares],
        "textposition": "top center",
        "textfont": QUIET,
        "cliponaxis": False,
        "line": {"color": "@ink-3", "width": 1.5},
        "marker": _markers([line for _, line in months]),
        "hovertemplate": "%{y:.1f} % kept<extra></extra>",
    }
    shapes = []
    if target is not None:
        shapes = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": target, "y1": target, "line": DASHED}]
    spare = max(100 - floor, 1)
    layout = {
        "yaxis": {"range": [max(0, floor - spare * 0.3), 100 + spare * 0.3], "ticksuffix": " %", "nticks": 4},
        "xaxis": {"showgrid": False, "type": "category"},
        "shapes": shapes,
    }
    return {"data": [trace], "layout": layout}
