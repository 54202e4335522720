"""Findings go, set-wise: what came, moved or fell away is cleared, and what has nothing left ends by itself.

Locks as in `raising`: causes, incidents, findings. Call `clear_findings` at most once per transaction, after raising.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from apps.incidents.models import Finding, Incident, IncidentEvent, Resolution
from apps.incidents.raising import NEXT_BREACH, event, locked
from apps.incidents.sets import as_rows
from apps.incidents.transitions import TABLE, Verb

State = Incident.State

COUNT_OUT = f"""
UPDATE incidents_incident AS incident SET
    open_findings = incident.open_findings - change.cleared,
    next_breach_at = {NEXT_BREACH},
    state = CASE WHEN incident.open_findings = change.cleared AND %(at_once)s THEN 'resolved' ELSE incident.state END,
    resolved_at = CASE WHEN incident.open_findings = change.cleared AND NOT incident.state = 'resolved' AND %(at_once)s
        THEN %(now)s ELSE incident.resolved_at END,
    resolution = CASE WHEN incident.open_findings = change.cleared AND NOT incident.state = 'resolved' AND %(at_once)s
        THEN %(by_itself)s ELSE incident.resolution END,
    back_at = CASE WHEN incident.open_findings = change.cleared AND %(at_once)s THEN NULL ELSE incident.back_at END,
    quiet_since = CASE WHEN incident.open_findings = change.cleared AND NOT incident.state = 'resolved'
        AND NOT %(at_once)s THEN %(now)s END
FROM json_to_recordset(%(rows)s) AS change (id bigint, cleared int)
WHERE incident.id = change.id
RETURNING incident.id, incident.open_findings
"""


LOOK_AHEAD = f"""
UPDATE incidents_incident AS incident SET outlook_at = ahead.due_at FROM json_to_recordset(%(rows)s)
    AS ahead (cause uuid, due_at timestamptz) WHERE incident.fingerprint = ahead.cause AND incident.id = ANY(%(ids)s);
UPDATE incidents_incident AS incident SET next_breach_at = {NEXT_BREACH} WHERE incident.id = ANY(%(ids)s)
"""


@transaction.atomic
def look_ahead(outlook: Mapping[uuid.UUID, datetime | None], now: datetime) -> int:
    """Cause -> when it will next make something late (None: nothing in sight), for the countdown of its incident.

    Causes without an unresolved incident are passed over; returns how many incidents it touched. Findings say what is
    wrong already: whoever knows what will be late next calls this once per round.
    """
    due = {incident.pk for incident in locked(Q(fingerprint__in=outlook) & ~Q(state=State.RESOLVED))}
    if due:
        rows = as_rows({"cause": cause, "due_at": due_at} for cause, due_at in outlook.items())
        with connection.cursor() as cursor:
            cursor.execute(LOOK_AHEAD, {"rows": rows, "ids": sorted(due), "now": now})
    return len(due)


@transaction.atomic
def clear_findings(keys: Sequence[uuid.UUID], reason: str, now: datetime) -> int:
    """Clears the open findings of these keys and resolves incidents that have none left; returns how many it cleared.

    With ``settings.INCIDENT_QUIET`` an incident without findings waits so long whether more comes (`tending`).
    reason: a sentence for the timeline ("The ASN came, 3 h late"), cut at 200 characters. Keys without an open
    finding are passed over: clearing twice does nothing.
    """
    if not keys:
        return 0
    open_findings = Finding.objects.filter(key__in=set(keys), cleared_at=None)
    touched = list(open_findings.values_list("incident_id", flat=True).distinct().order_by())
    if not touched:
        return 0
    before = {incident.pk: State(incident.state) for incident in locked(Q(pk__in=touched))}
    cleared = _clear(keys, touched, reason[:200], now)
    if not cleared:  # somebody else was faster
        return 0
    at_once = not settings.INCIDENT_QUIET
    rows = as_rows({"id": incident_id, "cleared": n} for incident_id, n in cleared.items())
    with connection.cursor() as cursor:
        cursor.execute(COUNT_OUT, {"rows": rows, "now": now, "by_itself": Resolution.BY_ITSELF, "at_once": at_once})
        left = dict(cursor.fetchall())
    timeline: list[IncidentEvent] = []
    for incident_id, n in sorted(cleared.items()):
        data = {"findings": n, "open": left[incident_id]}
        timeline.append(event(incident_id, Verb.CLEAR, now, text=reason, data=data))
        if at_once and left[incident_id] == 0 and before[incident_id] in TABLE[Verb.CLOSE].moves:
            timeline.append(event(incident_id, Verb.CLOSE, now, text=reason, data={"resolution": Resolution.BY_ITSELF}))
    IncidentEvent.objects.bulk_create(timeline)
    return sum(cleared.values())


CLEAR = """
WITH cleared AS (
    UPDATE incidents_finding SET cleared_at = %(now)s, cleared_because = %(reason)s
    WHERE key = ANY(%(keys)s) AND cleared_at IS NULL AND incident_id = ANY(%(incidents)s)
    RETURNING incident_id
)
SELECT incident_id, count(*) FROM cleared GROUP BY incident_id
"""


def _clear(keys: Sequence[uuid.UUID], incidents: list[int], reason: str, now: datetime) -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(CLEAR, {"keys": list(set(keys)), "incidents": incidents, "reason": reason, "now": now})
        return dict(cursor.fetchall())
