"""What people answer to the detectors: one click, bounded in its effect, fading in 60 days, taken back at any time.

`judge` and `take_back` about one anomaly; `switch` for a detector and a partner; `set_budget` for everybody. Each leaves an
audit row with the thresholds before and after. Rules are not touched by any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import ApiClient, User
from apps.anomalies import trust
from apps.anomalies.models import Anomaly, DetectorSwitch, KnownSpan, VoiceBudget
from apps.anomalies.voicing import clear
from apps.integrations.models import Partner

Verdict = Anomaly.Verdict
#: verdict -> what its span means to the detectors
SPANS = {
    Verdict.REAL: KnownSpan.Kind.OUTAGE,
    Verdict.FIXED: KnownSpan.Kind.OUTAGE,
    Verdict.EXPECTED: KnownSpan.Kind.EXPECTED,
}
LEAST_SPAN = timedelta(hours=1)
LONGEST_SPAN = timedelta(days=60)
MOST_FACTOR = 100
MOST_BUDGET = 1_000
MOST_PERCENT, MOST_MINUTES = 200, 14_400


Actor = User | ApiClient


def name_of(actor: Actor) -> str:
    return actor.display_name if isinstance(actor, User) else actor.name


class NotPossible(ValueError):
    """Why it cannot be done, in a sentence for people."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a click did: the stream's factor on its threshold before and after."""

    before: float
    after: float

    @property
    def words(self) -> str:
        if abs(self.after - self.before) < 0.005:
            return "Its threshold stays."
        direction = "rises" if self.after > self.before else "falls"
        return f"Its threshold {direction} from {self.before:.2f} to {self.after:.2f} times the usual, and fades back."


@transaction.atomic
def judge(pk: int, verdict: str, user: Actor, now: datetime) -> Effect:
    """Records an answer. Raises NotPossible for an unknown one, Anomaly.DoesNotExist for a missing anomaly."""
    if verdict not in Verdict.values:
        raise NotPossible(f"“{verdict}” is no answer; choose real, expected, not useful or fixed by us")
    one = Anomaly.objects.select_for_update().get(pk=pk)
    before, factor = one.verdict, _factor(one, now)
    _forget(one, now)
    one.verdict, one.verdict_at = verdict, now
    one.verdict_by = user if isinstance(user, User) else None
    kind = SPANS.get(Verdict(verdict))
    if kind and (one.integration_id or one.detector == "feed"):
        one.span = KnownSpan.objects.create(
            kind=kind,
            detector=one.detector,
            integration_id=one.integration_id,
            partner_id=None if one.integration_id else one.partner_id,
            event_type=str(one.evidence.get("event_type", "")),
            starts_at=one.began_at,
            ends_at=max(one.cleared_at or now, one.began_at + LEAST_SPAN),
            name=one.title[:200],
            author_name=name_of(user),
            created_at=now,
        )
    one.save(update_fields=["verdict", "verdict_at", "verdict_by", "span"])
    if verdict == Verdict.EXPECTED:
        clear([one.key], f"Expected, says {name_of(user)}", now)
    effect = Effect(factor, _factor(one, now))
    audit.record(
        user,
        "anomaly.judged",
        f"anomaly:{one.pk}",
        {"verdict": before, "factor": effect.before, "stream": one.stream},
        {"verdict": verdict, "factor": effect.after, "span": one.span_id},
        now,
    )
    return effect


@transaction.atomic
def take_back(pk: int, user: Actor, now: datetime) -> Effect:
    """Undoes the answer: its effect on the threshold, and the span it wrote."""
    one = Anomaly.objects.select_for_update().get(pk=pk)
    if not one.verdict:
        raise NotPossible("Nobody has answered this one yet, or the answer was taken back already.")
    before, factor, span = one.verdict, _factor(one, now), one.span_id
    _forget(one, now)
    one.save(update_fields=["verdict", "verdict_at", "verdict_by", "span"])
    effect = Effect(factor, _factor(one, now))
    audit.record(
        user,
        "anomaly.taken_back",
        f"anomaly:{one.pk}",
        {"verdict": before, "factor": effect.before, "span": span},
        {"verdict": "", "factor": effect.after},
        now,
    )
    return effect


def _forget(one: Anomaly, now: datetime) -> None:
    if one.span_id:
        KnownSpan.objects.filter(pk=one.span_id, undone_at=None).update(undone_at=now)
    one.verdict, one.verdict_at, one.verdict_by, one.span = "", None, None, None


def _factor(one: Anomaly, now: datetime) -> float:
    rows = Anomaly.objects.filter(detector=one.detector, stream=one.stream).exclude(verdict="")
    answers = [trust.Answer(verdict, at) for verdict, at in rows.values_list("verdict", "verdict_at") if at]
    return round(trust.factor(answers, now), 4)


@transaction.atomic
def declare(span: KnownSpan, user: Actor, now: datetime) -> KnownSpan:
    """Keeps what somebody knows beforehand: a peak, an exception. span: not yet saved."""
    if not span.name:
        raise NotPossible("Say what it is, so that others know: “Black Friday”, “stocktaking at Rhein”.")
    if span.ends_at <= span.starts_at:
        raise NotPossible("It must end after it begins.")
    if span.ends_at - span.starts_at > LONGEST_SPAN:
        raise NotPossible("A span is at most 60 days: what lasts longer is the usual, and is learnt by itself.")
    if span.kind == KnownSpan.Kind.PEAK and not (span.factor and 0 < span.factor <= MOST_FACTOR):
        raise NotPossible(f"Say how many times the usual a peak brings: a number above 0, at most {MOST_FACTOR}.")
    span.author_name, span.created_at = name_of(user), now
    span.save()
    audit.record(user, "span.declared", f"span:{span.pk}", None, _span(span), now)
    return span


@transaction.atomic
def withdraw(pk: int, user: Actor, now: datetime) -> KnownSpan:
    """Takes a declared span back; raises KnownSpan.DoesNotExist."""
    span = KnownSpan.objects.select_for_update().get(pk=pk, undone_at=None)
    span.undone_at = now
    span.save(update_fields=["undone_at"])
    audit.record(user, "span.withdrawn", f"span:{span.pk}", _span(span), None, now)
    return span


def _span(span: KnownSpan) -> Mapping[str, Any]:
    names = ("kind", "name", "integration_id", "partner_id", "starts_at", "ends_at", "factor")
    return {name: getattr(span, name) for name in names}


@transaction.atomic
def switch(detector: str, partner: Partner | None, enabled: bool, reason: str, user: Actor, now: datetime) -> None:
    """Turns a detector on or off, for a partner or for everybody. Turning off asks for a reason."""
    if not enabled and not reason:
        raise NotPossible("Say why it is turned off; people will ask.")
    row, _ = DetectorSwitch.objects.select_for_update().get_or_create(
        detector=detector, partner=partner, defaults={"changed_at": now}
    )
    before = _switch(row)
    row.enabled, row.reason = enabled, reason[:300]
    row.changed_at, row.changed_by_name = now, name_of(user)
    row.save()
    audit.record(user, "detector.switched", f"detector:{detector}", before, _switch(row), now)


def _switch(row: DetectorSwitch) -> Mapping[str, Any]:
    return {"enabled": row.enabled, "partner": row.partner.slug if row.partner else "", "reason": row.reason}


@transaction.atomic
def set_budget(pages: int, tasks: int, user: Actor, now: datetime) -> None:
    """How many pages and tasks an operator and day may cost; thresholds follow."""
    if not (0 < pages <= MOST_BUDGET and 0 < tasks <= MOST_BUDGET):
        raise NotPossible(f"A budget is a number from 1 to {MOST_BUDGET:,}.")
    row = VoiceBudget.objects.select_for_update().first() or VoiceBudget()
    before = {"pages": row.pages, "tasks": row.tasks}
    row.pages, row.tasks, row.changed_at, row.changed_by_name = pages, tasks, now, name_of(user)
    row.save()
    audit.record(user, "detector.budget", "detectors", before, {"pages": pages, "tasks": tasks}, now)


@transaction.atomic
def set_least(percent: float | None, minutes: float | None, user: Actor, now: datetime) -> None:
    """By how much a lane's lead time must change before it is told: by both. None: not a number."""
    if percent is None or minutes is None or not (1 <= percent <= MOST_PERCENT and 0 <= minutes <= MOST_MINUTES):
        raise NotPossible(f"Give a change from 1 to {MOST_PERCENT} %, and 0 to {MOST_MINUTES:,} minutes.")
    row = VoiceBudget.objects.select_for_update().first() or VoiceBudget()
    before = {"share": row.drift_share, "minutes": row.drift_minutes}
    row.drift_share, row.drift_minutes = percent / 100, int(minutes)
    row.changed_at, row.changed_by_name = now, name_of(user)
    row.save()
    after = {"share": row.drift_share, "minutes": row.drift_minutes}
    audit.record(user, "detector.least_change", "detector:drift", before, after, now)
