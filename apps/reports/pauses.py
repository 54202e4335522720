"""Clocks that did not run: promises that are paused now, and every minute that did not count in a span.

Both are read from the ledger (sla.Expectation, sla.Pause), not from the rollups: those know a paused promise as SUSPENDED
only. A promise is *paused* when its clock stands still although we hear everything (its flow is on hold, maintenance);
*unknown* is only what could not be heard. Time that did not count is said by the clock on the wall, up to `now`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from apps.reports import figures
from apps.reports.figures import LANE, SERVICE, Narrowing, Span
from apps.sla.models import Expectation, Pause
from apps.sla.pausing import MAINTENANCE

_NAMES = {MAINTENANCE: "Maintenance", Pause.UNHEARD: "Source could not be heard"}


class Paused(NamedTuple):
    """How many promises of one day, rule, partner and lane are paused."""

    day: date
    rule_id: int
    partner_id: int | None
    lane: str
    n: int

    @property
    def moves(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """What to add to the counts by state, where paused ones are among the suspended."""
        return ("PAUSED", self.n), ("SUSPENDED", -self.n)


@dataclass(frozen=True, slots=True)
class Line:
    """Time that did not count for one reason, partner and rule. reason: the most frequent one, in words; reasons: how many

    different ones; promises: each once; lasting: how many pauses go on.
    """

    kind: str
    reason: str
    reasons: int
    partner: str
    partner_name: str
    rule: str
    rule_name: str
    promises: int
    time: timedelta
    lasting: int

    @property
    def name(self) -> str:
        """What stopped the clock: a flow's own pauses are named by their label."""
        return _NAMES.get(self.kind) or self.reason or kind_name(self.kind)

    @property
    def detail(self) -> str:
        """The reason below the name, where it says more."""
        if self.kind not in _NAMES or not self.reason:
            return ""
        words = self.reason.removeprefix("Maintenance: ")
        more = self.reasons - 1
        return words + (f", and {more} other reason{'' if more == 1 else 's'}" if more else "")

    @property
    def minutes(self) -> int:
        return round(self.time.total_seconds() / 60)


@dataclass(frozen=True, slots=True)
class Uncounted:
    """Every minute that did not count, the most first. promises: how many had such minutes, each once."""

    lines: list[Line]
    promises: int
    time: timedelta


def kind_name(kind: str) -> str:
    return _NAMES.get(kind) or kind.replace("_", " ").capitalize()


def paused(begin: datetime, end: datetime, zone: str, only: Narrowing, rules: Sequence[int] | None) -> list[Paused]:
    """Promises due from begin to before end that are paused now. rules: ids of versions, None: all. One statement."""
    values: dict[str, Any] = {
        "begin": begin,
        "end": end,
        "zone": zone,
        "rules": rules,
        "partner": only.partner,
        "lane": only.lane,
        "service": only.service,
    }
    conditions = [
        "e.state = 'SUSPENDED' AND e.paused <> '' AND e.due_at >= %(begin)s AND e.due_at < %(end)s",
        *(["e.rule_id = ANY(%(rules)s)"] if rules is not None else []),
        *(["e.partner_id = %(partner)s"] if only.partner is not None else []),
        *([f"{LANE} = %(lane)s"] if only.lane else []),
        *([f"{SERVICE} = %(service)s"] if only.service else []),
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (e.due_at AT TIME ZONE %(zone)s)::date, e.rule_id, e.partner_id, {LANE}, count(*) "
            "FROM sla_expectation e JOIN flows_flow f ON f.id = e.flow_id "
            f"WHERE {' AND '.join(conditions)} GROUP BY 1, 2, 3, 4",
            values,
        )
        return [Paused(*row) for row in cursor.fetchall()]


_UNCOUNTED = """
WITH spans AS (
    SELECT p.kind, p.reason, p.until IS NULL OR p.until > %(now)s AS lasts, e.id, e.partner_id, r.slug,
        least(coalesce(p.until, %(now)s), %(now)s) - p.begin AS time
    FROM sla_pause p JOIN sla_expectation e ON e.id = p.expectation_id JOIN sla_slarule r ON r.id = e.rule_id
    WHERE {where} AND p.begin < %(now)s
), summed AS (
    SELECT GROUPING(kind) = 1 AS whole, kind, partner_id, slug, mode() WITHIN GROUP (ORDER BY reason) AS reason,
        count(DISTINCT reason) AS reasons, count(DISTINCT id) AS promises, sum(time) AS time,
        count(*) FILTER (WHERE lasts) AS lasting
    FROM spans GROUP BY GROUPING SETS ((), (kind, partner_id, slug))
)
SELECT s.whole, coalesce(s.kind, ''), coalesce(s.reason, ''), s.reasons, coalesce(p.slug, ''), coalesce(p.name, ''),
    coalesce(s.slug, ''),
    coalesce((SELECT n.name FROM sla_slarule n WHERE n.slug = s.slug ORDER BY n.version DESC LIMIT 1), ''),
    s.promises, coalesce(s.time, interval '0'), s.lasting
FROM summed s LEFT JOIN integrations_partner p ON p.id = s.partner_id
ORDER BY s.whole DESC, s.time DESC, s.kind, p.name, s.slug
"""


def uncounted(span: Span, only: Narrowing, now: datetime) -> Uncounted:
    """Every minute that did not count so far for promises due in the span, from their pauses. One statement."""
    where, values = figures.condition(span, only)
    with connection.cursor() as cursor:
        cursor.execute(_UNCOUNTED.format(where=where), {**values, "now": now})
        (_, *_, promises, time, _), *rows = cursor.fetchall()
    return Uncounted([Line(*row[1:]) for row in rows], promises, time)


def having(rows: QuerySet[Expectation], kind: str, now: datetime) -> QuerySet[Expectation]:
    """Those of the rows whose clock stood still for this kind of reason by now; what is only planned has not yet."""
    return rows.filter(Exists(Pause.objects.filter(expectation=OuterRef("pk"), kind=kind, begin__lt=now)))


def by_month(found: Iterable[Paused]) -> list[tuple[date, str, int]]:
    """(first day of the month, state, n) of their moves."""
    return [(one.day.replace(day=1), state, n) for one in found for state, n in one.moves]
