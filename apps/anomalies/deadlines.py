"""Learned deadlines of open flows: laws fitted nightly from the flows themselves, deadlines refreshed, lateness told.

A stage leads from one required milestone to the next. A refreshed deadline is never earlier than what was said before, so
that no flow is called late by a law it was not measured by. What is told is a task for somebody to look at: one late
flow alone never pages, and a stage whose partner cannot be heard is unknown, not late.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from django.db import transaction

from apps.anomalies.contract import DETECTORS, State
from apps.anomalies.detectors.deadline import (
    LOST,
    TASK,
    WATCH,
    WINDOW,
    Law,
    LearnedDeadlines,
    Reach,
    fit,
    lateness,
    means_of,
    part_of,
    residuals_of,
)
from apps.anomalies.models import Anomaly, KnownSpan, LeadLaw, LearnedDeadline, MetricState
from apps.anomalies.voicing import Said, Voice, clear, say
from apps.core.heartbeats import beat
from apps.core.wording import duration
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

_FLOWS = """
SELECT a.actual_at, b.actual_at, coalesce(p.slug, ''), {lane}
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
_OPEN = """
SELECT f.id, d.slug, a.name, f.awaiting, a.actual_at, coalesce(p.slug, ''), {lane}
FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id
JOIN unnest(%b::text[], %b::text[], %b::text[]) AS stage (slug, first, last)
  ON stage.slug = d.slug AND stage.last = f.awaiting
JOIN flows_milestone a ON a.flow_id = f.id AND a.name = stage.first AND a.actual_at IS NOT NULL
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
    start_at = excluded.start_at, refreshed_at = excluded.refreshed_at, evidence = excluded.evidence
WHERE known.told_at IS NULL OR known.start_at <> excluded.start_at
"""
_GONE = """
DELETE FROM anomalies_learneddeadline known USING flows_flow f
WHERE f.id = known.flow_id AND (f.status <> 'open' OR f.awaiting <> known.milestone)
RETURNING known.flow_id, known.milestone, known.watch_at, known.task_at, (
    SELECT m.actual_at FROM flows_milestone m WHERE m.flow_id = known.flow_id AND m.name = known.milestone)
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
            _FLOWS.format(lane=LANE),
            [stage.slug, stage.start, stage.end, now - OLDEST, now, now - WINDOW, now],
            binary=True,
        )
        rows = [row for row in cursor.fetchall() if not _inside(row[0], apart, row[2])]
    if sum(end is not None for _, end, _, _ in rows) < LEAST:
        return None
    starts = np.array([start.timestamp() for start, _, _, _ in rows]) / 3600
    ends = np.array([math.inf if end is None else end.timestamp() for _, end, _, _ in rows]) / 3600
    partners, lanes = [row[2] for row in rows], [row[3] for row in rows]
    at = now.timestamp() / 3600
    entered = np.maximum(0.0, at - WINDOW.total_seconds() / 3600 - starts)
    ended = np.isfinite(ends)
    keep = np.ones(len(rows), bool)
    if before is not None:  # what was overdue three times over when the window began is lost
        task = np.exp(means_of(before, partners, lanes) + before.residual(TASK))
        keep = entered <= LOST * task
    which = np.flatnonzero(keep)
    hours = np.where(ended, ends - starts, at - starts)
    return fit(hours[which], ended[which], [partners[n] for n in which], [lanes[n] for n in which], entered[which])


def _apart(now: datetime) -> dict[str, list[tuple[datetime, datetime]]]:
    """partner slug ('' = all) -> spans whose flows are not learnt from."""
    found: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    rows = KnownSpan.objects.filter(undone_at=None, ends_at__gt=now - OLDEST).exclude(kind=KnownSpan.Kind.PEAK)
    for row in rows.filter(integration=None, event_type="").select_related("partner"):
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
        cursor.execute(_OPEN.format(lane=LANE), [*keys, since, now - OLDEST], binary=True)
        flows = cursor.fetchall()
    rows = deadlines(flows, laws, now)
    if rows:
        with raw_cursor() as cursor:
            cursor.execute(_UPSERT, columns(rows, 7), binary=True)
    return len(rows)


def deadlines(
    flows: Sequence[tuple[Any, ...]], laws: Mapping[tuple[str, str, str], LeadLaw], now: datetime
) -> list[tuple[Any, ...]]:
    """The rows of many flows (id, flow slug, start, end, started at, partner, lane). Pure."""
    known: dict[tuple[str, ...], tuple[Reach, Reach, str]] = {}
    read = {
        key: (law := Law.from_json(row.state), law.residual(WATCH), law.residual(TASK), residuals_of(row.state))
        for key, row in laws.items()
    }
    found = []
    for flow, slug, start, end, at, partner, lane in flows:
        key = (slug, start, end, partner, lane)
        if key not in known:
            law, watch, task, residuals = read[slug, start, end]
            first, last = law.deadline(partner, lane, watch), law.deadline(partner, lane, task)
            row = laws[slug, start, end]
            part = part_of(row.state, partner, lane, residuals)
            known[key] = first, last, _evidence(key, first, last, law, row.fitted_at, part)
        first, last, evidence = known[key]
        hours = timedelta(hours=min(first.hours, 24 * 365)), timedelta(hours=min(last.hours, 24 * 365))
        found.append((flow, end, at, at + hours[0], at + hours[1], now, evidence))
    return sorted(found, key=lambda row: (row[0], row[1]))


def _evidence(key: tuple[str, ...], watch: Reach, task: Reach, law: Law, fitted: datetime, part: State) -> str:
    slug, start, end, partner, lane = key
    beyond = law.survival()
    shown = np.unique(
        np.clip(np.searchsorted(-beyond, -np.array([0.98, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02])), 0, 255)
    )
    curve = [[round(math.exp(task.mean + -4.0 + (int(at) + 1) / 32), 2), round(float(beyond[at]), 4)] for at in shown]
    return json.dumps(
        {
            "model": detector().model,
            "state": part,
            "flow": slug,
            "start": start,
            "end": end,
            "partner": partner,
            "lane": lane,
            "level": task.level,
            "n": task.n,
            "mean": task.mean,
            "watch_hours": watch.hours,
            "task_hours": task.hours,
            "fitted_at": fitted.isoformat(),
            "curve": curve,
        }
    )


def detector() -> LearnedDeadlines:
    found = DETECTORS.get("deadline")
    assert isinstance(found, LearnedDeadlines)
    return found


def tick(now: datetime) -> Judged:
    """New and moved flows get their deadline; what is over is closed; what has passed is told."""
    refreshed = refresh(now, since=now - NEAR)
    with transaction.atomic():
        with raw_cursor() as cursor:
            cursor.execute(_GONE, [], binary=True)
            gone = cursor.fetchall()
        came = [key_of("deadline", str(flow), milestone) for flow, milestone, *_ in gone]
        _keep_record([(watch, task, at) for _, _, watch, task, at in gone if at is not None], now)
        due = list(_due(now))
        voice, active = Voice.read(now), registry.load().catalogue.active
        said = [_said(row, voice, active[row.evidence["flow"]].label_of(row.milestone), now) for row in due]
        said = [one for one in said if one.score >= one.threshold]
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
            "event": {"partner": evidence["partner"], "lane": evidence["lane"], "age_hours": age},
            "age_hours": age,
            "score": score,
            "started_at": row.start_at.isoformat(),
        },
        flow_id=row.flow_id,
        partner_id=flow.partner_id,
        due_at=row.task_at,
    )
    return Said("deadline", stream, draft, score, threshold, row.task_at, Anomaly.Tier.TASK)


def sentence(evidence: Mapping[str, Any], label: str, age_hours: float) -> str:
    """Why this flow is late by its like: "98 of 100 comparable flows (FR>DE, carrier x, n=412, 45 days) .."."""
    level = evidence["level"]
    who = [evidence["lane"]] if level == "lane" else []
    who += [evidence["partner"]] if level in ("lane", "partner") else []
    who = [*(one for one in who if one), f"n={evidence['n']:,}", f"{WINDOW.days} days"]
    thin = "" if level == "lane" or not evidence["lane"] else " (too few on its own lane to say more)"
    limit, age = _long(evidence["task_hours"]), _long(age_hours)
    return (
        f"98 of 100 comparable flows ({', '.join(who)}) reached “{label}” within {limit}; this one is at {age}{thin}."
    )


def _long(hours: float) -> str:
    """As exact as the difference between a limit and an age asks: days with a tenth ("4.1 days")."""
    return f"{hours / 24:.1f} days" if hours >= 48 else duration(timedelta(hours=hours))
