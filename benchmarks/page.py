"""The board at a million flows against the board at ten thousand."""

from __future__ import annotations

import statistics
import time
from typing import Any

from django.db import connection
from django.test import Client

from apps.accounts.models import User
from benchmarks import rows, told
from benchmarks.harness import Goal, Result, database, scale_of, spread
from benchmarks.sweep import expectations

_FLOW = {
    "id": "g",
    "definition_id": "(SELECT id FROM flows_flowdefinition WHERE slug = 'purchase')",
    "partner_id": "p.id",
    "label": "'F' || g",
    "status": "CASE WHEN g %% 4 = 0 THEN 'open' ELSE 'completed' END",
    "awaiting": "CASE WHEN g %% 4 = 0 THEN (ARRAY['asn', 'received', 'sent'])[1 + g %% 3] ELSE '' END",
    "opened_at": "%(at)s",
    "last_happened_at": "%(at)s",
    "last_received_at": "%(at)s",
    "event_count": "1",
}
_SOURCE = """
generate_series(%(first)s::bigint, %(last)s::bigint) g
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM integrations_partner) p ON p.n = g %% 20
"""


def run(options: dict[str, Any]) -> Result:
    result = Result("page")
    full = scale_of(options, 100_000, 1_000_000)
    with database(result):
        told.load_definitions()
        register()
        client = Client()
        user = User.objects.create(username="bench", role="operations")
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        times: dict[int, list[float]] = {}
        have = 0
        for size in (10_000, full):
            fill(have, size)
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE")
            have = size
            times[size] = [_page(client) for _ in range(25)][5:]
    measured = statistics.median(times[full]) / statistics.median(times[10_000])
    result.goals.append(Goal(f"board at {full:,} flows / at 10,000", measured, 3.0, "less"))
    result.notes |= {f"board_ms_{size}": spread([t * 1000 for t in figures]) for size, figures in times.items()}
    return result


def register() -> None:
    rows.partners(20)
    rows.rules("asn")


def fill(have: int, size: int) -> None:
    """Flows up to ``size``, a quarter of them open, each with an expectation."""
    rows.fill("flows_flow", _FLOW, _SOURCE, {"at": told.START, "first": have + 1, "last": size})
    expectations(have, size)


def _page(client: Client) -> float:
    begin = time.perf_counter()
    answer = client.get("/", headers={"host": "localhost"})
    took = time.perf_counter() - begin
    if answer.status_code != 200:
        raise RuntimeError(f"the board answered {answer.status_code}")
    return took
