"""A drift in a sentence, and what its picture is drawn from: the lead times of a lane by week, and what is still open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from apps.anomalies.contract import Outcome
from apps.anomalies.deadlines import LANE, Stage
from apps.anomalies.detectors.drift import Change
from apps.core.wording import duration
from apps.flows.canonical import key_of
from apps.flows.sets import raw_cursor
from apps.incidents.workflow import FindingDraft

SHOWN = timedelta(weeks=16)
MOST_OPEN = 40
#: by the week a flow ended in (UTC), so that a week says what was known at its end
_WEEKS = f"""
SELECT date_trunc('week', b.actual_at AT TIME ZONE 'UTC')::date, count(*),
    percentile_cont(ARRAY[0.1, 0.5, 0.9]) WITHIN GROUP (ORDER BY extract(epoch FROM b.actual_at - a.actual_at) / 3600)
FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %b
JOIN flows_milestone a ON a.flow_id = f.id AND a.name = %b AND a.actual_at IS NOT NULL
JOIN flows_milestone b ON b.flow_id = f.id AND b.name = %b AND b.actual_at >= a.actual_at
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE b.actual_at > %b AND b.actual_at <= %b AND coalesce(p.slug, '') = %b AND {LANE} = %b
GROUP BY 1 ORDER BY 1
"""
_OPEN = f"""
SELECT a.actual_at FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %b
JOIN flows_milestone a ON a.flow_id = f.id AND a.name = %b AND a.actual_at BETWEEN %b AND %b
LEFT JOIN flows_milestone b ON b.flow_id = f.id AND b.name = %b
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE f.status = 'open' AND b.actual_at IS NULL AND coalesce(p.slug, '') = %b AND {LANE} = %b
ORDER BY a.actual_at LIMIT {MOST_OPEN}
"""


@dataclass(frozen=True, slots=True)
class Drift:
    """A lane that changed. usual_hours: its median before; since: when it began to change."""

    stage: Stage
    stream: str
    label: str
    partner: str
    lane: str
    usual_hours: float
    change: Change
    since: datetime


def middle(state: Mapping[str, Any]) -> float:
    """The median residual of what a lane knows as usual."""
    return float(median(state["known"])) if state.get("known") else 0.0


def sentence(one: Drift) -> str:
    found = one.change
    before, after = (duration(timedelta(hours=hours)) for hours in (one.usual_hours, one.usual_hours * found.factor))
    open_ = f", {found.open_:,} of them still open" if found.open_ else ""
    return (
        f"{one.lane}: {100 * (found.factor - 1):+.0f} % to “{one.label}” (median {before} before, "
        f"{'at least ' if found.at_least else ''}{after} in the last {found.flows:,} flows of "
        f"{one.partner or 'no partner'}{open_}), since {one.since:%d %b %Y}."
    )


def draft(one: Drift, outcome: Outcome, partner_id: int | None, now: datetime) -> FindingDraft:
    word = "slower" if outcome.score > 0 else "faster"
    key = key_of("drift", one.stream)
    return FindingDraft(
        key=key,
        kind="drift",
        cause=key,
        incident_title=f"{one.lane} with {one.partner or 'no partner'} has become {word} to “{one.label}”",
        severity="low",
        sentence=sentence(one),
        evidence={
            **outcome.evidence,
            "factor": one.change.factor,
            "flows": one.change.flows,
            "still_open": one.change.open_,
            "usual_hours": round(one.usual_hours, 3),
            "since": one.since.isoformat(),
            "until": now.isoformat(),
            **drawn(one, now),
        },
        partner_id=partner_id,
    )


def drawn(one: Drift, now: datetime) -> dict[str, Any]:
    """weeks: [Monday, flows, 10 %, median, 90 % in hours]; open: [started, age in hours], the oldest first."""
    stage = one.stage
    with raw_cursor() as cursor:
        cursor.execute(
            _WEEKS, [stage.slug, stage.start, stage.end, now - SHOWN, now, one.partner, one.lane], binary=True
        )
        weeks = [[day.isoformat(), n, *(round(value, 2) for value in of)] for day, n, of in cursor.fetchall()]
        cursor.execute(
            _OPEN, [stage.slug, stage.start, now - SHOWN, now, stage.end, one.partner, one.lane], binary=True
        )
        started = [start for (start,) in cursor.fetchall()]
    ages = [[start.isoformat(timespec="minutes"), round((now - start).total_seconds() / 3600, 1)] for start in started]
    return {"weeks": weeks, "open": ages}
