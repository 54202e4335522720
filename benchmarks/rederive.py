"""A rule changes under a million open expectations: all are derived again in batches, and the sweep goes on meanwhile.

The sweep's rounds are timed alone and then while a worker process derives; both in the same run, on the same rows. A
round that waited for the worker would take as long as what is left to derive; beside it a round shares the processor
and folds the tallies the worker leaves, which alone it need not.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.flows.models import FlowDefinition
from apps.sla import rederiving, sweep
from apps.sla.models import Expectation, Rederivation, SlaRule
from benchmarks import rows, told
from benchmarks.harness import Bench, Goal, Result, database, scale_of, spread

ALONE = 20
PAUSE = 0.2
_FLOW = {
    "id": "g",
    "definition_id": "(SELECT id FROM flows_flowdefinition WHERE slug = 'purchase')",
    "label": "'F' || g",
    "status": "'open'",
    "awaiting": "'asn'",
    "opened_at": "%(at)s::timestamptz - (g %% 40000) * interval '1 minute'",
    "last_happened_at": "%(at)s",
    "last_received_at": "%(at)s",
    "event_count": "1",
}
_MILESTONE = {
    "flow_id": "f.id",
    "name": "'sent'",
    "ordinal": "%(ordinal)s",
    "actual_at": "f.opened_at",
    "sent_at": "f.opened_at",
    "received_at": "f.opened_at",
}


def run(options: dict[str, Any]) -> Result:
    result = Result("rederive")
    size = scale_of(options, 50_000, 1_000_000)
    now = timezone.now()
    with database(result) as bench:
        told.load_definitions()
        SlaRule.objects.all().delete()
        fill(size, now)
        rederiving.notice(now)  # the first look: what stands was derived by what stands
        _promise(1, 60)
        first = _derive(bench, timezone.now())[0]
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        alone = [_sweep(now) for _ in range(ALONE)]
        _promise(2, 61)
        seconds, beside, seen = _derive(bench, timezone.now())
        done = Rederivation.objects.latest("id")
        moved = Expectation.objects.filter(rule__version=2, state="PENDING").count()
    result.goals += [
        Goal("open expectations derived again / all", moved / size, 1.0),
        Goal("progress counted / all, at the end", done.done / size if done.finished_at else 0.0, 1.0),
        Goal("progress seen on the way", float(len({one for one in seen if 0 < one < size}) > 1), 1.0),
        Goal("rounds of the sweep meanwhile", float(len(beside)), 5.0),
        Goal("sweep meanwhile / alone", statistics.median(beside) / statistics.median(alone), 10.0, "less"),
    ]
    result.notes |= {
        "sweep_alone_ms": spread([one * 1000 for one in alone]),
        "sweep_meanwhile_ms": spread([one * 1000 for one in beside]),
        "derived_again_per_second": round(size / seconds),
        "derived_first_per_second": round(size / first),
    }
    return result


def fill(flows: int, now: datetime) -> None:
    """Open purchases that were sent, over the last month."""
    definition = FlowDefinition.objects.filter(slug="purchase").latest("version")
    names = [one["name"] for one in definition.spec["milestones"]]
    rows.fill("flows_flow", _FLOW, "generate_series(1, %(count)s) g", {"at": now, "count": flows})
    rows.fill("flows_milestone", _MILESTONE, "flows_flow f", {"ordinal": names.index("sent")})


def _promise(version: int, days: int) -> None:
    SlaRule.objects.create(
        slug="bench",
        version=version,
        name="Bench",
        flow_slug="purchase",
        milestone="asn",
        spec={"due": {"after": {"milestone": "sent", "duration": f"P{days}D"}}},
    )


def _derive(bench: Bench, now: datetime) -> tuple[float, list[float], list[int]]:
    """(seconds a worker process took, those of each round of the sweep meanwhile, the progress seen between them)."""
    if rederiving.notice(now) is None:
        raise RuntimeError("the changed rule was not noticed")
    begin = time.perf_counter()
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.rederiver", now.isoformat()],
        env=os.environ | {"DATABASE_URL": bench.url("postgres")},
    )
    bench.watched.append(worker.pid)
    swept, seen = [], []
    while worker.poll() is None:
        row = Rederivation.objects.latest("id")
        if row.started_at is not None:
            seen.append(row.done)
            swept.append(_sweep(now))
        time.sleep(PAUSE)
    if worker.returncode:
        raise RuntimeError(f"the worker ended with {worker.returncode}")
    return time.perf_counter() - begin, swept, seen


def _sweep(now: datetime) -> float:
    begin = time.perf_counter()
    sweep.run(now)
    return time.perf_counter() - begin
