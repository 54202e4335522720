"""The board at a million flows against the board at ten thousand."""

from __future__ import annotations

import statistics
import time
from typing import Any

from django.db import connection
from django.test import Client

from apps.accounts.models import User
from benchmarks import told
from benchmarks.harness import Goal, Result, database, scale_of, spread
from benchmarks.sweep import _insert_expectations

_FLOWS = """
INSERT INTO flows_flow (id, key, definition_id, partner_id, label, status, stage, awaiting, opened_at, last_happened_at,
    last_received_at, currency, attributes, dates, failed_hops, conflicts, suspects, event_count, backfill, digest, marks)
SELECT g, gen_random_uuid(), d.id, p.id, 'F' || g, CASE WHEN g %% 4 = 0 THEN 'open' ELSE 'completed' END, '',
    CASE WHEN g %% 4 = 0 THEN (ARRAY['asn', 'received', 'sent'])[1 + g %% 3] ELSE '' END, %s, %s, %s, '', '{}', '{}',
    0, 0, 0, 1, false, gen_random_uuid(), ''
FROM generate_series(%s::bigint, %s::bigint) g
JOIN (SELECT id, row_number() OVER () - 1 AS n FROM integrations_partner) p ON p.n = g %% 20
CROSS JOIN (SELECT id FROM flows_flowdefinition WHERE slug = 'purchase') d
"""


def run(options: dict[str, Any]) -> Result:
    result = Result("page")
    full = scale_of(options, 100_000, 1_000_000)
    with database(result):
        told.load_definitions()
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO integrations_partner (slug, name, kind, time_zone, calendar, email, active) "
                "SELECT 'p' || g, 'Partner ' || g, 'supplier', 'UTC', '', '', true FROM generate_series(1, 20) g"
            )
            cursor.execute(
                "INSERT INTO sla_slarule (slug, version, name, flow_slug, milestone, position, spec, severity, target, lifecycle, created_at) "
                "VALUES ('bench', 1, 'Bench', 'purchase', 'asn', 1, '{}', 'normal', 98, 'active', now())"
            )
        client = Client()
        user = User.objects.create(username="bench", role="operations")
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        times: dict[int, list[float]] = {}
        have = 0
        for size in (10_000, full):
            _fill(have, size)
            have = size
            times[size] = [_page(client) for _ in range(25)][5:]
    measured = statistics.median(times[full]) / statistics.median(times[10_000])
    result.goals.append(Goal(f"board at {full:,} flows / at 10,000", measured, 3.0, "less"))
    result.notes |= {f"board_ms_{size}": spread([t * 1000 for t in figures]) for size, figures in times.items()}
    return result


def _fill(have: int, size: int) -> None:
    at = told.START
    with connection.cursor() as cursor:
        cursor.execute(_FLOWS, [at, at, at, have + 1, size])
        _insert_expectations(cursor, have, size)
        cursor.execute("ANALYZE")


def _page(client: Client) -> float:
    begin = time.perf_counter()
    answer = client.get("/", headers={"host": "localhost"})
    took = time.perf_counter() - begin
    if answer.status_code != 200:
        raise RuntimeError(f"the board answered {answer.status_code}")
    return took
