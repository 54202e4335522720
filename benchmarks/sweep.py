"""Finding a thousand overdue expectations among ten million open ones, against the same among ten thousand."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import Any

from django.db import connection

from benchmarks import rows, told
from benchmarks.harness import Goal, Result, database, scale_of, spread

OVERDUE = 1000
_FLOW = {
    "id": "g",
    "definition_id": "(SELECT min(id) FROM flows_flowdefinition)",
    "label": "'F' || g",
    "status": "'open'",
    "awaiting": "'asn'",
    "opened_at": "%(at)s",
    "last_happened_at": "%(at)s",
    "last_received_at": "%(at)s",
    "event_count": "1",
}
_EXPECTATION = {
    "flow_id": "g",
    "definition_id": "(SELECT min(id) FROM flows_flowdefinition)",
    "rule_id": "(SELECT id FROM sla_slarule WHERE slug = 'bench-1')",
    "milestone": "'asn'",
    "state": "'PENDING'",
    "due_at": f"%(at)s::timestamptz + CASE WHEN g <= {OVERDUE} THEN -g ELSE g END * interval '1 second'",
}
_FIND = """
SELECT id FROM sla_expectation WHERE state = 'PENDING' AND due_at < %s ORDER BY due_at LIMIT 1000
"""


def run(options: dict[str, Any]) -> Result:
    result = Result("sweep")
    full = scale_of(options, 300_000, 10_000_000)
    with database(result):
        told.load_definitions()
        times = {}
        idle = {}
        have = 0
        for size in (10_000, full):
            fill(have, size)
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE sla_expectation")
            have = size
            times[size] = _measure(told.START)
            idle[size] = _measure(told.START - timedelta(days=400))
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + _FIND, [told.START])
            plan = "\n".join(row[0] for row in cursor.fetchall())
    result.goals.append(
        Goal(
            f"find 1,000 overdue: {full:,} rows / 10,000 rows",
            statistics.median(times[full]) / statistics.median(times[10_000]),
            3.0,
            "less",
        )
    )
    result.goals.append(
        Goal(
            f"nothing overdue: {full:,} / 10,000",
            statistics.median(idle[full]) / statistics.median(idle[10_000]),
            2.0,
            "less",
        )
    )
    result.goals.append(Goal("the plan uses the partial index", float("expectation_due" in plan), 1.0))
    result.notes |= {f"find_ms_{size}": spread([t * 1000 for t in figures]) for size, figures in times.items()}
    return result


def fill(have: int, size: int) -> None:
    """Open expectations up to ``size``; a thousand of them overdue."""
    with connection.cursor() as cursor:
        # the tally's triggers and foreign keys are not measured
        cursor.execute("SET session_replication_role = replica")
        if not have:
            rows.rules("asn")
        span = {"at": told.START, "first": have + 1, "last": size}
        rows.fill("flows_flow", _FLOW, "generate_series(%(first)s::bigint, %(last)s::bigint) g", span)
        expectations(have, size)
        cursor.execute("SET session_replication_role = origin")


def expectations(have: int, size: int) -> None:
    """Of the flows of these numbers, one each."""
    span = {"at": told.START, "first": have + 1, "last": size}
    rows.fill("sla_expectation", _EXPECTATION, "generate_series(%(first)s::bigint, %(last)s::bigint) g", span)


def _measure(now: Any, times: int = 30) -> list[float]:
    took = []
    with connection.cursor() as cursor:
        for _ in range(times):
            begin = time.perf_counter()
            cursor.execute(_FIND, [now])
            cursor.fetchall()
            took.append(time.perf_counter() - begin)
    return took[3:]
