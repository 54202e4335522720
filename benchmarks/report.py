"""The month report over many promises against a bare view of the same stack, and against itself over 100 times fewer.

The bare view is an empty answer behind the same middleware, sign-in and policy. Promises lie in one closed month: 20
partners, 4 rules, 6 lanes, 2 services, two of a hundred missed. Rollups are filled by the triggers, as in life.
With --peer, a Python that has pm4py: it loads the same log and makes the performance DFG; the month's figures must be
ten times as fast.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import path

from apps.accounts.models import User
from apps.core.policies import policy
from apps.reports import monthly, rollups
from benchmarks import told
from benchmarks.harness import Goal, Result, database, scale_of, spread

BATCH = 100_000
MONTH = "2026-02"
_REGISTER = """
INSERT INTO integrations_partner (slug, name, kind, time_zone, calendar, email, active)
SELECT 'p' || g, 'Partner ' || g, 'supplier', 'UTC', '', '', true FROM generate_series(1, 20) g;
INSERT INTO sla_slarule (slug, version, name, flow_slug, milestone, position, spec, severity, target, lifecycle,
    author_name, note, created_at)
SELECT 'bench-' || g, 1, 'Bench ' || g, 'purchase', (ARRAY['sent', 'acknowledged', 'asn', 'received'])[g], 1, '{}', 'normal', 98,
    'active', '', '', now() FROM generate_series(1, 4) g
"""
_FLOWS = """
INSERT INTO flows_flow (id, key, definition_id, partner_id, label, status, stage, awaiting, opened_at, last_happened_at,
    last_received_at, value, currency, attributes, dates, failed_hops, conflicts, suspects, event_count, backfill, digest, marks)
SELECT g, gen_random_uuid(), d.id, p.id, 'F' || g, 'completed', '', '', t.at, t.at, t.at, 100 + g %% 900, 'EUR',
    jsonb_build_object('lane', 'DE>' || (ARRAY['FR', 'PL', 'AT', 'NL', 'IT', 'ES'])[1 + g %% 6],
        'service', CASE WHEN g %% 3 = 0 THEN 'express' ELSE 'standard' END), '{}', 0, 0, 0, 1, false, gen_random_uuid(), ''
FROM generate_series(%(first)s::bigint, %(last)s::bigint) g
CROSS JOIN LATERAL (SELECT '2026-02-01'::timestamptz + (g * 7919 %% 2419200) * interval '1 second' AS at) t
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM integrations_partner) p ON p.n = g %% 20
CROSS JOIN (SELECT id FROM flows_flowdefinition WHERE slug = 'purchase') d
"""
_KNOWN = {
    "flow_id": "f.id",
    "definition_id": "f.definition_id",
    "rule_id": "r.id",
    "milestone": "r.milestone",
    "state": "CASE WHEN (f.id * 31 + r.id) % 50 = 0 THEN CASE WHEN f.id % 2 = 0 THEN 'MET_LATE' ELSE 'BREACHED' END ELSE 'MET' END",
    "due_at": "f.opened_at",
}
_PEER = """
import sys, time
import pm4py
begin = time.perf_counter()
log = pm4py.read_xes(sys.argv[1])
pm4py.discover_performance_dfg(log)
print(time.perf_counter() - begin)
"""


@policy("staff")
def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


urlpatterns = [path("bare/", bare)]


def run(options: dict[str, Any]) -> Result:
    result = Result("report")
    full = scale_of(options, 100_000, 10_000_000)
    few = full // 100
    with database(result):
        told.load_definitions()
        with connection.cursor() as cursor:
            cursor.execute(_REGISTER)
        client = Client()
        user = User.objects.create(username="bench", role="manager")
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        times: dict[str, list[float]] = {}
        have = 0
        for size in (few, full):
            _fill(have // 4, size // 4)
            have = size
            rounds = max(20, options["rounds"] * 8)
            times[f"report_{size}"] = [_page(client, f"/report/?month={MONTH}") for _ in range(rounds)][5:]
        with override_settings(ROOT_URLCONF="benchmarks.report"):
            times["bare"] = [_page(client, "/bare/") for _ in range(60)][5:]
        figures = [_timed(_month) for _ in range(10)]
    p95 = {name: statistics.quantiles(found, n=20)[-1] for name, found in times.items()}
    result.goals += [
        Goal(f"p95 over {full:,} / bare view", p95[f"report_{full}"] / p95["bare"], 15.0, "less"),
        Goal(f"p95 over {full:,} / over {few:,}", p95[f"report_{full}"] / p95[f"report_{few}"], 1.5, "less"),
    ]
    if options["peer"] and options["log"]:
        peer = _peer(options["peer"], options["log"])
        result.goals.append(
            Goal("pm4py load and performance DFG / month's figures", peer / statistics.median(figures), 10.0)
        )
        result.notes["pm4py_seconds"] = round(peer, 2)
    result.notes |= {f"{name}_ms": spread([one * 1000 for one in found]) for name, found in times.items()}
    result.notes["month_figures_ms"] = spread([one * 1000 for one in figures])
    return result


def _fill(have: int, flows: int) -> None:
    """Four promises a flow. In batches, as the deltas of a batch are folded with it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'sla_expectation' "
            "AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'"
        )
        empty = {"jsonb": "'{}'::jsonb", "boolean": "false", "bigint": "0", "integer": "0", "uuid": "gen_random_uuid()"}
        needed = {
            name: _KNOWN.get(name) or empty.get(kind, "''" if "char" in kind or kind == "text" else "now()")
            for name, kind in cursor.fetchall()
        }
        needed |= {
            "partner_id": "f.partner_id",
            "settled_at": "f.opened_at",
            "met_at": "f.opened_at + (f.id % 90000) * interval '1 second'",
        }
        names, values = ", ".join(needed), ", ".join(needed.values()).replace("%", "%%")
        for first in range(have + 1, flows + 1, BATCH):
            span = {"first": first, "last": min(first + BATCH - 1, flows)}
            cursor.execute(_FLOWS, span)
            cursor.execute(
                f"INSERT INTO sla_expectation ({names}) SELECT {values} FROM flows_flow f CROSS JOIN sla_slarule r "
                "WHERE f.id BETWEEN %(first)s AND %(last)s AND r.slug LIKE 'bench-%%'",
                span,
            )
            rollups.fold()
        cursor.execute("VACUUM ANALYZE")


def _page(client: Client, address: str) -> float:
    begin = time.perf_counter()
    answer = client.get(address, headers={"host": "localhost"})
    took = time.perf_counter() - begin
    if answer.status_code != 200:
        raise RuntimeError(f"{address} answered {answer.status_code}")
    return took


def _timed(what: Any) -> float:
    begin = time.perf_counter()
    what()
    return time.perf_counter() - begin


def _month() -> None:
    if not monthly.month(told.START.date().replace(year=2026, month=2, day=1)).report.total.judged:
        raise RuntimeError("the month is empty")


def _peer(python: str, log: str) -> float:
    done = subprocess.run([python, "-c", _PEER, str(Path(log))], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])
