"""Escalation as time passes: the next step, reminders, acknowledgments that run out, silences that end.

Rows that are due are claimed (SKIP LOCKED) together with their incident, so that of any number of ticks one acts, and
none while somebody acknowledges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.incidents.lapsing import lapse
from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.incidents.raising import event as timeline_row
from apps.incidents.transitions import Verb
from apps.notifications import escalation_plans as plans
from apps.notifications.escalation import reachable, said, wait_for
from apps.notifications.escalation import silence as silence_it
from apps.notifications.escalation_models import AwaitedStep, EscalationVersion, ReminderInterval
from apps.notifications.escalation_muting import Muting
from apps.notifications.escalation_plans import Due, Ladder
from apps.notifications.escalation_targets import Resolver, Routes, ladder_of
from apps.notifications.escalation_versions import version_of

State = Incident.State
Awaited = AwaitedStep.Kind

BATCH = 200
#: rounds of one tick; what is left over is done by the next
MOST_BATCHES = 25


@dataclass(slots=True)
class Summary:
    """What a tick did."""

    called: int = 0
    reminded: int = 0
    lapsed: int = 0
    unmuted: int = 0
    closed: int = 0


def tick(now: datetime) -> Summary:
    """Does everything that is due; any number may run at once. Meant for every half minute."""
    summary = Summary()
    _watch_acknowledged(now)
    for _ in range(MOST_BATCHES):
        if _batch(now, summary) < BATCH:
            break
    return summary


def _due(now: datetime) -> QuerySet[AwaitedStep]:
    """What has come, what the incident has overtaken, and what is silenced (its window may have been cancelled)."""
    of = "incident__state"
    overtaken = (
        Q(kind=Awaited.STEP) & ~Q(**{of: State.OPEN})
        | Q(kind__in=[Awaited.REMINDER, Awaited.LAPSE]) & ~Q(**{of: State.ACKNOWLEDGED})
        | Q(**{of: State.RESOLVED})
    )
    return AwaitedStep.objects.filter(done_at=None).filter(Q(due_at__lte=now) | overtaken)


@transaction.atomic
def _batch(now: datetime, summary: Summary) -> int:
    rows = list(
        _due(now)
        .select_related("incident__team", "incident__integration", "incident__assignee", "incident__acknowledged_by")
        .select_related("policy", "version__policy", "window")
        .order_by("due_at", "id")
        .select_for_update(of=("self", "incident"), skip_locked=True, no_key=True)[:BATCH]
    )
    cancelled = _uncovered(now, len(rows))
    rows += [row for row in cancelled if row.pk not in {one.pk for one in rows}]
    if not rows:
        return 0
    work = _Work(rows, now, summary)
    for row in rows:
        work.do(row)
    IncidentEvent.objects.bulk_create(work.timeline)
    return len(rows)


def _uncovered(now: datetime, taken: int) -> list[AwaitedStep]:
    """Silenced incidents whose window was cancelled or made shorter: their time has come."""
    rows = list(
        AwaitedStep.objects.filter(done_at=None, kind=Awaited.UNMUTE, due_at__gt=now)
        .select_related("incident__team", "incident__integration", "policy", "version__policy", "window")
        .order_by("due_at", "id")
        .select_for_update(of=("self", "incident"), skip_locked=True, no_key=True)[: max(BATCH - taken, 0)]
    )
    if not rows:
        return []
    muting = Muting(now)
    muting.look({row.incident_id for row in rows})
    return [row for row in rows if muting.of(row.incident_id) is None]


class _Work:
    """One batch of claimed rows; reads once what all of them need."""

    def __init__(self, rows: Sequence[AwaitedStep], now: datetime, summary: Summary) -> None:
        self.now, self.summary = now, summary
        self.timeline: list[IncidentEvent] = []
        self.muting = Muting(now)
        self.muting.look({row.incident_id for row in rows})
        self.routes = Routes(now)
        self.sentences = _first_sentences({row.incident_id for row in rows})
        kept = [ladder_of(row.version) for row in rows]
        now_said = [
            ladder_of(policy) for policy in {route.policy_id: route.policy for route in self.routes.rows}.values()
        ]
        self.resolver = Resolver(now, (step for ladder in kept + now_said if ladder for step in ladder.steps))

    def do(self, row: AwaitedStep) -> None:
        state = row.incident.state
        if state == State.RESOLVED:
            return self._done(row, "resolved")
        if row.kind == Awaited.UNMUTE:
            return self._unmute(row)
        if row.kind == Awaited.STEP:
            if state != State.OPEN:
                return self._done(row, str(state))
            return self._step(row)
        if state != State.ACKNOWLEDGED or row.since != row.incident.acknowledged_at:
            return self._done(row, "no longer acknowledged")
        return self._remind(row) if row.kind == Awaited.REMINDER else self._lapse(row)

    def _done(self, row: AwaitedStep, outcome: str) -> None:
        row.done_at, row.outcome = self.now, outcome[:100]
        row.save(update_fields=["done_at", "outcome"])
        self.summary.closed += 1

    def _step(self, row: AwaitedStep) -> None:
        if (quiet := self.muting.of(row.incident_id)) is not None:
            silence_it(row.incident_id, quiet, self.now)
            return
        ladder = ladder_of(row.version)
        if row.version is None or ladder is None:
            return self._done(row, "its steps cannot be read")
        due = Due(min(row.step, len(ladder.steps) - 1), min(row.round, ladder.repeat), row.due_at)
        due, skipped = plans.newest(ladder, due, self.now)
        self._done(row, f"called ({skipped} earlier skipped)" if skipped else "called")
        self._call(row.incident, row.version, ladder, due, skipped)

    def _call(self, incident: Incident, version: EscalationVersion, ladder: Ladder, due: Due, skipped: int = 0) -> None:
        """One step now, and the row of the next."""
        due, called = reachable(ladder, due, self.resolver, incident.severity)
        data = said(version, due, called) | {"first": self._why(incident)}
        later = plans.after_calling(ladder, due, self.now)
        again = f", round {due.round + 1}" if due.round else ""
        late = f"; {skipped} steps before it were missed" if skipped else ""
        whom = ", ".join(called.names) or "nobody whom it or a later one names can be called now: the usual routing"
        without = f" ({'; '.join(called.missing)})" if called.missing else ""
        text = f"Step {due.step + 1} of {len(ladder.steps)}{again}: {whom}{without}{late}"
        self.timeline.append(timeline_row(incident.pk, Verb.ESCALATE, self.now, text=text, data=data))
        if later is not None:
            wait_for(incident.pk, version, later, self.now)
        self.summary.called += 1

    def _why(self, incident: Incident) -> str:
        minutes = int((self.now - incident.opened_at).total_seconds() // 60)
        since = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
        return f"Open for {since}, nobody has taken it. {self.sentences.get(incident.pk, '')}".strip()

    def _unmute(self, row: AwaitedStep) -> None:
        if (quiet := self.muting.of(row.incident_id)) is not None:
            AwaitedStep.objects.filter(pk=row.pk).update(due_at=quiet.until, window_id=quiet.window.id)
            return
        self._done(row, "over")
        reason = row.window.reason if row.window else "the window"
        self.timeline.append(
            timeline_row(
                row.incident_id,
                Verb.UNMUTE,
                self.now,
                text=f"No longer silenced: {reason}",
                data={"window": row.window_id},
            )
        )
        self.summary.unmuted += 1
        if row.incident.state != State.OPEN:
            return
        policy = self.routes.policy_of(row.incident)
        version = version_of(policy, self.now) if policy else None
        ladder = ladder_of(version)
        if version is None or ladder is None:
            data = {"first": f"It was silenced and is still open. {self.sentences.get(row.incident_id, '')}".strip()}
            text = "Still open after the silence: whoever is on call"
            self.timeline.append(timeline_row(row.incident_id, Verb.ESCALATE, self.now, text=text, data=data))
            return
        due = plans.first(ladder, self.now)
        if due.at > self.now:
            wait_for(row.incident_id, version, due, self.now)
        else:
            self._call(row.incident, version, ladder, due)

    def _remind(self, row: AwaitedStep) -> None:
        incident = row.incident
        self._done(row, "reminded")
        every = _interval(incident, row.version)
        who = incident.assignee or incident.acknowledged_by
        if every is None or who is None:
            return
        data = {
            "targets": {"users": [who.pk], "channels": []},
            "to": who.display_name,
            "first": f"You have it and it is still open. {self.sentences.get(incident.pk, '')}".strip(),
        }
        text = f"{who.display_name} reminded"
        self.timeline.append(timeline_row(incident.pk, Verb.REMIND, self.now, text=text, data=data))
        _await_on(incident, Awaited.REMINDER, row.version, self.now + every, self.now)
        self.summary.reminded += 1

    def _lapse(self, row: AwaitedStep) -> None:
        incident = row.incident
        who = incident.acknowledged_by.display_name if incident.acknowledged_by else "who acknowledged it"
        self._done(row, "lapsed")
        text = f"The acknowledgment of {who} has run out"
        if incident.acknowledged_at is None or lapse(incident.pk, incident.acknowledged_at, self.now, text) is None:
            return
        self.summary.lapsed += 1
        if (quiet := self.muting.of(incident.pk)) is not None:
            silence_it(incident.pk, quiet, self.now)
            return
        AwaitedStep.objects.filter(incident=incident, done_at=None).update(done_at=self.now, outcome="lapsed")
        ladder = ladder_of(row.version)
        if row.version is None or ladder is None:
            return
        step = row.step if row.step < len(ladder.steps) else 0
        self._call(incident, row.version, ladder, Due(step, row.round, self.now))
        self.timeline[-1].data["taken_before"] = True


def _await_on(
    incident: Incident, kind: AwaitedStep.Kind, version: EscalationVersion | None, due_at: datetime, now: datetime,
    step: int = 0, round_: int = 0,
) -> None:  # fmt: skip
    AwaitedStep.objects.create(
        incident=incident, kind=kind, policy=version.policy if version else None, version=version, due_at=due_at, created_at=now, since=incident.acknowledged_at,
        step=step, round=round_,
    )  # fmt: skip


def _interval(incident: Incident, version: EscalationVersion | None) -> timedelta | None:
    """The person's own, if they chose one (None: no reminders); else the policy's."""
    who = incident.assignee_id or incident.acknowledged_by_id
    own = ReminderInterval.objects.filter(user_id=who).first() if who else None
    return own.every if own is not None else version.remind_every if version else None


@transaction.atomic
def _watch_acknowledged(now: datetime) -> None:
    """Acknowledged incidents that nothing watches yet: when to remind, and when the acknowledgment runs out."""
    watched = AwaitedStep.objects.filter(
        incident=OuterRef("pk"), kind__in=[Awaited.REMINDER, Awaited.LAPSE], since=OuterRef("acknowledged_at")
    )
    rows = list(
        Incident.objects.filter(~Exists(watched), state=State.ACKNOWLEDGED, acknowledged_at__isnull=False)
        .select_related("team", "integration")
        .order_by("acknowledged_at", "pk")
        .select_for_update(of=("self",), skip_locked=True, no_key=True)[:BATCH]
    )
    if not rows:
        return
    routes = Routes(now)
    for incident in rows:
        version, step, round_ = position(incident, routes)
        AwaitedStep.objects.filter(
            incident=incident, done_at=None, kind__in=[Awaited.STEP, Awaited.REMINDER, Awaited.LAPSE]
        ).update(done_at=now, outcome="acknowledged")
        since = incident.acknowledged_at or now
        calm = max(since, incident.back_at) if incident.back_at else since
        # without an interval a row is kept all the same: it says that this acknowledgment has been looked at
        every = _interval(incident, version)
        row = AwaitedStep(
            incident=incident, kind=Awaited.REMINDER, policy=version.policy if version else None, version=version,
            created_at=now, since=incident.acknowledged_at,
            due_at=calm + (every or timedelta(0)), done_at=None if every else now, outcome="" if every else "none wanted",
        )  # fmt: skip
        row.save(force_insert=True)
        if version is not None and version.lapse_after is not None:
            _await_on(incident, Awaited.LAPSE, version, calm + version.lapse_after, now, step, round_)


def position(incident: Incident, routes: Routes) -> tuple[EscalationVersion | None, int, int]:
    """Where escalation stands: its policy, as it was when it began, and the step that would have come next."""
    last = (
        AwaitedStep.objects.filter(incident=incident, kind__in=[Awaited.STEP, Awaited.LAPSE])
        .select_related("version__policy")
        .order_by("-id")
        .first()
    )
    if last is not None and last.version is not None and last.created_at >= incident.opened_at:
        # a step that was called already (the last one of its policy): it is called again
        return last.version, last.step, last.round
    policy = routes.policy_of(incident)
    return version_of(policy, routes.now) if policy else None, 0, 0


def _first_sentences(incidents: Iterable[int]) -> dict[int, str]:
    """Incident -> what its earliest open finding says."""
    rows = (
        Finding.objects.filter(incident__in=list(incidents), cleared_at=None)
        .order_by("incident", "due_at", "id")
        .distinct("incident")
        .values_list("incident", "sentence")
    )
    return dict(rows)
