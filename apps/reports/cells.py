"""The cells of the rollups as the month's report reads them, and what is missed from the rows while it is little."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, zip_longest
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


def read(
    statement: str, first: date, only: Narrowing, wanted: list[int] | None, more: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Rows of a statement over cells ``c`` of the month, {where} of it narrowed. more: further parameters."""
    where, values = narrowed(only, wanted)
    with connection.cursor() as cursor:
        cursor.execute(statement.format(where=where), {**values, **(more or {}), "first": first, "after": after(first)})
        return list(cursor.fetchall())


def read_cells(first: date, only: Narrowing, wanted: list[int] | None) -> list[Cell]:
    rows = read(
        "SELECT rule_id, partner_id, lane, state, reason, by_hand, currency, sum(n)::bigint, sum(value) "
        f"FROM {rollups.CELLS_OF_MONTHS} AS c WHERE {{where}} GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(n) <> 0",
        *(first, only, wanted),
    )
    return list(map(Cell._make, rows))


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


def whole(only: Narrowing, wanted: list[int] | None) -> bool:
    """Whether nothing is narrowed that the sums do not tell apart."""
    return wanted is None and not only.lane and not only.service


#: one row a group, two where deltas wait beside its sum
_STEPS = """
SELECT kind, rule_id, partner_id, lane, steps FROM {sums} AS c
WHERE kind <> 1 OR (rule_id, coalesce(partner_id, 0)) IN (SELECT * FROM unnest(%(of_rules)s::bigint[], %(of)s::bigint[]))
"""
_CHOSEN = (
    "(" + rollups.SUMMED_LATE.format(rows=f"(SELECT * FROM {rollups.LATE_OF_MONTHS} AS c WHERE {{where}}) AS c") + ")"
)


def late_steps(
    first: date,
    only: Narrowing,
    wanted: list[int] | None,
    rules: Mapping[int, SlaRule],
    causes: Sequence[tuple[str, str, int | None]],
) -> Lateness:
    """Median and 95th percentile of every group, from the histogram: the middle of the step they lie in.

    causes: (flow, milestone, partner) of those that are wanted.
    """
    told = set(causes)
    of = [
        (pk, partner)
        for pk, one in rules.items()
        for flow, milestone, partner in causes
        if (one.flow_slug, one.milestone) == (flow, milestone)
    ]
    more = {"of_rules": [pk for pk, _ in of], "of": [partner or 0 for _, partner in of]}
    sums = rollups.LATE_SUMS_OF_MONTHS if whole(only, wanted) and only.partner is None else _CHOSEN
    groups: dict[str, dict[Any, list[int]]] = {name: {} for name in ("total", "rule", "cause", "partner", "lane")}
    for kind, rule_id, partner_id, lane, steps in read(_STEPS.replace("{sums}", sums), first, only, wanted, more):
        into: list[tuple[str, Any]] = []
        if kind == 3:
            into = [("rule", rules[rule_id].slug), ("total", "")]
        elif kind == 5:
            into = [("partner", partner_id)]
        elif kind == 6:
            into = [("lane", lane)]
        elif (place := (rules[rule_id].flow_slug, rules[rule_id].milestone, partner_id)) in told:
            into = [("cause", place)]
        for name, key in into:
            have = groups[name].get(key)
            groups[name][key] = [a + b for a, b in zip_longest(have, steps, fillvalue=0)] if have else steps
    return {
        name: {key: found for key, steps in of_kind.items() if (found := _middle_and_most(steps))}
        for name, of_kind in groups.items()
    }


def _middle_and_most(steps: Sequence[int]) -> tuple[float, float] | None:
    """The middles of the steps that half and 95 of a hundred have reached; None where nothing came late."""
    passed = list(accumulate(steps))
    if not passed or passed[-1] <= 0:
        return None
    half, most = (bisect_left(passed, share * passed[-1]) for share in (0.5, 0.95))
    return _STEP ** (half + 0.5), _STEP ** (most + 0.5)
