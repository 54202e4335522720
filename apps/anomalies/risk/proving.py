"""Whether a model may speak: everything is scored as it would have been at the time, and held against what came. Pure.

History is cut into spans of fifteen days. For each, a model is fitted on what had ended before it began; every case is scored at its own
start with that model and with the residual law of that day (Kaplan-Meier over the last 60 days, open ones censored). The
model may speak only while it beats the plain rule (median lead time of the route, less the slack) in AUC, average
precision and precision among the riskiest 5 % in each of the last two quarters, and there in AUC by more than chance
would. The table says which of the
two would have spoken in each quarter, by what was known before it.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.anomalies.risk import law as laws
from apps.anomalies.risk.features import Case, Walked, leads, walk
from apps.anomalies.risk.growing import fit
from apps.anomalies.risk.law import Law, chance_late
from apps.anomalies.risk.trees import Forest

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: days between two fits of the replay, and days of a quarter
EVERY, QUARTER = 15.0, 91.3125
#: newest examples a fit of the replay learns from: it is to show what the model can, in bounded time
MOST_EXAMPLES = 10_000
#: examples below which no model is fitted, and late ones below which a quarter says nothing
LEAST_EXAMPLES, LEAST_LATE = 400, 8
#: standard errors the AUC must be ahead
AHEAD = 2.0
#: quarters it must have won
RECENT = 2
BINS = 10


@dataclass(slots=True)
class Scored:
    """Chance of being late by the model and by the plain law, the plain rule's score, what came, when, and predicted leads.

    nan where nothing could be said at the time."""

    model: Floats
    simple: Floats
    rule: Floats
    late: Bools
    start: Floats
    lead: Floats
    predicted: Floats
    predicted_simple: Floats


@dataclass(slots=True)
class Proof:
    """promoted: the model may speak; why: in words; table: one row per quarter and one over all; bins: calibration."""

    promoted: bool
    why: str
    table: list[dict[str, Any]] = field(default_factory=list)
    bins: list[dict[str, float]] = field(default_factory=list)


def score(cases: Sequence[Case], now: float, every: float = EVERY, walked: Walked | None = None) -> Scored:
    """Every case at its own start, by what was known then. Nothing that ended after ``now`` is read.

    every: days between two fits; walked: the walk through these cases until now, if it was made already."""
    cases = [case if case.done is None or case.done <= now else _open(case) for case in cases]
    walked = walked or walk(cases, now)
    start = np.array([case.start for case in cases])
    done = np.array([case.done if case.done is not None else math.inf for case in cases])
    log_leads = leads(cases)
    known = np.isfinite(walked.simple)
    predicted = np.full(len(cases), math.nan)
    first = float(start.min()) if len(start) else now
    for part in range(int((now - first) // every) + 1):
        begin, end = first + part * every, first + (part + 1) * every
        rows = known & (start >= begin) & (start < end)
        seen = _newest(known & (done <= begin), done)
        if rows.any() and int(seen.sum()) >= LEAST_EXAMPLES:
            forest = fit(walked.rows[seen], log_leads[seen], begin - done[seen])
            predicted[rows] = forest.predict(_filled(walked.rows[rows]))
    slack = np.array([case.due - case.start for case in cases])
    return Scored(
        model=_chances(predicted, start, done, slack),
        simple=_chances(walked.simple, start, done, slack),
        rule=_route_rule(cases, start, done, slack),
        late=np.array([case.late for case in cases]),
        start=start,
        lead=np.exp(log_leads),
        predicted=predicted,
        predicted_simple=walked.simple,
    )


def _open(case: Case) -> Case:
    return Case(
        case.start, case.due, case.opened, None, case.lane, case.partner, case.site, case.value, case.hour,
        case.weekday, case.due_weekday,
    )  # fmt: skip


def _newest(seen: Bools, done: Floats) -> Bools:
    """The newest of what had ended, in bounded number (ties all in)."""
    if int(seen.sum()) <= MOST_EXAMPLES:
        return seen
    return np.asarray(seen & (done >= np.partition(done[seen], -MOST_EXAMPLES)[-MOST_EXAMPLES]))


def _filled(rows: Floats) -> Floats:
    return np.nan_to_num(rows, nan=-1e9)


def law_of(predicted: Floats, start: Floats, done: Floats, now: float) -> Law | None:
    """The residual law of a day: cases of the last 60 days that were predicted at their own start; open ones censored."""
    recent = np.isfinite(predicted) & (start < now) & (start >= now - laws.WINDOW)
    ended = done[recent] <= now
    length = np.where(ended, done[recent], now) - start[recent]
    return laws.fit(np.log(np.maximum(length, 1e-4)) - predicted[recent], ended)


def _chances(predicted: Floats, start: Floats, done: Floats, slack: Floats) -> Floats:
    """Each case by the law of the day it started on."""
    found = np.full(len(start), math.nan)
    days = np.floor(start)
    for day in np.unique(days):
        rows = np.flatnonzero((days == day) & np.isfinite(predicted))
        if len(rows):
            law = law_of(predicted, start, done, float(day))
            if law is not None:
                found[rows] = chance_late(law, predicted[rows], slack[rows], np.zeros(len(rows)))
    return found


def _route_rule(cases: Sequence[Case], start: Floats, done: Floats, slack: Floats) -> Floats:
    """What a planner does by hand: the median lead time of the route so far, less the slack."""
    found = np.full(len(cases), math.nan)
    order = sorted(range(len(cases)), key=lambda at: (start[at], at))
    ended = sorted((at for at in order if math.isfinite(done[at])), key=lambda at: (done[at], at))
    known: dict[str, list[float]] = defaultdict(list)
    place = 0
    for at in order:
        while place < len(ended) and done[ended[place]] <= start[at]:
            one = cases[ended[place]]
            known[one.lane].append(one.lead)
            known["*"].append(one.lead)
            place += 1
        history = known[cases[at].lane][-400:]
        history = history if len(history) >= 10 else known["*"][-400:]
        if history:
            found[at] = float(np.median(history)) - slack[at]
    return found


def prove(scored: Scored, ended: Bools) -> Proof:
    """ended: which cases are over, so that it is known whether they were late."""
    both = np.isfinite(scored.model) & np.isfinite(scored.rule) & ended
    if int((both & scored.late).sum()) < 2 * LEAST_LATE:
        return Proof(False, "Too few late flows are known yet to say whether a model is better than a plain law.")
    last = float(scored.start[both].max())
    # quarters are counted back from the present, so that the last one is whole
    back = np.where(both, np.floor((last - scored.start) / QUARTER), -1)
    parts = [
        rows
        for one in np.unique(back[both])[::-1]
        if int(((rows := both & (back == one)) & scored.late).sum()) >= LEAST_LATE
    ]
    table: list[dict[str, Any]] = []
    for place, rows in enumerate(parts):
        spoke, _ = _verdict(scored, parts[max(0, place - RECENT) : place])
        since = (float(scored.start[rows].min()), float(scored.start[rows].max()))
        table.append(_row(f"quarter {place + 1}", scored, rows) | {"spoke": "model" if spoke else "law", "span": since})
    promoted, why = _verdict(scored, parts[-RECENT:])
    table.append(_row("all", scored, both))
    return Proof(promoted, why, table, calibration(scored.model[both], scored.late[both]))


def _verdict(scored: Scored, parts: Sequence[Bools]) -> tuple[bool, str]:
    """Whether the model may speak after these quarters, and why in words."""
    if len(parts) < RECENT:
        return False, f"It needs {RECENT} quarters with late flows to show what it can: the plain law speaks."
    rows = np.logical_or.reduce(list(parts))
    lost = [
        f"{name} of quarter -{len(parts) - place}"
        for place, part in enumerate(parts)
        for row in [_row("", scored, part)]
        for name in ("auc", "ap", "p5")
        if not _ahead(row, name)
    ]
    whole = _row("", scored, rows)
    error = auc_error(whole["model"]["auc"], whole["late"], whole["flows"] - whole["late"])
    gain = whole["model"]["auc"] - whole["rule"]["auc"]
    if lost:
        return False, f"Behind the plain rule in {', '.join(lost)}: the plain law speaks."
    if gain <= AHEAD * error:
        return False, f"Its lead of {gain:.3f} in AUC may be chance (error {error:.3f}): the plain law speaks."
    return True, f"Ahead of the plain rule in each of the last {RECENT} quarters, by {gain:.3f} in AUC."


def _ahead(row: dict[str, Any], name: str) -> bool:
    return bool(row["model"][name] >= row["rule"][name])


def _row(part: str, scored: Scored, rows: Bools) -> dict[str, Any]:
    late = scored.late[rows]
    told: dict[str, Any] = {"part": part, "flows": int(rows.sum()), "late": int(late.sum())}
    for name, scores in (("rule", scored.rule), ("simple", scored.simple), ("model", scored.model)):
        known = np.nan_to_num(scores[rows], nan=-1e9)
        told[name] = {"auc": auc(known, late), "ap": average_precision(known, late), "p5": precision_at(known, late)}
    return told


def auc(scores: Floats, late: Bools) -> float:
    """Chance that a late flow scores above one that was not (ties count half)."""
    n_late, n_other = int(late.sum()), int((~late).sum())
    if not n_late or not n_other:
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[inverse][late].sum() - n_late * (n_late + 1) / 2) / (n_late * n_other))


def auc_error(area: float, n_late: int, n_other: int) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982)."""
    if not n_late or not n_other:
        return math.inf
    q1, q2 = area / (2 - area), 2 * area * area / (1 + area)
    spread = area * (1 - area) + (n_late - 1) * (q1 - area**2) + (n_other - 1) * (q2 - area**2)
    return math.sqrt(max(0.0, spread) / (n_late * n_other))


def average_precision(scores: Floats, late: Bools) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = late[order]
    found = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(found[hits].mean()) if hits.any() else 0.0


def precision_at(scores: Floats, late: Bools, share: float = 0.05) -> float:
    """Share of late ones among the riskiest."""
    top = max(1, round(len(scores) * share))
    return float(late[np.argsort(-scores, kind="stable")[:top]].mean())


def calibration(chances: Floats, late: Bools) -> list[dict[str, float]]:
    """In tenths of what was said: how many, said on average, came."""
    found = []
    edges = np.linspace(0, 1, BINS + 1)
    for low, high in itertools.pairwise(edges):
        rows = (chances >= low) & ((chances < high) | (high == 1.0))
        if rows.any():
            found.append(
                {
                    "from": float(low),
                    "n": int(rows.sum()),
                    "said": float(chances[rows].mean()),
                    "came": float(late[rows].mean()),
                }
            )
    return found


@dataclass(slots=True)
class Fitted:
    """What is kept of a night's fit. typical: median of each feature; low, high: its range; keys: lanes and partners seen."""

    proof: Proof
    forest: Forest | None
    law: Law | None
    simple_law: Law | None
    typical: Floats
    low: Floats
    high: Floats
    flows: int


def fit_stage(cases: Sequence[Case], now: float, every: float = EVERY) -> Fitted:
    """The nightly fit of one stage: proof on history, a model of all that ended, and both laws as of now."""
    walked = walk(cases, now)
    scored = score(cases, now, every, walked)
    done = np.array([case.done if case.done is not None and case.done <= now else math.inf for case in cases])
    proof = prove(scored, np.isfinite(done))
    ended = np.isfinite(walked.simple) & np.isfinite(done)
    forest = None
    if int(ended.sum()) >= LEAST_EXAMPLES:
        forest = fit(walked.rows[ended], leads(cases)[ended], now - done[ended])
    rows = walked.rows[ended] if ended.any() else np.zeros((1, walked.rows.shape[1]))
    return Fitted(
        proof,
        forest,
        law_of(scored.predicted, scored.start, done, now),
        law_of(scored.predicted_simple, scored.start, done, now),
        np.median(rows, axis=0),
        np.quantile(rows, 0.001, axis=0),
        np.quantile(rows, 0.999, axis=0),
        int(ended.sum()),
    )
