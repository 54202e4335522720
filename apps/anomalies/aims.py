"""What deadlines promised against what happened, by stage: gathered as flows end, spent by the night's fit to move its aims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from apps.anomalies.detectors.deadline import TASK, WATCH, aimed
from apps.anomalies.models import MetricState

#: under this name the counts since the last fit are kept, one row a stage
RECORD = "deadline aims"
DAY = 86_400.0


def note(ended: Iterable[tuple[str, bool, bool]], now: datetime) -> None:
    """ended: stage (`key`), and whether the flow came before its watch and before its task deadline."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for stage, watch, task in ended:
        for at, one in enumerate((1, int(watch), int(task))):
            counts[stage][at] += one
    for stage, (n, watch_n, task_n) in sorted(counts.items()):
        row, _ = MetricState.objects.select_for_update().get_or_create(
            detector=RECORD, integration=None, key=stage, defaults={"at": now, "state": {}}
        )
        row.state = {
            "n": row.state.get("n", 0) + n,
            "watch": row.state.get("watch", 0) + watch_n,
            "task": row.state.get("task", 0) + task_n,
        }
        row.save(update_fields=["state"])  # `at` stays: the moment from which on was counted


def spend(stage: str, aims: Mapping[str, float], now: datetime) -> dict[str, float]:
    """The aims from now on, by what ended since the last fit; the count begins again. aims: those of the law before."""
    row = MetricState.objects.select_for_update().filter(detector=RECORD, integration=None, key=stage).first()
    if row is None:
        return dict(aims)
    n, days = row.state.get("n", 0), (now - row.at).total_seconds() / DAY
    moved = {
        f"{q:.2f}": aimed(aims, q, n, n - row.state.get(name, 0), days)
        for q, name in ((WATCH, "watch"), (TASK, "task"))
    }
    row.state, row.at = {}, now
    row.save(update_fields=["state", "at"])
    return moved


def key(slug: str, start: str, end: str) -> str:
    return f"{slug} {start} {end}"
