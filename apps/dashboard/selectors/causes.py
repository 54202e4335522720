"""What pages show of causes: the open ones and those that ended lately, and the one behind an incident, with its worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.anomalies.causes_models import CauseGroup, IncidentPriority

LATELY = timedelta(days=7)
MOST = 50


@dataclass(slots=True)
class Cause:
    """A cause as a card. share, elsewhere: 0..1; times: how often likelier, in words; open: findings of its incident;
    strangers: of these, those that it does not explain."""

    row: CauseGroup
    share: float
    times: str
    counts: list[int]
    strangers: int
    priority: IncidentPriority | None = None


def causes(now: datetime) -> tuple[list[Cause], list[Cause]]:
    """(open, ended within a week); of the open ones those with the most to save first."""
    rows = CauseGroup.objects.select_related("incident__priority")
    open_now = [_cause(row) for row in rows.filter(ended_at=None)[:MOST]]
    open_now.sort(key=lambda one: (-(one.priority.amount if one.priority else 0), -one.row.findings, one.row.pk))
    return open_now, [_cause(row) for row in rows.filter(ended_at__gt=now - LATELY).order_by("-ended_at")[:MOST]]


def behind(incident_id: int) -> Cause | None:
    """The open cause that lives in an incident; the strongest if there are several."""
    row = (
        CauseGroup.objects.filter(incident=incident_id)
        .select_related("incident__priority")
        .order_by("-ended_at", "-findings")
    )
    found = next((one for one in row if one.ended_at is None), None) or row.first()
    return None if found is None else _cause(found)


def worth_of(incident_id: int) -> dict[str, Any] | None:
    """What acting on an incident can save, with numbers in place of the texts they are kept as."""
    row = IncidentPriority.objects.filter(incident=incident_id).first()
    if row is None:
        return None
    factors = dict(row.factors)
    factors["value"] = Decimal(factors.get("value", "0"))
    money = ("value", "part")
    factors["top"] = [one | {name: Decimal(one.get(name, "0")) for name in money} for one in factors.get("top", [])]
    return {"amount": row.amount, "currency": row.currency, "deadline_at": row.deadline_at, "factors": factors}


def _cause(row: CauseGroup) -> Cause:
    share = row.findings / row.units if row.units else 0.0
    lift = row.facts.get("lift") or (share / row.elsewhere if row.elsewhere else 0)
    times = f"{lift:,.0f}" if lift >= 10 else f"{lift:.1f}"
    incident = row.incident
    strangers = max(0, incident.open_findings - row.findings) if incident is not None and row.ended_at is None else 0
    priority = getattr(incident, "priority", None) if incident is not None else None
    return Cause(row, min(1.0, share), times, row.facts.get("counts", []), strangers, priority)
