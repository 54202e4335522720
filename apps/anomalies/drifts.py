"""Lanes that became slower or faster: the flows that ended since the last round, in their order, against their lane's law,
and beside them the ages of what started lately."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction

from apps.anomalies import drift_words as words
from apps.anomalies.contract import DETECTORS, Outcome
from apps.anomalies.deadlines import LANE, Stage, stages
from apps.anomalies.detectors.deadline import Law, logs
from apps.anomalies.detectors.drift import THRESHOLD, Change, LeadDrift, Least, change, matters
from apps.anomalies.models import Anomaly, LeadLaw, MetricState, VoiceBudget
from apps.anomalies.voicing import SMALL, Said, Voice, clear, say
from apps.flows import registry
from apps.flows.canonical import key_of
from apps.flows.sets import raw_cursor
from apps.integrations.models import Partner, SourceState

BACK = timedelta(days=30)
OVER = THRESHOLD / 3
#: what is told is over when less than this part of the least change is left
BACK_TO = 0.5
#: flows of a lane that started so lately say by their ages how it goes; at most so many, the youngest first
LATELY = timedelta(days=30)
MOST_STARTED = 120

_ENDED = f"""
SELECT b.actual_at, a.actual_at, coalesce(p.slug, ''), {LANE}
FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %b
JOIN flows_milestone a ON a.flow_id = f.id AND a.name = %b AND a.actual_at IS NOT NULL
JOIN flows_milestone b ON b.flow_id = f.id AND b.name = %b AND b.actual_at >= a.actual_at
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE b.received_at > %b AND b.received_at <= %b ORDER BY b.actual_at, f.id
"""
_STARTED = f"""
SELECT a.actual_at, b.actual_at IS NULL OR b.actual_at > %b, coalesce(p.slug, ''), {LANE}
FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %b
JOIN flows_milestone a ON a.flow_id = f.id AND a.name = %b AND a.actual_at BETWEEN %b AND %b
LEFT JOIN flows_milestone b ON b.flow_id = f.id AND b.name = %b
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE f.opened_at > %b AND (b.actual_at >= a.actual_at OR b.actual_at IS NULL AND f.status = 'open')
ORDER BY a.actual_at DESC, f.id
"""
Lane = tuple[str, str]


@dataclass(slots=True)
class Round:
    """What one round knows. deaf: partners of whom something cannot be heard: their open flows say nothing."""

    now: datetime
    voice: Voice
    least: Least
    partners: Mapping[str, int]
    deaf: frozenset[str]


def run(now: datetime) -> int:
    """Goes on where it stopped; how many drifts were told."""
    laws = {(row.flow_slug, row.start, row.end): row for row in LeadLaw.objects.all()}
    said: list[Said] = []
    over: list[object] = []
    unheard = SourceState.objects.filter(stale_since__isnull=False, integration__partner__isnull=False)
    round_ = Round(
        now,
        Voice.read(now),
        least(),
        dict(Partner.objects.values_list("slug", "pk")),
        frozenset(unheard.values_list("integration__partner__slug", flat=True)),
    )
    with transaction.atomic():
        for definition in registry.load().catalogue.active.values():
            for stage in stages(definition):
                row = laws.get((stage.slug, stage.start, stage.end))
                if row is not None:
                    found, ended = _stage(stage, row, definition.label_of(stage.end), round_)
                    said += found
                    over += ended
        told = say(said, round_.voice, now)
        clear(over, "The lane takes its usual time again", now)
    return len(told)


def least() -> Least:
    """The least change people want to be told of."""
    row = VoiceBudget.objects.first() or VoiceBudget()
    return Least(row.drift_share, row.drift_minutes)


def _stage(stage: Stage, row: LeadLaw, label: str, of: Round) -> tuple[list[Said], list[object]]:
    detector = DETECTORS.get("drift")
    assert isinstance(detector, LeadDrift)
    law, name = Law.from_json(row.state), f"{stage.slug} {stage.start} {stage.end}"
    mark, _ = MetricState.objects.get_or_create(
        detector="drift", integration=None, key=name, defaults={"at": of.now - BACK, "state": {"lanes": {}}}
    )
    lanes: dict[str, Any] = mark.state["lanes"]
    for stream in _accepted(mark.at):
        lanes.pop(stream.removeprefix(f"{name} "), None)
    touched = _learn(detector, law, lanes, _read(_ENDED, [stage.slug, stage.start, stage.end, mark.at, of.now]))
    mark.at = of.now
    mark.save(update_fields=["at", "state"])
    open_now = dict(Anomaly.objects.open().filter(detector="drift").values_list("key", "suppressed"))
    said: list[Said] = []
    over: list[object] = []
    started = _started(stage, lanes, of)
    for key, kept in sorted(lanes.items()):
        partner, _, name_of = key.partition(" ")
        lane, stream = (partner, name_of), f"{name} {key}"
        ages = started.get(lane, [])
        idle = ages or lane not in touched
        outcome = detector.step(kept["state"], {"started": ages}) if idle else touched[lane]
        found = change(outcome.state, ages)
        usual = math.exp(kept["mean"] + words.middle(kept["state"]))
        small = not matters(found, usual, of.least)
        known = key_of("drift", stream)
        if abs(outcome.score) < OVER or (known in open_now and _gone(found, of.least)):
            over.append(known)
        elif open_now.get(known) == "":
            continue
        elif abs(outcome.score) >= THRESHOLD + min(0.0, of.voice.threshold("drift", stream, 0.0)):
            told = words.Drift(stage, stream, label, *lane, usual, found, _since(kept, outcome, of.now))
            said.append(_said(told, outcome, of, SMALL if small else ""))
    return said, over


def _read(statement: str, given: Sequence[object]) -> list[Any]:
    with raw_cursor() as cursor:
        cursor.execute(statement, given, binary=True)
        return cursor.fetchall()


def _learn(detector: LeadDrift, law: Law, lanes: dict[str, Any], ended: Sequence[Any]) -> dict[Lane, Outcome]:
    """Takes what ended into the states of the lanes; each lane's last judgement."""
    hours = np.array([(end - start).total_seconds() / 3600 for end, start, _, _ in ended])
    last: dict[Lane, Outcome] = {}
    for (end, _, partner, lane), value in zip(ended, logs(hours) if len(hours) else [], strict=True):
        if law.level(partner, lane)[0] != "lane":
            continue
        # the mean a lane is measured by stays the one it had, so that the law cannot learn the drift away
        kept = lanes.setdefault(f"{partner} {lane}", {"mean": law.mean(partner, lane), "state": {}})
        outcome = detector.step(kept["state"], {"residual": float(value) - kept["mean"]})
        kept["state"] = outcome.state
        for sum_ in ("up", "down"):
            if outcome.state[sum_] == 1:
                kept[sum_] = end.isoformat()
        last[partner, lane] = outcome
    return last


def _started(stage: Stage, lanes: Mapping[str, Any], of: Round) -> dict[Lane, list[list[Any]]]:
    """Of each known lane: (residual of its age, still open) of what started lately, the youngest first."""
    found: dict[Lane, list[list[Any]]] = defaultdict(list)
    first = of.now - LATELY
    given = [of.now, stage.slug, stage.start, first, of.now, stage.end, first - LATELY]
    for start, still_open, partner, lane in _read(_STARTED, given):
        kept = lanes.get(f"{partner} {lane}")
        if kept and kept["state"] and partner not in of.deaf and len(found[partner, lane]) < MOST_STARTED:
            age = float(logs(np.array([(of.now - start).total_seconds() / 3600]))[0])
            found[partner, lane].append([round(age - kept["mean"], 4), bool(still_open)])
    return {lane: ages for lane, ages in found.items() if any(still_open for _, still_open in ages)}


def _gone(found: Change, least: Least) -> bool:
    return abs(math.log(found.factor)) < BACK_TO * math.log1p(least.share)


def _since(kept: Mapping[str, Any], outcome: Outcome, now: datetime) -> datetime:
    """When the sum began to grow."""
    text = kept.get("up" if outcome.score > 0 else "down")
    return datetime.fromisoformat(text) if text else now


def _accepted(since: datetime) -> list[str]:
    """Streams whose drift somebody called expected since then: the new time is the usual one from now on."""
    rows = Anomaly.objects.filter(detector="drift", verdict=Anomaly.Verdict.EXPECTED, verdict_at__gt=since)
    return list(rows.values_list("stream", flat=True))


def _said(told: words.Drift, outcome: Outcome, of: Round, held: str) -> Said:
    draft = words.draft(told, outcome, of.partners.get(told.partner), of.now)
    limit = THRESHOLD + of.voice.threshold("drift", told.stream, 0.0)
    return Said("drift", told.stream, draft, abs(outcome.score), limit, told.since, Anomaly.Tier.TASK, held)
