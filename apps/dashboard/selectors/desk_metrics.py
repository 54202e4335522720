"""How the desk does: time to acknowledge and to resolve, calls by person and night, noise, and what keeps coming back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from apps.incidents.models import WITHOUT_ACTION, Resolution, Severity
from apps.incidents.transitions import PAGE_KINDS

PERIODS = (7, 30, 90)
LEGEND = {"orientation": "h", "y": 1.15}
#: nights by each person's own clock
NIGHT_BEGINS, NIGHT_ENDS = 22, 7

#: the first word of a person on each incident, whoever had it later; merged ones are not incidents of their own
TIMES = """
WITH chosen AS (
    SELECT id, severity, opened_at, resolved_at, resolution, reopened FROM incidents_incident
    WHERE opened_at > %(since)s AND opened_at <= %(now)s AND merged_into_id IS NULL
), told AS (
    SELECT chosen.*, (
        SELECT min(said.at) FROM incidents_incidentevent AS said
        WHERE said.incident_id = chosen.id AND said.kind = 'acknowledged'
    ) AS acknowledged_at FROM chosen
)
SELECT severity, count(*), count(acknowledged_at), count(resolved_at),
    percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY extract(epoch FROM acknowledged_at - opened_at))
        FILTER (WHERE acknowledged_at IS NOT NULL),
    avg(extract(epoch FROM acknowledged_at - opened_at)),
    percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY extract(epoch FROM resolved_at - opened_at))
        FILTER (WHERE resolved_at IS NOT NULL),
    avg(extract(epoch FROM resolved_at - opened_at)),
    count(*) FILTER (WHERE resolution = ANY(%(idle)s) AND acknowledged_at IS NULL OR resolution = ANY(%(void)s)),
    sum(reopened)
FROM told GROUP BY GROUPING SETS ((severity), ())
"""
WEEKS = """
SELECT date_trunc('week', opened_at AT TIME ZONE %(zone)s)::date, count(*),
    count(*) FILTER (WHERE resolution = ANY(%(idle)s) AND NOT EXISTS (
        SELECT FROM incidents_incidentevent AS said WHERE said.incident_id = incident.id AND said.kind = 'acknowledged')
        OR resolution = ANY(%(void)s)),
    avg(extract(epoch FROM (SELECT min(said.at) FROM incidents_incidentevent AS said
        WHERE said.incident_id = incident.id AND said.kind = 'acknowledged') - opened_at)) / 60,
    avg(extract(epoch FROM resolved_at - opened_at)) / 3600
FROM incidents_incident AS incident
WHERE opened_at > %(since)s AND opened_at <= %(now)s AND merged_into_id IS NULL GROUP BY 1 ORDER BY 1
"""
#: one call is one message, however many news it bundles; a night belongs to the evening it began
CALLS = """
WITH calls AS (
    SELECT delivery.user_id, delivery.sent_at AT TIME ZONE person.time_zone AS local
    FROM notifications_delivery AS delivery
    JOIN incidents_incidentevent AS news ON news.id = delivery.incident_event_id
    JOIN accounts_user AS person ON person.id = delivery.user_id
    WHERE delivery.sent_at > %(since)s AND delivery.sent_at <= %(now)s AND delivery.bundled_in_id IS NULL
        AND news.kind = ANY(%(kinds)s)
        AND EXISTS (SELECT FROM pg_timezone_names AS known WHERE known.name = person.time_zone)
)
SELECT user_id, (local - make_interval(hours => %(ends)s))::date,
    extract(hour FROM local) >= %(begins)s OR extract(hour FROM local) < %(ends)s, count(*)
FROM calls GROUP BY 1, 2, 3
"""
REPEATS = """
SELECT (array_agg(title ORDER BY opened_at DESC))[1], kind, (array_agg(partner_id ORDER BY opened_at DESC))[1],
    count(*), count(*) + sum(reopened), max(opened_at), (array_agg(id ORDER BY opened_at DESC))[1],
    count(*) FILTER (WHERE resolution = ANY(%(idle)s))
FROM incidents_incident WHERE opened_at > %(since)s AND opened_at <= %(now)s AND merged_into_id IS NULL
GROUP BY fingerprint, kind ORDER BY 5 DESC, 6 DESC
"""
_IDLE = [Resolution.BY_ITSELF.value]
_VOID = [one.value for one in WITHOUT_ACTION if one != Resolution.BY_ITSELF]


@dataclass(frozen=True, slots=True)
class Times:
    """Of the incidents of one severity ("": all). Means and quantiles are None where there is none to measure.

    noise: closed without anybody having acted: they ended by themselves before anybody took them, or were false alarms.
    """

    severity: str
    incidents: int
    acknowledged: int
    resolved: int
    mtta: timedelta | None
    tta_half: timedelta | None
    tta_most: timedelta | None
    mttr: timedelta | None
    ttr_half: timedelta | None
    ttr_most: timedelta | None
    noise: int
    reopened: int

    @property
    def noise_share(self) -> float | None:
        return self.noise / self.resolved if self.resolved else None


@dataclass(frozen=True, slots=True)
class Person:
    """Calls to one person: in all, at night, nights with any, and the worst night."""

    name: str
    calls: int
    at_night: int
    nights: int
    worst: int
    by_night: list[tuple[Any, int]]


@dataclass(frozen=True, slots=True)
class Repeat:
    """One cause. times: incidents of it and how often they came back."""

    title: str
    kind: str
    incidents: int
    times: int
    last_at: datetime
    incident_id: int
    quiet: int


@dataclass(frozen=True, slots=True)
class Metrics:
    days: int
    whole: Times | None
    by_severity: list[Times]
    people: list[Person]
    repeats: list[Repeat]
    causes: int
    repeat_share: float | None
    weeks: list[tuple[Any, int, int, float | None, float | None]]

    @property
    def times_plot(self) -> dict[str, Any]:
        weeks = [str(row[0]) for row in self.weeks]
        return {
            "data": [
                {"type": "scatter", "mode": "lines+markers", "name": "minutes to acknowledge", "x": weeks,
                 "y": [_rounded(row[3]) for row in self.weeks], "line": {"color": "@accent"}},
                {"type": "scatter", "mode": "lines+markers", "name": "hours to resolve", "x": weeks,
                 "y": [_rounded(row[4]) for row in self.weeks], "line": {"color": "@ink-3", "dash": "dot"}},
            ],
            "layout": {"showlegend": True, "legend": LEGEND, "xaxis": {"type": "category"}, "yaxis": {"rangemode": "tozero"}},
        }  # fmt: skip

    @property
    def noise_plot(self) -> dict[str, Any]:
        weeks = [str(row[0]) for row in self.weeks]
        return {
            "data": [
                {"type": "bar", "name": "worked, or open still", "x": weeks, "y": [row[1] - row[2] for row in self.weeks],
                 "marker": {"color": "@accent"}},
                {"type": "bar", "name": "noise", "x": weeks, "y": [row[2] for row in self.weeks],
                 "marker": {"color": "@line-strong"}},
            ],
            "layout": {"barmode": "stack", "showlegend": True, "legend": LEGEND, "xaxis": {"type": "category"}},
        }  # fmt: skip

    @property
    def nights_plot(self) -> dict[str, Any]:
        traces: list[dict[str, Any]] = [
            {"type": "bar", "name": one.name, "x": [str(night) for night, _ in one.by_night],
             "y": [n for _, n in one.by_night]}
            for one in self.people[:6] if one.by_night
        ]  # fmt: skip
        for trace, colour in zip(traces, ("@accent", "@at-risk", "@waived", "@done", "@ink-3", "@late"), strict=False):
            trace["marker"] = {"color": colour}
        return {
            "data": traces,
            "layout": {"barmode": "stack", "showlegend": True, "legend": LEGEND, "xaxis": {"type": "category"}},
        }


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 1)


def desk_metrics(now: datetime, days: int) -> Metrics:
    """Five queries, however many incidents."""
    asked: dict[str, Any] = {
        "since": now - timedelta(days=days),
        "now": now,
        "idle": _IDLE,
        "void": _VOID,
        "zone": settings.TIME_ZONE,
    }
    with connection.cursor() as cursor:
        cursor.execute(TIMES, asked)
        times = [_times(row) for row in cursor.fetchall()]
        cursor.execute(WEEKS, asked)
        weeks = cursor.fetchall()
    came_back = repeats(now, days)
    causes = len(came_back)
    return Metrics(
        days=days,
        whole=next((one for one in times if one.severity == "" and one.incidents), None),
        by_severity=sorted(
            (one for one in times if one.severity), key=lambda one: list(Severity).index(Severity(one.severity))
        ),
        people=_people(asked),
        repeats=[one for one in came_back if one.times > 1][:20],
        causes=causes,
        repeat_share=sum(one.times > 1 for one in came_back) / causes if causes else None,
        weeks=weeks,
    )


def repeats(now: datetime, days: int = 90) -> list[Repeat]:
    """Every cause of the period, those that came most often first; one query."""
    with connection.cursor() as cursor:
        cursor.execute(REPEATS, {"since": now - timedelta(days=days), "now": now, "idle": _IDLE + _VOID})
        return [
            Repeat(title, kind, n, int(times), last_at, pk, quiet)
            for title, kind, _partner, n, times, last_at, pk, quiet in cursor.fetchall()
        ]


def _times(row: Sequence[Any]) -> Times:
    severity, incidents, acknowledged, resolved, tta, mtta, ttr, mttr, noise, reopened = row
    return Times(
        severity or "",
        incidents,
        acknowledged,
        resolved,
        _span(mtta),
        _span(tta and tta[0]),
        _span(tta and tta[1]),
        _span(mttr),
        _span(ttr and ttr[0]),
        _span(ttr and ttr[1]),
        noise,
        int(reopened or 0),
    )


def _span(seconds: Any) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=float(seconds))


NAMES = "SELECT id, coalesce(nullif(trim(first_name || ' ' || last_name), ''), username) FROM accounts_user WHERE id = ANY(%s)"


def _people(asked: dict[str, Any]) -> list[Person]:
    kinds = [kind.value for kind in PAGE_KINDS]
    with connection.cursor() as cursor:
        cursor.execute(CALLS, {**asked, "kinds": kinds, "begins": NIGHT_BEGINS, "ends": NIGHT_ENDS})
        rows = cursor.fetchall()
        cursor.execute(NAMES, [list({row[0] for row in rows})])
        names = dict(cursor.fetchall())
    calls: dict[int, int] = defaultdict(int)
    nights: dict[int, dict[Any, int]] = defaultdict(dict)
    for user, night, at_night, n in rows:
        calls[user] += n
        if at_night:
            nights[user][night] = nights[user].get(night, 0) + n
    people = [
        Person(
            names.get(user, "?"),
            n,
            sum(nights[user].values()),
            len(nights[user]),
            max(nights[user].values(), default=0),
            sorted(nights[user].items()),
        )
        for user, n in calls.items()
    ]
    return sorted(people, key=lambda one: (-one.at_night, -one.calls, one.name))
