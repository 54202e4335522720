"""A rule tried on 100,000 flows of history: the promise is five seconds; beside it a plain read of the same rows."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import Any

from django.db import connection

from apps.sla import backtest, library
from apps.sla.rules import RuleRow
from benchmarks import told
from benchmarks.harness import Goal, Result, database, interleaved, ratio, spread

FLOWS = 100_000
SPEC = {
    "due": {"date": "expected_receipt", "end_of_day": True, "else": [{"after": {"milestone": "sent", "duration": "P2D", "kind": "working_days", "cut_off": "14:00"}}]},
    "zone": "Europe/Paris",
}  # fmt: skip
_FLOWS = """
INSERT INTO flows_flow (id, key, definition_id, label, status, stage, awaiting, opened_at, last_happened_at,
    last_received_at, currency, attributes, dates, failed_hops, conflicts, suspects, event_count, backfill, digest, marks)
SELECT g, gen_random_uuid(), d.id, 'F' || g, 'open', '', 'asn', %(at)s::timestamptz - g * interval '1 minute',
    %(at)s, %(at)s, '', '{"lane_to": "DE", "service": "express"}',
    CASE WHEN g %% 2 = 0 THEN '{}'::jsonb ELSE '{"expected_receipt": "2026-03-04T12:00:00+00:00"}'::jsonb END,
    0, 0, 0, 1, false, gen_random_uuid(), ''
FROM generate_series(1, %(count)s) g CROSS JOIN (SELECT id FROM flows_flowdefinition WHERE slug = 'purchase') d
"""
_MILESTONES = """
INSERT INTO flows_milestone (flow_id, name, ordinal, actual_at, sent_at, received_at)
SELECT f.id, m.name, m.ordinal, f.opened_at + m.after, f.opened_at + m.after, f.opened_at + m.after FROM flows_flow f
CROSS JOIN (VALUES ('sent', 0, interval '0'), ('asn', 3, interval '2 days')) AS m (name, ordinal, after)
WHERE m.name = 'sent' OR f.id % 3 > 0
"""


def run(options: dict[str, Any]) -> Result:
    result = Result("backtest")
    with database(result):
        told.load_definitions()
        now = told.START + timedelta(days=30)
        with connection.cursor() as cursor:
            cursor.execute(_FLOWS, {"at": now, "count": FLOWS})
            cursor.execute(_MILESTONES)
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


def _read() -> float:
    begin = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, label, opened_at, closed_at, dates::text, attributes::text FROM flows_flow")
        cursor.fetchall()
        cursor.execute("SELECT flow_id, name, actual_at, received_at FROM flows_milestone")
        cursor.fetchall()
    return time.perf_counter() - begin
