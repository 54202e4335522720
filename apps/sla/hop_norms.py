"""Learns how long each hop usually takes, from the flows of the last weeks; and names the hop behind late milestones."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from apps.flows.sets import raw_cursor
from apps.sla.blame import Blame, Hop, Norm, Norms, Reached, blame, way
from apps.sla.models import Expectation, HopNorm

LEARN_FROM = timedelta(days=60)
#: newest flows of a definition that are looked at
MOST_FLOWS = 5_000
#: fewer than so many are no usual time
LEAST_COUNT = 20

_RECENT = """
SELECT d.slug, m.flow_id, f.opened_at, m.name, m.actual_at, m.sent_at, m.received_at, m.booked_at
FROM flows_flowdefinition d
CROSS JOIN LATERAL (
    SELECT id, opened_at FROM flows_flow WHERE definition_id = d.id AND opened_at >= %b AND opened_at <= %b
    ORDER BY opened_at DESC LIMIT %b::bigint
) f
JOIN flows_milestone m ON m.flow_id = f.id AND m.actual_at IS NOT NULL
"""
_OF_FLOWS = """
SELECT flow_id, name, actual_at, sent_at, received_at, booked_at FROM flows_milestone
WHERE flow_id = ANY(%b::bigint[]) AND actual_at IS NOT NULL
"""


def learn(now: datetime) -> int:
    """Learns every hop's usual time anew; how many hops are known now."""
    took: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    flows: dict[tuple[str, int], tuple[datetime, list[Reached]]] = {}
    with raw_cursor() as cursor:
        cursor.execute(_RECENT, [now - LEARN_FROM, now, MOST_FLOWS], binary=True)
        for slug, flow_id, opened_at, *milestone in cursor.fetchall():
            flows.setdefault((slug, flow_id), (opened_at, []))[1].append(Reached(*milestone))
    for (slug, _), (_, reached) in flows.items():
        for hop in _whole_way(reached):
            took[slug, hop.milestone, hop.kind].append(hop.took.total_seconds())
    rows = [
        HopNorm(flow_slug=slug, milestone=milestone, hop=kind, count=len(seconds), usual=statistics.median(seconds))
        for (slug, milestone, kind), seconds in took.items()
        if len(seconds) >= LEAST_COUNT
    ]
    for row in rows:
        row.learned_at = now
    with transaction.atomic():
        HopNorm.objects.all().delete()
        HopNorm.objects.bulk_create(rows)
    return len(rows)


def _whole_way(reached: Sequence[Reached]) -> list[Hop]:
    last = max(reached, key=lambda one: (one.happened_at, one.name))
    return way(reached, min(one.happened_at for one in reached), last.name, last.happened_at)


def norms() -> dict[str, Norms]:
    """flow slug -> what is usual there."""
    found: dict[str, dict[tuple[str, str], Norm]] = defaultdict(dict)
    for row in HopNorm.objects.all():
        found[row.flow_slug][row.milestone, row.hop] = Norm(row.count, row.usual)
    return dict(found)


def behind(expectations: Iterable[Expectation], now: datetime) -> dict[int, Blame]:
    """Expectation id -> the hop behind its lateness, for late ones (met late, or missing until now). Three statements.

    expectations must have their flow and its definition at hand (select_related).
    """
    late = [one for one in expectations if one.state in ("MET_LATE", "BREACHED")]
    if not late:
        return {}
    usual = norms()
    reached = _reached({one.flow_id for one in late})
    found = {}
    for one in late:
        there = reached.get(one.flow_id, [])
        end = one.met_at or (one.settled_at if one.state == "BREACHED" else None) or now
        start = _start(one, there)
        known: Mapping[Any, Any] = usual.get(one.flow.definition.slug, {})
        if start is not None and start < end:
            named = blame(way(there, start, one.milestone, end), known)
            if named is not None:
                found[one.pk] = named
    return found


def _start(expectation: Expectation, reached: Sequence[Reached]) -> datetime | None:
    """Where its clock began: the milestone it hangs on, else (a date of a document) the first that was reached."""
    anchor = expectation.anchor.removeprefix("milestone:")
    by_name = {one.name: one.happened_at for one in reached}
    if expectation.anchor.startswith("milestone:") and anchor in by_name:
        return by_name[anchor]
    return min(by_name.values(), default=None)


def _reached(flow_ids: Iterable[int]) -> dict[int, list[Reached]]:
    found: dict[int, list[Reached]] = defaultdict(list)
    with raw_cursor() as cursor:
        cursor.execute(_OF_FLOWS, [sorted(flow_ids)], binary=True)
        for flow_id, *milestone in cursor.fetchall():
            found[flow_id].append(Reached(*milestone))
    return found
