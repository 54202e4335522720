"""Whom an incident hurts next: what the same cause makes late in the coming hours, orders behind its flows, neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from django.db import connection

from apps.incidents.models import Incident
from apps.incidents.selectors import Stake

HOURS = 8
RELATED = 6
#: how far apart neighbours may have begun
NEAR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What falls due within `HOURS` and waits for the same thing. bars: (label of the hour, flows)."""

    flows: int
    stakes: list[Stake]
    bars: list[tuple[str, int]]

    @property
    def plot(self) -> dict[str, Any]:
        return {
            "data": [
                {
                    "type": "bar",
                    "x": [label for label, _ in self.bars],
                    "y": [n for _, n in self.bars],
                    "marker": {"color": "@at-risk"},
                    "hovertemplate": "%{y} flows due from %{x}<extra></extra>",
                }
            ],
            "layout": {
                "bargap": 0.3,
                "yaxis": {"rangemode": "tozero", "tickformat": "d"},
                "xaxis": {"type": "category"},
            },
        }


#: the lanes of the broken promises, and the sources that are silent as a whole
COMING = """
WITH broken AS (
    SELECT id, flow_id, integration_id FROM incidents_finding WHERE incident_id = %(incident)s AND cleared_at IS NULL
), lanes AS (
    SELECT DISTINCT e.definition_id, e.partner_id, e.milestone
    FROM sla_expectation AS e JOIN broken ON broken.id = e.finding_id
), sources AS (
    SELECT DISTINCT integration_id AS id FROM broken WHERE flow_id IS NULL AND integration_id IS NOT NULL
), due AS (
    SELECT e.flow_id, e.due_at FROM sla_expectation AS e JOIN lanes
        ON lanes.definition_id = e.definition_id AND lanes.milestone = e.milestone
        AND lanes.partner_id IS NOT DISTINCT FROM e.partner_id
    WHERE e.settled_at IS NULL AND e.state = 'PENDING' AND e.due_at > %(now)s AND e.due_at <= %(until)s
    UNION ALL
    SELECT e.flow_id, e.due_at FROM sla_expectation AS e JOIN sources ON sources.id = e.source_id
    WHERE e.settled_at IS NULL AND e.state IN ('PENDING', 'SUSPENDED') AND e.due_at > %(now)s AND e.due_at <= %(until)s
), first AS (
    SELECT DISTINCT ON (due.flow_id) due.due_at, flow.currency, flow.value
    FROM due JOIN flows_flow AS flow ON flow.id = due.flow_id ORDER BY due.flow_id, due.due_at
)
SELECT floor(extract(epoch FROM due_at - %(now)s) / 3600)::int, currency, count(*), sum(value) FROM first GROUP BY 1, 2
"""


def outlook(incident_id: int, now: datetime, zone: tzinfo) -> Outlook:
    """One query. Values are those of the flows, each once, by currency."""
    with connection.cursor() as cursor:
        cursor.execute(COMING, {"incident": incident_id, "now": now, "until": now + timedelta(hours=HOURS)})
        rows = cursor.fetchall()
    per_hour = [0] * HOURS
    stakes: dict[str, tuple[Decimal, int]] = {}
    for hour, currency, flows, amount in rows:
        per_hour[min(int(hour), HOURS - 1)] += flows
        if amount is not None:
            before = stakes.get(currency, (Decimal(0), 0))
            stakes[currency] = (before[0] + amount, before[1] + flows)
    labels = [(now + timedelta(hours=hour)).astimezone(zone).strftime("%H:%M") for hour in range(HOURS)]
    return Outlook(
        sum(per_hour),
        [Stake(currency, amount, n) for currency, (amount, n) in sorted(stakes.items())],
        list(zip(labels, per_hour, strict=True)),
    )


ORDERS = """
WITH RECURSIVE up AS (
    SELECT DISTINCT flow_id AS id FROM incidents_finding
    WHERE incident_id = %(incident)s AND flow_id IS NOT NULL AND (cleared_at IS NULL OR %(ever)s)
    UNION SELECT link.parent_id FROM flows_flowlink AS link JOIN up ON link.child_id = up.id
)
SELECT count(*) FROM up WHERE NOT EXISTS (SELECT FROM flows_flowlink AS link WHERE link.child_id = up.id)
"""


def orders_hit(incident_id: int, *, ever: bool = False) -> int:
    """Cases at the top behind the flows hit: three parcels of one order are one order."""
    with connection.cursor() as cursor:
        cursor.execute(ORDERS, {"incident": incident_id, "ever": ever})
        return int(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class Related:
    """A neighbour of an incident; why: what both have in common."""

    incident: Incident
    why: str


RELATED_ROWS = """
SELECT other.id, (
    SELECT count(DISTINCT theirs.flow_id) FROM incidents_finding AS theirs JOIN incidents_finding AS ours
        ON ours.flow_id = theirs.flow_id AND ours.incident_id = %(incident)s
    WHERE theirs.incident_id = other.id
), coalesce(other.integration_id = %(integration)s, false), coalesce(other.partner_id = %(partner)s, false)
FROM incidents_incident AS other
WHERE other.id <> %(incident)s AND other.merged_into_id IS NULL
    AND (other.state <> 'resolved' OR other.resolved_at > %(since)s) AND other.opened_at < %(until)s
ORDER BY 2 DESC, 3 DESC, 4 DESC, (other.state = 'resolved'), other.id DESC LIMIT %(limit)s
"""


def related(incident: Incident, limit: int = RELATED) -> list[Related]:
    """Incidents of about the same time that share flows, the integration or the partner; two queries."""
    asked = {
        "incident": incident.pk,
        "integration": incident.integration_id,
        "partner": incident.partner_id,
        "since": incident.opened_at - NEAR,
        "until": incident.last_finding_at + NEAR,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(RELATED_ROWS, asked)
        rows = [row for row in cursor.fetchall() if row[1] or row[2] or row[3]]
    found = Incident.objects.select_related("partner", "acknowledged_by").in_bulk([row[0] for row in rows])
    return [Related(found[pk], _common(flows, source, partner)) for pk, flows, source, partner in rows if pk in found]


def _common(flows: int, source: bool, partner: bool) -> str:
    told = [f"{flows:,} flow{'' if flows == 1 else 's'} in both"] if flows else []
    if source:
        told.append("the same integration")
    elif partner:
        told.append("the same partner")
    return ", ".join(told)


def cause_in_words(incident: Incident, sentences: Sequence[str], coming: Outlook) -> str:
    """What is wrong in a sentence or two, for somebody woken at night."""
    first = sentences[0].split(". ")[0].rstrip(".") + "." if sentences else f"{incident.title}."
    if incident.state == Incident.State.RESOLVED:
        return first
    more = incident.open_findings - 1
    if more > 0:
        first += f" {more:,} more {'is' if more == 1 else 'are'} like it."
    if coming.flows:
        first += f" {coming.flows:,} {'flow falls' if coming.flows == 1 else 'flows fall'} due for the same in the next {HOURS} h."
    return first
