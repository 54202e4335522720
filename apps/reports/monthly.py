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
from typing import Any

from django.db import connection

from apps.integrations.models import Partner
from apps.reports import figures, pauses, rollups
from apps.reports.cells import (
    OUTCOME,
    Cell,
    Late,
    Lateness,
    after,
    apart,
    late_rows,
    late_steps,
    narrowed,
    read,
    read_cells,
    wanted_rules,
    whole,
)
from apps.reports.figures import Cause, Counts, Day, Exclusion, LaneLine, Narrowing, PartnerLine, Report, RuleLine
from apps.sla.models import SlaRule

MOST_ROWS = 1_000
MOST_CAUSES = 10
MONTHS_OF_TREND = 13

#: flow, milestone, partner
Place = tuple[str, str, int | None]


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


@dataclass(slots=True)
class Month:
    """Everything a month's page shows. late_value: of what was missed, risk_value: of what is at risk."""

    report: Report
    lanes: list[LaneLine]
    #: partner -> day -> share kept, where something was judged
    daily: dict[int | None, dict[date, float]]
    cells: list[Cell]
    #: those of them that tell money of what was missed
    missed: list[Cell]
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
            for cell in self.missed:
                totals[key(cell)][cell.currency] += cell.value
        return {one: Money(dict(amounts), at_most=not self.exact) for one, amounts in totals.items()}

    def risk_value(self) -> Money:
        """Value of what is pending and past its warning, an order once for each such promise."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for cell in self.cells:
            if cell.state == "AT_RISK" and cell.currency:
                totals[cell.currency] += cell.value
        return Money({one: value for one, value in totals.items() if value}, at_most=True)


def month(first: date, only: Narrowing | None = None) -> Month:
    """The month that begins on this day, in the zone of reports. Seven statements, whatever its size."""
    only, zone = only or Narrowing(), rollups.zone()
    rules = _all_rules()
    standing = _standing(first, first, only, zone, wanted_rules(rules.values(), only))
    return _month(first, only, zone, rules, standing, Partner.objects.all())


def trend(last: date, only: Narrowing | None = None, months: int = MONTHS_OF_TREND) -> list[Trend]:
    """The months up to this one, the oldest first, from the first that judged anything. Four statements."""
    only, zone = only or Narrowing(), rollups.zone()
    first, wanted = _begin(last, months), wanted_rules(_all_rules().values(), only)
    return _trend(first, last, only, wanted, _standing(first, last, only, zone, wanted))


def month_and_trend(
    last: date, only: Narrowing, zone: str, partners: Iterable[Partner], months: int = MONTHS_OF_TREND
) -> tuple[Month, list[Trend]]:
    """Both, from the same rules and the same look at what is paused. zone: the one of reports; partners: all. Six statements."""
    rules, first = _all_rules(), _begin(last, months)
    wanted = wanted_rules(rules.values(), only)
    standing = _standing(first, last, only, zone, wanted)
    of_month = [one for one in standing if one.day >= last]
    return _month(last, only, zone, rules, of_month, partners), _trend(first, last, only, wanted, standing)


def _all_rules() -> dict[int, SlaRule]:
    """By id, with all but what their deadlines are worked out from."""
    return {one.pk: one for one in SlaRule.objects.defer("spec")}


def _begin(last: date, months: int) -> date:
    """The first day of the month that is the first of so many."""
    for _ in range(months - 1):
        last = (last - timedelta(days=1)).replace(day=1)
    return last


def _standing(first: date, last: date, only: Narrowing, zone: str, wanted: list[int] | None) -> list[pauses.Paused]:
    """What is paused of the months from the first to the last."""
    begin, end = (figures.month(one.year, one.month, zone) for one in (first, last))
    return pauses.paused(begin.begin, end.end, zone, only, wanted)


def _month(
    first: date,
    only: Narrowing,
    zone: str,
    rules: Mapping[int, SlaRule],
    standing: Sequence[pauses.Paused],
    known_partners: Iterable[Partner],
) -> Month:
    span = figures.month(first.year, first.month, zone)
    wanted = wanted_rules(rules.values(), only)
    cells = read_cells(first, only, wanted)
    missed = sum(cell.n for cell in cells if OUTCOME[cell.state] == "missed")
    exact = missed <= MOST_ROWS
    lates = late_rows(span, only, wanted) if exact else []
    worst = _worst(cells, rules)
    known: Lateness = {} if exact else late_steps(first, only, wanted, rules, worst)
    cells += apart(standing)
    days, daily = _days(first, only, wanted, standing)
    worth = [cell for cell in cells if cell.currency and OUTCOME[cell.state] == "missed"]
    found = Month(Report(span, Counts()), [], daily, cells, worth, lates, exact, dict(rules))
    partners = {one.pk: (one.slug, one.name) for one in known_partners}
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
        _causes(cells, lates, rules, partners, known, worst),
        _exclusions(cells),
        days,
    )
    return found


def _trend(
    first: date, last: date, only: Narrowing, wanted: list[int] | None, standing: Sequence[pauses.Paused]
) -> list[Trend]:
    where, values = narrowed(only, wanted)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT month, state, sum(n)::bigint FROM {rollups.CELLS_OF_MONTHS} AS c WHERE {where} GROUP BY 1, 2",
            {**values, "first": first, "after": after(last)},
        )
        rows = cursor.fetchall()
    rows += pauses.by_month(standing)
    found: list[Trend] = []
    while first <= last:
        counts = _counts(((state, n) for at, state, n in rows if at == first), ())
        if found or counts.total or first == last:
            found.append(Trend(first, counts))
        first = after(first)
    return found


#: a row a day and state, and one a day and partner with what was kept and missed
_DAYS = """
SELECT GROUPING(partner_id) = 1, day, partner_id, state, sum(n)::bigint,
    coalesce(sum(n) FILTER (WHERE state = ANY(%(kept)s)), 0)::bigint,
    coalesce(sum(n) FILTER (WHERE state = ANY(%(missed)s)), 0)::bigint
FROM {source} AS c WHERE {where} GROUP BY GROUPING SETS ((day, state), (day, partner_id))
"""


def _days(
    first: date, only: Narrowing, wanted: list[int] | None, standing: Sequence[pauses.Paused]
) -> tuple[list[Day], dict[int | None, dict[date, float]]]:
    source = rollups.SUMS_OF_DAYS if whole(only, wanted) else rollups.CELLS_OF_DAYS
    by_day: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    judged: dict[int | None, dict[date, tuple[int, int]]] = defaultdict(dict)
    outcomes = {name: list(figures.OUTCOMES[name]) for name in ("kept", "missed")}
    rows = read(_DAYS.replace("{source}", source), first, only, wanted, outcomes)
    for of_day, day, partner_id, state, n, kept, missed in rows:
        if of_day:
            by_day[day][state] = n
        else:
            judged[partner_id][day] = kept, missed
    # what stands still is neither kept nor missed, wherever it is counted
    for one in standing:
        for state, n in one.moves:
            by_day[one.day][state] += n
    length = (after(first) - first).days
    days = [first + timedelta(days=number) for number in range(length)]
    daily = {
        pk: {day: kept / (kept + missed) for day, (kept, missed) in found.items() if kept + missed}
        for pk, found in judged.items()
    }
    return [Day(day, _counts(by_day[day].items() if day in by_day else (), ())) for day in days], daily


def _counts(
    states: Iterable[tuple[str, int]],
    lates: Sequence[tuple[float, int]],
    known: tuple[float | None, float | None] | None = None,
) -> Counts:
    numbers: dict[str, int] = defaultdict(int)
    at_risk = 0
    for state, n in states:
        numbers[OUTCOME[state]] += n
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
    states: dict[Any, dict[str, int]] = {}
    took: dict[Any, list[tuple[float, int]]] = defaultdict(list)
    for cell in cells:
        one = key(cell)
        if (told := states.get(one)) is None:
            told = states[one] = defaultdict(int)
        told[cell.state] += cell.n
    for late in lates:
        if late.seconds is not None:
            took[key(late)].append((late.seconds, late.n))
    known = known or {}
    return {one: _counts(told.items(), took.get(one, ()), known.get(one)) for one, told in states.items()}


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


def _place(one: Any, rules: Mapping[int, SlaRule]) -> Place:
    rule = rules[one.rule_id]
    return rule.flow_slug, rule.milestone, one.partner_id


def _worst(cells: Iterable[Cell], rules: Mapping[int, SlaRule]) -> list[Place]:
    """Where most was missed, the most first."""
    missed: dict[Place, int] = defaultdict(int)
    for cell in cells:
        if OUTCOME[cell.state] == "missed":
            missed[_place(cell, rules)] += cell.n
    found = [(place, n) for place, n in missed.items() if n > 0]
    return [
        place
        for place, _ in sorted(found, key=lambda one: (-one[1], one[0][0], one[0][1], one[0][2] or 0))[:MOST_CAUSES]
    ]


def _causes(
    cells: Sequence[Cell],
    lates: Sequence[Late],
    rules: Mapping[int, SlaRule],
    partners: Mapping[int, tuple[str, str]],
    known: Lateness,
    worst: Sequence[Place],
) -> list[Cause]:
    there = set(worst)
    counts = _by(
        [cell for cell in cells if _place(cell, rules) in there],
        [late for late in lates if _place(late, rules) in there],
        lambda one: _place(one, rules),
        known.get("cause"),
    )
    return [
        Cause(flow, milestone, pk, partners.get(pk or 0, ("", ""))[1], counts[flow, milestone, pk])
        for flow, milestone, pk in worst
    ]


def _exclusions(cells: Sequence[Cell]) -> list[Exclusion]:
    found: dict[tuple[str, bool], int] = defaultdict(int)
    for cell in cells:
        if cell.state == "WAIVED":
            found[cell.reason, cell.by_hand] += cell.n
    lines = [Exclusion(reason, by_hand, n) for (reason, by_hand), n in found.items()]
    return sorted(lines, key=lambda line: (-line.count, line.reason))
