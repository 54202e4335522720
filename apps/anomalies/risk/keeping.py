"""The nightly fit of every stage, kept with its version, and the scores of open flows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from django.db import transaction

from apps.anomalies.causes_models import FlowRisk, RiskModel
from apps.anomalies.risk.features import NAMES, walk
from apps.anomalies.risk.kept import newest
from apps.anomalies.risk.law import Law
from apps.anomalies.risk.proving import Fitted, fit_stage
from apps.anomalies.risk.reading import Found, Stage, days, moment, read, stages
from apps.anomalies.risk.scoring import Voice, score
from apps.anomalies.risk.trees import Forest
from apps.core.heartbeats import beat
from apps.integrations.models import Partner

#: flows of a stage that must have ended before it is fitted at all
LEAST = 60
_FIELDS = ["milestone", "due_at", "chance", "expected_at", "reasons", "basis", "model", "scored_at"]


def fit_all(now: datetime) -> list[RiskModel]:
    """Fits every stage that has history; each fit is a new version, kept with the record that decided who speaks."""
    made = []
    for stage in stages():
        found = read(stage, now)
        if sum(case.done is not None for case in found.cases) >= LEAST:
            made.append(_keep(stage, fit_stage(found.cases, days(now)), now))
    beat("risk.fit", now, {"stages": len(made), "promoted": sum(one.promoted for one in made)})
    return made


def _keep(stage: Stage, fitted: Fitted, now: datetime) -> RiskModel:
    last = RiskModel.objects.filter(flow_slug=stage.flow, milestone=stage.milestone).order_by("-version").first()
    promoted = fitted.proof.promoted and fitted.forest is not None and fitted.law is not None
    return RiskModel.objects.create(
        flow_slug=stage.flow,
        milestone=stage.milestone,
        version=last.version + 1 if last else 1,
        fitted_at=now,
        flows=fitted.flows,
        promoted=promoted,
        law={
            "model": fitted.law.as_json() if fitted.law else None,
            "simple": fitted.simple_law.as_json() if fitted.simple_law else None,
            "typical": fitted.typical.tolist(),
            "low": fitted.low.tolist(),
            "high": fitted.high.tolist(),
        },
        record={"why": fitted.proof.why, "table": fitted.proof.table, "bins": fitted.proof.bins, "label": stage.label},
        body=fitted.forest.as_bytes() if promoted and fitted.forest else b"",
    )


def voice_of(row: RiskModel) -> Voice:
    """The model while it is promoted, else the plain law; so too for a model of other features, until the next night."""
    law: Mapping[str, Any] = row.law
    known = len(law["typical"]) == len(NAMES)
    speaks = row.promoted and known
    kept = law["model"] if speaks else law["simple"]
    unknown = np.full(len(NAMES), np.nan)
    return Voice(
        Forest.from_bytes(bytes(row.body)) if speaks else None,
        Law.from_json(kept) if kept else None,
        *(np.array(law[name]) if known else unknown for name in ("typical", "low", "high")),
    )


def score_all(now: datetime) -> int:
    """Scores every open flow of a stage that has a model or a law; returns how many."""
    models, names, scored = newest(), dict(Partner.objects.values_list("slug", "name")), 0
    for stage in stages():
        model = models.get((stage.flow, stage.milestone))
        if model is not None:
            scored += _score(stage, model, read(stage, now), names, now)
    FlowRisk.objects.exclude(scored_at=now).delete()  # no longer open, or waiting for something else
    beat("risk.score", now, {"flows": scored})
    return scored


@transaction.atomic
def _score(stage: Stage, model: RiskModel, found: Found, names: Mapping[str, str], now: datetime) -> int:
    places = [at for at, is_open in enumerate(found.is_open) if is_open]
    if not places:
        return 0
    walked = walk(found.cases, days(now))
    cases = [found.cases[at] for at in places]
    told = score(voice_of(model), walked.rows[places], walked.simple[places], cases, days(now), names)
    rows = [
        FlowRisk(
            flow_id=found.flow_ids[at], milestone=stage.milestone, due_at=moment(case.due), chance=one.chance,
            expected_at=moment(case.start + one.lead) if one.lead is not None and math.isfinite(one.lead) else None,
            reasons=one.reasons, basis=one.basis, model=model, scored_at=now,
        )
        for at, case, one in zip(places, cases, told, strict=True)
    ]  # fmt: skip
    FlowRisk.objects.bulk_create(
        rows, batch_size=2000, update_conflicts=True, unique_fields=["flow"], update_fields=_FIELDS
    )
    return len(rows)
