"""Calls counted: one ``gateway.summary`` for each consumer, route and minute of a delivery. Pure.

A summary is a part: the calls of one minute may come in several deliveries, and the parts add up (calls, statuses and the
histogram are sums). A part's identity are the lines it was counted from, so a delivery that comes twice counts once.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.collectors import jsonbody
from apps.collectors.gateway.lines import Call
from apps.collectors.gateway.routes import route_of
from apps.flows.canonical import CanonicalEvent, ParseIssue

#: upper bounds of the histogram of latencies, in milliseconds; what is longer is in the last bucket
BOUNDS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
#: summaries of one delivery; calls beyond are counted together, by minute
MOST = 2_000
OTHERS = "(others)"
_TEXT = 100
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Seen:
    """A call and the line it was read from."""

    call: Call
    line: bytes
    position: str


@dataclass(slots=True)
class _Cell:
    position: str
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    routers: set[str] = field(default_factory=set)
    digests: list[bytes] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        self.statuses[seen.call.status] += 1
        if seen.call.milliseconds is not None:
            self.latencies.append(seen.call.milliseconds)
        if seen.call.router and len(self.routers) < 5:
            self.routers.add(jsonbody.excerpt(seen.call.router, _TEXT))
        self.digests.append(hashlib.sha256(seen.line).digest())


def summarise(
    calls: Iterable[Seen], patterns: Sequence[str], names: Mapping[str, str], issues: list[ParseIssue]
) -> list[CanonicalEvent]:
    """Summaries in the order their first calls stood. names: consumer -> what it is called instead."""
    cells: dict[tuple[int, str, str, str], _Cell] = {}
    folded = 0
    for seen in calls:
        call = seen.call
        minute = int(call.at.timestamp()) // 60
        consumer = jsonbody.excerpt(names.get(call.consumer, call.consumer), _TEXT)
        key = (minute, consumer, call.method, route_of(call.path, patterns))
        if key not in cells and len(cells) >= MOST:
            folded += 1
            key = (minute, OTHERS, OTHERS, OTHERS)
        cells.setdefault(key, _Cell(seen.position)).add(seen)
    if folded:
        sentence = (
            f"The delivery has more than {MOST:,} combinations of consumer, route and minute; {folded:,} calls were counted "
            "together. Name the routes in the settings (orders/{order}), or send smaller deliveries."
        )
        issues.append(ParseIssue("gateway.folded", sentence, severity="warning"))
    return [_event(key, cell) for key, cell in cells.items()]


def _event(key: tuple[int, str, str, str], cell: _Cell) -> CanonicalEvent:
    minute, consumer, method, route = key
    statuses = cell.statuses
    name = "\0".join(map(str, key)).encode("utf-8", "replace")
    digest = hashlib.sha256(name + b"".join(sorted(cell.digests))).hexdigest()[:32]
    data: dict[str, Any] = {
        "consumer": consumer,
        "method": method,
        "route": route,
        "seconds": 60,
        "calls": statuses.total(),
        "unauthorized": statuses[401],
        "forbidden": statuses[403],
        "limited": statuses[429],
        "errors": sum(count for status, count in statuses.items() if 500 <= status <= 599),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "latency_ms": latency(cell.latencies),
        "routers": sorted(cell.routers),
    }
    return CanonicalEvent(
        type="gateway.summary",
        happened_at=_ZERO + timedelta(minutes=minute),
        references=(),
        source_event_id=f"gateway:{digest}",
        data={name: value for name, value in data.items() if value not in ({}, [])},
        position=cell.position,
    )


def latency(milliseconds: Sequence[float]) -> dict[str, Any]:
    """Median, 95 % (nearest rank), longest; and the counts of calls up to each bound, from which several parts can be
    told together. {} without any."""
    if not milliseconds:
        return {}
    ordered = sorted(milliseconds)
    histogram = Counter(bisect_left(BOUNDS, one) for one in ordered)
    return {
        "measured": len(ordered),
        "p50": _rank(ordered, 50),
        "p95": _rank(ordered, 95),
        "max": ordered[-1],
        "histogram": {
            str(BOUNDS[place]) if place < len(BOUNDS) else "more": count for place, count in sorted(histogram.items())
        },
    }


def _rank(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that at least so many percent do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1]
