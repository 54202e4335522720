"""Learned deadlines of open flows: laws fitted nightly from the flows themselves, deadlines refreshed, lateness told.

A stage leads from one required milestone to the next. A refreshed deadline is never earlier than what was said before, so
that no flow is called late by a law it was not measured by. What is told is a task for somebody to look at: one late
flow alone never pages, and a stage whose partner cannot be heard is unknown, not late.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from django.db import transaction

from apps.anomalies import aims, beginnings
from apps.anomalies.deadline_words import FURTHEST, Kept, sentence
from apps.anomalies.detectors.deadline import (
    LOST,
    PACE,
    TASK,
    WATCH,
    WINDOW,
    Law,
    fit,
    lateness,
    means_of,
)
from apps.anomalies.models import Anomaly, KnownSpan, LeadLaw, LearnedDeadline, MetricState
from apps.anomalies.voicing import Said, Voice, clear, say
from apps.core.heartbeats import beat
from apps.flows import registry
from apps.flows.canonical import key_of
from apps.flows.definitions import Definition
from apps.flows.sets import columns, raw_cursor
from apps.incidents.workflow import FindingDraft
from apps.integrations.models import SourceState

REFIT = timedelta(hours=20)
#: fewer ended flows than this are no law
LEAST = 50
#: open flows older than this are not read: they are lost, or nobody closes them
OLDEST = timedelta(days=270)
#: a suppressed lateness is looked at again after so long
AGAIN = timedelta(hours=6)
MOST = 2_000
#: under this name the record of the deadlines is kept, one row a day
COVERAGE = "coverage"
NEAR = timedelta(minutes=10)
#: flows whose deadlines are written at once
BATCH = 5_000

_FLOWS = """
SELECT a.actual_at, b.actual_at, coalesce(p.slug, ''), {lane}, {facts}
FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %b
JOIN flows_milestone a ON a.flow_id = f.id AND a.name = %b AND a.actual_at IS NOT NULL
LEFT JOIN flows_milestone b ON b.flow_id = f.id AND b.name = %b
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE f.opened_at > %b AND a.actual_at <= %b
  AND ((b.actual_at >= %b AND b.actual_at >= a.actual_at AND b.actual_at <= %b)
       OR (b.actual_at IS NULL AND f.status = 'open'))
"""
LANE = """
concat_ws(', ', nullif(concat_ws('>', f.attributes->>'lane_from', f.attributes->>'lane_to'), ''),
          nullif(f.attributes->>'scac', ''), nullif(f.attributes->>'service', ''))
"""
#: hours from the opening to the promised time of the stage's end; when the stage began, on the partner's clock
_FACTS = """
extract(epoch FROM b.planned_at - f.opened_at)::float8 / 3600,
a.actual_at AT TIME ZONE coalesce(nullif(p.time_zone, ''), 'UTC')
"""
_OPEN = """
SELECT f.id, d.slug, a.name, f.awaiting, a.actual_at, coalesce(p.slug, ''), {lane}, {facts}
FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id
JOIN unnest(%b::text[], %b::text[], %b::text[]) AS stage (slug, first, last)
  ON stage.slug = d.slug AND stage.last = f.awaiting
JOIN flows_milestone a ON a.flow_id = f.id AND a.name = stage.first AND a.actual_at IS NOT NULL
LEFT JOIN flows_milestone b ON b.flow_id = f.id AND b.name = stage.last
LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE f.status = 'open' AND NOT f.backfill AND f.last_received_at > %b AND f.opened_at > %b
"""
_UPSERT = """
INSERT INTO anomalies_learneddeadline AS known (flow_id, milestone, start_at, watch_at, task_at, refreshed_at, evidence)
SELECT * FROM unnest(%b::bigint[], %b::text[], %b::timestamptz[], %b::timestamptz[], %b::timestamptz[], %b::timestamptz[],
                     %b::jsonb[])
ON CONFLICT (flow_id, milestone) DO UPDATE SET
    watch_at = CASE WHEN known.start_at = excluded.start_at THEN greatest(known.watch_at, excluded.watch_at)
               ELSE excluded.watch_at END,
    task_at = CASE WHEN known.start_at = excluded.start_at THEN greatest(known.task_at, excluded.task_at)
              ELSE excluded.task_at END,
    start_at = excluded.start_at, refreshed_at = excluded.refreshed_at,
    evidence = CASE WHEN known.start_at = excluded.start_at
               THEN excluded.evidence || jsonb_build_object('limit_hours', greatest(
                   (known.evidence->>'limit_hours')::float8, (excluded.evidence->>'limit_hours')::float8))
               ELSE excluded.evidence END
WHERE known.told_at IS NULL OR known.start_at <> excluded.start_at
"""
_GONE = """
DELETE FROM anomalies_learneddeadline known USING flows_flow f
WHERE f.id = known.flow_id AND (f.status <> 'open' OR f.awaiting <> known.milestone)
RETURNING known.flow_id, known.milestone, known.watch_at,
    known.start_at + coalesce((known.evidence->>'limit_hours')::float8, 0) * interval '1 hour', (
    SELECT m.actual_at FROM flows_milestone m WHERE m.flow_id = known.flow_id AND m.name = known.milestone),
    known.evidence->>'flow', known.evidence->>'start'
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """From one required milestone to the next."""

    slug: str
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Judged:
    """laws: fitted now; refreshed: deadlines written; told: flows told late; over: came after all."""

    laws: int
    refreshed: int
    told: int
    over: int


def stages(definition: Definition) -> list[Stage]:
    required = [one.name for one in definition.milestones if not one.optional]
    return [Stage(definition.slug, first, last) for first, last in pairwise(required)]


def learn(now: datetime, *, force: bool = False) -> int:
    """Fits the laws that are older than a day (force: all) and refreshes every deadline; how many laws were fitted."""
    fresh = (
        set()
        if force
        else set(LeadLaw.objects.filter(fitted_at__gt=now - REFIT).values_list("flow_slug", "start", "end"))
    )
    before = {(row.flow_slug, row.start, row.end): Law.from_json(row.state) for row in LeadLaw.objects.all()}
    apart = _apart(now)
    fitted = 0
    for definition in registry.load().catalogue.active.values():
        for stage in stages(definition):
            key = (stage.slug, stage.start, stage.end)
            if key in fresh:
                continue
            law = _fit(stage, before.get(key), apart, now)
            if law is None:
                continue
            LeadLaw.objects.update_or_create(
                flow_slug=stage.slug,
                start=stage.start,
                end=stage.end,
                defaults={"fitted_at": now, "state": law.as_json()},
            )
            fitted += 1
    if fitted:
        refresh(now, since=now - OLDEST)
    beat("anomalies.learn", now, {"laws": fitted})
    return fitted


def _fit(
    stage: Stage, before: Law | None, apart: Mapping[str, list[tuple[datetime, datetime]]], now: datetime
) -> Law | None:
    with raw_cursor() as cursor:
        cursor.execute(
            _FLOWS.format(lane=LANE, facts=_FACTS),
            [stage.slug, stage.start, stage.end, now - OLDEST, now, now - WINDOW, now],
            binary=True,
        )
        rows = [row for row in cursor.fetchall() if not _inside(row[0], apart, row[2])]
    if sum(row[1] is not None for row in rows) < LEAST:
        return None
    starts = np.array([row[0].timestamp() for row in rows]) / 3600
    ends = np.array([math.inf if row[1] is None else row[1].timestamp() for row in rows]) / 3600
    known = _facts([row[4] for row in rows], [row[5] for row in rows])
    partners, lanes = [row[2] for row in rows], [row[3] for row in rows]
    at = now.timestamp() / 3600
    entered = np.maximum(0.0, at - WINDOW.total_seconds() / 3600 - starts)
    ended = np.isfinite(ends)
    keep = np.ones(len(rows), bool)
    if before is not None:  # what was overdue three times over when the window began is lost
        task = np.exp(means_of(before, partners, lanes) + before.shift(known) + before.residual(TASK))
        keep = entered <= LOST * task
    which = np.flatnonzero(keep)
    hours = np.where(ended, ends - starts, at - starts)
    law = fit(
        hours[which],
        ended[which],
        [partners[n] for n in which],
        [lanes[n] for n in which],
        entered[which],
        known[which],
        np.maximum(0.0, at - PACE.total_seconds() / 3600 - starts)[which],
    )
    law.aims = aims.spend(aims.key(stage.slug, stage.start, stage.end), before.aims if before else {}, now)
    return law


def _facts(spans: Sequence[float | None], clocks: Sequence[datetime]) -> beginnings.Floats:
    """spans: hours, None where nothing was promised; clocks: local times of the beginnings."""
    return beginnings.facts(
        np.array([math.nan if span is None else span for span in spans]),
        [clock.weekday() for clock in clocks],
        [clock.hour + clock.minute / 60 for clock in clocks],
    )


def _apart(now: datetime) -> dict[str, list[tuple[datetime, datetime]]]:
    """partner slug ('' = all) -> spans whose flows are not learnt from."""
    found: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    rows = KnownSpan.objects.filter(undone_at=None, ends_at__gt=now - OLDEST).exclude(kind=KnownSpan.Kind.PEAK)
    for row in rows.filter(integration=None, event_type="", detector="").select_related("partner"):
        found[row.partner.slug if row.partner else ""].append((row.starts_at, row.ends_at))
    return found


def _inside(at: datetime, apart: Mapping[str, list[tuple[datetime, datetime]]], partner: str) -> bool:
    return any(start <= at < end for key in ("", partner) for start, end in apart.get(key, ()))


def refresh(now: datetime, *, since: datetime) -> int:
    """Writes the deadlines of open flows that were heard of since; how many."""
    laws = {(row.flow_slug, row.start, row.end): row for row in LeadLaw.objects.all()}
    if not laws:
        return 0
    with raw_cursor() as cursor:
        keys = [list(column) for column in zip(*sorted(laws), strict=True)]
        cursor.execute(_OPEN.format(lane=LANE, facts=_FACTS), [*keys, since, now - OLDEST], binary=True)
        flows = cursor.fetchall()
    for first in range(0, len(flows), BATCH):  # each row bears its own evidence: not all of them at once
        part = flows[first : first + BATCH]
        with raw_cursor() as cursor:
            cursor.execute(_UPSERT, columns(deadlines(part, laws, now), 7), binary=True)
    return len(flows)


def deadlines(
    flows: Sequence[tuple[Any, ...]], laws: Mapping[tuple[str, str, str], LeadLaw], now: datetime
) -> list[tuple[Any, ...]]:
    """The rows of many flows (id, flow slug, start, end, started at, partner, lane, promised span, local start). Pure."""
    read = {
        key: (law := Law.from_json(row.state), law.residual(WATCH), law.residual(TASK), Kept.of(row, law))
        for key, row in laws.items()
    }
    known = _facts([flow[7] for flow in flows], [flow[8] for flow in flows])
    shifts: dict[tuple[str, str, str], beginnings.Floats] = {}
    found = []
    for place, (flow, slug, start, end, at, partner, lane, _, _) in enumerate(flows):
        key = (slug, start, end)
        law, watch, task, kept = read[key]
        if key not in shifts:
            shifts[key] = law.shift(known)
        shift = float(shifts[key][place])
        first, last = law.deadline(partner, lane, watch, shift), law.deadline(partner, lane, task, shift)
        hours = timedelta(hours=min(first.hours, FURTHEST)), timedelta(hours=min(last.hours, FURTHEST))
        evidence = kept.evidence(key, partner, lane, first, last, known[place])
        found.append((flow, end, at, at + hours[0], at + hours[1], now, evidence))
    return sorted(found, key=lambda row: (row[0], row[1]))


def tick(now: datetime) -> Judged:
    """New and moved flows get their deadline; what is over is closed; what has passed is told."""
    refreshed = refresh(now, since=now - NEAR)
    with transaction.atomic():
        with raw_cursor() as cursor:
            cursor.execute(_GONE, [], binary=True)
            gone = cursor.fetchall()
        came = [key_of("deadline", str(flow), milestone) for flow, milestone, *_ in gone]
        _keep_record([(watch, task, at) for _, _, watch, task, at, _, _ in gone if at is not None], now)
        ended = [
            (aims.key(slug, first, last), at <= watch, at <= task)
            for _, last, watch, task, at, slug, first in gone
            if at
        ]
        aims.note(ended, now)
        due = list(_due(now))
        voice, active = Voice.read(now), registry.load().catalogue.active
        said = [_said(row, voice, active[row.evidence["flow"]].label_of(row.milestone), now) for row in due]
        said = [one for one in said if one.score >= min(one.threshold, -math.log10(1 - TASK) - 1e-9)]
        told = say(said, voice, now)
        heard = [row.pk for row in due if key_of("deadline", str(row.flow_id), row.milestone) in told]
        LearnedDeadline.objects.filter(pk__in=heard).update(told_at=now)
        LearnedDeadline.objects.filter(pk__in={row.pk for row in due} - set(heard)).update(task_at=now + AGAIN)
        over = Anomaly.objects.open().filter(key__in=came).count()
        clear(came, "It came, or is not awaited any more", now)
    return Judged(0, refreshed, len(told), over)


def _keep_record(ended: Sequence[tuple[datetime, datetime, datetime]], now: datetime) -> None:
    """Counts, by day, how many came before their deadlines: what was promised against what happened."""
    if not ended:
        return
    row, _ = MetricState.objects.select_for_update().get_or_create(
        detector=COVERAGE, integration=None, key=f"{now:%Y-%m-%d}", defaults={"at": now, "state": {}}
    )
    n, watch, task = (row.state.get(name, 0) for name in ("n", "watch", "task"))
    row.state = {
        "n": n + len(ended),
        "watch": watch + sum(at <= limit for limit, _, at in ended),
        "task": task + sum(at <= limit for _, limit, at in ended),
    }
    row.at = now
    row.save(update_fields=["state", "at"])


def _due(now: datetime) -> Sequence[LearnedDeadline]:
    """Deadlines that have passed, of flows whose partner can be heard."""
    deaf = SourceState.objects.filter(stale_since__isnull=False).values("integration__partner")
    deaf = deaf.filter(integration__partner__isnull=False)
    rows = LearnedDeadline.objects.filter(task_at__lte=now, told_at=None, flow__status="open")
    rows = rows.exclude(flow__partner__in=deaf).select_related("flow__definition", "flow__partner")
    return list(rows.order_by("task_at")[:MOST])


def _said(row: LearnedDeadline, voice: Voice, label: str, now: datetime) -> Said:
    evidence, flow = row.evidence, row.flow
    stream = " ".join(one for one in (evidence["flow"], row.milestone, evidence["partner"], evidence["lane"]) if one)
    age = (now - row.start_at).total_seconds() / 3600
    score = lateness(age, evidence["task_hours"])
    threshold = voice.threshold("deadline", stream, -math.log10(1 - TASK)) - 1e-9
    draft = FindingDraft(
        key=key_of("deadline", str(row.flow_id), row.milestone),
        kind="deadline.learned",
        cause=key_of("deadline", stream),
        incident_title=f"{flow.label}: slower than comparable flows to “{label}”",
        severity="low",
        sentence=sentence(evidence, label, age),
        evidence={
            **evidence,
            "event": {**{name: evidence.get(name) for name in ("partner", "lane", "facts")}, "age_hours": age},
            "age_hours": age,
            "score": score,
            "started_at": row.start_at.isoformat(),
        },
        flow_id=row.flow_id,
        partner_id=flow.partner_id,
        due_at=row.task_at,
    )
    return Said("deadline", stream, draft, score, threshold, row.task_at, Anomaly.Tier.TASK)
