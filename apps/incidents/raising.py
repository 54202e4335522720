"""Findings come and go, set-wise: raised into incidents, one per cause, and cleared again.

Locks, always in this order: causes (striped advisory locks, ascending), incidents (by fingerprint, then id), findings.
Call `raise_findings` and `clear_findings` at most once each per transaction, raising before clearing; a transaction
that goes round twice may meet another one half-way (PostgreSQL then ends one of the two).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet

from apps.incidents.models import Finding, Incident, IncidentEvent, Resolution, Severity
from apps.incidents.transitions import TABLE, Verb

State = Incident.State
SEVERITIES = list(Severity)
TITLE_LENGTH = 300
#: first key of the advisory locks on causes; the second is the stripe
CAUSE_LOCK = 0x0C7E
STRIPES = 256
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class FindingDraft:
    """What a rule or a detector wants to say.

    key: identity of the finding, unique while it is open. cause: fingerprint of the incident it belongs to.
    incident_title: title if it opens one (cut at 300 characters). evidence: anything JSON can say.
    due_at: when the promise ends or ended; what lies ahead counts down on the incident.
    """

    key: uuid.UUID
    kind: str
    cause: uuid.UUID
    incident_title: str
    severity: str
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    flow_id: int | None = None
    integration_id: int | None = None
    partner_id: int | None = None
    team_id: int | None = None
    due_at: datetime | None = None


@dataclass(slots=True)
class _Home:
    """The incident a cause's findings go to, as it was when we locked it. state None: we have just opened it."""

    incident_id: int
    state: Incident.State | None
    severity: str


def raise_findings(drafts: Sequence[FindingDraft], now: datetime) -> list[Finding]:
    """Opens, joins or reopens incidents for all drafts at once; the number of statements does not depend on how many.

    A key that is open already is left as it is. A cause that was resolved less than
    ``settings.INCIDENT_REOPEN_WINDOW`` ago reopens its incident. Returns the open finding of every draft, new or
    already there, in the order of the drafts. Raises ValueError on an unknown severity.
    """
    if not drafts:
        return []
    unique = {draft.key: draft for draft in reversed(drafts)}
    for draft in unique.values():
        if draft.severity not in SEVERITIES:
            raise ValueError(f"{draft.severity!r} is no severity; known are {', '.join(SEVERITIES)}")
    with transaction.atomic():
        for attempt in range(ROUNDS):
            try:
                with transaction.atomic():
                    _raise(list(unique.values()), now)
                break
            except IntegrityError:
                # somebody outside our queue opened one of these causes; the constraint decided, so join that one
                if attempt == ROUNDS - 1:
                    raise
        found = {finding.key: finding for finding in Finding.objects.filter(key__in=unique, cleared_at=None)}
    return [found[draft.key] for draft in drafts if draft.key in found]


def _raise(drafts: list[FindingDraft], now: datetime) -> None:
    queue_for({draft.cause for draft in drafts})
    already = set(
        Finding.objects.filter(key__in=[draft.key for draft in drafts], cleared_at=None).values_list("key", flat=True)
    )
    by_cause: dict[uuid.UUID, list[FindingDraft]] = {}
    for draft in sorted(drafts, key=lambda draft: (draft.cause, draft.key)):
        if draft.key not in already:
            by_cause.setdefault(draft.cause, []).append(draft)
    if not by_cause:
        return
    homes = _homes(by_cause, now)
    added = _insert_findings(by_cause, homes, now)
    _count_in(homes, added, now)
    _drop_empty(homes, added)


def queue_for(causes: Iterable[uuid.UUID]) -> None:
    """Whoever opens or reopens incidents of these causes does so one after the other, until the transaction ends."""
    stripes = sorted({cause.bytes[0] % STRIPES for cause in causes})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, s) FROM unnest(%s::int[]) AS s", [CAUSE_LOCK, stripes])


def _homes(by_cause: Mapping[uuid.UUID, list[FindingDraft]], now: datetime) -> dict[uuid.UUID, _Home]:
    """The incident of every cause, locked: the unresolved one, else the one resolved just now, else a new one."""
    homes: dict[uuid.UUID, _Home] = {}
    for _round in range(ROUNDS):
        missing = [cause for cause in by_cause if cause not in homes]
        live = ~Q(state=State.RESOLVED) | Q(resolved_at__gt=now - settings.INCIDENT_REOPEN_WINDOW)
        candidates = _locked(Q(fingerprint__in=missing) & live)
        # the unresolved one has no resolved_at and comes last, so it wins; else the one resolved last
        for incident in sorted(candidates, key=lambda incident: (incident.resolved_at is None, incident.resolved_at)):
            homes[incident.fingerprint] = _Home(incident.id, State(incident.state), incident.severity)
        missing = [cause for cause in missing if cause not in homes]
        for cause, incident_id in _open_incidents({cause: by_cause[cause] for cause in missing}, now).items():
            homes[cause] = _Home(incident_id, None, _worst(draft.severity for draft in by_cause[cause]))
        if len(homes) == len(by_cause):
            return homes
    raise IntegrityError("Incidents of these causes come and go faster than they can be joined")


def _locked(which: Q) -> QuerySet[Incident]:
    """Incidents for us to change, locked in the one order everybody keeps."""
    return (
        Incident.objects.filter(which)
        .order_by("fingerprint", "id")
        .select_for_update(no_key=True)
        .only("id", "fingerprint", "state", "severity", "resolved_at")
    )


def _common(values: Iterable[Any]) -> Any:
    """The value all have; None if they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _worst(severities: Iterable[str]) -> str:
    return min(severities, key=lambda severity: SEVERITIES.index(Severity(severity)))


def _rows(rows: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(list(rows), cls=DjangoJSONEncoder)


#: what an incident counts down to: open findings that fall due, and what the same cause will make late next
NEXT_BREACH = """LEAST(
        (SELECT min(due_at) FROM incidents_finding AS finding
            WHERE finding.incident_id = incident.id AND finding.cleared_at IS NULL AND finding.due_at > %(now)s),
        CASE WHEN incident.outlook_at > %(now)s THEN incident.outlook_at END)"""

OPEN_INCIDENTS = """
INSERT INTO incidents_incident (fingerprint, kind, title, state, severity, partner_id, integration_id, team_id,
    opened_at, last_finding_at, resolution, open_findings, total_findings, reopened)
SELECT fingerprint, kind, title, 'open', severity, partner_id, integration_id, team_id, %(now)s, %(now)s, '', 0, 0, 0
FROM json_to_recordset(%(rows)s) AS draft (fingerprint uuid, kind text, title text, severity text,
    partner_id bigint, integration_id bigint, team_id bigint)
ORDER BY fingerprint
ON CONFLICT (fingerprint) WHERE NOT state = 'resolved' DO NOTHING
RETURNING fingerprint, id
"""


def _open_incidents(by_cause: Mapping[uuid.UUID, list[FindingDraft]], now: datetime) -> dict[uuid.UUID, int]:
    """New incidents by cause; a cause that somebody else has opened meanwhile is missing from the answer."""
    if not by_cause:
        return {}
    rows = _rows(
        {
            "fingerprint": cause,
            "kind": drafts[0].kind,
            "title": drafts[0].incident_title[:TITLE_LENGTH],
            "severity": _worst(draft.severity for draft in drafts),
            "partner_id": _common(draft.partner_id for draft in drafts),
            "integration_id": _common(draft.integration_id for draft in drafts),
            "team_id": _common(draft.team_id for draft in drafts),
        }
        for cause, drafts in by_cause.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(OPEN_INCIDENTS, {"rows": rows, "now": now})
        return dict(cursor.fetchall())


INSERT_FINDINGS = """
INSERT INTO incidents_finding (key, kind, incident_id, flow_id, integration_id, partner_id, severity, sentence,
    evidence, due_at, raised_at, cleared_because)
SELECT key, kind, incident_id, flow_id, integration_id, partner_id, severity, sentence, evidence, due_at, %(now)s, ''
FROM json_to_recordset(%(rows)s) AS draft (key uuid, kind text, incident_id bigint, flow_id bigint,
    integration_id bigint, partner_id bigint, severity text, sentence text, evidence jsonb, due_at timestamptz)
ORDER BY key
ON CONFLICT (key) WHERE cleared_at IS NULL DO NOTHING
RETURNING key
"""


def _insert_findings(
    by_cause: Mapping[uuid.UUID, list[FindingDraft]], homes: Mapping[uuid.UUID, _Home], now: datetime
) -> dict[uuid.UUID, list[FindingDraft]]:
    """Cause -> the drafts that became findings (not those that somebody else raised at this moment)."""
    rows = _rows(
        {**asdict(draft), "incident_id": homes[cause].incident_id}
        for cause, drafts in by_cause.items()
        for draft in drafts
    )
    with connection.cursor() as cursor:
        cursor.execute(INSERT_FINDINGS, {"rows": rows, "now": now})
        new = {key for (key,) in cursor.fetchall()}
    added = {cause: [draft for draft in drafts if draft.key in new] for cause, drafts in by_cause.items()}
    return {cause: drafts for cause, drafts in added.items() if drafts}


#: opened_at stays on a reopened incident; what its last life left behind goes
COUNT_IN = f"""
UPDATE incidents_incident AS incident SET
    state = change.state,
    severity = change.severity,
    open_findings = incident.open_findings + change.added,
    total_findings = incident.total_findings + change.added,
    last_finding_at = GREATEST(incident.last_finding_at, %(now)s),
    first_breach_at = LEAST(incident.first_breach_at, change.first_due_at),
    next_breach_at = {NEXT_BREACH},
    reopened = incident.reopened + change.recurred::int,
    acknowledged_at = CASE WHEN change.state = 'open' THEN NULL ELSE incident.acknowledged_at END,
    acknowledged_by_id = CASE WHEN change.state = 'open' THEN NULL ELSE incident.acknowledged_by_id END,
    back_at = CASE WHEN change.state = 'open' THEN NULL ELSE incident.back_at END,
    resolved_at = NULL,
    resolution = ''
FROM json_to_recordset(%(rows)s) AS change (id bigint, state text, severity text, added int,
    first_due_at timestamptz, recurred boolean)
WHERE incident.id = change.id
"""


def _count_in(homes: Mapping[uuid.UUID, _Home], added: Mapping[uuid.UUID, list[FindingDraft]], now: datetime) -> None:
    """Counters, severity and state of the incidents that got findings, and their timeline rows."""
    rows: list[dict[str, Any]] = []
    timeline: list[IncidentEvent] = []
    for cause, drafts in added.items():
        home = homes[cause]
        severity = _worst([home.severity, *(draft.severity for draft in drafts)])
        worse = severity != home.severity
        verb = Verb.OPEN if home.state is None else Verb.RECUR if home.state == State.RESOLVED else Verb.JOIN
        state = State.OPEN if home.state is None else TABLE[verb].moves[home.state]
        data = {"findings": len(drafts), "severity": severity, "first": drafts[0].sentence}
        timeline.append(event(home.incident_id, verb, now, text=_told(verb, len(drafts)), data=data))
        if worse and verb is Verb.JOIN:
            state = TABLE[Verb.WORSEN].moves[state]
            text = f"From {Severity(home.severity).label.lower()} to {Severity(severity).label.lower()}"
            data = {"before": home.severity, "after": severity, "first": drafts[0].sentence}
            timeline.append(event(home.incident_id, Verb.WORSEN, now, text=text, data=data))
        rows.append(
            {
                "id": home.incident_id,
                "state": state,
                "severity": severity,
                "added": len(drafts),
                "first_due_at": min((draft.due_at for draft in drafts if draft.due_at), default=None),
                "recurred": verb is Verb.RECUR,
            }
        )
    with connection.cursor() as cursor:
        cursor.execute(COUNT_IN, {"rows": _rows(rows), "now": now})
    IncidentEvent.objects.bulk_create(timeline)


def _told(verb: Verb, n: int) -> str:
    findings = "1 finding" if n == 1 else f"{n:,} findings"
    return {
        Verb.OPEN: f"Opened with {findings}",
        Verb.RECUR: f"The same cause came back: {findings}",
        Verb.JOIN: f"{findings} joined",
    }[verb]


def _drop_empty(homes: Mapping[uuid.UUID, _Home], added: Mapping[uuid.UUID, list[FindingDraft]]) -> None:
    """An incident opened for keys that somebody else has raised under another cause meanwhile never existed."""
    empty = [home.incident_id for cause, home in homes.items() if home.state is None and cause not in added]
    if empty:
        Incident.objects.filter(id__in=empty).delete()


def event(incident_id: int, verb: Verb, now: datetime, **values: Any) -> IncidentEvent:
    """The timeline row of a verb, not yet saved; the table says its kind and whether it must be sent."""
    step = TABLE[verb]
    return IncidentEvent(incident_id=incident_id, kind=step.kind, notify=step.notify, at=now, **values)


COUNT_OUT = f"""
UPDATE incidents_incident AS incident SET
    open_findings = incident.open_findings - change.cleared,
    next_breach_at = {NEXT_BREACH},
    state = CASE WHEN incident.open_findings = change.cleared THEN 'resolved' ELSE incident.state END,
    resolved_at = CASE WHEN incident.open_findings = change.cleared AND NOT incident.state = 'resolved'
        THEN %(now)s ELSE incident.resolved_at END,
    resolution = CASE WHEN incident.open_findings = change.cleared AND NOT incident.state = 'resolved'
        THEN %(by_itself)s ELSE incident.resolution END,
    back_at = CASE WHEN incident.open_findings = change.cleared THEN NULL ELSE incident.back_at END
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
    due = {incident.pk for incident in _locked(Q(fingerprint__in=outlook) & ~Q(state=State.RESOLVED))}
    if due:
        rows = _rows({"cause": cause, "due_at": due_at} for cause, due_at in outlook.items())
        with connection.cursor() as cursor:
            cursor.execute(LOOK_AHEAD, {"rows": rows, "ids": sorted(due), "now": now})
    return len(due)


@transaction.atomic
def clear_findings(keys: Sequence[uuid.UUID], reason: str, now: datetime) -> int:
    """Clears the open findings of these keys and resolves incidents that have none left; returns how many it cleared.

    reason: a sentence for the timeline ("The ASN came, 3 h late"), cut at 200 characters. Keys without an open
    finding are passed over: clearing twice does nothing.
    """
    if not keys:
        return 0
    open_findings = Finding.objects.filter(key__in=set(keys), cleared_at=None)
    touched = list(open_findings.values_list("incident_id", flat=True).distinct().order_by())
    if not touched:
        return 0
    before = {incident.pk: State(incident.state) for incident in _locked(Q(pk__in=touched))}
    cleared = _clear(keys, touched, reason[:200], now)
    if not cleared:  # somebody else was faster
        return 0
    rows = _rows({"id": incident_id, "cleared": n} for incident_id, n in cleared.items())
    with connection.cursor() as cursor:
        cursor.execute(COUNT_OUT, {"rows": rows, "now": now, "by_itself": Resolution.BY_ITSELF})
        left = dict(cursor.fetchall())
    timeline: list[IncidentEvent] = []
    for incident_id, n in sorted(cleared.items()):
        data = {"findings": n, "open": left[incident_id]}
        timeline.append(event(incident_id, Verb.CLEAR, now, text=reason, data=data))
        if left[incident_id] == 0 and before[incident_id] in TABLE[Verb.CLOSE].moves:
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
