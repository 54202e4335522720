"""Finding a thousand overdue expectations among ten million open ones, against the same among ten thousand."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import Any

from django.db import connection

from benchmarks import told
from benchmarks.harness import Goal, Result, database, scale_of, spread

OVERDUE = 1000
_FLOW = """
INSERT INTO flows_flow (id, key, definition_id, label, status, stage, awaiting, opened_at, last_happened_at,
    last_received_at, currency, attributes, dates, failed_hops, conflicts, suspects, event_count, backfill, digest, marks)
SELECT g, gen_random_uuid(), (SELECT min(id) FROM flows_flowdefinition), 'F' || g, 'open', '', 'asn', %s, %s, %s, '',
    '{}', '{}', 0, 0, 0, 1, false, gen_random_uuid(), '' FROM generate_series(%s::bigint, %s::bigint) g
"""
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
            _fill(have, size)
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


def _fill(have: int, size: int) -> None:
    """Open expectations up to ``size``; a thousand of them overdue."""
    at = told.START
    with connection.cursor() as cursor:
        cursor.execute(
            "SET session_replication_role = replica"
        )  # the tally's triggers and foreign keys are not measured
        cursor.execute(_FLOW, [at, at, at, have + 1, size])
        cursor.execute(
            "INSERT INTO sla_slarule (slug, version, name, flow_slug, milestone, position, spec, severity, target, lifecycle, created_at) "
            "SELECT 'bench', 1, 'Bench', 'purchase', 'asn', 1, '{}', 'normal', 98, 'active', now() "
            "WHERE NOT EXISTS (SELECT FROM sla_slarule WHERE slug = 'bench')"
        )
        _insert_expectations(cursor, have, size)
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("VACUUM ANALYZE sla_expectation")


def _insert_expectations(cursor: Any, have: int, size: int) -> None:
    """All columns without a default of their own get their type's empty value."""
    cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'sla_expectation' "
        "AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"
    )
    empty = {"jsonb": "'{}'::jsonb", "boolean": "false", "bigint": "0", "integer": "0", "uuid": "gen_random_uuid()"}
    known = {
        "flow_id": "g",
        "definition_id": "(SELECT min(id) FROM flows_flowdefinition)",
        "rule_id": "(SELECT id FROM sla_slarule WHERE slug = 'bench')",
        "milestone": "'asn'",
        "state": "'PENDING'",
        "due_at": f"%s::timestamptz + CASE WHEN g <= {OVERDUE} THEN -g * interval '1 second' ELSE g * interval '1 second' END",
    }
    columns = [
        (name, known.get(name) or empty.get(kind, "''" if "char" in kind or kind == "text" else "now()"))
        for name, kind in cursor.fetchall()
    ]
    names, values = ", ".join(name for name, _ in columns), ", ".join(value for _, value in columns)
    cursor.execute(
        f"INSERT INTO sla_expectation ({names}) SELECT {values} FROM generate_series(%s::bigint, %s::bigint) g",
        [told.START, have + 1, size],
    )


def _measure(now: Any, times: int = 30) -> list[float]:
    took = []
    with connection.cursor() as cursor:
        for _ in range(times):
            begin = time.perf_counter()
            cursor.execute(_FIND, [now])
            cursor.fetchall()
            took.append(time.perf_counter() - begin)
    return took[3:]
