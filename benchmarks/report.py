"""The month report over many promises against a bare view of the same stack, and against itself over 100 times fewer.

Two web servers as the Procfile starts them (one process each, as one reader asks one page at a time), one over the few
promises and one over all. The bare view is an empty answer of the second, behind the same middleware, sign-in and policy.
Each target answers `WARM` requests first, then `ASKED` in a row in every round; a round gives the ratio of their 95th
percentiles. Every answer is a full one (200); nothing of the page is kept between requests but compiled templates and
addresses.

Promises lie in one closed month: 20 partners of three lanes each (6 lanes, 2 services), 4 rules; two of a hundred missed,
all over, half of them come up to 25 hours late. Rollups are counted at the end of the filling, by the statement that also
counts them anew in life.
With --peer, a Python that has pm4py: it loads the same log and makes the performance DFG; the month's figures must be
ten times as fast.
"""

from __future__ import annotations

import http.client
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from django.test import Client
from psycopg import sql

from apps.accounts.models import User
from apps.reports import monthly, rollups
from benchmarks import rows, told
from benchmarks.harness import Bench, Goal, Result, database, interleaved, ratio, scale_of, spread, tree_cpu
from benchmarks.servers import Servers

BATCH = 1_000_000
MONTH = "2026-02"
PAGE = f"/report/?month={MONTH}"
WARM = 60
ASKED = 60
FEW = "bench_few"
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
    "state": """CASE WHEN hashint8extended(f.id, r.id) %% 50 <> 0 THEN 'MET'
        WHEN hashint8extended(f.id, 1) %% 2 = 0 THEN 'MET_LATE' ELSE 'BREACHED' END""",
    "due_at": "f.opened_at",
    "settled_at": "f.opened_at",
    "met_at": "f.opened_at + (abs(hashint8extended(f.id, 2)) %% 90000) * interval '1 second'",
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


def run(options: dict[str, Any]) -> Result:
    result = Result("report")
    full = scale_of(options, 100_000, 10_000_000)
    few = full // 100
    with database(result) as bench:
        told.load_definitions()
        register()
        cookie = _sign_in()
        begin = time.perf_counter()
        fill(0, few // 4)
        _vacuum()
        _copy_to(bench, FEW)
        fill(few // 4, full // 4)
        _vacuum()
        result.notes["filling_seconds"] = round(time.perf_counter() - begin)
        with Servers(bench) as servers:
            _measure(result, bench, servers, cookie, (few, full), options["rounds"])
        figures = [_timed(_month) for _ in range(20)]
    result.notes["month_figures_ms"] = spread([one * 1000 for one in figures])
    if options["peer"] and options["log"]:
        peer = _peer(options["peer"], options["log"])
        result.goals.append(
            Goal("pm4py load and performance DFG / month's figures", peer / statistics.median(figures), 10.0)
        )
        result.notes["pm4py_seconds"] = round(peer, 2)
    return result


def _measure(result: Result, bench: Bench, servers: Servers, cookie: str, sizes: tuple[int, int], rounds: int) -> None:
    few, full = sizes
    of_few = servers.start("benchmarks.report_site:application", bench.cluster.url("controltower_app", FEW), 1)
    of_few_pid = servers.pids[-1]
    of_full = servers.start("benchmarks.report_site:application", workers=1)
    asked = {
        "bare": (of_full, servers.pids[-1], "/bare/"),
        "few": (of_few, of_few_pid, PAGE),
        "full": (of_full, servers.pids[-1], PAGE),
    }
    times: dict[str, list[float]] = {name: [] for name in asked}
    used: dict[str, list[float]] = {name: [0.0, 0.0] for name in asked}

    def target(name: str) -> Callable[[], float]:
        port, pid, path = asked[name]

        def one() -> float:
            before = tree_cpu([pid]), tree_cpu([bench.cluster.pid])
            found = _ask(port, path, cookie, ASKED)
            used[name][0] += tree_cpu([pid]) - before[0]
            used[name][1] += tree_cpu([bench.cluster.pid]) - before[1]
            times[name] += found
            return _p95(found)

        return one

    for port, _, path in asked.values():
        _ask(port, path, cookie, WARM)
    found = interleaved(rounds, {name: target(name) for name in asked})
    result.goals += [
        Goal(f"p95 over {full:,} / bare view", ratio(found, "full", "bare"), 15.0, "less"),
        Goal(f"p95 over {full:,} / over {few:,}", ratio(found, "full", "few"), 1.5, "less"),
    ]
    for name, took in times.items():
        label = "bare" if name == "bare" else f"report_{few if name == 'few' else full}"
        result.notes[f"{label}_ms"] = {**spread([one * 1000 for one in took]), "p95": round(_p95(took) * 1000, 2)}
        web, base = (one * 1000 / len(took) for one in used[name])
        result.notes[f"{label}_processor_ms"] = {"web": round(web, 2), "postgres": round(base, 2)}
    result.notes["requests_each"] = len(times["bare"])
    cost = {name: sum(both) for name, both in used.items()}
    result.notes["processor_time_over_bare"] = round(cost["full"] / cost["bare"], 2) if cost["bare"] else None


def _ask(port: int, path: str, cookie: str, times: int) -> list[float]:
    """Seconds of each request, one after the other over one connection, until the whole answer is there."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        client.request("GET", path, headers={"Cookie": f"sessionid={cookie}"})
        answer = client.getresponse()
        body = answer.read()
        took.append(time.perf_counter() - begin)
        if answer.status != 200 or (path == PAGE and b"Kept by day" not in body):
            raise RuntimeError(f"{path} answered {answer.status} with {len(body)} bytes")
    client.close()
    return took


def _p95(figures: list[float]) -> float:
    return statistics.quantiles(figures, n=20)[-1]


def _sign_in() -> str:
    """The session of a manager; the servers have this process's secret key."""
    client = Client()
    user = User.objects.create(username="bench", role="manager")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return str(client.cookies["sessionid"].value)


def _copy_to(bench: Bench, name: str) -> None:
    """The database as it is now, under another name."""
    source = connection.settings_dict["NAME"]
    connection.close()
    with psycopg.connect(bench.cluster.url("postgres", "postgres"), autocommit=True) as other:
        other.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(source)
            )
        )


def _vacuum() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def register() -> None:
    rows.partners(20)
    rows.rules("sent", "acknowledged", "asn", "received")


def fill(have: int, flows: int) -> None:
    """Four promises a flow; their rollups are counted once all are there."""
    with rows.plain("flows_flow", "sla_expectation"):
        for first in range(have + 1, flows + 1, BATCH):
            span = {"first": first, "last": min(first + BATCH - 1, flows)}
            rows.fill("flows_flow", _FLOW, _FLOWS, span)
            rows.fill("sla_expectation", _PROMISE, _PROMISES, span)
    rollups.rebuild()


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
