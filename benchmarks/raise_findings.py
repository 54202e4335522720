"""Raising ten thousand findings at once against raising them one by one, and whether statements grow with them."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.incidents.raising import FindingDraft, raise_findings
from benchmarks import rows, told
from benchmarks.harness import Goal, Result, database, scale_of, spread

CAUSES = 50
MANY = 10_000
#: one by one, so many are measured
SINGLE = 200
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


def run(options: dict[str, Any]) -> Result:
    result = Result("raise")
    flows = scale_of(options, MANY, 300_000)
    at_once: list[float] = []
    one_by_one: list[float] = []
    statements = {}
    with database(result):
        told.load_definitions()
        at = told.START
        fill(flows)
        for turn in range(options["rounds"]):
            batch = drafts(f"many {turn}", MANY, flows)
            begin = time.perf_counter()
            raise_findings(batch, at + timedelta(minutes=turn))
            at_once.append((time.perf_counter() - begin) / MANY)
            single = drafts(f"single {turn}", SINGLE, flows)
            begin = time.perf_counter()
            for one in single:
                raise_findings([one], at + timedelta(minutes=turn))
            one_by_one.append((time.perf_counter() - begin) / SINGLE)
        for size in (100, MANY):
            with CaptureQueriesContext(connection) as seen:
                raise_findings(drafts(f"counted {size}", size, flows), at)
            statements[size] = len(seen)
    ratio = sorted(slow / fast for slow, fast in zip(one_by_one, at_once, strict=True))
    result.goals.append(Goal("one by one / at once, per finding", ratio[len(ratio) // 2], 20.0))
    result.goals.append(
        Goal("statements for 10,000 less those for 100", statements[MANY] - statements[100], 0.0, "less")
    )
    result.notes |= {
        "at_once_us": spread([t * 1e6 for t in at_once]),
        "one_by_one_us": spread([t * 1e6 for t in one_by_one]),
        "statements": statements[MANY],
        "flows": flows,
    }
    return result


def fill(flows: int) -> None:
    rows.fill(
        "flows_flow", _FLOW, "generate_series(1::bigint, %(count)s::bigint) g", {"at": told.START, "count": flows}
    )


def drafts(what: str, count: int, flows: int) -> list[FindingDraft]:
    """`count` breaches of CAUSES causes, each of a flow of its own (as far as there are flows)."""
    space = uuid.NAMESPACE_OID
    return [
        FindingDraft(
            key=uuid.uuid5(space, f"{what}/{n}"),
            kind="sla.breach",
            cause=uuid.uuid5(space, f"{what}/cause/{n % CAUSES}"),
            incident_title=f"Late: first scan from carrier {n % CAUSES}",
            severity="high",
            sentence=f"First scan of F{n} has not come. Due 18:00: 4 h after pick-up on a working day of the carrier.",
            evidence={"flow": f"F{n}", "milestone": "scan", "rule": "scan", "version": 3},
            flow_id=n % flows + 1,
            due_at=told.START + timedelta(seconds=n),
        )
        for n in range(count)
    ]
