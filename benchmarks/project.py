"""The whole pipeline (parse, record, correlate, project, expectations) against COPY; ingest beside it; memory over time."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import orjson
import psutil
from django.db import connection, transaction

from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.core.tuning import calm_collector
from benchmarks import told
from benchmarks.harness import Bench, Goal, Result, database, interleaved, ratio, scale_of, spread
from benchmarks.ingest import COPY_TABLE, copy_rows

BATCH = 100
RECEIPTS = 50


def bodies(events: list[Any]) -> list[bytes]:
    """Events in our own JSON form, a hundred a delivery."""
    plain = [
        {
            "id": e.source_event_id,
            "type": e.type,
            "happened_at": e.happened_at.isoformat(),
            "references": [{"kind": r.kind, "value": r.value} for r in e.references],
            "dates": {name: at.isoformat() for name, at in e.dates.items()},
            "data": dict(e.data),
        }
        for e in events
    ]
    return [orjson.dumps(plain[start : start + BATCH]) for start in range(0, len(plain), BATCH)]


def receive(told_bodies: list[bytes], integration_id: int) -> None:
    """Stores deliveries as the doors' group commit does."""
    now = told.START + timedelta(days=30)
    for start in range(0, len(told_bodies), RECEIPTS):
        with transaction.atomic():
            store(
                [
                    NewReceipt(integration_id, "http", body, "application/json", {}, "", now, False)
                    for body in told_bodies[start : start + RECEIPTS]
                ]
            )


def drain() -> int:
    """Processes what waits; events recorded."""
    events = 0
    while (done := process(told.START + timedelta(days=30), limit=20)).moved:
        events += done.events
    return events


def run(options: dict[str, Any]) -> Result:
    result = Result("project")
    size = scale_of(options, 10_000, 50_000)
    rounds = options["rounds"]
    calm_collector()  # as the worker does
    with database(result) as bench:
        integration = told.load_definitions()
        with connection.cursor() as cursor:
            cursor.execute(COPY_TABLE)
        pool = [told.orders(size // 10, first=number * size) for number in range(rounds)]
        fresh, copies = iter(pool), iter(pool)

        def pipeline() -> float:
            events = next(fresh)
            told_bodies = bodies(events)
            begin = time.perf_counter()
            receive(told_bodies, integration.pk)
            recorded = drain()
            took = time.perf_counter() - begin
            if recorded != len(events):
                raise RuntimeError(f"{recorded} events recorded of {len(events)} received")
            return size / took

        found = interleaved(rounds, {"copy": lambda: size / copy_rows(next(copies)), "pipeline": pipeline})
        beside = _beside(bench, integration.pk, size)
        grown = _memory(integration.pk, scale_of(options, 60_000, 1_000_000))
    result.goals.append(Goal("whole pipeline / COPY", ratio(found, "pipeline", "copy"), 0.05))
    result.goals.append(Goal("ingest with the pipeline running / alone", beside, 0.70))
    result.goals.append(Goal("worker memory growth", grown, 0.10, better="less"))
    result.notes |= {name: spread(figures) for name, figures in found.items()}
    return result


def _beside(bench: Bench, integration_id: int, size: int) -> float:
    """Rate of receiving while a worker process drains, over the rate alone."""
    first = bodies(told.orders(size // 10, first=50_000_000))
    second = bodies(told.orders(size // 10, first=60_000_000))
    begin = time.perf_counter()
    receive(first, integration_id)
    alone = len(first) / (time.perf_counter() - begin)
    environment = os.environ | {"DATABASE_URL": bench.url("postgres")}
    worker = subprocess.Popen([sys.executable, "-m", "benchmarks.drainer"], env=environment)
    bench.watched.append(worker.pid)
    try:
        time.sleep(3)
        begin = time.perf_counter()
        receive(second, integration_id)
        return len(second) / (time.perf_counter() - begin) / alone
    finally:
        worker.terminate()
        worker.wait()
        drain()


def _memory(integration_id: int, events: int) -> float:
    """Growth of resident memory from one tenth of the events to all of them."""
    process_ = psutil.Process()
    step = 10_000
    early = 0.0
    for number in range(max(2, events // step)):
        receive(bodies(told.orders(step // 10, first=100_000_000 + number * step)), integration_id)
        drain()
        gc.collect()
        if number == max(0, events // step // 10):
            early = process_.memory_info().rss
    return process_.memory_info().rss / early - 1
