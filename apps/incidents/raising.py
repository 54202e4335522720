"""Findings come, set-wise: raised into incidents, one per cause (`clearing` ends them again).

Locks, always in this order: causes (striped advisory locks, ascending), incidents (by fingerprint, then id), findings.
Call `raise_findings` and `clear_findings` at most once each per transaction, raising before clearing; a transaction
that goes round twice may meet another one half-way (PostgreSQL then ends one of the two).

A cause whose incident was merged into another goes to that other one. A breach that somebody acknowledged and that is
raised again with the same due time within four months (`recalling.KNOWN_FOR`) comes back as theirs and calls nobody.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Q, QuerySet

from apps.incidents.models import Finding, Incident, IncidentEvent, Severity
from apps.incidents.recalling import acknowledged, merged_homes
from apps.incidents.scope import rescope
from apps.incidents.sets import SEVERITIES, as_rows, worst_of
from apps.incidents.transitions import TABLE, Verb

State = Incident.State
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
    """An incident that findings go to, as it was when we locked it. state None: we have just opened it."""

    incident_id: int
    state: Incident.State | None
    severity: str
    worst: str
    by_hand: bool = False
    partner_id: int | None = None
    integration_id: int | None = None


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
    causes = {draft.cause for draft in drafts}
    roots = merged_homes(causes)
    queue_for(causes | {fingerprint for _pk, fingerprint in roots.values()})
    if merged_homes(causes) != roots:
        raise IntegrityError("An incident of these causes was merged at this moment")
    already = set(
        Finding.objects.filter(key__in=[draft.key for draft in drafts], cleared_at=None).values_list("key", flat=True)
    )
    by_cause: dict[uuid.UUID, list[FindingDraft]] = {}
    for draft in sorted(drafts, key=lambda draft: (draft.cause, draft.key)):
        if draft.key not in already:
            by_cause.setdefault(draft.cause, []).append(draft)
    if not by_cause:
        return
    theirs = acknowledged(by_cause, now)
    homes = _homes(by_cause, roots, theirs, now)
    added = _insert_findings(by_cause, homes, now)
    _count_in(homes, added, theirs, now)
    _drop_empty(homes, added)


def queue_for(causes: Iterable[uuid.UUID]) -> None:
    """Whoever opens or reopens incidents of these causes does so one after the other, until the transaction ends."""
    stripes = sorted({cause.bytes[0] % STRIPES for cause in causes})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, s) FROM unnest(%s::int[]) AS s", [CAUSE_LOCK, stripes])


def _homes(
    by_cause: Mapping[uuid.UUID, list[FindingDraft]],
    roots: Mapping[uuid.UUID, tuple[int, uuid.UUID]],
    theirs: Mapping[uuid.UUID, int],
    now: datetime,
) -> dict[uuid.UUID, _Home]:
    """The incident of every cause, locked: the one it was merged into, else the unresolved one, else the one resolved
    just now (or, of an acknowledged breach, at any time), else a new one. Causes merged into one share their home."""
    homes: dict[uuid.UUID, _Home] = {}
    merged_into = {cause: roots[cause][0] for cause in by_cause if cause in roots}
    for _round in range(ROUNDS):
        missing = [cause for cause in by_cause if cause not in homes]
        live = ~Q(state=State.RESOLVED) | Q(resolved_at__gt=now - settings.INCIDENT_REOPEN_WINDOW)
        live |= Q(pk__in=[theirs[cause] for cause in missing if cause in theirs])
        wanted = Q(fingerprint__in=missing, merged_into=None)
        wanted |= Q(pk__in=[merged_into[cause] for cause in missing if cause in merged_into])
        # the unresolved one has no resolved_at and comes last, so it wins; else the one resolved last
        candidates = sorted(locked(wanted & live), key=lambda found: (found.resolved_at is None, found.resolved_at))
        by_fingerprint = {found.fingerprint: _home(found) for found in candidates}
        by_id = {home.incident_id: home for home in by_fingerprint.values()}
        for cause in missing:
            home = by_id.get(merged_into.get(cause, 0)) or by_fingerprint.get(cause)
            if home is not None:
                homes[cause] = home
        missing = [cause for cause in missing if cause not in homes]
        for cause, incident_id in _open_incidents({cause: by_cause[cause] for cause in missing}, now).items():
            worst = worst_of(draft.severity for draft in by_cause[cause])
            homes[cause] = _Home(incident_id, None, worst, worst)
        if len(homes) == len(by_cause):
            return homes
    raise IntegrityError("Incidents of these causes come and go faster than they can be joined")


def _home(found: Incident) -> _Home:
    worst = found.worst or found.severity
    return _Home(
        found.pk,
        State(found.state),
        found.severity,
        worst,
        found.severity_by_hand,
        found.partner_id,
        found.integration_id,
    )


def locked(which: Q) -> QuerySet[Incident]:
    """Incidents for us to change, locked in the one order everybody keeps."""
    return (
        Incident.objects.filter(which)
        .order_by("fingerprint", "id")
        .select_for_update(no_key=True)
        .only(
            "id",
            "fingerprint",
            "state",
            "severity",
            "worst",
            "severity_by_hand",
            "resolved_at",
            "merged_into",
            "partner",
            "integration",
        )
    )


def _common(values: Iterable[Any]) -> Any:
    """The value all have; None if they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


#: what an incident counts down to: open findings that fall due, and what the same cause will make late next
NEXT_BREACH = """LEAST(
        (SELECT min(due_at) FROM incidents_finding AS finding
            WHERE finding.incident_id = incident.id AND finding.cleared_at IS NULL AND finding.due_at > %(now)s),
        CASE WHEN incident.outlook_at > %(now)s THEN incident.outlook_at END)"""

OPEN_INCIDENTS = """
INSERT INTO incidents_incident (fingerprint, kind, title, state, severity, partner_id, integration_id, team_id,
    partners, opened_at, last_finding_at, resolution, open_findings, total_findings, reopened, worst, severity_by_hand,
    labels)
SELECT fingerprint, kind, title, 'open', severity, partner_id, integration_id, team_id, partners, %(now)s, %(now)s, '',
    0, 0, 0, severity, false, '{}'
FROM json_to_recordset(%(rows)s) AS draft (fingerprint uuid, kind text, title text, severity text,
    partner_id bigint, integration_id bigint, team_id bigint, partners int)
ORDER BY fingerprint
ON CONFLICT (fingerprint) WHERE NOT state = 'resolved' DO NOTHING
RETURNING fingerprint, id
"""


def _open_incidents(by_cause: Mapping[uuid.UUID, list[FindingDraft]], now: datetime) -> dict[uuid.UUID, int]:
    """New incidents by cause; a cause that somebody else has opened meanwhile is missing from the answer."""
    if not by_cause:
        return {}
    rows = as_rows(
        {
            "fingerprint": cause,
            "kind": drafts[0].kind,
            "title": drafts[0].incident_title[:TITLE_LENGTH],
            "severity": worst_of(draft.severity for draft in drafts),
            "partner_id": _common(draft.partner_id for draft in drafts),
            "integration_id": _common(draft.integration_id for draft in drafts),
            "team_id": _common(draft.team_id for draft in drafts),
            "partners": len({draft.partner_id for draft in drafts} - {None}),
        }
        for cause, drafts in by_cause.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(OPEN_INCIDENTS, {"rows": rows, "now": now})
        return dict(cursor.fetchall())


INSERT_FINDINGS = """
INSERT INTO incidents_finding (key, cause, kind, incident_id, flow_id, integration_id, partner_id, severity, sentence,
    evidence, due_at, raised_at, cleared_because)
SELECT key, cause, kind, incident_id, flow_id, integration_id, partner_id, severity, sentence, evidence, due_at,
    %(now)s, ''
FROM json_to_recordset(%(rows)s) AS draft (key uuid, cause uuid, kind text, incident_id bigint, flow_id bigint,
    integration_id bigint, partner_id bigint, severity text, sentence text, evidence jsonb, due_at timestamptz)
ORDER BY key
ON CONFLICT (key) WHERE cleared_at IS NULL DO NOTHING
RETURNING key
"""


def _insert_findings(
    by_cause: Mapping[uuid.UUID, list[FindingDraft]], homes: Mapping[uuid.UUID, _Home], now: datetime
) -> dict[uuid.UUID, list[FindingDraft]]:
    """Cause -> the drafts that became findings (not those that somebody else raised at this moment)."""
    rows = as_rows(
        {**asdict(draft), "incident_id": homes[cause].incident_id}
        for cause, drafts in by_cause.items()
        for draft in drafts
    )
    with connection.cursor() as cursor:
        cursor.execute(INSERT_FINDINGS, {"rows": rows, "now": now})
        new = {key for (key,) in cursor.fetchall()}
    added = {cause: [draft for draft in drafts if draft.key in new] for cause, drafts in by_cause.items()}
    return {cause: drafts for cause, drafts in added.items() if drafts}


#: opened_at stays on a reopened incident; what its last life left behind goes, unless it comes back acknowledged
COUNT_IN = f"""
UPDATE incidents_incident AS incident SET
    state = change.state,
    severity = change.severity,
    worst = change.worst,
    severity_by_hand = change.by_hand,
    quiet_since = NULL,
    open_findings = incident.open_findings + change.added,
    total_findings = incident.total_findings + change.added,
    last_finding_at = GREATEST(incident.last_finding_at, %(now)s),
    first_breach_at = LEAST(incident.first_breach_at, change.first_due_at),
    next_breach_at = {NEXT_BREACH},
    reopened = incident.reopened + change.recurred::int,
    acknowledged_at = CASE WHEN change.state = 'open' THEN NULL
        WHEN change.state = 'acknowledged' THEN coalesce(incident.acknowledged_at, %(now)s)
        ELSE incident.acknowledged_at END,
    acknowledged_by_id = CASE WHEN change.state = 'open' THEN NULL ELSE incident.acknowledged_by_id END,
    back_at = CASE WHEN change.state = 'open' THEN NULL ELSE incident.back_at END,
    resolved_at = NULL,
    resolution = ''
FROM json_to_recordset(%(rows)s) AS change (id bigint, state text, severity text, worst text, by_hand boolean, added int,
    first_due_at timestamptz, recurred boolean)
WHERE incident.id = change.id
"""


def _count_in(
    homes: Mapping[uuid.UUID, _Home],
    added: Mapping[uuid.UUID, list[FindingDraft]],
    theirs: Mapping[uuid.UUID, int],
    now: datetime,
) -> None:
    """Counters, severity and state of the incidents that got findings, and their timeline rows."""
    by_home: dict[int, list[uuid.UUID]] = {}
    for cause in added:
        by_home.setdefault(homes[cause].incident_id, []).append(cause)
    rows: list[dict[str, Any]] = []
    timeline: list[IncidentEvent] = []
    for causes in by_home.values():
        home = homes[causes[0]]
        drafts = [draft for cause in causes for draft in added[cause]]
        verb = Verb.OPEN if home.state is None else Verb.JOIN
        if home.state == State.RESOLVED:
            verb = Verb.RETURN if all(cause in theirs for cause in causes) else Verb.RECUR
        state = State.OPEN if home.state is None else TABLE[verb].moves[home.state]
        severity, worst, by_hand = _rated(home, drafts)
        data = {"findings": len(drafts), "severity": severity, "first": drafts[0].sentence}
        timeline.append(event(home.incident_id, verb, now, text=_told(verb, len(drafts)), data=data))
        if severity != home.severity and verb is Verb.JOIN:
            state = TABLE[Verb.WORSEN].moves[state]
            text = f"From {Severity(home.severity).label.lower()} to {Severity(severity).label.lower()}"
            data = {"before": home.severity, "after": severity, "first": drafts[0].sentence}
            timeline.append(event(home.incident_id, Verb.WORSEN, now, text=text, data=data))
        rows.append(
            {
                "id": home.incident_id,
                "state": state,
                "severity": severity,
                "worst": worst,
                "by_hand": by_hand,
                "added": len(drafts),
                "first_due_at": min((draft.due_at for draft in drafts if draft.due_at), default=None),
                "recurred": home.state == State.RESOLVED,
            }
        )
    with connection.cursor() as cursor:
        cursor.execute(COUNT_IN, {"rows": as_rows(rows), "now": now})
    IncidentEvent.objects.bulk_create(timeline)
    rescope(sorted(_widened(homes, added)))


def _widened(homes: Mapping[uuid.UUID, _Home], added: Mapping[uuid.UUID, list[FindingDraft]]) -> set[int]:
    """Known incidents to which came what concerns another partner or integration than theirs."""
    return {
        homes[cause].incident_id
        for cause, drafts in added.items()
        for draft in drafts
        if homes[cause].state is not None
        and (
            draft.partner_id not in (None, homes[cause].partner_id)
            or draft.integration_id not in (None, homes[cause].integration_id)
        )
    }


def _rated(home: _Home, drafts: Iterable[FindingDraft]) -> tuple[str, str, bool]:
    """(severity, worst finding, whether a person's word still stands): it does until a finding is worse than any before."""
    worst = worst_of([home.worst, *(draft.severity for draft in drafts)])
    if home.by_hand and worst == home.worst:
        return home.severity, worst, True
    severity = worst_of([home.severity, worst])
    return severity, worst, home.by_hand and severity == home.severity


def _told(verb: Verb, n: int) -> str:
    findings = "1 finding" if n == 1 else f"{n:,} findings"
    return {
        Verb.OPEN: f"Opened with {findings}",
        Verb.RECUR: f"The same cause came back: {findings}",
        Verb.RETURN: f"Acknowledged before, and not settled: {findings}",
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
    return IncidentEvent(incident_id=incident_id, kind=step.kind, at=now, **{"notify": step.notify, **values})
