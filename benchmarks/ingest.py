"""Recording with deduplication in batches, against psycopg's COPY of the very rows it writes into a table like theirs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import orjson
from django.db import connection, transaction

from apps.core.tuning import calm_collector
from apps.flows.recording import record
from apps.integrations.models import Integration
from benchmarks import told
from benchmarks.harness import Goal, Result, database, interleaved, ratio, scale_of, spread

BATCH = 5000
#: a lean log of messages, of the columns of a first prototype: told beside the goal, since it keeps less than an event
LEAN_TABLE = """
CREATE TABLE bench_lean (id uuid PRIMARY KEY, received_at timestamptz, happened_at timestamptz, source text, type text,
                         key text, payload jsonb)
"""
#: the table of events itself, its indexes included, with a unique uuid as a table without a table of keys would have
SAME_TABLE = """
CREATE TABLE bench_same (LIKE flows_event INCLUDING ALL);
CREATE UNIQUE INDEX ON bench_same (source_key);
"""
_KEY = "source_key"


class Copies:
    """What COPY takes for rows: the limit. Rows are made beforehand; only COPY and its commit are timed.

    same: rows as recording writes them, all columns, into a table like that of events.
    lean: seven columns of the same events into a table with a unique uuid.
    """

    def __init__(self, integration: Integration, events: int) -> None:
        told_ = told.orders(events // 10, first=900_000)
        with connection.cursor() as cursor:
            cursor.execute(LEAN_TABLE)
            cursor.execute(SAME_TABLE)
        self.columns, self.rows = _as_recorded(integration, told_)
        self.slim = [
            (e.happened_at, e.happened_at, "bench", e.type, e.references[0].value, orjson.dumps(dict(e.data)).decode())
            for e in told_
        ]

    def same(self) -> float:
        """Rows a second."""
        at, key = self.columns.index("id"), self.columns.index(_KEY)
        rows = [list(row) for row in self.rows]
        for row in rows:
            row[key] = uuid.uuid4()
        names = ", ".join(f'"{name}"' for name in self.columns)
        first = _number_of("bench_same")
        for number, row in enumerate(rows, first + 1):
            row[at] = number
        return _copied(f"COPY bench_same ({names}) FROM STDIN", rows)

    def lean(self) -> float:
        """Rows a second."""
        return _copied("COPY bench_lean FROM STDIN", [(uuid.uuid4(), *row) for row in self.slim])


def _number_of(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


def _copied(statement: str, rows: Sequence[Sequence[Any]]) -> float:
    begin = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
    return len(rows) / (time.perf_counter() - begin)


def _as_recorded(integration: Integration, events: list[Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names and values of all columns as recording writes these events; nothing of it is kept."""
    with transaction.atomic(), connection.cursor() as cursor:
        record(told.incoming(events, integration), told.START + timedelta(days=30))
        cursor.execute(
            "SELECT attname, atttypid::regtype::text FROM pg_attribute"
            " WHERE attrelid = 'flows_event'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        kinds = cursor.fetchall()
        wanted = ", ".join(f'"{name}"::text' if kind == "jsonb" else f'"{name}"' for name, kind in kinds)
        cursor.execute(f"SELECT {wanted} FROM flows_event ORDER BY id DESC LIMIT %s", [len(events)])
        rows = cursor.fetchall()
        transaction.set_rollback(True)
    if len(rows) != len(events):
        raise RuntimeError(f"{len(rows)} rows recorded of {len(events)} events")
    return [name for name, _ in kinds], rows


def run(options: dict[str, Any]) -> Result:
    result = Result("ingest")
    calm_collector()  # as the worker does
    size = scale_of(options, 20_000, 100_000)
    rounds = options["rounds"]
    with database(result):
        integration = told.load_definitions()
        copies = Copies(integration, size)
        pool = [told.orders(size // 10, first=number * size) for number in range(rounds)]
        fresh = iter(told.incoming(events, integration) for events in pool)
        replayed: list[Any] = []

        def ours() -> float:
            events = next(fresh)
            replayed.append(events)
            return size / _record(events)

        def again() -> float:
            return size / _record(replayed[-1])

        targets: dict[str, Callable[[], float]] = {"copy": copies.same, "lean_copy": copies.lean, "record": ours}
        found = interleaved(rounds, targets)
        replay = [again() for _ in range(rounds)]
    result.goals.append(
        Goal("recording with deduplication / COPY of the same rows", ratio(found, "record", "copy"), 0.50)
    )
    result.goals.append(Goal("replay of duplicates / fresh", min(replay) / max(found["record"]), 1.0))
    result.notes |= {name: spread(figures) for name, figures in found.items()} | {
        "events_per_second_replay": spread(replay),
        "recording / COPY of lean rows": round(ratio(found, "record", "lean_copy"), 4),
    }
    return result


def _record(events: list[Any]) -> float:
    begin = time.perf_counter()
    for start in range(0, len(events), BATCH):
        with transaction.atomic():
            record(events[start : start + BATCH], told.START)
    return time.perf_counter() - begin
