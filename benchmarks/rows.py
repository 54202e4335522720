"""Many rows at once for benches: INSERT .. SELECT that gives every column the bench does not care for an empty value.

Columns are read from the database, so a column a migration adds later is filled like the others and a bench's set-up
goes on working; partners and rules, which are few, are made through their models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connection

from apps.integrations.models import Partner
from apps.sla.models import SlaRule

_NEEDED = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = %s AND is_nullable = 'NO' AND column_default IS NULL
  AND is_identity = 'NO' AND is_generated = 'NEVER' ORDER BY ordinal_position
"""
_EMPTY = {
    "jsonb": "'{}'::jsonb",
    "boolean": "false",
    "smallint": "0",
    "integer": "0",
    "bigint": "0",
    "numeric": "0",
    "double precision": "0",
    "uuid": "gen_random_uuid()",
    "bytea": "''::bytea",
    "date": "now()::date",
    "timestamp with time zone": "now()",
    "character varying": "''",
    "text": "''",
}


def fill(table: str, values: Mapping[str, str], source: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Rows for each row of ``source`` (what follows FROM). values: column -> SQL; parameters by name in both.

    A percent sign of SQL is written twice, as ever with parameters.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEEDED, [table])
        rest = {name: _EMPTY[kind] for name, kind in cursor.fetchall() if name not in values}
        every = {**values, **rest}
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(every)}) SELECT {', '.join(every.values())} FROM {source}",
            dict(parameters or {}),
        )


_INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i
WHERE i.indrelid = ANY(%s::regclass[]) AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""


@contextmanager
def plain(*tables: str) -> Iterator[None]:
    """Millions of rows in minutes: without triggers (foreign keys and tallies among them) and with the indexes made after.

    What triggers keep must be counted anew by the caller. Indexes that hold a constraint stay.
    """
    with connection.cursor() as cursor:
        cursor.execute(_INDEXES, [list(tables)])
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("SET session_replication_role = origin")
        for _, definition in indexes:
            cursor.execute(definition)


def partners(count: int) -> None:
    """Suppliers ``p1``, ``p2`` .."""
    Partner.objects.bulk_create(
        Partner(slug=f"p{number}", name=f"Partner {number}", kind="supplier") for number in range(1, count + 1)
    )


def rules(*milestones: str, flow: str = "purchase") -> None:
    """One active rule ``bench-1``, ``bench-2`` .. for each milestone; it gives no deadline by itself."""
    for number, milestone in enumerate(milestones, start=1):
        SlaRule.objects.create(
            slug=f"bench-{number}", name=f"Bench {number}", flow_slug=flow, milestone=milestone, position=1, spec={}
        )
