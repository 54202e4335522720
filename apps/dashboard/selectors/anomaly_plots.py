"""The picture of an anomaly: what is usual, and what came instead. Colours are tokens of tower.css."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.anomalies.models import Anomaly
from apps.core.wording import share
from apps.flows import registry

Figure = dict[str, Any]
SMALL_SHARE = 0.005
#: above a plot, for the words of its upright lines
ROOM = {"t": 26}


@dataclass(frozen=True, slots=True)
class Picture:
    """figure: for Plotly; head, rows: the same as a table, for who would rather read; note: how to read it."""

    title: str
    figure: Figure
    note: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def picture(row: Anomaly) -> Picture | None:
    """None where the evidence holds nothing to draw."""
    seen = row.evidence
    if row.detector == "drift" and seen.get("weeks"):
        return _drift(seen)
    if row.detector == "path" and seen.get("paths"):
        return _ways(seen, row.stream)
    if row.detector == "schema" and seen.get("fields"):
        return _fields(seen)
    if seen.get("hours") and seen.get("seen"):
        return Picture("What came over what is usual, hours in UTC", _band(seen))
    if seen.get("curve") and seen.get("age_hours"):
        return Picture("How many of its like are still under way", _curve(seen))
    return None


def _upright(x: str, colour: str, text: str = "") -> tuple[Figure, Figure]:
    """A line across the plot, and what it is called."""
    line = {"color": colour, "width": 1, "dash": "dash"}
    mark = {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}
    word = {"x": x, "y": 1, "yref": "paper", "text": text, "showarrow": False, "xanchor": "right", "yanchor": "bottom"}
    return mark, word


def _drift(seen: Mapping[str, Any]) -> Picture:
    hours = max(week[4] for week in seen["weeks"])
    unit, per = ("d", 24.0) if hours >= 48 else ("h", 1.0)
    days = [week[0] for week in seen["weeks"]]
    low, middle, high = ([round(week[at] / per, 2) for week in seen["weeks"]] for at in (2, 3, 4))
    counts = [f"{week[1]:,} flows" for week in seen["weeks"]]
    common = {"type": "scatter", "x": days}
    edge = {"width": 0, "color": "@band"}
    data: list[Figure] = [
        {**common, "mode": "lines", "y": low, "line": edge, "hoverinfo": "skip"},
        {**common, "mode": "lines", "y": high, "line": edge, "fill": "tonexty", "fillcolor": "@band", "hoverinfo": "skip"},
        {
            **common, "mode": "lines+markers", "y": middle, "text": counts, "line": {"color": "@accent", "width": 2},
            "hovertemplate": f"%{{x|%-d %b}}: median %{{y:.1f}} {unit}, %{{text}}<extra></extra>",
        },
    ]  # fmt: skip
    if seen.get("open"):
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [start for start, _ in seen["open"]],
                "y": [round(age / per, 2) for _, age in seen["open"]],
                "marker": {
                    "symbol": "circle-open",
                    "size": 9,
                    "color": "@late",
                    "line": {"width": 2, "color": "@late"},
                },
                "hovertemplate": f"started %{{x|%-d %b}}, still open at %{{y:.1f}} {unit}<extra></extra>",
            }
        )
    mark, word = _upright(seen["since"][:19], "@late", "changes")
    figure = {
        "data": data,
        "layout": {
            "xaxis": {"type": "date", "showgrid": False},
            "yaxis": {"ticksuffix": f" {unit}", "rangemode": "tozero", "nticks": 6},
            "shapes": [mark],
            "annotations": [word],
            "margin": ROOM,
        },
    }
    rows = [
        (day, f"{week[1]:,}", *(f"{value:.1f} {unit}" for value in of))
        for day, week, *of in zip(days, seen["weeks"], low, middle, high, strict=True)
    ]
    note = "Line: the median of the flows that ended in a week; band: 10 to 90 of 100. " + (
        "Circles: flows still open, by the day they started and their age." if seen.get("open") else ""
    )
    head = ("Week from", "Flows", "10 of 100 within", "Half within", "90 of 100 within")
    return Picture("Lead times by week (UTC)", figure, note.strip(), head, rows[::-1])


def _ways(seen: Mapping[str, Any], slug: str) -> Picture:
    definition = registry.load().catalogue.active.get(slug)
    label = definition.label_of if definition else str
    whole = max(1, int(seen["flows"]))
    strange = list(seen["steps"])
    held = [(list(steps), int(n)) for steps, n in seen["paths"] if list(steps) != strange]
    own = next((int(n) for steps, n in seen["paths"] if list(steps) == strange), 0)
    bars: list[tuple[str, int, list[str]]] = [
        *((f"way {at}", n, steps) for at, (steps, n) in enumerate(held, 1)),
        ("this flow", own, strange),
    ]
    names, shares = [name for name, *_ in bars], [100 * n / whole for _, n, _ in bars]
    figure = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "y": names[::-1],
                "x": [round(one, 2) for one in shares[::-1]],
                "text": [_words(n / whole) for _, n, _ in bars[::-1]],
                "textposition": "outside",
                "textangle": 0,
                "cliponaxis": False,
                "marker": {"color": ["@late", *["@accent"] * len(held)]},
                "hovertemplate": "%{y}: %{x:.1f} of 100 flows<extra></extra>",
            }
        ],
        "layout": {"xaxis": {"ticksuffix": " %", "range": [0, 1.2 * max(shares)], "nticks": 5}},
    }
    rows = [(name, " › ".join(label(step) for step in steps), f"{n:,}", _words(n / whole)) for name, n, steps in bars]
    note = f"Of {int(seen['flows']):,} flows that ended in the 60 days before; other ways are not shown."
    return Picture("Which way flows go", figure, note, ("", "Milestones in their order", "Flows", "Share"), rows)


def _words(part: float) -> str:
    return "under 1 %" if 0 < part < SMALL_SHARE else share(part, 0)


#: what a cell says -> words, symbol, colour, size: never by colour alone
CELLS = {
    "usual": ("as usual", "square", "@ink-3", 9),
    "new": ("is new", "star-diamond", "@accent", 13),
    "other type": ("of another type", "x", "@late", 11),
    "empty": ("empty (half or more)", "circle-open", "@at-risk", 12),
    "gone": ("not there", "line-ew-open", "@late", 13),
}


def _fields(seen: Mapping[str, Any]) -> Picture:
    until, changed = datetime.fromisoformat(seen["until"]), {name: what for name, what, *_ in seen.get("changes", ())}
    points: dict[str, list[tuple[str, str, str]]] = {kind: [] for kind in CELLS}
    rows: list[Sequence[str]] = []
    for name, cells in seen["fields"]:
        usual = _usual_type(cells)
        shown = name if len(name) <= 28 else f"…{name[-27:]}"
        for day, cell in enumerate(cells):
            if cell is not None:
                at = (until - timedelta(days=day)).date().isoformat()
                words = f"in {share(cell[0], 0)} of the messages, {share(cell[1], 0)} empty"
                points[_kind(cell, usual, changed.get(name, ""))].append(
                    (at, shown, f"{cell[2] or 'no value'}, {words}")
                )
        last: Sequence[Any] = next((cell for cell in cells if cell is not None), [0, 0, ""])
        rows.append(
            (name, changed.get(name, ""), usual or "–", last[2] or "–", str(share(last[0], 0)), str(share(last[1], 0)))
        )
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": words,
            "x": [at for at, *_ in points[kind]],
            "y": [name for _, name, _ in points[kind]],
            "text": [text for *_, text in points[kind]],
            "marker": {"symbol": symbol, "size": size, "color": colour, "line": {"width": 2, "color": colour}},
            "hovertemplate": "%{y}, %{x|%-d %b}: %{text}<extra></extra>",
        }
        for kind, (words, symbol, colour, size) in CELLS.items()
        if points[kind]
    ]
    marks = [_upright(at[:19], "@accent", text[:24]) for at, text in seen.get("marks", ())]
    figure = {
        "data": data,
        "layout": {
            "xaxis": {"type": "date", "showgrid": False, "tickformat": "%-d %b", "nticks": 4, "tickangle": 0},
            "yaxis": {"type": "category", "automargin": True, "autorange": "reversed"},
            "shapes": [mark for mark, _ in marks],
            "annotations": [word for _, word in marks],
            "margin": ROOM,
            "hovermode": "closest",
        },
    }
    contract = f"Contract version {seen['contract']}. " if seen.get("contract") else ""
    note = f"{contract}■ as usual, ◆ new, ✕ of another type, ○ half or more empty, — not there. A few messages of each day; upright lines are changes at the integration."
    head = ("Field", "What changed", "Type before", "Type now", "In messages", "Empty")
    return Picture("Its fields, day by day", figure, note, head, rows)


def _usual_type(cells: Sequence[Any]) -> str:
    """The commonest type of the days before the last."""
    kinds = [cell[2] for cell in cells[1:] if cell and cell[2] and cell[2] != "null"]
    return max(sorted(set(kinds)), key=kinds.count) if kinds else ""


def _kind(cell: Sequence[Any], usual: str, changed: str) -> str:
    if not cell[0]:
        return "gone" if usual else "usual" if changed != "new" else "gone"
    if changed == "new" and not usual:
        return "new"
    if cell[1] >= 0.5:
        return "empty"
    if usual and cell[2] != usual:
        return "other type"
    return "new" if changed == "new" else "usual"


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
