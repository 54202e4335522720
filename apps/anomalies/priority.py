"""What acting on an incident can still save: a sum of money, shown with its factors, never a bare score.

    worth of an incident = sum over its flows of  P(late) x value of the order x P(action still helps)

P(late) is 1 for what is late already, else what the risk of the flow says, else one half. An action helps for sure while
there is ample time; with less than the usual repair time left it helps in proportion; once late, half as much every day.
Incidents of the same worth go by the time to their deadline. Sums are of one currency: the one with the most at stake;
the factors name the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import connection, transaction

from apps.anomalies.causes_models import IncidentPriority
from apps.incidents.models import Incident

#: how long people usually need until something they do has an effect
REPAIR = timedelta(hours=4)
#: once late, what can still be saved halves in this time
FADES = timedelta(hours=24)
#: of what nothing else is known
UNKNOWN = 0.5
#: what a source that cannot be heard will still make late is looked for so far ahead
AHEAD = timedelta(hours=24)
CENT = Decimal("0.01")

_STAKES = """
SELECT DISTINCT ON (finding.incident_id, flow.id) finding.incident_id, flow.id, flow.label, flow.value, flow.currency,
    coalesce(finding.due_at, risk.due_at), finding.kind = 'sla.breach', risk.chance
FROM incidents_finding AS finding
JOIN incidents_incident AS incident ON incident.id = finding.incident_id AND NOT incident.state = 'resolved'
JOIN flows_flow AS flow ON flow.id = finding.flow_id
LEFT JOIN anomalies_flowrisk AS risk ON risk.flow_id = flow.id
WHERE finding.cleared_at IS NULL AND flow.value IS NOT NULL
ORDER BY finding.incident_id, flow.id, coalesce(finding.due_at, risk.due_at) NULLS LAST
"""
#: flows that wait for a source of which a finding without a flow says that it is not heard
_WAITING = """
SELECT DISTINCT ON (finding.incident_id, flow.id) finding.incident_id, flow.id, flow.label, flow.value, flow.currency,
    expected.due_at, false, risk.chance
FROM incidents_finding AS finding
JOIN incidents_incident AS incident ON incident.id = finding.incident_id AND NOT incident.state = 'resolved'
CROSS JOIN LATERAL (
    SELECT finding.integration_id AS id WHERE finding.integration_id IS NOT NULL
    UNION ALL SELECT member::bigint FROM jsonb_array_elements_text(finding.evidence -> 'members') AS member
        WHERE finding.integration_id IS NULL
) AS unheard
JOIN sla_expectation AS expected ON expected.source_id = unheard.id AND expected.settled_at IS NULL
    AND expected.state IN ('PENDING', 'SUSPENDED') AND expected.due_at BETWEEN %(now)s AND %(until)s
JOIN flows_flow AS flow ON flow.id = expected.flow_id
LEFT JOIN anomalies_flowrisk AS risk ON risk.flow_id = flow.id
WHERE finding.cleared_at IS NULL AND finding.flow_id IS NULL AND flow.value IS NOT NULL
    AND finding.kind IN ('feed.silent', 'feed.drop', 'source.stale')
ORDER BY finding.incident_id, flow.id, expected.due_at
"""


@dataclass(frozen=True, slots=True)
class Stake:
    """One flow of an incident. late: its promise is broken already; chance: of that, if it is known."""

    flow_id: int
    label: str
    value: Decimal
    currency: str
    due_at: datetime | None
    late: bool
    chance: float | None


@dataclass(frozen=True, slots=True)
class Worth:
    """amount: what can still be saved; value: of the orders; chance, helps: averages weighted by value; top: dearest flows."""

    amount: Decimal
    currency: str
    value: Decimal
    flows: int
    chance: float
    helps: float
    deadline_at: datetime | None
    others: dict[str, str]
    top: list[dict[str, Any]]

    def factors(self) -> dict[str, Any]:
        return {
            "value": str(self.value),
            "flows": self.flows,
            "chance": round(self.chance, 4),
            "helps": round(self.helps, 4),
            "others": self.others,
            "top": self.top,
        }


def chance_of(stake: Stake) -> float:
    if stake.late:
        return 1.0
    return UNKNOWN if stake.chance is None else stake.chance


def helps(due_at: datetime | None, now: datetime) -> float:
    """Chance that an action begun now still helps; without a deadline one half."""
    if due_at is None:
        return 0.5
    left = due_at - now
    if left >= timedelta(0):
        return 0.5 + 0.5 * min(1.0, left / REPAIR)
    return float(0.5 * 0.5 ** (-left / FADES))


def worth(stakes: Iterable[Stake], now: datetime) -> Worth | None:
    """The worth of one incident; None when no flow of it has a value."""
    by_currency: dict[str, list[Stake]] = defaultdict(list)
    for stake in stakes:
        by_currency[stake.currency].append(stake)
    if not by_currency:
        return None
    sums = {currency: sum((one.value for one in held), Decimal(0)) for currency, held in by_currency.items()}
    currency = max(sums, key=lambda name: (sums[name], name))
    amount, chances, help_sum = Decimal(0), 0.0, 0.0
    told = []
    for one in by_currency[currency]:
        chance, useful = chance_of(one), helps(one.due_at, now)
        part = one.value * Decimal(str(chance)) * Decimal(str(useful))
        amount += part
        chances += float(one.value) * chance
        help_sum += float(one.value) * chance * useful
        told.append((part, one, chance, useful))
    told.sort(key=lambda row: (-row[0], row[1].flow_id))
    ahead = [one.due_at for one in by_currency[currency] if one.due_at is not None and one.due_at > now]
    value = float(sums[currency])
    return Worth(
        amount=amount.quantize(CENT, ROUND_HALF_UP),
        currency=currency,
        value=sums[currency],
        flows=len(by_currency[currency]),
        chance=chances / value if value else 0.0,
        helps=help_sum / chances if chances else 0.0,
        deadline_at=min(ahead, default=None),
        others={name: str(total) for name, total in sorted(sums.items()) if name != currency},
        top=[
            {"flow": one.flow_id, "label": one.label, "value": str(one.value), "chance": round(chance, 3),
             "helps": round(useful, 3), "part": str(part.quantize(CENT, ROUND_HALF_UP))}
            for part, one, chance, useful in told[:5]
        ],
    )  # fmt: skip


@transaction.atomic
def run(now: datetime) -> int:
    """Reckons every unresolved incident anew; two statements whatever their number. Returns how many have a worth."""
    stakes: dict[int, dict[int, Stake]] = defaultdict(dict)
    with connection.cursor() as cursor:
        for statement in (_WAITING, _STAKES):  # what is late already speaks last, and louder
            cursor.execute(statement, {"now": now, "until": now + AHEAD})
            for incident_id, *rest in cursor.fetchall():
                stake = Stake(*rest)
                stakes[incident_id][stake.flow_id] = stake
    rows = []
    for incident_id, held in sorted(stakes.items()):
        found = worth(held.values(), now)
        if found is not None:
            rows.append(
                IncidentPriority(
                    incident_id=incident_id, amount=found.amount, currency=found.currency, deadline_at=found.deadline_at,
                    factors=found.factors(), reckoned_at=now,
                )
            )  # fmt: skip
    IncidentPriority.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["incident"],
        update_fields=["amount", "currency", "deadline_at", "factors", "reckoned_at"],
    )  # fmt: skip
    stale = IncidentPriority.objects.exclude(incident__in=[row.incident_id for row in rows])
    stale.exclude(incident__state=Incident.State.RESOLVED).delete()
    return len(rows)
