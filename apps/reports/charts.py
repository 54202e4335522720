"""Charts of a report's document as plotly figures for the partial `_plot.html`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DASHED = {"color": "@ink-2", "width": 1, "dash": "dash"}
QUIET = {"color": "@ink-2", "size": 12}


def charted(chart: Mapping[str, Any], target_word: str = "target") -> dict[str, Any]:
    """A chart of a report's document (labels, values in percent, target) as a line of points along its labels."""
    values, target = chart["values"], chart["target"]
    known = [value for value in values if value is not None]
    floor = min([*known, 99 if target is None else target])
    spare = max(100 - floor, 1)
    below = [target is not None and value is not None and value < target for value in values]
    few = len(values) <= 15
    trace = {
        "type": "scatter",
        "mode": "lines+markers+text" if few else "lines+markers",
        "x": chart["labels"],
        "y": values,
        "text": ["" if value is None or not few else f"{value:.1f}" for value in values],
        "textposition": "top center",
        "textfont": QUIET,
        "cliponaxis": False,
        "connectgaps": True,
        "line": {"color": "@ink-3", "width": 1.5},
        "marker": {
            "color": ["@late" if one else "@on-time" for one in below],
            "symbol": ["square" if one else "circle" for one in below],
            "size": 9,
        },
        "hovertemplate": "%{x}: %{y:.1f} %<extra></extra>",
    }
    shapes, notes = [], []
    if target is not None:
        shapes = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": target, "y1": target, "line": DASHED}]
        words = {"text": f"{target_word} {target:.1f} %", "font": QUIET, "showarrow": False}
        notes = [{"xref": "paper", "x": 0, "y": target, "yanchor": "bottom", "xanchor": "left", **words}]
    if chart["key"] == "partners":
        trace |= {"mode": "markers+text"}
    layout = {
        "yaxis": {"range": [max(0, floor - spare * 0.3), 100 + spare * 0.35], "ticksuffix": " %", "nticks": 4},
        "xaxis": {"showgrid": False, "type": "category", "nticks": 13},
        "shapes": shapes,
        "annotations": notes,
        "hovermode": "closest",
    }
    return {"data": [trace], "layout": layout}
