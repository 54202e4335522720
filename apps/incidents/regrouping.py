"""Findings of one cause come together in one incident: what `anomalies.grouping` concluded, done to the desk.

Only the tower calls this; people's verbs that move findings are in `merging`. Locks as in `raising`: causes, incidents,
findings. A finding keeps the cause it was raised with, so that it can always go home again (`release`).
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from apps.incidents.merging import end_empty, recount
from apps.incidents.models import Finding, Incident, IncidentEvent, Resolution
from apps.incidents.raising import event, locked, queue_for
from apps.incidents.sets import worst_of
from apps.incidents.transitions import TABLE, Verb

State = Incident.State


@dataclass(frozen=True, slots=True)
class NewHome:
    """The incident to open when none of those there can hold the cause."""

    fingerprint: uuid.UUID
    title: str


@transaction.atomic
def gather(findings: Collection[int], home: int | NewHome, sentence: str, now: datetime, title: str = "") -> int | None:
    """Moves open findings into one incident; returns its id, None if there is nothing to move it for.

    An incident that is left without open findings ends as merged, and what its cause brings goes to the home as well;
    one that keeps others stays open. sentence: why, for the timelines of both; title: what the home is called from now
    on, if given. A home that has ended meanwhile takes nothing.
    """
    rows = list(Finding.objects.filter(pk__in=list(findings), cleared_at=None).select_related("incident"))
    if not rows:
        return None
    causes = {row.incident.fingerprint for row in rows}
    if isinstance(home, NewHome):
        causes.add(home.fingerprint)
    else:
        causes |= set(Incident.objects.filter(pk=home).values_list("fingerprint", flat=True))
    queue_for(causes)
    found = {one.pk: one for one in locked(Q(fingerprint__in=causes) & ~Q(state=State.RESOLVED))}
    rows = [row for row in rows if row.incident_id in found]
    if not rows:
        return None
    target, opened = _home(home, found, rows, sentence, now)
    if target is None:
        return None
    moving = [row for row in rows if row.incident_id != target]
    if not moving:
        return target
    Finding.objects.filter(pk__in=[row.pk for row in moving]).update(incident_id=target)
    sources = Counter(row.incident_id for row in moving)
    recount([target, *sources], now)
    _tell(target, sources, found, sentence, now, opened=opened)
    if title:
        Incident.objects.filter(pk=target).update(title=title[:300])
    if not opened:
        _worsen(target, found[target], [row.severity for row in moving], now)
    return target


def _home(
    home: int | NewHome, found: dict[int, Incident], rows: Sequence[Finding], sentence: str, now: datetime
) -> tuple[int | None, bool]:
    """(the incident, whether it was opened just now)."""
    if not isinstance(home, NewHome):
        return (home if home in found else None), False
    for one in found.values():
        if one.fingerprint == home.fingerprint:
            return one.pk, False
    whole = [row.incident for row in rows]
    severity = worst_of(row.severity for row in rows)
    # nobody is called again about what somebody already has: the one who has all of it has this too
    owners = {one.acknowledged_by_id for one in whole if one.state == State.ACKNOWLEDGED}
    kept = len(owners) == 1 and all(one.state == State.ACKNOWLEDGED for one in whole)
    partners, integrations = {row.partner_id for row in rows}, {row.integration_id for row in rows}
    teams = {one.team_id for one in whole}
    new = Incident.objects.create(
        fingerprint=home.fingerprint,
        kind="cause",
        title=home.title[:300],
        state=State.ACKNOWLEDGED if kept else State.OPEN,
        severity=severity,
        worst=severity,
        partner_id=partners.pop() if len(partners) == 1 else None,
        integration_id=integrations.pop() if len(integrations) == 1 else None,
        team_id=teams.pop() if len(teams) == 1 else None,
        opened_at=now,
        acknowledged_at=now if kept else None,
        acknowledged_by_id=owners.pop() if kept else None,
        last_finding_at=now,
    )
    data = {"findings": len(rows), "severity": severity, "first": rows[0].sentence}
    opening = event(new.pk, Verb.OPEN, now, text=sentence, data=data)
    opening.notify = not kept
    opening.save(force_insert=True)
    if kept:
        taken = event(new.pk, Verb.ACKNOWLEDGE, now, text="Taken over with what was acknowledged", notify=False)
        taken.save(force_insert=True)
    return new.pk, True


def _tell(
    target: int, sources: Counter[int], found: dict[int, Incident], sentence: str, now: datetime, *, opened: bool
) -> None:
    """The rows of both timelines; incidents that are left empty end as merged."""
    left = dict(Incident.objects.filter(pk__in=sources).values_list("pk", "open_findings"))
    timeline: list[IncidentEvent] = []
    for pk, n in sorted(sources.items()):
        findings = "1 finding" if n == 1 else f"{n:,} findings"
        if left[pk]:
            said = f"{findings} went to #{target} by cause: {sentence}"
            timeline.append(event(pk, Verb.SPLIT, now, text=said, data={"to": target, "findings": n}))
            continue
        Incident.objects.filter(pk=pk).update(
            state=TABLE[Verb.MERGE].moves[State(found[pk].state)],
            resolved_at=now,
            resolution=Resolution.MERGED,
            merged_into=target,
            back_at=None,
            quiet_since=None,
        )
        said = f"Merged by cause into #{target}: {sentence}"
        timeline.append(event(pk, Verb.MERGE, now, text=said, data={"into": target, "findings": n}))
    if not opened:
        names = ", ".join(f"#{pk}" for pk in sorted(sources))
        n = sum(sources.values())
        said = f"{n:,} {'finding' if n == 1 else 'findings'} of {names} merged by cause: {sentence}"
        timeline.append(event(target, Verb.ABSORB, now, text=said, data={"from": sorted(sources), "findings": n}))
    IncidentEvent.objects.bulk_create(timeline)


def _worsen(pk: int, before: Incident, severities: Sequence[str], now: datetime) -> None:
    severity = worst_of([before.severity, *severities])
    if severity == before.severity or before.severity_by_hand:
        return
    state = TABLE[Verb.WORSEN].moves[State(before.state)]
    Incident.objects.filter(pk=pk).update(state=state, severity=severity, worst=severity)
    said = f"From {before.get_severity_display().lower()} to {severity} by what joined"
    change = {"before": before.severity, "after": severity}
    event(pk, Verb.WORSEN, now, text=said, data=change).save(force_insert=True)


@transaction.atomic
def release(findings: Collection[int], now: datetime) -> int:
    """Findings that do not belong to the cause they were sent to go home: to the incident of their own cause, which is
    open again and no longer merged. Returns how many went."""
    rows = list(Finding.objects.filter(pk__in=list(findings), cleared_at=None).select_related("incident"))
    causes = {row.cause for row in rows if row.cause is not None and row.cause != row.incident.fingerprint}
    if not causes:
        return 0
    queue_for(causes | {row.incident.fingerprint for row in rows})
    pks = [row.incident_id for row in rows]
    # what a person merged stays merged
    by_tower = IncidentEvent.objects.filter(kind=IncidentEvent.Kind.MERGED, actor_name="")
    ours = set(
        by_tower.filter(incident__merged_into__in=pks, incident__fingerprint__in=causes).values_list(
            "incident", flat=True
        )
    )
    homes = {}
    both = locked(Q(fingerprint__in=causes) | Q(pk__in=pks))
    for one in sorted(both, key=lambda one: one.state != State.RESOLVED):  # the unresolved one comes last and wins
        if one.fingerprint in causes and (one.state != State.RESOLVED or one.pk in ours):
            homes[one.fingerprint] = one
    going = [row for row in rows if row.cause in homes and homes[row.cause].pk != row.incident_id]
    if not going:
        return 0
    timeline: list[IncidentEvent] = []
    for pk, n in sorted(Counter(homes[row.cause].pk for row in going if row.cause).items()):
        Finding.objects.filter(pk__in=[row.pk for row in going if row.cause and homes[row.cause].pk == pk]).update(
            incident_id=pk
        )
        home = next(one for one in homes.values() if one.pk == pk)
        if home.state == State.RESOLVED:
            Incident.objects.filter(pk=pk).update(
                state=State.OPEN, merged_into=None, resolved_at=None, resolution="", acknowledged_at=None,
                acknowledged_by=None, back_at=None,
            )  # fmt: skip
            said = f"{n} of its findings had another cause and came back"
            timeline.append(event(pk, Verb.RECUR, now, text=said, data={"findings": n}))
        else:
            timeline.append(event(pk, Verb.JOIN, now, text=f"{n} findings came back", data={"findings": n}))
    recount([*{row.incident_id for row in going}, *(one.pk for one in homes.values())], now)
    IncidentEvent.objects.bulk_create(timeline)
    end_empty([row.incident_id for row in going], now)
    return len(going)
