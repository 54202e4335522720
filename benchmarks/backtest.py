"""A rule tried on 100,000 flows of history: the promise is five seconds; beside it a plain read of the same rows."""

from __future__ import annotations

import statistics
import time
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from apps.sla import backtest, library
from apps.sla.rules import RuleRow
from benchmarks import rows, told
from benchmarks.harness import Goal, Result, database, interleaved, ratio, spread

FLOWS = 100_000
SPEC = {
    "due": {"date": "expected_receipt", "end_of_day": True, "else": [{"after": {"milestone": "sent", "duration": "P2D", "kind": "working_days", "cut_off": "14:00"}}]},
    "zone": "Europe/Paris",
}  # fmt: skip
_FLOW = {
    "id": "g",
    "definition_id": "(SELECT id FROM flows_flowdefinition WHERE slug = 'purchase')",
    "label": "'F' || g",
    "status": "'open'",
    "awaiting": "'asn'",
    "opened_at": "%(at)s::timestamptz - g * interval '1 minute'",
    "last_happened_at": "%(at)s",
    "last_received_at": "%(at)s",
    "attributes": """'{"lane_to": "DE", "service": "express"}'""",
    "dates": """CASE WHEN g %% 2 = 0 THEN '{}'::jsonb
        ELSE '{"expected_receipt": "2026-03-04T12:00:00+00:00"}'::jsonb END""",
    "event_count": "1",
}
_MILESTONE = {
    "flow_id": "f.id",
    "name": "m.name",
    "ordinal": "m.ordinal",
    "actual_at": "f.opened_at + m.after",
    "sent_at": "f.opened_at + m.after",
    "received_at": "f.opened_at + m.after",
}
_MILESTONES = """
flows_flow f CROSS JOIN (VALUES ('sent', 0, interval '0'), ('asn', 3, interval '2 days')) AS m (name, ordinal, after)
WHERE m.name = 'sent' OR f.id %% 3 > 0
"""


def run(options: dict[str, Any]) -> Result:
    result = Result("backtest")
    with database(result):
        told.load_definitions()
        now = told.START + timedelta(days=30)
        fill(FLOWS, now)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        book = library.load(now).book
        draft = RuleRow(0, "draft", 1, "Draft", "purchase", "asn", 1, SPEC, "active", now)

        def tried() -> float:
            begin = time.perf_counter()
            found = backtest.run(book, draft, now)
            took = time.perf_counter() - begin
            if found.flows < FLOWS * 0.9 or not found.fired:
                raise RuntimeError(f"{found.flows} flows tried, {len(found.fired)} firings")
            return took

        found = interleaved(options["rounds"], {"read": _read, "tried": tried})
    result.goals.append(Goal("seconds for 100,000 flows", statistics.median(found["tried"]), 5.0, "less"))
    result.notes |= {"tried / plain read": round(ratio(found, "tried", "read"), 2)}
    result.notes |= {name: spread(figures) for name, figures in found.items()}
    return result


def fill(flows: int, now: datetime) -> None:
    rows.fill("flows_flow", _FLOW, "generate_series(1, %(count)s) g", {"at": now, "count": flows})
    rows.fill("flows_milestone", _MILESTONE, _MILESTONES)


def _read() -> float:
    begin = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, label, opened_at, closed_at, dates::text, attributes::text FROM flows_flow")
        cursor.fetchall()
        cursor.execute("SELECT flow_id, name, actual_at, received_at FROM flows_milestone")
        cursor.fetchall()
    return time.perf_counter() - begin
