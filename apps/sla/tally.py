"""Folds the deltas of both tally tables into one row per cell, so that boards add up few rows.

Triggers append deltas; whoever reads sums them. Compaction replaces what it sees by its sum in one statement, so a
reader never sees a cell twice or not at all, and deltas written meanwhile stay beside it.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

LOCK = 0x7A11
_TABLES = {
    "flows_flowtally": ("definition_id", "partner_id", "status", "awaiting"),
    "sla_expectationtally": ("definition_id", "partner_id", "milestone", "state", "at_risk"),
}


@transaction.atomic
def compact() -> int:
    """Compacts cells that have more than one row, in both tables; returns how many rows went. One process at a time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        # after a burst the planner still knows the table as small and would look through it once for each of its rows
        cursor.execute("SET LOCAL enable_nestloop = off")
        gone = sum(_compact(cursor, table, columns) for table, columns in _TABLES.items())
        cursor.execute("SET LOCAL enable_nestloop = on")
        return gone


def _compact(cursor: Any, table: str, columns: tuple[str, ...]) -> int:
    """Joins by id alone: cells hold nulls, and comparing those pair by pair is quadratic."""
    cell = ", ".join(columns)
    cursor.execute(
        f"""
        WITH counted AS (
            SELECT id, count(*) OVER same AS rows_of_cell, sum(n) OVER same AS total FROM {table}
            WINDOW same AS (PARTITION BY {cell})
        ), gone AS (
            DELETE FROM {table} WHERE id IN (SELECT id FROM counted WHERE rows_of_cell > 1 OR total = 0)
            RETURNING {cell}, n
        ), folded AS (
            INSERT INTO {table} ({cell}, n) SELECT {cell}, sum(n) FROM gone GROUP BY {cell} HAVING sum(n) <> 0 RETURNING n
        )
        SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM folded)
        """
    )
    return int(cursor.fetchone()[0])
