"""What is known of causes before their findings are raised: where a merge sends them, and which breaches somebody has."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from django.db import connection

from apps.incidents.models import Severity
from apps.incidents.sets import SEVERITIES, as_rows

#: so long an acknowledged breach does not call again
KNOWN_FOR = timedelta(days=122)


class _Draft(Protocol):
    """What is read of a `raising.FindingDraft`."""

    @property
    def key(self) -> uuid.UUID: ...
    @property
    def severity(self) -> str: ...
    @property
    def due_at(self) -> datetime | None: ...


MERGED_HOMES = """
WITH RECURSIVE up AS (
    SELECT * FROM (
        SELECT DISTINCT ON (fingerprint) fingerprint AS cause, merged_into_id FROM incidents_incident
        WHERE fingerprint = ANY(%s) ORDER BY fingerprint, opened_at DESC, id DESC
    ) AS latest WHERE merged_into_id IS NOT NULL
    UNION ALL
    SELECT up.cause, above.merged_into_id FROM up JOIN incidents_incident AS above ON above.id = up.merged_into_id
    WHERE above.merged_into_id IS NOT NULL
)
SELECT up.cause, above.id, above.fingerprint
FROM up JOIN incidents_incident AS above ON above.id = up.merged_into_id AND above.merged_into_id IS NULL
"""


def merged_homes(causes: Iterable[uuid.UUID]) -> dict[uuid.UUID, tuple[int, uuid.UUID]]:
    """Cause -> (id, fingerprint) of the incident that its latest one was merged into, at the end of the chain."""
    with connection.cursor() as cursor:
        cursor.execute(MERGED_HOMES, [list(causes)])
        return {cause: (pk, fingerprint) for cause, pk, fingerprint in cursor.fetchall()}


#: what was said last while a finding was open decides whether it was somebody's
ACKNOWLEDGED = """
SELECT DISTINCT ON (finding.key) finding.cause, finding.incident_id FROM incidents_finding AS finding
JOIN json_to_recordset(%(rows)s) AS draft (key uuid, due_at timestamptz, severities text[])
    ON draft.key = finding.key AND draft.due_at = finding.due_at
WHERE finding.cleared_at > %(since)s AND finding.severity = ANY(draft.severities)
    AND (SELECT said.kind FROM incidents_incidentevent AS said
        WHERE said.incident_id = finding.incident_id
            AND (said.kind IN ('acknowledged', 'unacknowledged', 'lapsed', 'woken', 'reopened')
                OR said.kind = 'escalated' AND said.data ? 'by_hand')
            AND said.at BETWEEN finding.raised_at AND finding.cleared_at
        ORDER BY said.id DESC LIMIT 1) = 'acknowledged'
ORDER BY finding.key, finding.id DESC
"""


def acknowledged(by_cause: Mapping[uuid.UUID, Sequence[_Draft]], now: datetime) -> dict[uuid.UUID, int]:
    """Causes all of whose drafts are breaches that somebody has acknowledged (no worse now) -> the incident of one."""
    with_due = {cause: drafts for cause, drafts in by_cause.items() if all(draft.due_at for draft in drafts)}
    if not with_due:
        return {}
    rows = as_rows(
        {
            "key": draft.key,
            "due_at": draft.due_at,
            "severities": SEVERITIES[: SEVERITIES.index(Severity(draft.severity)) + 1],
        }
        for drafts in with_due.values()
        for draft in drafts
    )
    with connection.cursor() as cursor:
        cursor.execute(ACKNOWLEDGED, {"rows": rows, "since": now - KNOWN_FOR})
        known = cursor.fetchall()
    counts: dict[uuid.UUID, int] = {}
    incidents: dict[uuid.UUID, int] = {}
    for cause, incident_id in known:
        counts[cause] = counts.get(cause, 0) + 1
        incidents[cause] = max(incidents.get(cause, 0), incident_id)
    return {cause: pk for cause, pk in incidents.items() if counts[cause] == len(with_due.get(cause, ()))}
