"""What pages show of breach risk: who speaks for each stage and how well, the likeliest to be late, one flow's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.anomalies.causes_models import FlowRisk, RiskModel
from apps.anomalies.risk.kept import newest

#: from this chance on a flow counts as likely late
LIKELY = 0.5
MOST = 50


@dataclass(slots=True)
class Stage:
    """One stage. rows: the prequential table; plot: chances said against what came."""

    model: RiskModel
    label: str
    rows: list[Mapping[str, Any]]
    plot: dict[str, Any] | None


def likely_late() -> int:
    """How many open flows are likely to be late and are not late yet."""
    return FlowRisk.objects.filter(chance__gte=LIKELY, flow__status="open").count()


def risk_of(flow_id: int) -> FlowRisk | None:
    return FlowRisk.objects.filter(flow=flow_id).select_related("model").first()


def stages() -> list[Stage]:
    found = []
    for model in newest().values():
        record: Mapping[str, Any] = model.record
        bins = record.get("bins", [])
        found.append(
            Stage(model, record.get("label", str(model)), record.get("table", []), _plot(bins) if bins else None)
        )
    return sorted(found, key=lambda one: one.label)


def top() -> list[FlowRisk]:
    rows = FlowRisk.objects.filter(chance__isnull=False, flow__status="open").select_related(
        "flow__partner", "flow__definition"
    )
    return list(rows.order_by("-chance", "due_at")[:MOST])


def _plot(bins: list[Mapping[str, float]]) -> dict[str, Any]:
    """Said against came: on the dotted line the promise is kept."""
    return {
        "data": [
            {"x": [0, 1], "y": [0, 1], "type": "scatter", "mode": "lines", "name": "as promised",
             "line": {"color": "@ink-3", "width": 1, "dash": "dot"}, "hoverinfo": "skip"},
            {"x": [one["said"] for one in bins], "y": [one["came"] for one in bins], "type": "scatter",
             "mode": "lines+markers", "name": "came", "text": [f"{one['n']:.0f} flows" for one in bins],
             "line": {"color": "@accent", "width": 1.5}, "marker": {"color": "@accent", "size": 8}},
        ],
        "layout": {
            "xaxis": {"title": {"text": "chance said"}, "range": [0, 1], "tickformat": ".0%"},
            "yaxis": {"title": {"text": "were late"}, "range": [0, 1], "tickformat": ".0%"},
        },
    }  # fmt: skip
