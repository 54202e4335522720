"""A whole XES log through `import_log` into the database, beside pm4py's reading of the same file into memory."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from django.db import connection

from apps.collectors.importing import Imported, Importer
from apps.core import clock
from apps.core.tuning import calm_collector
from apps.flows.models import Event
from apps.integrations.models import Integration
from benchmarks import told
from benchmarks.harness import Goal, Result, database, scale_of

#: what the peer is told to do; it prints the seconds it took and the events it found
_PEER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import pm4py
begin = time.perf_counter()
log = pm4py.read_xes(sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - begin, "events": len(log), "version": pm4py.__version__}))
"""
ACTIVITIES = {
    "Create Purchase Order Item": "purchase_order.created",
    "Change Quantity": "purchase_order.changed",
    "Receive Order Confirmation": "purchase_order.acknowledged",
    "Record Goods Receipt": "goods.received",
    "Record Invoice Receipt": "invoice.received",
    "Clear Invoice": "invoice.paid",
    "Delete Purchase Order Item": "purchase_order.cancelled",
}
EVENTS_OF_A_CASE = 28


def write_log(path: Path, cases: int) -> int:
    """A purchase log of minute grain, as long traces as real ones have; how many events it holds."""
    names = list(ACTIVITIES)
    begin = datetime(2018, 1, 2, 12, 53, tzinfo=UTC)
    with gzip.open(path, "wt", compresslevel=6) as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<log>\n')
        for case in range(cases):
            file.write(f'<trace>\n<string key="concept:name" value="45{case:08}_00010"/>\n')
            for number in range(EVENTS_OF_A_CASE):
                at = begin + timedelta(minutes=37 * case + 411 * number)
                name = names[(number * (1 + case % 5)) % len(names)]
                file.write(
                    f'<event>\n<date key="time:timestamp" value="{at.isoformat()}"/>\n'
                    f'<string key="concept:name" value="{name}"/>\n</event>\n'
                )
            file.write("</trace>\n")
        file.write("</log>\n")
    return cases * EVENTS_OF_A_CASE


def run(options: dict[str, Any]) -> Result:
    result = Result("import")
    calm_collector()
    with database(result) as bench:
        told.load_definitions()
        path = Path(options["log"]) if options.get("log") else bench.folder / "log.xes.gz"
        if not options.get("log"):
            write_log(path, scale_of(options, 1_000, 12_000))
        activities = "\n".join(f"{name} = {kind}" for name, kind in ACTIVITIES.items())
        ours: list[float] = []
        theirs: list[float] = []
        growth = 0.0
        peer: dict[str, Any] = {}
        for number in range(options["rounds"]):
            integration = Integration.objects.create(
                slug=f"log-{number}",
                name="Log",
                kind="eventlog",
                settings={"case_kind": "purchase_order", "activities": f"{activities}\n* = activity.recorded"},
            )
            _empty()
            if options.get("peer"):
                peer = _peer(options["peer"], path)
                theirs.append(peer["seconds"])
            seconds, done, growth = _import(integration, path)
            ours.append(seconds)
            recorded = Event.objects.filter(integration=integration).count()
            if not done.rows == done.events == recorded or (peer and peer["events"] != recorded):
                raise RuntimeError(f"{done.rows} rows, {done.events} events, {recorded} recorded, peer {peer}")
    result.goals.append(Goal("memory growth from a tenth of the log to its end", growth, 0.10, better="less"))
    if theirs:
        worst = sorted(a / b for a, b in zip(ours, theirs, strict=True))[len(ours) // 2]
        result.goals.append(Goal("import, durable / pm4py's reading", worst, 3.0, better="less"))
        result.notes["pm4py"] = peer["version"]
        result.notes["pm4py_seconds"] = [round(one, 2) for one in theirs]
    else:
        result.notes["pm4py"] = "not run: name a Python that has it with --peer"
    result.notes["events"] = recorded
    result.notes["import_seconds"] = [round(one, 2) for one in ours]
    return result


def _import(integration: Integration, path: Path) -> tuple[float, Imported, float]:
    """(seconds, what it did, growth of resident memory from a tenth on)."""
    process = psutil.Process()
    seen: list[tuple[float, int]] = []

    def look(share: float, done: Imported) -> None:
        seen.append((share, process.memory_info().rss))

    importer = Importer(integration, path, clock.now, on_progress=look)
    begin = time.perf_counter()
    done = importer.history()
    took = time.perf_counter() - begin
    early = next((rss for share, rss in seen if share >= 0.1), seen[0][1])
    return took, done, max(0.0, max(rss for _, rss in seen) / early - 1)


def _empty() -> None:
    """Takes away what the round before told: its cases have the same names, and each round shall find a database as empty."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE flows_flow, flows_event, flows_eventkey, flows_reference, collectors_receipt CASCADE")


def _peer(python: str, path: Path) -> dict[str, Any]:
    found = subprocess.run([python, "-c", _PEER, str(path)], capture_output=True, text=True, check=True)
    return dict(json.loads(found.stdout.strip().splitlines()[-1]))


def pieces(path: Path) -> Iterator[bytes]:
    """The unpacked bytes of a log, for looking at its reader alone."""
    with gzip.open(path) as file:
        yield from itertools.takewhile(bool, iter(lambda: file.read(65_536), b""))
