"""Flows that went an unusual way: each flow that ended since the last round, by the order in which its milestones came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from apps.anomalies.contract import DETECTORS
from apps.anomalies.detectors.path import APART, END, START, UnusualPath, surprises, why
from apps.anomalies.models import Anomaly, MetricState
from apps.anomalies.voicing import Said, Voice, say
from apps.flows import registry
from apps.flows.canonical import key_of
from apps.flows.definitions import Definition
from apps.flows.sets import raw_cursor
from apps.incidents.workflow import FindingDraft

BACK = timedelta(days=60)
MOST = 5_000
#: one flow of so many may be told by chance
THRESHOLD = 2.5
_ENDED = """
SELECT f.id, f.label, f.partner_id, f.closed_at, array_agg(m.name ORDER BY m.actual_at, m.ordinal)
FROM flows_flow f
JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %b
JOIN flows_milestone m ON m.flow_id = f.id AND m.actual_at IS NOT NULL
WHERE f.status = 'completed' AND f.closed_at > %b AND f.closed_at <= %b
GROUP BY f.id ORDER BY f.closed_at, f.id LIMIT %b::bigint
"""
_USUAL = """
WITH ways AS (
    SELECT array_agg(m.name ORDER BY m.actual_at, m.ordinal) AS steps
    FROM flows_flow f
    JOIN flows_flowdefinition d ON d.id = f.definition_id AND d.slug = %b
    JOIN flows_milestone m ON m.flow_id = f.id AND m.actual_at IS NOT NULL
    WHERE f.status = 'completed' AND f.closed_at > %b AND f.closed_at <= %b
    GROUP BY f.id
)
SELECT steps, count(*) AS n, sum(count(*)) OVER ()::bigint FROM ways GROUP BY steps ORDER BY n DESC, steps LIMIT %b::bigint
"""
#: ways shown beside the strange one
SHOWN = 5


def forbidden(definition: Definition) -> list[str]:
    """Steps back from a required milestone to an earlier required one: the design has no such way."""
    required = [one.name for one in definition.milestones if not one.optional]
    return [APART.join((later, earlier)) for n, later in enumerate(required) for earlier in required[:n]]


def run(now: datetime) -> int:
    """Goes on where it stopped; how many unusual flows were told."""
    detector = DETECTORS.get("path")
    assert isinstance(detector, UnusualPath)
    voice, said = Voice.read(now), []
    with transaction.atomic():
        for definition in registry.load().catalogue.active.values():
            mark, _ = MetricState.objects.get_or_create(
                detector="path", integration=None, key=definition.slug, defaults={"at": now - BACK, "state": {}}
            )
            with raw_cursor() as cursor:
                cursor.execute(_ENDED, [definition.slug, mark.at, now, MOST], binary=True)
                ended = cursor.fetchall()
            rules = forbidden(definition)
            usual: dict[str, Any] = {}
            limit = voice.threshold("path", definition.slug, THRESHOLD)
            for flow, label, partner, _, steps in ended:
                outcome = detector.step(mark.state, {"steps": steps, "forbidden": rules})
                if outcome.score >= min(limit, THRESHOLD):
                    sentence = _sentence(definition, mark.state, steps, rules)
                    usual = usual or _usual(definition, now)
                    draft = _draft(
                        definition, flow, label, partner, sentence, {**outcome.evidence, "steps": steps, **usual}
                    )
                    said.append(Said("path", definition.slug, draft, outcome.score, limit, now, Anomaly.Tier.WATCH))
                mark.state = outcome.state
            mark.at = ended[-1][3] if len(ended) == MOST else now
            mark.save(update_fields=["at", "state"])
        told = say(said, voice, now)
        # what has ended is no state of affairs: it is told once
        Anomaly.objects.open().filter(detector="path").update(cleared_at=now)
    return len(told)


def _sentence(
    definition: Definition, state: dict[str, dict[str, dict[str, int]]], steps: list[str], rules: list[str]
) -> str:
    counts = state["counts"]
    before, step, n, of = why(counts, surprises(counts, steps, rules))
    words = {START: "the beginning", END: "the end"}
    first, then = (words.get(one, f"“{definition.label_of(one)}”") for one in (before, step))
    skipped = [one.label for one in definition.milestones if not one.optional and one.name not in steps]
    left_out = f"; {', '.join(skipped)} never came" if skipped else ""
    return f"{then} directly after {first}: {n:,} of {of:,} flows went that way before{left_out}."


def _usual(definition: Definition, now: datetime) -> dict[str, Any]:
    """paths: [steps, flows] of the ways most flows went lately, the commonest first; flows: that ended in that time."""
    with raw_cursor() as cursor:
        cursor.execute(_USUAL, [definition.slug, now - BACK, now, SHOWN], binary=True)
        rows = cursor.fetchall()
    return {"paths": [[steps, n] for steps, n, _ in rows], "flows": rows[0][2] if rows else 0}


def _draft(
    definition: Definition, flow: int, label: str, partner: int | None, sentence: str, evidence: Mapping[str, Any]
) -> FindingDraft:
    return FindingDraft(
        key=key_of("path", str(flow)),
        kind="path",
        cause=key_of("path", definition.slug),
        incident_title=f"{label} went an unusual way",
        severity="low",
        sentence=sentence,
        evidence=dict(evidence),
        flow_id=flow,
        partner_id=partner,
    )
