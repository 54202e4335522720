"""The newest fit of each stage. Imports nothing heavy: pages read it."""

from __future__ import annotations

from apps.anomalies.causes_models import RiskModel


def newest() -> dict[tuple[str, str], RiskModel]:
    """(flow slug, milestone) -> its newest version."""
    rows = RiskModel.objects.order_by("flow_slug", "milestone", "-version").distinct("flow_slug", "milestone")
    return {(row.flow_slug, row.milestone): row for row in rows}
