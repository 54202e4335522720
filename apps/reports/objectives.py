"""Objectives as of a moment: share kept in the window, what is left of the error budget, how fast it burns.

Shares and budgets come from the rollups (whole days in the zone of reports), burn rates from the promises themselves,
each counted at the moment it was due.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from apps.core import wording
from apps.core.calendars import instant
from apps.flows.canonical import key_of
from apps.incidents.models import Finding, Severity
from apps.incidents.workflow import FindingDraft, clear_findings, raise_findings
from apps.reports import burning, rollups
from apps.reports.burning import WINDOWS, Burn, Tally
from apps.reports.models import Objective

KIND = "objective.burn"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Frame:
    """The window as of now: days from first to before after, in the zone of reports."""

    first: date
    after: date
    begin: datetime
    end: datetime

    @property
    def period(self) -> timedelta:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the window; spent: share of the budget used up by its end, None for days to come."""

    day: date
    tally: Tally
    spent: float | None

    @property
    def left_percent(self) -> int:
        return round(100 * (1 - (self.spent or 0)))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an objective stands. share: kept of judged, 0 to 1; left: share of the budget that is left, may be negative;

    unknown: promises whose source cannot be heard or whose clock stands still.
    """

    objective: Objective
    frame: Frame
    tally: Tally
    unknown: int
    days: list[Day]
    burns: list[Burn]

    @property
    def target(self) -> float:
        return float(self.objective.target) / 100

    @property
    def share(self) -> float | None:
        return self.tally.kept / self.tally.judged if self.tally.judged else None

    @property
    def share_at_least(self) -> float:
        """The share if every promise that is unknown or paused turned out missed."""
        return self.tally.kept / ((self.tally.judged + self.unknown) or 1)

    @property
    def allowed(self) -> float:
        """How many may be missed of as many as were judged."""
        return self.tally.judged * (1 - self.target)

    @property
    def left(self) -> float | None:
        return round(1 - self.tally.missed / self.allowed, 9) if self.allowed else None

    @property
    def burning(self) -> Burn | None:
        """The shortest window that fires, of those the objective wants to hear of."""
        return next((burn for burn in self.told if burn.fires), None)

    @property
    def told(self) -> list[Burn]:
        return [burn for burn in self.burns if burn.window.alert in self.objective.alerts]

    @property
    def state(self) -> str:
        """As the design system names states. Nothing judged is unknown, never on time; so is what would be below target

        if those of which nobody knows were missed.
        """
        if self.share is None:
            return "unknown"
        if self.share < self.target:
            return "late"
        if self.unknown and self.share_at_least < self.target:
            return "unknown"
        return "at-risk" if self.burning or (self.left is not None and self.left < 0.2) else "on-time"


def frame(objective: Objective, now: datetime, zone: str) -> Frame:
    """The objective's window that now lies in. A rolling one ends with today."""
    where = ZoneInfo(zone)
    today = now.astimezone(where).date()
    if objective.window == Objective.Window.ROLLING:
        first, after = today - timedelta(days=objective.days - 1), today + _DAY
    elif objective.period == Objective.Period.WEEK:
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    else:
        months = 3 if objective.period == Objective.Period.QUARTER else 1
        first = today.replace(day=1, month=(today.month - 1) // months * months + 1)
        last = first.month + months
        after = date(first.year + (last > 12), (last - 1) % 12 + 1, 1)
    midnight = datetime.min.time()
    return Frame(first, after, instant(first, midnight, where), instant(after, midnight, where))


def standing(objective: Objective, now: datetime) -> Standing:
    """Two statements, beside the zone's."""
    zone = rollups.zone()
    span = frame(objective, now, zone)
    today = now.astimezone(ZoneInfo(zone)).date()
    found: dict[date, Tally] = {}
    unknown = 0
    for day, kept, missed, suspended in _days(objective, span):
        found[day] = Tally(kept, missed)
        unknown += suspended
    total = Tally(sum(one.kept for one in found.values()), sum(one.missed for one in found.values()))
    allowed = total.judged * (1 - float(objective.target) / 100)
    days, missed, day = [], 0, span.first
    while day < span.after:
        tally = found.get(day, Tally())
        missed += tally.missed
        days.append(Day(day, tally, (missed / allowed if allowed else 0.0) if day <= today else None))
        day += _DAY
    return Standing(objective, span, total, unknown, days, burns(objective, span, now))


def standings(now: datetime) -> list[Standing]:
    """Every active objective, what is worst first."""
    found = [standing(one, now) for one in Objective.objects.filter(active=True).select_related("partner")]
    order = {"late": 0, "at-risk": 1, "unknown": 2, "on-time": 3}
    return sorted(found, key=lambda one: (order[one.state], 1 if one.left is None else one.left, one.objective.name))


_CELLS = f"""
SELECT c.day, coalesce(sum(c.n) FILTER (WHERE c.state = 'MET'), 0)::bigint,
    coalesce(sum(c.n) FILTER (WHERE c.state IN ('MET_LATE', 'BREACHED')), 0)::bigint,
    coalesce(sum(c.n) FILTER (WHERE c.state = 'SUSPENDED'), 0)::bigint
FROM {rollups.CELLS_OF_DAYS} AS c JOIN sla_slarule r ON r.id = c.rule_id
WHERE true"""


def _narrowed(objective: Objective, cells: str) -> tuple[str, dict[str, Any]]:
    """Conditions on cells (or rows with the same columns) and rules r."""
    parts, values = [""], {}
    for condition, name, value in (
        ("r.slug = %(rule)s", "rule", objective.rule),
        ("r.flow_slug = %(flow)s", "flow", objective.flow),
        (f"{cells}.partner_id = %(partner)s", "partner", objective.partner_id),
        (f"{cells}.lane = %(lane)s", "lane", objective.lane),
        (f"{cells}.service = %(service)s", "service", objective.service),
    ):
        if value:
            parts.append(condition)
            values[name] = value
    return " AND ".join(parts), values


def _days(objective: Objective, span: Frame) -> list[tuple[date, int, int, int]]:
    narrowed, values = _narrowed(objective, "c")
    with connection.cursor() as cursor:
        cursor.execute(f"{_CELLS}{narrowed} GROUP BY 1", {**values, "first": span.first, "after": span.after})
        return list(cursor.fetchall())


def burns(objective: Objective, span: Frame, now: datetime) -> list[Burn]:
    """How fast each window that fits burns. One statement over the promises due in the longest of them."""
    spans = sorted({one for window in WINDOWS if window.long < span.period for one in (window.long, window.short)})
    if not spans:
        return []
    narrowed, values = _narrowed(objective, "e")
    counts = ", ".join(
        f"count(*) FILTER (WHERE e.state {what} AND e.due_at > %(since{number})s)"
        for number in range(len(spans))
        for what in ("= 'MET'", "<> 'MET'")
    )
    ledger = "sla_expectation"
    if objective.lane or objective.service:
        ledger = """(SELECT one.*, left(coalesce(f.attributes ->> 'lane', concat(f.attributes ->> 'lane_from', '>',
            f.attributes ->> 'lane_to')), 64) AS lane, left(coalesce(f.attributes ->> 'service', ''), 64) AS service
            FROM sla_expectation one JOIN flows_flow f ON f.id = one.flow_id)"""
    values |= {f"since{number}": now - one for number, one in enumerate(spans)}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {counts} FROM {ledger} AS e JOIN sla_slarule r ON r.id = e.rule_id "
            "WHERE e.state IN ('MET', 'MET_LATE', 'BREACHED') AND e.due_at <= %(now)s "
            f"AND e.due_at > %(since{len(spans) - 1})s {narrowed}",
            {**values, "now": now},
        )
        row = cursor.fetchone()
    tallies = {one: Tally(row[2 * number], row[2 * number + 1]) for number, one in enumerate(spans)}
    return burning.judge_all(tallies, float(objective.target) / 100, span.period)


def tick(now: datetime) -> tuple[int, int]:
    """Raises a finding for each window that burns too fast and clears those that came back: (raised, cleared)."""
    found = standings(now)
    keys = {_key(one.objective, burn): (one, burn) for one in found for burn in one.told}
    with transaction.atomic():
        said = dict(Finding.objects.filter(kind=KIND, cleared_at=None).values_list("key", "sentence"))
        drafts = [_draft(one, burn) for key, (one, burn) in keys.items() if burn.fires and key not in said]
        raise_findings(drafts, now)
        over = [key for key in said if key not in keys or not keys[key][1].goes_on]
        cleared = clear_findings(over, "The budget burns no faster than it may", now)
    return len(drafts), cleared


def _key(objective: Objective, burn: Burn) -> Any:
    return key_of("objective", objective.slug, burn.window.key)


def _draft(one: Standing, burn: Burn) -> FindingDraft:
    objective = one.objective
    said = burning.told(burn, one.target, one.frame.period, 1.0 if one.left is None else one.left)
    slower = burn.window is WINDOWS[-1]
    return FindingDraft(
        key=_key(objective, burn),
        kind=KIND,
        cause=key_of("objective", objective.slug),
        incident_title=f"Budget burns: {objective.name}",
        severity=Severity.NORMAL if slower else objective.severity,
        sentence=f"{objective.name}: {said[0].lower()}{said[1:]}.",
        evidence={
            "objective": objective.slug,
            "target_percent": float(objective.target),
            "window": burn.window.name,
            "factor": round(burn.factor, 2),
            "rate": round(burn.rate or 0, 2),
            "missed": burn.long.missed,
            "judged": burn.long.judged,
            "chance": burn.chance,
        },
        partner_id=objective.partner_id,
        team_id=objective.team_id,
    )


def scope_words(objective: Objective, rules: Iterable[tuple[str, str]] = ()) -> str:
    """ "Order acknowledged, Oakline, DE>FR". rules: (slug, name)."""
    names = dict(rules)
    parts: Sequence[str] = [
        names.get(objective.rule, objective.rule),
        objective.partner.name if objective.partner else "",
        objective.flow.replace("-", " "),
        objective.lane,
        objective.service,
    ]
    return ", ".join(part for part in parts if part) or "All promises"


def window_words(objective: Objective) -> str:
    if objective.window == Objective.Window.ROLLING:
        return f"last {wording.number(objective.days)} days"
    return f"this {objective.period}"
