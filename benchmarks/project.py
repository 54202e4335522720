"""The whole pipeline (parse, record, correlate, project, expectations) against COPY; ingest beside it; memory over time."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import orjson
import psutil
from django.db import transaction

from apps.collectors import processing
from apps.collectors.models import ReceiptState
from apps.collectors.processing import BATCH, process
from apps.collectors.receiving import NewReceipt, store
from apps.core.tuning import calm_collector
from apps.flows.models import Event
from apps.sla.models import Expectation
from benchmarks import told
from benchmarks.harness import Bench, Goal, Result, database, interleaved, ratio, scale_of, spread
from benchmarks.ingest import Copies

PER_DELIVERY = 100
RECEIPTS = 50
#: worker processes, as in the Procfile
WORKERS = 2


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
    return [orjson.dumps(plain[start : start + PER_DELIVERY]) for start in range(0, len(plain), PER_DELIVERY)]


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
    """Processes what waits, in portions as a worker's; events recorded."""
    events, limit = 0, BATCH
    while (done := process(told.START + timedelta(days=30), limit)).moved:
        events += done.events
        limit = done.fitting
    return events


@contextmanager
def workers(bench: Bench, count: int) -> Iterator[None]:
    """So many worker processes drain meanwhile."""
    environment = os.environ | {"DATABASE_URL": bench.url("postgres")}
    started = [subprocess.Popen([sys.executable, "-m", "benchmarks.drainer"], env=environment) for _ in range(count)]
    bench.watched.extend(one.pid for one in started)
    try:
        time.sleep(3)
        yield
    finally:
        for one in started:
            one.terminate()
            one.wait()


def recorded() -> int:
    """Events there are."""
    return Event.objects.count()


def waiting() -> bool:
    return ReceiptState.objects.filter(status="waiting").exists()


def run(options: dict[str, Any]) -> Result:
    result = Result("project")
    size = scale_of(options, 10_000, 50_000)
    rounds = options["rounds"]
    calm_collector()  # as the worker does
    with database(result) as bench:
        integration = told.load_definitions()
        copies = Copies(integration, size)
        pool = [told.orders(size // 10, first=number * size) for number in range(rounds)]
        fresh = iter(pool)

        def pipeline() -> float:
            told_bodies = bodies(next(fresh))
            before = recorded()
            begin = time.perf_counter()
            receive(told_bodies, integration.pk)
            while waiting():
                time.sleep(0.005)
            took = time.perf_counter() - begin
            if recorded() - before != size:
                raise RuntimeError(f"{recorded() - before} events recorded of {size} received")
            return size / took

        with workers(bench, WORKERS):
            targets = {"copy": copies.same, "lean_copy": copies.lean, "pipeline": pipeline}
            found = interleaved(rounds, targets)
        share = statistics.median(
            _deriving(integration.pk, size, first=1_000_000 * (number + 1)) for number in range(rounds)
        )
        beside = _beside(bench, integration.pk, size)
        grown = _memory(integration.pk, scale_of(options, 60_000, 1_000_000))
    result.goals.append(Goal("whole pipeline / COPY of the rows of events", ratio(found, "pipeline", "copy"), 0.05))
    result.goals.append(Goal("deriving expectations / whole processing", share, 0.30, better="less"))
    result.goals.append(Goal("ingest with the pipeline running / alone", beside, 0.70))
    result.goals.append(Goal("worker memory growth", grown, 0.10, better="less"))
    result.notes |= {name: spread(figures) for name, figures in found.items()} | {
        "whole pipeline / COPY of lean rows": round(ratio(found, "pipeline", "lean_copy"), 4)
    }
    return result


def _deriving(integration_id: int, size: int, first: int) -> float:
    """Share of the time of processing that deriving and writing expectations takes, their triggers included."""
    refresh, took = processing.expectations.refresh, 0.0

    def timed(*arguments: Any) -> int:
        nonlocal took
        begin = time.perf_counter()
        try:
            return refresh(*arguments)
        finally:
            took += time.perf_counter() - begin

    receive(bodies(told.orders(size // 10, first=first)), integration_id)
    with patch.object(processing.expectations, "refresh", timed):
        begin = time.perf_counter()
        drain()
        whole = time.perf_counter() - begin
    if not Expectation.objects.exists():
        raise RuntimeError("nothing was expected of these orders")
    return took / whole


def _beside(bench: Bench, integration_id: int, size: int) -> float:
    """Rate of receiving while a worker process drains, over the rate alone."""
    first = bodies(told.orders(size // 10, first=50_000_000))
    second = bodies(told.orders(size // 10, first=60_000_000))
    begin = time.perf_counter()
    receive(first, integration_id)
    alone = len(first) / (time.perf_counter() - begin)
    with workers(bench, 1):
        begin = time.perf_counter()
        receive(second, integration_id)
        beside = len(second) / (time.perf_counter() - begin)
    drain()
    return beside / alone


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
