"""Escalation: calls the first step's people when an incident opens, and the next ones while nobody takes it.

`begin` runs inside the transaction that plans the outbox, so that no call is planned without its next step waiting.
`tick` does what is due, every half minute. Everything awaited is a row (`AwaitedStep`): after an outage the newest due
step of each incident is called once. What a maintenance window or a mute covers calls nobody until that ends.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from apps.incidents.models import Incident, IncidentEvent
from apps.incidents.raising import event as timeline_row
from apps.incidents.transitions import Verb
from apps.notifications import escalation_plans as plans
from apps.notifications.escalation_models import AwaitedStep, EscalationVersion
from apps.notifications.escalation_muting import Muting
from apps.notifications.escalation_plans import LATE, Due, Ladder
from apps.notifications.escalation_targets import Called, Resolver, Routes, ladder_of
from apps.notifications.escalation_versions import versions_of

Kind = IncidentEvent.Kind
State = Incident.State
Awaited = AwaitedStep.Kind

#: rows of the outbox with which an incident begins (again) to need somebody
STARTS = frozenset({Kind.OPENED, Kind.REOPENED, Kind.UNACKNOWLEDGED, Kind.WOKEN})
#: rows that say it got worse
WORSE = frozenset({Kind.SEVERITY, Kind.RATED})


def begin(events: Sequence[IncidentEvent], now: datetime) -> list[IncidentEvent]:
    """Of these outbox rows (their incident, team and integration loaded) those that are to be sent now.

    Writes into `data` of the others' first rows whom they go to, and lays out what comes next. Left out is what a
    window silences and what waits for the first step's time. Call it in the transaction that plans the rows.
    """
    starting = [one for one in events if Kind(one.kind) in STARTS | WORSE]
    if not starting:
        return list(events)
    muting = Muting(now)
    muting.look({one.incident_id for one in starting})
    routes = Routes(now)
    left_out: set[int] = set()
    followed: list[tuple[IncidentEvent, EscalationVersion, Ladder]] = []
    fitting = {one.pk: routes.policy_of(one.incident) for one in starting}
    versions = versions_of((policy for policy in fitting.values() if policy), now)
    without: set[int] = set()
    for one in starting:
        if (quiet := muting.of(one.incident_id)) is not None:
            left_out.add(one.pk)
            silence(one.incident_id, quiet, now)
            continue
        policy = fitting[one.pk]
        version = versions[policy.pk] if policy else None
        ladder = ladder_of(version)
        if version is None or ladder is None:
            if one.kind in STARTS:
                without.add(one.incident_id)
        elif one.incident.state == State.OPEN:
            followed.append((one, version, ladder))
    if without:
        _close(without, now, "no policy")
    resolver = Resolver(now, (step for _, _, ladder in followed for step in ladder.steps))
    for one, version, ladder in followed:
        if not _follow(one, version, ladder, resolver, now):
            left_out.add(one.pk)
    IncidentEvent.objects.bulk_update([one for one, _, _ in followed], ["data"])
    return [one for one in events if one.pk not in left_out]


def _follow(
    event: IncidentEvent, version: EscalationVersion, ladder: Ladder, resolver: Resolver, now: datetime
) -> bool:
    """Starts the policy for an incident; False if the row itself must not be sent (the first step has its time)."""
    severity = event.incident.severity
    running = AwaitedStep.objects.filter(incident_id=event.incident_id, kind=Awaited.STEP, done_at=None).first()
    if event.kind in WORSE and running is not None and running.policy_id == version.policy_id:
        reached = Due(min(max(running.step - 1, 0), len(ladder.steps) - 1), running.round, now)
        called = resolver.call(ladder.steps[reached.step], severity)
        event.data = {**event.data, **said(version, reached, called)}
        return True
    _close({event.incident_id}, now, "begun anew")
    opened_at = event.at if now - event.at <= LATE else now
    due = plans.first(ladder, opened_at)
    if due.at > now:
        event.data = {**event.data, "policy": version.slug, "waits_until": due.at.isoformat()}
        wait_for(event.incident_id, version, due, now)
        return False
    due, called = reachable(ladder, due, resolver, severity)
    event.data = {**event.data, **said(version, due, called)}
    if (later := plans.after_calling(ladder, due, now)) is not None:
        wait_for(event.incident_id, version, later, now)
    return True


def reachable(ladder: Ladder, due: Due, resolver: Resolver, severity: str) -> tuple[Due, Called]:
    """This step or, while it reaches nobody (a gap, no address, a channel switched off), the next one of its round.

    `missing` of what it gives are those of the steps that were passed over as well. If no step reaches anybody: this
    step, nobody.
    """
    missing: dict[str, None] = {}
    chose: dict[int, None] = {}
    for number in range(due.step, len(ladder.steps)):
        called = resolver.call(ladder.steps[number], severity)
        missing |= dict.fromkeys(called.missing)
        chose |= dict.fromkeys(called.by_choice)
        if called.anybody:
            return Due(number, due.round, due.at), replace(called, missing=tuple(missing))
    return due, Called(missing=tuple(missing), by_choice=tuple(chose))


def said(version: EscalationVersion, due: Due, called: Called) -> dict[str, object]:
    """For the row that calls a step: which one, whom, and who is not reached."""
    data: dict[str, object] = {
        "policy": version.slug,
        "version": version.version,
        "step": due.step + 1,
        "round": due.round + 1,
        "to": ", ".join(called.names),
    }
    if called.missing:
        data["missing"] = list(called.missing)
    if (targets := called.targets) is not None:
        data["targets"] = targets
    return data


def wait_for(incident_id: int, version: EscalationVersion, due: Due, now: datetime) -> None:
    """The row of a step to come, unless somebody else has just written one."""
    row = AwaitedStep(
        incident_id=incident_id,
        kind=Awaited.STEP,
        policy_id=version.policy_id,
        version=version,
        step=due.step,
        round=due.round,
        due_at=due.at,
        created_at=now,
    )
    AwaitedStep.objects.bulk_create([row], ignore_conflicts=True)


def _close(incidents: Collection[int], now: datetime, why: str) -> None:
    AwaitedStep.objects.filter(incident_id__in=incidents, done_at=None).update(done_at=now, outcome=why)


def silence(incident_id: int, quiet: Muting.Silence, now: datetime) -> None:
    """Kept, marked, and calls nobody: one row waits for the end of the window."""
    known = AwaitedStep.objects.filter(incident_id=incident_id, kind=Awaited.UNMUTE, done_at=None)
    AwaitedStep.objects.filter(incident_id=incident_id, done_at=None).exclude(kind=Awaited.UNMUTE).update(
        done_at=now, outcome="silenced"
    )
    if known.update(due_at=quiet.until, window_id=quiet.window.id):
        return
    AwaitedStep.objects.create(
        incident_id=incident_id,
        kind=Awaited.UNMUTE,
        window_id=quiet.window.id,
        due_at=quiet.until,
        created_at=now,
    )
    row = timeline_row(
        incident_id,
        Verb.MUTE,
        now,
        text=f"Nobody is called: {quiet.window.reason}",
        data={"window": quiet.window.id, "until": quiet.until.isoformat(), "kind": quiet.window.kind},
    )
    row.save(force_insert=True)
