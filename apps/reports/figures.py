"""Figures of a month (or any span of due times): set-wise SQL, a handful of statements whatever the size.

An expectation belongs to the span its due_at lies in. kept: MET; missed: MET_LATE and BREACHED; excluded: WAIVED;
open: PENDING; unknown: SUSPENDED, which is never counted as kept; paused: SUSPENDED of a clock that stands still although
we hear everything. The share is kept / (kept + missed), None when nothing was judged. A rule is known by its slug: its versions are added up, each having judged by its own time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from apps.core.calendars import instant
from apps.core.clock import SECOND
from apps.sla.models import Expectation

#: outcome -> states of it; AT_RISK and PAUSED are told apart by `STATE`
OUTCOMES: dict[str, tuple[str, ...]] = {
    "kept": ("MET",),
    "missed": ("MET_LATE", "BREACHED"),
    "excluded": ("WAIVED",),
    "open": ("PENDING",),
    "unknown": ("SUSPENDED",),
    "paused": ("PAUSED",),
}
STATE = "CASE WHEN e.state = 'SUSPENDED' AND e.paused <> '' THEN 'PAUSED' ELSE e.state END"
_COUNTS = ", ".join(
    f"count(*) FILTER (WHERE {STATE} IN ({', '.join(repr(state) for state in states)})) AS {name}"
    for name, states in OUTCOMES.items()
)
_AT_RISK = "count(*) FILTER (WHERE e.state = 'PENDING' AND e.at_risk)"
#: lane and service of flow f, as the rollups tell them apart
LANE = """left(coalesce(f.attributes ->> 'lane', CASE WHEN f.attributes ?| ARRAY['lane_from', 'lane_to']
    THEN concat(f.attributes ->> 'lane_from', '>', f.attributes ->> 'lane_to') END, ''), 64)"""
SERVICE = "left(coalesce(f.attributes ->> 'service', ''), 64)"
_LATE = "CASE WHEN e.state = 'MET_LATE' THEN extract(epoch FROM e.met_at - e.due_at) END"


@dataclass(frozen=True, slots=True)
class Span:
    """From begin to before end, UTC moments; zone: in which its days are counted."""

    begin: datetime
    end: datetime
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which expectations count; empty: all. partner: id; rule, flow: slugs; lane, service: as the flow's attributes say."""

    partner: int | None = None
    rule: str = ""
    flow: str = ""
    milestone: str = ""
    lane: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How expectations came out. lateness: seconds between due and the late event, of those that came late; at_risk: of

    the open ones, those past their warning.
    """

    kept: int = 0
    missed: int = 0
    excluded: int = 0
    open: int = 0
    unknown: int = 0
    paused: int = 0
    lateness_p50: float | None = None
    lateness_p95: float | None = None
    at_risk: int = 0

    @property
    def judged(self) -> int:
        return self.kept + self.missed

    @property
    def total(self) -> int:
        return self.judged + self.excluded + self.open + self.unknown + self.paused

    @property
    def share(self) -> float | None:
        """Share kept of what was judged, 0 to 1."""
        return self.kept / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule in the span. target: percent to be kept, of the newest version that judged in it."""

    slug: str
    name: str
    flow_slug: str
    milestone: str
    target: Decimal
    counts: Counts

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None when nothing was judged."""
        share = self.counts.share
        return None if share is None else Decimal(str(share)) * 100 >= self.target


@dataclass(frozen=True, slots=True)
class PartnerLine:
    """One partner in the span; id None: flows of no partner."""

    id: int | None
    slug: str
    name: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Cause:
    """What was missed most: a milestone of a flow with a partner."""

    flow_slug: str
    milestone: str
    partner_id: int | None
    partner_name: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class LaneLine:
    """One lane in the span ('' where the flows name none)."""

    lane: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why expectations were left out, and how many."""

    reason: str
    by_hand: bool
    count: int


@dataclass(frozen=True, slots=True)
class Day:
    """One local day of the span."""

    day: date
    counts: Counts


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a month's page shows."""

    span: Span
    total: Counts
    rules: list[RuleLine] = field(default_factory=list)
    partners: list[PartnerLine] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    days: list[Day] = field(default_factory=list)


def month(year: int, number: int, zone: str = "UTC") -> Span:
    """A calendar month in a zone. ValueError for an impossible one."""
    first = date(year, number, 1)
    after = date(year + number // 12, number % 12 + 1, 1)
    where = ZoneInfo(zone)
    midnight = datetime.min.time()
    return Span(instant(first, midnight, where), instant(after, midnight, where), zone)


def report(span: Span, only: Narrowing | None = None) -> Report:
    """All figures of a span in six statements."""
    only = only or Narrowing()
    return Report(
        span,
        total(span, only),
        by_rule(span, only),
        by_partner(span, only),
        worst_causes(span, only),
        exclusions(span, only),
        by_day(span, only),
    )


def total(span: Span, only: Narrowing | None = None) -> Counts:
    (row,) = _group(span, only, [])
    return _counts(row)


def by_rule(span: Span, only: Narrowing | None = None) -> list[RuleLine]:
    """Per rule, worst share first."""
    keys = [
        "r.slug",
        "(array_agg(r.name ORDER BY r.version DESC))[1]",
        "r.flow_slug",
        "r.milestone",
        "(array_agg(r.target ORDER BY r.version DESC))[1]",
    ]
    rows = _group(span, only, keys, grouped=(0, 2, 3))
    lines = [RuleLine(row[0], row[1], row[2], row[3], row[4], _counts(row[5:])) for row in rows]
    return sorted(lines, key=lambda line: worst_first(line.counts))


def by_partner(span: Span, only: Narrowing | None = None) -> list[PartnerLine]:
    """Per partner, worst share first."""
    rows = _group(span, only, ["e.partner_id", "coalesce(p.slug, '')", "coalesce(p.name, '')"])
    lines = [PartnerLine(row[0], row[1], row[2], _counts(row[3:])) for row in rows]
    return sorted(lines, key=lambda line: worst_first(line.counts))


def worst_causes(span: Span, only: Narrowing | None = None, limit: int = 10) -> list[Cause]:
    """Milestone and partner of which most was missed."""
    rows = _group(
        span,
        only,
        ["r.flow_slug", "e.milestone", "e.partner_id", "coalesce(p.name, '')"],
        more="HAVING count(*) FILTER (WHERE e.state IN ('MET_LATE', 'BREACHED')) > 0 ORDER BY missed DESC, 1, 2, 3",
        limit=limit,
    )
    return [Cause(row[0], row[1], row[2], row[3], _counts(row[4:])) for row in rows]


def exclusions(span: Span, only: Narrowing | None = None) -> list[Exclusion]:
    """What was left out and why, most frequent first."""
    where, values = condition(span, only)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT e.waived_reason, e.waived_by_id IS NOT NULL, count(*) FROM sla_expectation e "
            f"JOIN sla_slarule r ON r.id = e.rule_id WHERE {where} AND e.state = 'WAIVED' "
            "GROUP BY 1, 2 ORDER BY 3 DESC, 1",
            values,
        )
        return [Exclusion(*row) for row in cursor.fetchall()]


def by_day(span: Span, only: Narrowing | None = None) -> list[Day]:
    """One entry for every local day of the span, empty ones too."""
    rows = _group(span, only, ["(e.due_at AT TIME ZONE %(zone)s)::date"])
    found = {row[0]: _counts(row[1:]) for row in rows}
    where = ZoneInfo(span.zone)
    day, last = span.begin.astimezone(where).date(), (span.end - SECOND).astimezone(where).date()
    days = []
    while day <= last:
        days.append(Day(day, found.get(day, Counts())))
        day += timedelta(days=1)
    return days


def behind(span: Span, only: Narrowing | None = None, outcome: str = "") -> QuerySet[Expectation]:
    """The expectations behind a figure, latest due first. outcome: one of `OUTCOMES`, at_risk, '' for all."""
    only = only or Narrowing()
    found = Expectation.objects.filter(due_at__gte=span.begin, due_at__lt=span.end)
    if only.partner is not None:
        found = found.filter(partner_id=only.partner)
    if only.rule:
        found = found.filter(rule__slug=only.rule)
    if only.flow:
        found = found.filter(rule__flow_slug=only.flow)
    if only.milestone:
        found = found.filter(milestone=only.milestone)
    for name, value in (("lane", only.lane), ("service", only.service)):
        if value:
            found = found.filter(flow_id__in=_flows_of(name, value))
    if outcome == "at_risk":
        found = found.filter(state=Expectation.State.PENDING, at_risk=True)
    elif outcome == "paused":
        found = found.filter(state=Expectation.State.SUSPENDED).exclude(paused="")
    elif outcome == "unknown":
        found = found.filter(state=Expectation.State.SUSPENDED, paused="")
    elif outcome:
        found = found.filter(state__in=OUTCOMES[outcome])
    return found.select_related("flow", "rule", "partner").order_by("-due_at", "-id")


def outcome_of(one: Expectation) -> str:
    """Which of `OUTCOMES` a promise counts as."""
    state = "PAUSED" if one.state == Expectation.State.SUSPENDED and one.paused else one.state
    return next(name for name, states in OUTCOMES.items() if state in states)


def _flows_of(name: str, value: str) -> RawSQL:
    column = LANE if name == "lane" else SERVICE
    return RawSQL(f"SELECT f.id FROM flows_flow f WHERE {column} = %s", [value])


# -- one statement for every grouping -----------------------------------------


def condition(span: Span, only: Narrowing | None) -> tuple[str, dict[str, Any]]:
    """SQL about expectation e of rule r, and its values."""
    only = only or Narrowing()
    parts = ["e.due_at >= %(begin)s", "e.due_at < %(end)s"]
    values: dict[str, Any] = {"begin": span.begin, "end": span.end, "zone": span.zone}
    for condition, name, value in (
        ("e.partner_id = %(partner)s", "partner", only.partner),
        ("r.slug = %(rule)s", "rule", only.rule),
        ("r.flow_slug = %(flow)s", "flow", only.flow),
        ("e.milestone = %(milestone)s", "milestone", only.milestone),
        (f"e.flow_id IN (SELECT f.id FROM flows_flow f WHERE {LANE} = %(lane)s)", "lane", only.lane),
        (f"e.flow_id IN (SELECT f.id FROM flows_flow f WHERE {SERVICE} = %(service)s)", "service", only.service),
    ):
        if value not in (None, ""):
            parts.append(condition)
            values[name] = value
    return " AND ".join(parts), values


def _group(
    span: Span,
    only: Narrowing | None,
    keys: Sequence[str],
    *,
    grouped: Sequence[int] | None = None,
    more: str = "",
    limit: int | None = None,
) -> list[tuple[Any, ...]]:
    """Counts and lateness by these SQL keys. grouped: which of them make the groups, if not all."""
    where, values = condition(span, only)
    numbers = range(len(keys)) if grouped is None else grouped
    group = f"GROUP BY {', '.join(str(number + 1) for number in numbers)}" if keys else ""
    lead = "".join(f"{key}, " for key in keys)
    statement = (
        f"SELECT {lead}{_COUNTS}, percentile_cont(0.5) WITHIN GROUP (ORDER BY {_LATE}), "
        f"percentile_cont(0.95) WITHIN GROUP (ORDER BY {_LATE}), {_AT_RISK} "
        "FROM sla_expectation e JOIN sla_slarule r ON r.id = e.rule_id "
        "LEFT JOIN integrations_partner p ON p.id = e.partner_id "
        f"WHERE {where} {group} {more}"
    )
    if limit is not None:
        statement += " LIMIT %(limit)s"
        values["limit"] = limit
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def _counts(row: Sequence[Any]) -> Counts:
    return Counts(*row)


def worst_first(counts: Counts) -> tuple[float, int]:
    return (2.0 if counts.share is None else counts.share, -counts.missed)


def as_row(counts: Counts) -> Mapping[str, Any]:
    """The figures as a flat row, for CSV and API: share in percent, lateness in seconds."""
    return {
        "kept": counts.kept,
        "missed": counts.missed,
        "excluded": counts.excluded,
        "open": counts.open,
        "unknown": counts.unknown,
        "at_risk": counts.at_risk,
        "share_percent": None if counts.share is None else round(counts.share * 100, 2),
        "lateness_p50_seconds": counts.lateness_p50,
        "lateness_p95_seconds": counts.lateness_p95,
        "paused": counts.paused,
    }


def percentile(ordered: Sequence[tuple[float, int]], share: float) -> float | None:
    """Between the two nearest, as PostgreSQL's percentile_cont. ordered: (value, how many times), ascending."""
    total = sum(n for _, n in ordered)
    if not total:
        return None
    place = share * (total - 1)
    low, rest = int(place), place - int(place)
    values: list[float] = []
    passed = 0
    for value, n in ordered:
        passed += n
        while len(values) < 2 and passed > low + len(values):
            values.append(value)
        if len(values) == 2:
            break
    return values[0] + (values[1] - values[0]) * rest if rest and len(values) == 2 else values[0]
