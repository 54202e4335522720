"""An acknowledgment that has run out: the incident is open again. `notifications.escalation` says when that is."""

from __future__ import annotations

from datetime import datetime

from apps.incidents.models import Incident, IncidentEvent
from apps.incidents.raising import event
from apps.incidents.transitions import TABLE, Verb


def lapse(incident_id: int, acknowledged_at: datetime, now: datetime, text: str) -> IncidentEvent | None:
    """Opens the incident if this very acknowledgment still holds, and says so on the timeline; None if it does not.

    Call it inside a transaction.
    """
    step = TABLE[Verb.LAPSE]
    [(before, after)] = step.moves.items()
    swapped = Incident.objects.filter(pk=incident_id, state=before, acknowledged_at=acknowledged_at).update(
        state=after, acknowledged_at=None, acknowledged_by=None, back_at=None
    )
    if not swapped:
        return None
    row = event(incident_id, Verb.LAPSE, now, text=text)
    row.save(force_insert=True)
    return row
