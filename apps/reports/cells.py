"""The cells of the rollups as the month's report reads them, and what is missed from the rows while it is little."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from apps.reports import figures, pauses, rollups
from apps.reports.figures import Narrowing, Span
from apps.sla.models import SlaRule

_STEP = 1.05
OUTCOME = {state: name for name, states in figures.OUTCOMES.items() for state in states} | {"AT_RISK": "open"}


class Cell(NamedTuple):
    rule_id: int
    partner_id: int | None
    lane: str
    state: str
    reason: str
    by_hand: bool
    currency: str
    n: int
    value: Decimal


class Late(NamedTuple):
    """A promise that was missed, read where there are few. seconds: None for what has not come."""

    rule_id: int
    partner_id: int | None
    lane: str
    seconds: float | None
    n: int
    flow_id: int | None = None
    currency: str = ""
    value: Decimal | None = None


#: group -> key of it -> (median, 95th percentile) in seconds, where there are too many to read
Lateness = dict[str, dict[Any, tuple[float, float]]]


def after(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def wanted_rules(rules: Iterable[SlaRule], only: Narrowing) -> list[int] | None:
    """Which rule versions are wanted; None: all."""
    if not (only.rule or only.flow or only.milestone):
        return None
    return [
        one.pk
        for one in rules
        if (not only.rule or one.slug == only.rule)
        and (not only.flow or one.flow_slug == only.flow)
        and (not only.milestone or one.milestone == only.milestone)
    ]


def narrowed(only: Narrowing, wanted: list[int] | None) -> tuple[str, dict[str, Any]]:
    parts, values = ["true"], {}
    for condition, name, value in (
        ("c.rule_id = ANY(%(rules)s)", "rules", wanted),
        ("c.partner_id = %(partner)s", "partner", only.partner),
        ("c.lane = %(lane)s", "lane", only.lane or None),
        ("c.service = %(service)s", "service", only.service or None),
    ):
        if value is not None:
            parts.append(condition)
            values[name] = value
    return " AND ".join(parts), values


def read(statement: str, first: date, only: Narrowing, wanted: list[int] | None) -> list[tuple[Any, ...]]:
    where, values = narrowed(only, wanted)
    with connection.cursor() as cursor:
        cursor.execute(statement.format(where=where), {**values, "first": first, "after": after(first)})
        return list(cursor.fetchall())


def read_cells(first: date, only: Narrowing, wanted: list[int] | None) -> list[Cell]:
    rows = read(
        "SELECT rule_id, partner_id, lane, state, reason, by_hand, currency, sum(n)::bigint, sum(value) "
        f"FROM {rollups.CELLS_OF_MONTHS} AS c WHERE {{where}} GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(n) <> 0",
        *(first, only, wanted),
    )
    return [Cell._make(row) for row in rows]


def apart(standing: Iterable[pauses.Paused]) -> list[Cell]:
    """The rollups count what is paused as suspended: these cells move it."""
    return [
        Cell(one.rule_id, one.partner_id, one.lane, state, "", False, "", n, Decimal(0))
        for one in standing
        for state, n in one.moves
    ]


def late_rows(span: Span, only: Narrowing, wanted: list[int] | None) -> list[Late]:
    """Every missed promise, through the index on what was missed."""
    where, values = narrowed(only, wanted)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT * FROM (
                SELECT e.rule_id, e.partner_id, {figures.LANE} AS lane, extract(epoch FROM e.met_at - e.due_at)::float,
                    e.flow_id, f.currency, f.value, {figures.SERVICE} AS service, e.state
                FROM sla_expectation e JOIN flows_flow f ON f.id = e.flow_id
                WHERE e.state IN ('MET_LATE', 'BREACHED') AND e.due_at >= %(begin)s AND e.due_at < %(end)s
                ORDER BY e.due_at, e.id) AS c WHERE {where}""",
            {**values, "begin": span.begin, "end": span.end},
        )
        return [
            Late(rule_id, partner_id, lane, late if state == "MET_LATE" else None, 1, flow_id, currency, value)
            for rule_id, partner_id, lane, late, flow_id, currency, value, _, state in cursor.fetchall()
        ]


#: groups of lateness: name -> (its columns, its bits of GROUPING(slug, flow_slug, milestone, partner_id, lane))
_GROUPS: Mapping[str, tuple[str, int]] = {
    "total": ("", 0b11111),
    "rule": ("r.slug, ", 0b01111),
    "cause": ("r.flow_slug, r.milestone, c.partner_id, ", 0b10001),
    "partner": ("c.partner_id, ", 0b11101),
    "lane": ("c.lane, ", 0b11110),
}
_STEPS = f"""
WITH steps AS (
    SELECT GROUPING(r.slug, r.flow_slug, r.milestone, c.partner_id, c.lane) AS kind, r.slug, r.flow_slug, r.milestone,
        c.partner_id, c.lane, c.late_bucket, sum(c.n) AS n
    FROM {rollups.LATE_OF_MONTHS} AS c JOIN sla_slarule r ON r.id = c.rule_id WHERE {{where}}
    GROUP BY GROUPING SETS ({", ".join(f"({columns}c.late_bucket)" for columns, _ in _GROUPS.values())})
), passed AS (
    SELECT *, sum(n) OVER (same ORDER BY late_bucket) AS passed, sum(n) OVER same AS whole FROM steps
    WINDOW same AS (PARTITION BY kind, slug, flow_slug, milestone, partner_id, lane)
)
SELECT kind, slug, flow_slug, milestone, partner_id, lane, min(late_bucket) FILTER (WHERE passed >= 0.5 * whole),
    min(late_bucket) FILTER (WHERE passed >= 0.95 * whole)
FROM passed GROUP BY 1, 2, 3, 4, 5, 6
"""


def late_steps(first: date, only: Narrowing, wanted: list[int] | None) -> Lateness:
    """Median and 95th percentile of every group, from the histogram: the middle of the step they lie in."""
    kinds = {bits: name for name, (_, bits) in _GROUPS.items()}
    found: Lateness = {name: {} for name in _GROUPS}
    for bits, slug, flow, milestone, partner_id, lane, middle, most in read(_STEPS, first, only, wanted):
        kind = kinds[bits]
        key = {"total": "", "rule": slug, "cause": (flow, milestone, partner_id), "partner": partner_id, "lane": lane}[
            kind
        ]
        found[kind][key] = (_STEP ** (middle + 0.5), _STEP ** (most + 0.5))
    return found
