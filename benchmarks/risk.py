"""Breach risk: the table of Olist by quarters (temporal, prequential), the seconds of a night's fit and of scoring.

The data lies beside the project (../shared/data/olist); without it only the seconds are measured. A fit of 100,000 flows
stands beside one plain call of the library on the same rows.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from django.conf import settings
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from apps.anomalies.risk import growing, proving
from apps.anomalies.risk.features import Case, leads, walk
from apps.anomalies.risk.scoring import Voice, score
from benchmarks import olist
from benchmarks.harness import Goal, Result, scale_of

SCORED = 1000


def run(options: dict[str, Any]) -> Result:
    """--scale full: 100,000 flows instead of 10,000."""
    result = Result("risk")
    _speed(result, scale_of(options, 10_000, 100_000))
    folder = olist.folder(settings.BASE_DIR)
    if not folder.is_dir():
        result.notes["olist"] = f"not measured: {folder.name} is not beside the project (shared/data/olist)"
        return result
    for stage in ("approval", "hand-over"):
        cases = olist.cases(folder, stage)
        scored = proving.score(cases, max(case.done or 0.0 for case in cases) + 1)
        proof = proving.prove(scored, np.ones(len(cases), dtype=bool))
        behind = [row["part"] for row in proof.table if row.get("spoke") == "model" and _behind(row)]
        result.goals.append(Goal(f"{stage}: quarters in which the model spoke and was behind", len(behind), 0, "less"))
        known = np.isfinite(scored.predicted)
        result.notes[stage] = {
            "promoted": proof.promoted,
            "why": proof.why,
            "table (rule / model: AUC, AP, P@5 %)": [_row(row) for row in proof.table],
            "mean error in days, model / plain law": [
                round(float(np.abs(np.exp(one[known]) - scored.lead[known]).mean()), 2)
                for one in (scored.predicted, scored.predicted_simple)
            ],
            "calibration": [(round(one["said"], 3), round(one["came"], 3), one["n"]) for one in proof.bins],
        }
    return result


def _behind(row: dict[str, Any]) -> bool:
    return any(row["model"][name] < row["rule"][name] for name in ("auc", "ap", "p5"))


def _row(row: dict[str, Any]) -> str:
    rule, model = (" ".join(f"{row[name][one]:.3f}" for one in ("auc", "ap", "p5")) for name in ("rule", "model"))
    return f"{row['part']}: {row['flows']} flows, {row['late']} late; {rule} / {model}; spoke: {row.get('spoke', '-')}"


def _stream(n: int) -> list[Case]:
    """Made-up flows of a year: 30 partners on 40 lanes, one in five partners slow."""
    chance = np.random.default_rng(7)
    starts, partners, lanes = np.sort(chance.uniform(0, 365, n)), chance.integers(0, 30, n), chance.integers(0, 40, n)
    lengths = np.exp(chance.normal(1.0, 0.4, n)) * np.where(partners % 5 == 0, 1.6, 1.0)
    return [
        Case(s, s + 6, s - 0.3, s + d, f"A>{lane}", f"p{p}", "w", 80.0, 24 * (s % 1), int(s) % 7, int(s + 6) % 7)
        for s, d, p, lane in zip(starts.tolist(), lengths.tolist(), partners.tolist(), lanes.tolist(), strict=True)
    ]


def _speed(result: Result, n: int) -> None:
    cases = _stream(n)
    begin, busy = time.perf_counter(), time.process_time()
    fitted = proving.fit_stage(cases, 366.0)
    night, night_busy = time.perf_counter() - begin, time.process_time() - busy
    walked = walk(cases)
    known = np.isfinite(walked.simple)
    targets = leads(cases)[known]
    weights = np.exp(-(365.0 - np.array([case.start for case in cases])[known]) / growing.RECENCY)
    with threadpool_limits(limits=1):
        begin = time.process_time()
        HistGradientBoostingRegressor(**growing.SETTINGS).fit(walked.rows[known], targets, sample_weight=weights)
        plain_weighted = time.process_time() - begin
        begin = time.process_time()
        library = HistGradientBoostingRegressor(**growing.SETTINGS).fit(walked.rows[known], targets)
        plain = time.process_time() - begin
    begin = time.process_time()
    growing.fit(walked.rows[known], targets, 365.0 - np.array([case.start for case in cases])[known])
    ours = time.process_time() - begin
    with threadpool_limits(limits=1):
        begin = time.perf_counter()
        library.predict(walked.rows[-SCORED:])
        plain_scored = time.perf_counter() - begin
    voice = Voice(fitted.forest, fitted.law, fitted.typical, fitted.low, fitted.high)
    begin = time.perf_counter()
    told = score(voice, walked.rows[-SCORED:], walked.simple[-SCORED:], cases[-SCORED:], 366.0)
    spoken = time.perf_counter() - begin
    if len(told) != SCORED or all(one.chance is None or math.isnan(one.chance) for one in told):
        raise RuntimeError("nothing was scored")
    result.goals.append(Goal(f"seconds of a night's fit of {n:,} flows", night, 180.0, "less"))
    result.goals.append(Goal(f"seconds to score {SCORED:,} flows, with reasons", spoken, 0.2, "less"))
    result.notes |= {
        "processor seconds of the night's fit": round(night_busy, 1),
        "night / one plain fit of the library, with weights (processor time)": round(night_busy / plain_weighted, 2),
        "night / one plain fit of the library, without weights (processor time)": round(night_busy / plain, 2),
        "our one fit / the library's, with weights (processor time)": round(ours / plain_weighted, 3),
        "scoring with reasons / one plain predict of the library": round(spoken / plain_scored, 1),
        "promoted": fitted.proof.promoted,
    }
