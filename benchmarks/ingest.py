"""Recording with deduplication in batches, against psycopg's COPY of the same rows into a table like it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import orjson
from django.db import connection, transaction

from apps.core.tuning import calm_collector
from apps.flows.recording import record
from benchmarks import told
from benchmarks.harness import Goal, Result, database, interleaved, ratio, scale_of, spread

BATCH = 5000
COPY_TABLE = """
CREATE TABLE bench_copy (id uuid PRIMARY KEY, received_at timestamptz, happened_at timestamptz, source text, type text,
                         key text, payload jsonb)
"""


def copy_rows(events: list[Any]) -> float:
    """Seconds to COPY these events with write_row into a table with a unique uuid: the limit of section 2."""
    rows = [
        (
            uuid.uuid4(),
            e.happened_at,
            e.happened_at,
            "bench",
            e.type,
            e.references[0].value,
            orjson.dumps(dict(e.data)).decode(),
        )
        for e in events
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        begin = time.perf_counter()
        with cursor.copy("COPY bench_copy FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return time.perf_counter() - begin


def run(options: dict[str, Any]) -> Result:
    result = Result("ingest")
    calm_collector()  # as the worker does
    size = scale_of(options, 20_000, 100_000)
    rounds = options["rounds"]
    with database(result):
        integration = told.load_definitions()
        with connection.cursor() as cursor:
            cursor.execute(COPY_TABLE)
        pool = [told.orders(size // 10, first=number * size) for number in range(rounds * 2)]
        fresh = iter(told.incoming(events, integration) for events in pool[:rounds])
        replayed: list[Any] = []

        def ours() -> float:
            events = next(fresh)
            replayed.append(events)
            return size / _record(events)

        def again() -> float:
            return size / _record(replayed[-1])

        copies = iter(pool[rounds:])

        def limit() -> float:
            return size / copy_rows(next(copies))

        found = interleaved(rounds, {"copy": limit, "record": ours})
        replay = [again() for _ in range(rounds)]
    result.goals.append(Goal("recording with deduplication / COPY", ratio(found, "record", "copy"), 0.50))
    result.goals.append(Goal("replay of duplicates / fresh", min(replay) / max(found["record"]), 1.0))
    result.notes |= {name: spread(figures) for name, figures in found.items()} | {
        "events_per_second_replay": spread(replay)
    }
    return result


def _record(events: list[Any]) -> float:
    begin = time.perf_counter()
    for start in range(0, len(events), BATCH):
        with transaction.atomic():
            record(events[start : start + BATCH], told.START)
    return time.perf_counter() - begin
