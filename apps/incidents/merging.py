"""Merging incidents, taking a merge back, splitting findings off: people's verbs that move findings from one to another.

Locks as in `raising`: causes, incidents, findings. Numbers of every incident touched are counted anew from its findings.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Q

from apps.accounts.models import Role, User
from apps.incidents.models import Finding, Incident, IncidentEvent, Resolution
from apps.incidents.raising import NEXT_BREACH, event, locked, queue_for
from apps.incidents.scope import rescope
from apps.incidents.sets import worst_of
from apps.incidents.transitions import TABLE, Verb
from apps.incidents.workflow import Actor, NotPossible, name_of, person_of

State = Incident.State
#: incidents merged at once
MOST = 50

RECOUNT = f"""
UPDATE incidents_incident AS incident SET
    open_findings = counted.open, total_findings = counted.total, first_breach_at = counted.first_due,
    last_finding_at = coalesce(counted.last_raised, incident.last_finding_at), next_breach_at = {NEXT_BREACH}
FROM (
    SELECT wanted.id, count(finding.id) AS total, count(finding.id) FILTER (WHERE finding.cleared_at IS NULL) AS open,
        min(finding.due_at) AS first_due, max(finding.raised_at) AS last_raised
    FROM unnest(%(ids)s::bigint[]) AS wanted (id)
    LEFT JOIN incidents_finding AS finding ON finding.incident_id = wanted.id
    GROUP BY wanted.id
) AS counted
WHERE incident.id = counted.id
"""
#: an incident and all that were merged into it, however long the chain
FAMILY = """
WITH RECURSIVE family AS (
    SELECT id, fingerprint FROM incidents_incident WHERE id = %s
    UNION SELECT below.id, below.fingerprint FROM incidents_incident AS below JOIN family ON below.merged_into_id = family.id
)
SELECT fingerprint FROM family
"""


@transaction.atomic
def merge(sources: Sequence[int], target_id: int, actor: Actor, now: datetime, text: str = "") -> IncidentEvent:
    """Findings of the sources go to the target, and so does what their causes bring from now on; the sources end.

    All must be unresolved, at most `MOST`. Returns the target's timeline row. Raises NotPossible; Incident.DoesNotExist.
    """
    wanted = {target_id, *sources}
    if len(wanted) < 2:
        raise NotPossible("Choose at least two incidents to merge.")
    if len(wanted) > MOST:
        raise NotPossible(f"{len(wanted)} incidents: merge at most {MOST} at once.")
    found = _hold(wanted, actor)
    for one in found.values():
        if one.state == State.RESOLVED:
            raise NotPossible(f"#{one.pk} is resolved already: only what is still being worked can be merged.")
    target = found.pop(target_id)
    moved = Finding.objects.filter(incident__in=found).update(incident=target)
    Incident.objects.filter(pk__in=found).update(
        state=State.RESOLVED,
        resolved_at=now,
        resolution=Resolution.MERGED,
        merged_into=target,
        back_at=None,
        quiet_since=None,
    )
    recount([target_id, *found], now)
    for pk in sorted(found):
        _say(pk, Verb.MERGE, actor, now, text or f"Merged into #{target_id}", {"into": target_id})
    data = {"from": sorted(found), "findings": moved}
    numbers = ", ".join(f"#{pk}" for pk in sorted(found))
    row = _say(target_id, Verb.ABSORB, actor, now, text or f"Took over {numbers}", data)
    everybody = [target, *found.values()]
    severity = worst_of(one.severity for one in everybody)
    worst = worst_of(one.worst or one.severity for one in everybody)
    Incident.objects.filter(pk=target_id).update(worst=worst)
    if severity != target.severity:
        state = TABLE[Verb.WORSEN].moves[State(target.state)]
        Incident.objects.filter(pk=target_id).update(state=state, severity=severity, severity_by_hand=False)
        said = f"From {target.get_severity_display().lower()} to {severity} by merging {numbers}"
        change = {"before": target.severity, "after": severity}
        event(target_id, Verb.WORSEN, now, text=said, data=change).save(force_insert=True)
    return row


@transaction.atomic
def unmerge(incident_id: int, actor: Actor, now: datetime, text: str = "") -> IncidentEvent:
    """Takes a merge back: the findings of its own causes come home, and the actor has it. Without an open one it is over
    at once. Raises NotPossible; Incident.DoesNotExist."""
    incident = Incident.objects.only("merged_into", "fingerprint").get(pk=incident_id)
    if incident.merged_into_id is None:
        raise NotPossible("It was not merged into another incident, or that was undone already.")
    found = _hold({incident_id, _root(incident.merged_into_id)}, actor)
    root = next(pk for pk in found if pk != incident_id)
    if found[incident_id].merged_into_id is None:
        raise NotPossible("The merge was undone at this moment by somebody else.")
    other = Incident.objects.unresolved().filter(fingerprint=incident.fingerprint).exclude(pk=incident_id).first()
    if other is not None:
        raise NotPossible(f"#{other.pk} of the same cause is open: work on that one.")
    with connection.cursor() as cursor:
        cursor.execute(FAMILY, [incident_id])
        causes = [fingerprint for (fingerprint,) in cursor.fetchall()]
    moved = Finding.objects.filter(incident=root, cause__in=causes).update(incident=incident_id)
    Incident.objects.filter(pk=incident_id).update(
        state=TABLE[Verb.UNMERGE].moves[State.RESOLVED],
        merged_into=None,
        resolved_at=None,
        resolution="",
        acknowledged_at=now,
        acknowledged_by=person_of(actor),
    )
    recount([incident_id, root], now)
    data = {"from": root, "findings": moved}
    # what has nothing open is over at once: its alert outside stays closed
    alive = Incident.objects.filter(pk=incident_id, open_findings__gt=0).exists()
    row = _say(incident_id, Verb.UNMERGE, actor, now, text or f"Taken out of #{root}", data, notify=alive)
    _say(root, Verb.SPLIT, actor, now, f"#{incident_id} was taken out again", {"to": incident_id, "findings": moved})
    end_empty([incident_id, root], now)
    return row


@transaction.atomic
def split(
    incident_id: int, findings: Collection[int], actor: Actor, now: datetime, title: str = "", text: str = ""
) -> Incident:
    """Moves some open findings to an incident of their own, which the actor has. The causes stay where they are: what
    they bring later joins the old one. Raises NotPossible; Incident.DoesNotExist."""
    found = _hold({incident_id}, actor)[incident_id]
    if found.state == State.RESOLVED:
        raise NotPossible("It is resolved: reopen it before splitting it.")
    chosen = list(Finding.objects.filter(incident=found, cleared_at=None, pk__in=list(findings)))
    if not chosen:
        raise NotPossible("None of these findings is open here: choose some of the list.")
    whole = Incident.objects.get(pk=incident_id)
    if len(chosen) == whole.open_findings:
        raise NotPossible("These are all its open findings: leave at least one behind.")
    severity = worst_of(finding.severity for finding in chosen)
    partners, integrations = {one.partner_id for one in chosen}, {one.integration_id for one in chosen}
    new = Incident.objects.create(
        fingerprint=uuid.uuid5(found.fingerprint, f"split {min(finding.pk for finding in chosen)}"),
        kind=whole.kind,
        title=(title.strip() or f"{whole.title} (split off)")[:300],
        state=State.ACKNOWLEDGED,
        severity=severity,
        worst=severity,
        partner_id=partners.pop() if len(partners) == 1 else None,
        integration_id=integrations.pop() if len(integrations) == 1 else None,
        team_id=whole.team_id,
        labels=whole.labels,
        opened_at=now,
        acknowledged_at=now,
        acknowledged_by=person_of(actor),
        last_finding_at=now,
    )
    Finding.objects.filter(pk__in=[finding.pk for finding in chosen]).update(incident=new)
    recount([incident_id, new.pk], now)
    n = len(chosen)
    data = {"findings": n, "severity": severity, "first": chosen[0].sentence, "from": incident_id}
    # whoever splits it off has it: nobody is called
    _say(new.pk, Verb.OPEN, actor, now, f"Split off #{incident_id} with {n} findings", data, notify=False)
    _say(new.pk, Verb.ACKNOWLEDGE, actor, now, "", notify=False)
    _say(incident_id, Verb.SPLIT, actor, now, text or f"{n} findings went to #{new.pk}", {"to": new.pk, "findings": n})
    new.refresh_from_db()
    return new


def recount(ids: Sequence[int], now: datetime) -> None:
    """The numbers of these incidents and whom they concern, from their findings."""
    with connection.cursor() as cursor:
        cursor.execute(RECOUNT, {"ids": list(ids), "now": now})
    rescope(ids)


def _hold(ids: set[int], actor: Actor) -> dict[int, Incident]:
    """These incidents, in our hands until the transaction ends: nothing joins, ends or moves meanwhile."""
    if isinstance(actor, User) and actor.role == Role.PARTNER:
        raise NotPossible("Partners cannot work on incidents.")
    queue_for(Incident.objects.filter(pk__in=ids).values_list("fingerprint", flat=True))
    found = {one.pk: one for one in locked(Q(pk__in=ids))}
    if missing := ids - found.keys():
        raise Incident.DoesNotExist(f"There is no incident {', '.join(f'#{pk}' for pk in sorted(missing))}.")
    return found


def _root(pk: int) -> int:
    above = Incident.objects.values_list("merged_into", flat=True).get(pk=pk)
    return pk if above is None else _root(above)


def _say(
    pk: int, verb: Verb, actor: Actor, now: datetime, text: str, data: object = None, **values: bool
) -> IncidentEvent:
    who = {"actor": person_of(actor), "actor_name": name_of(actor)}
    row = event(pk, verb, now, text=text.strip()[:4000], data=data or {}, **who, **values)
    row.save(force_insert=True)
    return row


def end_empty(ids: Sequence[int], now: datetime) -> None:
    """What has no open finding any more is over."""
    empty = Incident.objects.unresolved().filter(pk__in=ids, open_findings=0)
    for pk in sorted(empty.values_list("pk", flat=True)):
        Incident.objects.filter(pk=pk).update(
            state=State.RESOLVED, resolved_at=now, resolution=Resolution.BY_ITSELF, back_at=None
        )
        said = {"resolution": Resolution.BY_ITSELF}
        event(pk, Verb.CLOSE, now, text="Nothing of it is open any more", data=said).save(force_insert=True)
