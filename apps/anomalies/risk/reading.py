"""Flows as cases of a stage: one statement per stage. A stage is the wait for one milestone, from the one before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection

from apps.anomalies.risk.features import Case
from apps.flows import registry
from apps.sla.models import SlaRule

ZERO = datetime(2016, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
#: history a stage is learnt from
REACH = timedelta(days=365)
MOST = 150_000

_CASES = """
SELECT * FROM (
    SELECT f.id, CASE WHEN %(before)s = '' THEN f.opened_at ELSE before.actual_at END AS start, e.due_at, f.opened_at,
        done.actual_at, p.slug, p.time_zone,
        coalesce(f.attributes ->> 'lane_from', '') || '>' || coalesce(f.attributes ->> 'lane_to', ''),
        coalesce(around.slug, ''), f.value, f.status = 'open' AND e.settled_at IS NULL
    FROM sla_expectation e JOIN flows_flow f ON f.id = e.flow_id
    JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %(flow)s
    LEFT JOIN integrations_partner p ON p.id = f.partner_id
    LEFT JOIN flows_milestone before ON before.flow_id = f.id AND before.name = %(before)s
    LEFT JOIN flows_milestone done ON done.flow_id = f.id AND done.name = %(milestone)s
    LEFT JOIN LATERAL (
        SELECT min(other.slug) AS slug FROM flows_flowlink l
        JOIN flows_flow near ON near.id = CASE WHEN l.child_id = f.id THEN l.parent_id ELSE l.child_id END
        JOIN integrations_partner other ON other.id = near.partner_id AND other.id <> f.partner_id
        WHERE l.child_id = f.id OR l.parent_id = f.id
    ) AS around ON true
    WHERE e.milestone = %(milestone)s AND f.status NOT IN ('cancelled', 'merged') AND e.state <> 'WAIVED'
        AND f.opened_at > %(since)s AND f.opened_at <= %(now)s
) AS stage WHERE start IS NOT NULL AND start <= %(now)s ORDER BY start DESC, id LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """The wait for one milestone of a flow. before: the required milestone it begins with; '' = the flow's opening."""

    flow: str
    milestone: str
    before: str
    label: str


@dataclass(frozen=True, slots=True)
class Found:
    """flow_ids beside the cases, in order of their start; is_open: what is still awaited."""

    flow_ids: list[int]
    cases: list[Case]
    is_open: list[bool]


def stages() -> Iterator[Stage]:
    """Every required milestone that a rule gives a deadline."""
    catalogue = registry.load().catalogue
    ruled = set(SlaRule.objects.exclude(lifecycle="retired").values_list("flow_slug", "milestone"))
    for slug, definition in sorted(catalogue.active.items()):
        before = ""
        for milestone in definition.milestones:
            if milestone.optional:
                continue
            if (slug, milestone.name) in ruled:
                yield Stage(slug, milestone.name, before, f"{definition.name}: {milestone.label}")
            before = milestone.name


def days(at: datetime) -> float:
    return (at - ZERO) / DAY


def moment(day: float) -> datetime:
    return ZERO + day * DAY


def read(stage: Stage, now: datetime) -> Found:
    """The newest cases of a stage, ended and open. What happened after ``now`` is not in them."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CASES,
            {
                "flow": stage.flow, "milestone": stage.milestone, "before": stage.before, "now": now,
                "since": now - REACH, "most": MOST,
            },
        )  # fmt: skip
        rows = cursor.fetchall()[::-1]
    ids, cases, is_open = [], [], []
    for flow_id, start, due, opened, done, partner, zone, lane, site, value, open_now in rows:
        local = start.astimezone(ZoneInfo(zone or "UTC"))
        over = done is not None and done <= now
        ids.append(flow_id)
        is_open.append(bool(open_now) and not over)
        cases.append(
            Case(
                start=days(start),
                due=days(due),
                opened=days(opened),
                done=days(done) if over else None,
                lane="" if lane == ">" else lane,
                partner=partner or "",
                site=site,
                value=float(value or 0),
                hour=local.hour + local.minute / 60,
                weekday=local.weekday(),
                due_weekday=due.astimezone(ZoneInfo(zone or "UTC")).weekday(),
            )
        )
    return Found(ids, cases, is_open)
