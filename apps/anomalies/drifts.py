"""Lanes that became slower or faster: the flows that ended since the last round, in their order, against their lane's law."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction

from apps.anomalies.contract import DETECTORS, Outcome
from apps.anomalies.deadlines import LANE, Stage, stages
from apps.anomalies.detectors.deadline import Law, logs
from apps.anomalies.detectors.drift import THRESHOLD, LeadDrift, change
from apps.anomalies.models import Anomaly, LeadLaw, MetricState
from apps.anomalies.voicing import Said, Voice, clear, say
from apps.core.wording import duration
from apps.flows import registry
from apps.flows.canonical import key_of
from apps.flows.sets import raw_cursor
from apps.incidents.workflow import FindingDraft
from apps.integrations.models import Partner

BACK = timedelta(days=30)
OVER = THRESHOLD / 3

_ENDED = f"""
SELECT b.actual_at, a.actual_at, coalesce(p.slug, ''), {LANE}
FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %b
JOIN flows_milestone a ON a.flow_id = f.id AND a.name = %b AND a.actual_at IS NOT NULL
JOIN flows_milestone b ON b.flow_id = f.id AND b.name = %b AND b.actual_at >= a.actual_at
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE b.received_at > %b AND b.received_at <= %b ORDER BY b.actual_at, f.id
"""


def run(now: datetime) -> int:
    """Goes on where it stopped; how many drifts were told."""
    laws = {(row.flow_slug, row.start, row.end): row for row in LeadLaw.objects.all()}
    said: list[Said] = []
    over: list[object] = []
    voice = Voice.read(now)
    partners = dict(Partner.objects.values_list("slug", "pk"))
    with transaction.atomic():
        for definition in registry.load().catalogue.active.values():
            for stage in stages(definition):
                row = laws.get((stage.slug, stage.start, stage.end))
                if row is not None:
                    found, ended = _stage(stage, row, definition.label_of(stage.end), partners, voice, now)
                    said += found
                    over += ended
        told = say(said, voice, now)
        clear(over, "The lane takes its usual time again", now)
    return len(told)


def _stage(
    stage: Stage, row: LeadLaw, label: str, partners: dict[str, int], voice: Voice, now: datetime
) -> tuple[list[Said], list[object]]:
    detector = DETECTORS.get("drift")
    assert isinstance(detector, LeadDrift)
    law, name = Law.from_json(row.state), f"{stage.slug} {stage.start} {stage.end}"
    mark, _ = MetricState.objects.get_or_create(
        detector="drift", integration=None, key=name, defaults={"at": now - BACK, "state": {"lanes": {}}}
    )
    lanes: dict[str, Any] = mark.state["lanes"]
    with raw_cursor() as cursor:
        cursor.execute(_ENDED, [stage.slug, stage.start, stage.end, mark.at, now], binary=True)
        ended = cursor.fetchall()
    hours = np.array([(end - start).total_seconds() / 3600 for end, start, _, _ in ended])
    for stream in _accepted(mark.at):
        lanes.pop(stream.removeprefix(f"{name} "), None)
    last: dict[str, tuple[str, str, Outcome]] = {}
    for (_, _, partner, lane), value in zip(ended, logs(hours) if len(hours) else [], strict=True):
        if law.level(partner, lane)[0] != "lane":
            continue
        key = f"{partner} {lane}"
        # the mean a lane is measured by stays the one it had, so that the law cannot learn the drift away
        kept = lanes.setdefault(key, {"mean": law.mean(partner, lane), "state": {}})
        outcome = detector.step(kept["state"], {"residual": float(value) - kept["mean"], "ended": True})
        kept["state"] = outcome.state
        last[key] = partner, lane, outcome
    mark.at = now
    mark.save(update_fields=["at", "state"])
    said: list[Said] = []
    over: list[object] = []
    for key, (partner, lane, outcome) in sorted(last.items(), key=lambda one: one[0]):
        stream, score = f"{name} {key}", outcome.score
        if abs(score) >= THRESHOLD + voice.threshold("drift", stream, 0.0):
            draft = _draft(stream, label, partner, lane, lanes[key], outcome, partners)
            said.append(Said("drift", stream, draft, abs(score), THRESHOLD, now, Anomaly.Tier.TASK))
        elif abs(score) < OVER:
            over.append(key_of("drift", stream))
    return said, over


def _accepted(since: datetime) -> list[str]:
    """Streams whose drift somebody called expected since then: the new time is the usual one from now on."""
    rows = Anomaly.objects.filter(detector="drift", verdict=Anomaly.Verdict.EXPECTED, verdict_at__gt=since)
    return list(rows.values_list("stream", flat=True))


def _draft(
    stream: str,
    label: str,
    partner: str,
    lane: str,
    kept: dict[str, Any],
    outcome: Outcome,
    partners: dict[str, int],
) -> FindingDraft:
    factor, n = change(kept["state"])
    usual = math.exp(kept["mean"] + sorted(kept["state"]["known"])[len(kept["state"]["known"]) // 2])
    before, after = (duration(timedelta(hours=hours)) for hours in (usual, usual * factor))
    word = "slower" if outcome.score > 0 else "faster"
    return FindingDraft(
        key=key_of("drift", stream),
        kind="drift",
        cause=key_of("drift", stream),
        incident_title=f"{lane} with {partner or 'no partner'} has become {word} to “{label}”",
        severity="low",
        sentence=f"{lane}: {100 * (factor - 1):+.0f} % to “{label}” (median {before} before, {after} in the last {n} flows "
        f"of {partner or 'no partner'}).",
        evidence={**outcome.evidence, "factor": factor, "flows": n},
        partner_id=partners.get(partner),
    )
