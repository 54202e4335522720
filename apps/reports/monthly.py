"""A month's figures from the rollups: the same as `figures` counts from the rows, at the cost of some thousand cells.

What cannot be added up is exact while few promises were missed (`MOST_ROWS`, read from the rows) and bounded above:
lateness then comes from the histogram (within 3 %), and money is the sum over promises, an order counted once for each
it missed (`Money.at_most`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from apps.integrations.models import Partner
from apps.reports import figures, pauses, rollups
from apps.reports.figures import Cause, Counts, Day, Exclusion, LaneLine, Narrowing, PartnerLine, Report, RuleLine, Span
from apps.sla.models import SlaRule

MOST_ROWS = 1_000
MONTHS_OF_TREND = 13
_STEP = 1.05
_OUTCOME = {state: name for name, states in figures.OUTCOMES.items() for state in states} | {"AT_RISK": "open"}


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


@dataclass(frozen=True, slots=True)
class Money:
    """By currency, never added together. at_most: an order may be in it more than once."""

    amounts: dict[str, Decimal] = field(default_factory=dict)
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Trend:
    """One month of those before; month: its first day."""

    month: date
    counts: Counts


#: group -> key of it -> (median, 95th percentile) in seconds, where there are too many to read
Lateness = dict[str, dict[Any, tuple[float, float]]]


@dataclass(slots=True)
class Month:
    """Everything a month's page shows. late_value: of what was missed, risk_value: of what is at risk."""

    report: Report
    lanes: list[LaneLine]
    #: partner -> day -> counts
    daily: dict[int | None, dict[date, Counts]]
    cells: list[Cell]
    lates: list[Late]
    exact: bool
    rules: dict[int, SlaRule]

    def late_value(self) -> Money:
        """Value of the flows that missed a promise."""
        return self.late_values(lambda one: "").get("", Money(at_most=not self.exact))

    def late_values(self, key: Callable[[Any], Any]) -> dict[Any, Money]:
        """The same by key, in one pass; key: of a `Late` or a `Cell`."""
        totals: dict[Any, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        if self.exact:
            seen: set[tuple[Any, int | None]] = set()
            for late in self.lates:
                if late.value is not None and (there := (key(late), late.flow_id)) not in seen:
                    seen.add(there)
                    totals[there[0]][late.currency] += late.value
        else:
            for cell in self.cells:
                if cell.currency and _OUTCOME[cell.state] == "missed":
                    totals[key(cell)][cell.currency] += cell.value
        return {one: Money(dict(amounts), at_most=not self.exact) for one, amounts in totals.items()}

    def risk_value(self) -> Money:
        """Value of what is pending and past its warning, an order once for each such promise."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for cell in self.cells:
            if cell.state == "AT_RISK" and cell.currency:
                totals[cell.currency] += cell.value
        return Money({one: value for one, value in totals.items() if value}, at_most=True)


def after(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def month(first: date, only: Narrowing | None = None) -> Month:
    """The month that begins on this day, in the zone of reports. Seven statements, whatever its size."""
    only = only or Narrowing()
    span = figures.month(first.year, first.month, rollups.zone())
    rules = {one.pk: one for one in SlaRule.objects.all()}
    wanted = _rules(rules.values(), only)
    cells = _cells(first, only, wanted)
    missed = sum(cell.n for cell in cells if _OUTCOME[cell.state] == "missed")
    exact = missed <= MOST_ROWS
    lates = _late_rows(span, only, wanted) if exact else []
    known: Lateness = {} if exact else _late_steps(first, only, wanted)
    standing = pauses.paused(span.begin, span.end, span.zone, only, wanted)
    cells += _apart(standing)
    days, daily = _days(first, only, wanted, standing)
    found = Month(Report(span, Counts()), [], daily, cells, lates, exact, rules)
    partners = {pk: (slug, name) for pk, slug, name in Partner.objects.values_list("pk", "slug", "name")}
    found.lanes = sorted(
        (LaneLine(lane, counts) for lane, counts in _by(cells, lates, lambda one: one.lane, known.get("lane")).items()),
        key=lambda line: figures.worst_first(line.counts),
    )
    found.report = Report(
        span,
        _sum(cells, lates, known),
        _rule_lines(cells, lates, rules, known),
        sorted(
            (
                PartnerLine(pk, *partners.get(pk or 0, ("", "")), counts)
                for pk, counts in _by(cells, lates, lambda one: one.partner_id, known.get("partner")).items()
            ),
            key=lambda line: figures.worst_first(line.counts),
        ),
        _causes(cells, lates, rules, partners, known),
        _exclusions(cells),
        days,
    )
    return found


def trend(last: date, only: Narrowing | None = None, months: int = MONTHS_OF_TREND) -> list[Trend]:
    """The months up to this one, the oldest first, from the first that judged anything. Three statements."""
    only = only or Narrowing()
    wanted = _rules(SlaRule.objects.all(), only)
    first = last
    for _ in range(months - 1):
        first = (first - timedelta(days=1)).replace(day=1)
    where, values = _where(only, wanted)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT month, state, sum(n)::bigint FROM {rollups.CELLS_OF_MONTHS} AS c WHERE {where} GROUP BY 1, 2",
            {**values, "first": first, "after": after(last)},
        )
        rows = cursor.fetchall()
    begin, span = (figures.month(one.year, one.month, rollups.zone()) for one in (first, last))
    rows += pauses.by_month(pauses.paused(begin.begin, span.end, span.zone, only, wanted))
    found: list[Trend] = []
    while first <= last:
        counts = _counts(((state, n) for at, state, n in rows if at == first), ())
        if found or counts.total or first == last:
            found.append(Trend(first, counts))
        first = after(first)
    return found


# -- reading the cells ---------------------------------------------------------


def _rules(rules: Iterable[SlaRule], only: Narrowing) -> list[int] | None:
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


def _where(only: Narrowing, wanted: list[int] | None) -> tuple[str, dict[str, Any]]:
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


def _read(statement: str, first: date, only: Narrowing, wanted: list[int] | None) -> list[tuple[Any, ...]]:
    where, values = _where(only, wanted)
    with connection.cursor() as cursor:
        cursor.execute(statement.format(where=where), {**values, "first": first, "after": after(first)})
        return list(cursor.fetchall())


def _cells(first: date, only: Narrowing, wanted: list[int] | None) -> list[Cell]:
    rows = _read(
        "SELECT rule_id, partner_id, lane, state, reason, by_hand, currency, sum(n)::bigint, sum(value) "
        f"FROM {rollups.CELLS_OF_MONTHS} AS c WHERE {{where}} GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(n) <> 0",
        *(first, only, wanted),
    )
    return [Cell._make(row) for row in rows]


def _apart(standing: Iterable[pauses.Paused]) -> list[Cell]:
    """The rollups count what is paused as suspended: these cells move it."""
    return [
        Cell(one.rule_id, one.partner_id, one.lane, state, "", False, "", n, Decimal(0))
        for one in standing
        for state, n in one.moves
    ]


def _days(
    first: date, only: Narrowing, wanted: list[int] | None, standing: Sequence[pauses.Paused]
) -> tuple[list[Day], dict[int | None, dict[date, Counts]]]:
    rows = _read(
        f"SELECT day, partner_id, state, sum(n)::bigint FROM {rollups.CELLS_OF_DAYS} AS c WHERE {{where}} "
        "GROUP BY 1, 2, 3 HAVING sum(n) <> 0",
        *(first, only, wanted),
    )
    rows += [(one.day, one.partner_id, state, n) for one in standing for state, n in one.moves]
    by_day: dict[date, list[tuple[str, int]]] = defaultdict(list)
    by_both: dict[int | None, dict[date, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    for day, partner_id, state, n in rows:
        by_day[day].append((state, n))
        by_both[partner_id][day].append((state, n))
    length = (after(first) - first).days
    days = [first + timedelta(days=number) for number in range(length)]
    daily = {pk: {day: _counts(told, ()) for day, told in found.items()} for pk, found in by_both.items()}
    return [Day(day, _counts(by_day.get(day, ()), ())) for day in days], daily


def _late_rows(span: Span, only: Narrowing, wanted: list[int] | None) -> list[Late]:
    """Every missed promise, through the index on what was missed."""
    where, values = _where(only, wanted)
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


def _late_steps(first: date, only: Narrowing, wanted: list[int] | None) -> Lateness:
    """Median and 95th percentile of every group, from the histogram: the middle of the step they lie in."""
    kinds = {bits: name for name, (_, bits) in _GROUPS.items()}
    found: Lateness = {name: {} for name in _GROUPS}
    for bits, slug, flow, milestone, partner_id, lane, middle, most in _read(_STEPS, first, only, wanted):
        kind = kinds[bits]
        key = {"total": "", "rule": slug, "cause": (flow, milestone, partner_id), "partner": partner_id, "lane": lane}[
            kind
        ]
        found[kind][key] = (_STEP ** (middle + 0.5), _STEP ** (most + 0.5))
    return found


# -- adding up -----------------------------------------------------------------


def _counts(
    states: Iterable[tuple[str, int]],
    lates: Sequence[tuple[float, int]],
    known: tuple[float | None, float | None] | None = None,
) -> Counts:
    numbers: dict[str, int] = defaultdict(int)
    at_risk = 0
    for state, n in states:
        numbers[_OUTCOME[state]] += n
        at_risk += n if state == "AT_RISK" else 0
    ordered = sorted(lates)
    middle, most = known or (figures.percentile(ordered, 0.5), figures.percentile(ordered, 0.95))
    return Counts(
        **{name: max(numbers[name], 0) for name in figures.OUTCOMES},
        lateness_p50=middle,
        lateness_p95=most,
        at_risk=at_risk,
    )


def _by(
    cells: Iterable[Cell],
    lates: Iterable[Late],
    key: Callable[[Any], Any],
    known: Mapping[Any, tuple[float, float]] | None = None,
) -> dict[Any, Counts]:
    states: dict[Any, list[tuple[str, int]]] = defaultdict(list)
    took: dict[Any, list[tuple[float, int]]] = defaultdict(list)
    for cell in cells:
        states[key(cell)].append((cell.state, cell.n))
    for late in lates:
        if late.seconds is not None:
            took[key(late)].append((late.seconds, late.n))
    known = known or {}
    return {one: _counts(told, took.get(one, ()), known.get(one)) for one, told in states.items()}


def _sum(cells: Sequence[Cell], lates: Sequence[Late], known: Lateness) -> Counts:
    return _by(cells, lates, lambda one: "", known.get("total")).get("", Counts())


def _rule_lines(
    cells: Sequence[Cell], lates: Sequence[Late], rules: Mapping[int, SlaRule], known: Lateness
) -> list[RuleLine]:
    newest: dict[str, SlaRule] = {}
    for cell in cells:
        one = rules[cell.rule_id]
        if one.slug not in newest or newest[one.slug].version < one.version:
            newest[one.slug] = one
    lines = [
        RuleLine(slug, newest[slug].name, newest[slug].flow_slug, newest[slug].milestone, newest[slug].target, counts)
        for slug, counts in _by(cells, lates, lambda one: rules[one.rule_id].slug, known.get("rule")).items()
    ]
    return sorted(lines, key=lambda line: (*figures.worst_first(line.counts), line.slug))


def _causes(
    cells: Sequence[Cell],
    lates: Sequence[Late],
    rules: Mapping[int, SlaRule],
    partners: Mapping[int, tuple[str, str]],
    known: Lateness,
) -> list[Cause]:
    def place(one: Any) -> tuple[str, str, int | None]:
        rule = rules[one.rule_id]
        return rule.flow_slug, rule.milestone, one.partner_id

    found = [
        Cause(flow, milestone, pk, partners.get(pk or 0, ("", ""))[1], counts)
        for (flow, milestone, pk), counts in _by(cells, lates, place, known.get("cause")).items()
        if counts.missed
    ]
    return sorted(found, key=lambda cause: (-cause.counts.missed, cause.flow_slug, cause.milestone))[:10]


def _exclusions(cells: Sequence[Cell]) -> list[Exclusion]:
    found: dict[tuple[str, bool], int] = defaultdict(int)
    for cell in cells:
        if cell.state == "WAIVED":
            found[cell.reason, cell.by_hand] += cell.n
    lines = [Exclusion(reason, by_hand, n) for (reason, by_hand), n in found.items()]
    return sorted(lines, key=lambda line: (-line.count, line.reason))
