"""What detectors found is told, or not told and kept: switches, people's answers, the budget, each detector's own record.

Every way through here leaves a row (`Anomaly`), told or suppressed; two of a hundred suppressed ones are put before
people all the same. Rules do not come this way: nothing here can silence them.
"""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Q

from apps.accounts.models import User
from apps.anomalies import trust
from apps.anomalies.models import Anomaly, DetectorSwitch, FeedProfile, LeadLaw, MetricState, VoiceBudget
from apps.flows.canonical import key_of
from apps.incidents.models import Finding
from apps.incidents.workflow import FindingDraft, clear_findings, raise_findings

Tier = Anomaly.Tier
RECORD = timedelta(days=60)
#: one suppressed finding in so many is shown for audit
AUDIT_ONE_IN = 50
#: detectors whose scores are evidence against "as usual", so that they can be weighed across streams (e-BH)
EVIDENCE = {"feed"}
#: share of its alarms each detector says will be false
PROMISED = {"feed": 0.1, "metric": 0.3, "drift": 0.2, "deadline": 0.45, "path": 0.3, "schema": 0.2}
OFF, BUDGET, VOICE = "switched off", "budget", "its own voice"
#: of its own stream people said that it is told too often; what changed is too little to matter
ANSWERS, SMALL = "people's answers", "too small"


@dataclass(frozen=True, slots=True)
class Said:
    """What a detector wants to say. score and threshold: powers of ten; draft says the rest.

    held: why the detector itself thinks that it should not be told, in a word; it is kept all the same.
    """

    detector: str
    stream: str
    draft: FindingDraft
    score: float
    threshold: float
    began_at: datetime
    tier: str = Tier.PAGE
    held: str = ""


@dataclass(slots=True)
class Voice:
    """How loud everybody may be now."""

    now: datetime
    off: set[tuple[str, int | None]] = field(default_factory=set)
    answers: Mapping[tuple[str, str], list[trust.Answer]] = field(default_factory=dict)
    lowered: Mapping[str, float] = field(default_factory=dict)
    streams: Mapping[str, int] = field(default_factory=dict)
    told_today: dict[str, int] = field(default_factory=dict)
    budget: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, now: datetime) -> Voice:
        """Everything in seven statements."""
        off = {(row.detector, row.partner_id) for row in DetectorSwitch.objects.filter(enabled=False)}
        answers: dict[tuple[str, str], list[trust.Answer]] = defaultdict(list)
        judged = Anomaly.objects.filter(verdict_at__gt=now - 4 * RECORD).exclude(verdict="").order_by()
        for detector, stream, verdict, at in judged.values_list("detector", "stream", "verdict", "verdict_at"):
            if at is not None:
                answers[detector, stream].append(trust.Answer(verdict, at))
        today = Anomaly.objects.told().filter(raised_at__gt=now - timedelta(days=1)).order_by()
        return cls(
            now,
            off,
            dict(answers),
            lowered(now),
            {
                "feed": FeedProfile.objects.filter(state__has_key="carry").count(),
                **dict(MetricState.objects.order_by().values_list("detector").annotate(n=Count("pk"))),
                "deadline": LeadLaw.objects.count(),
            },
            dict(today.values_list("tier").annotate(n=Count("pk"))),
            budget(),
        )

    def threshold(self, detector: str, stream: str, base: float) -> float:
        """The score this stream must exceed now. base: what its own history asks for."""
        answers = self.answers.get((detector, stream), ())
        return base + math.log10(trust.factor(answers, self.now)) + self.lowered.get(detector, 0.0)

    def floor(self, detector: str, stream: str, base: float) -> float:
        """The score from which on a detector brings it here: where a stream has become quieter, `say` keeps what that
        holds back, so that its share of misses stays known."""
        return min(base, self.threshold(detector, stream, base))

    def quieter(self, detector: str) -> str:
        return VOICE if self.lowered.get(detector) else ANSWERS

    def is_off(self, detector: str, partner: int | None) -> bool:
        return (detector, None) in self.off or (partner is not None and (detector, partner) in self.off)


def operators() -> int:
    """People who work what is told."""
    return max(1, User.objects.filter(is_active=True, role__in=["operations", "on_call"]).count())


def budget() -> dict[str, int]:
    """How many may be told a day, by tier, by all operators together."""
    row = VoiceBudget.objects.first()
    people = operators()
    return {Tier.PAGE: (row.pages if row else 3) * people, Tier.TASK: (row.tasks if row else 20) * people}


def lowered(now: datetime) -> dict[str, float]:
    """detector -> by how much it raises its thresholds, by its own record of the last 60 days."""
    rows = (
        Anomaly.objects.told()
        .filter(raised_at__gt=now - RECORD)
        .exclude(verdict="")
        .order_by()
        .values_list("detector")
        .annotate(judged=Count("pk"), false=Count("pk", filter=Q(verdict__in=["expected", "not_useful"])))
    )
    found = {name: trust.lowered(judged, false, PROMISED.get(name, 0.3)) for name, judged, false in rows}
    return {name: by for name, by in found.items() if by > 0}


def say(said: Sequence[Said], voice: Voice, now: datetime) -> set[uuid.UUID]:
    """Tells what may be told; keeps the rest. Returns the keys of what is told now. Raises findings once."""
    if not said:
        return set()
    open_ = {row.key: row for row in Anomaly.objects.open().filter(key__in=[one.draft.key for one in said])}
    reasons = _reasons(said, open_, voice)
    tell = [one for one in said if not reasons[one.draft.key]]
    findings = {
        finding.key: finding for finding in raise_findings([one.draft for one in tell if one.tier == Tier.PAGE], now)
    }
    new, louder = [], []
    for one in said:
        reason, before = reasons[one.draft.key], open_.get(one.draft.key)
        if before is not None:
            if before.suppressed and not reason:
                before.suppressed, before.finding = "", findings.get(one.draft.key)
                before.score, before.sentence, before.evidence = one.score, one.draft.sentence, dict(one.draft.evidence)
                louder.append(before)
            continue
        new.append(_row(one, reason, now, findings.get(one.draft.key)))
    Anomaly.objects.bulk_create(new, ignore_conflicts=True)
    Anomaly.objects.bulk_update(louder, ["suppressed", "finding", "score", "sentence", "evidence"])
    return {one.draft.key for one in tell}


def _reasons(said: Sequence[Said], open_: Mapping[uuid.UUID, Anomaly], voice: Voice) -> dict[uuid.UUID, str]:
    """key -> why it is not told; '' if it is."""
    reasons: dict[uuid.UUID, str] = {}
    by_detector: dict[str, list[Said]] = defaultdict(list)
    for one in sorted(said, key=lambda one: (-one.score, str(one.draft.key))):
        by_detector[one.detector].append(one)
    for detector, ones in by_detector.items():
        allowed = len(ones)
        if detector in EVIDENCE:
            allowed = trust.across([one.score for one in ones], voice.streams.get(detector, len(ones)))
        for rank, one in enumerate(ones):
            before = open_.get(one.draft.key)
            if before is not None and not before.suppressed:
                reasons[one.draft.key] = ""
                continue
            extra = trust.over_budget(voice.told_today.get(one.tier, 0), voice.budget.get(one.tier, 10**9))
            if voice.is_off(detector, one.draft.partner_id):
                reason = OFF
            elif one.held:
                reason = one.held
            elif one.score < one.threshold:
                reason = voice.quieter(detector)
            elif rank >= allowed or one.score < one.threshold + extra:
                reason = BUDGET
            else:
                reason = ""
                voice.told_today[one.tier] = voice.told_today.get(one.tier, 0) + 1
            reasons[one.draft.key] = reason
    return reasons


def _row(one: Said, reason: str, now: datetime, finding: Finding | None) -> Anomaly:
    draft = one.draft
    return Anomaly(
        detector=one.detector,
        key=draft.key,
        stream=one.stream[:200],
        tier=one.tier,
        title=draft.incident_title[:300],
        sentence=draft.sentence,
        score=one.score,
        threshold=one.threshold,
        evidence=dict(draft.evidence),
        integration_id=draft.integration_id,
        partner_id=draft.partner_id,
        flow_id=draft.flow_id,
        finding=finding,
        began_at=min(one.began_at, now),
        raised_at=now,
        suppressed=reason,
        audited=bool(reason) and key_of("audit", str(draft.key), now.isoformat()).int % AUDIT_ONE_IN == 0,
    )


def clear(keys: Collection[object], reason: str, now: datetime) -> int:
    """What was said is over: findings are cleared, rows closed. Returns how many findings that were."""
    if not keys:
        return 0
    wanted = [one for one in keys if isinstance(one, uuid.UUID)]
    cleared = clear_findings(wanted, reason, now)
    Anomaly.objects.open().filter(key__in=wanted).update(cleared_at=now)
    return cleared
