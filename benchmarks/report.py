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
from benchmarks import rows, told
from benchmarks.harness import Goal, Result, database, scale_of, spread

BATCH = 100_000
MONTH = "2026-02"
_FLOW = {
    "id": "g",
    "definition_id": "(SELECT id FROM flows_flowdefinition WHERE slug = 'purchase')",
    "partner_id": "p.id",
    "label": "'F' || g",
    "status": "'completed'",
    "opened_at": "t.at",
    "last_happened_at": "t.at",
    "last_received_at": "t.at",
    "value": "100 + g %% 900",
    "currency": "'EUR'",
    "attributes": """jsonb_build_object('lane', 'DE>' || (ARRAY['FR', 'PL', 'AT', 'NL', 'IT', 'ES'])[1 + g %% 6],
        'service', CASE WHEN g %% 3 = 0 THEN 'express' ELSE 'standard' END)""",
    "event_count": "1",
}
_FLOWS = """
generate_series(%(first)s::bigint, %(last)s::bigint) g
CROSS JOIN LATERAL (SELECT '2026-02-01'::timestamptz + (g * 7919 %% 2419200) * interval '1 second' AS at) t
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM integrations_partner) p ON p.n = g %% 20
"""
_PROMISE = {
    "flow_id": "f.id",
    "definition_id": "f.definition_id",
    "partner_id": "f.partner_id",
    "rule_id": "r.id",
    "milestone": "r.milestone",
    "state": """CASE WHEN (f.id * 31 + r.id) %% 50 = 0 THEN CASE WHEN f.id %% 2 = 0 THEN 'MET_LATE' ELSE 'BREACHED' END
        ELSE 'MET' END""",
    "due_at": "f.opened_at",
    "settled_at": "f.opened_at",
    "met_at": "f.opened_at + (f.id %% 90000) * interval '1 second'",
}
_PROMISES = """
flows_flow f CROSS JOIN sla_slarule r WHERE f.id BETWEEN %(first)s AND %(last)s AND r.slug LIKE 'bench-%%'
"""
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
        register()
        client = Client()
        user = User.objects.create(username="bench", role="manager")
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        times: dict[str, list[float]] = {}
        have = 0
        for size in (few, full):
            fill(have // 4, size // 4)
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
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


def register() -> None:
    rows.partners(20)
    rows.rules("sent", "acknowledged", "asn", "received")


def fill(have: int, flows: int) -> None:
    """Four promises a flow. In batches, as the deltas of a batch are folded with it."""
    for first in range(have + 1, flows + 1, BATCH):
        span = {"first": first, "last": min(first + BATCH - 1, flows)}
        rows.fill("flows_flow", _FLOW, _FLOWS, span)
        rows.fill("sla_expectation", _PROMISE, _PROMISES, span)
        rollups.fold()


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
