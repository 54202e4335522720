"""Learned deadlines: by when a stage of a flow usually ends. Pure.

Method: the mean logarithm of the lead time of each lane is shrunk towards its partner's, that towards the stage's, each
with the weight of ten flows. What is left over (the residuals of all lanes together) follows one law, estimated by the
product limit (Kaplan and Meier 1958): flows that are still open say that theirs is longer than their age. Without them a
law learns only from what ended soon, and is too short exactly when things slow down. Only what happened within the last
`WINDOW` counts: a flow that began before it enters at the age it had then.

Three things make the law follow what changes:

- *facts*: the promised time, weekday and hour of the beginning shift each flow's mean (`apps.anomalies.beginnings`);
- *pace*: how many ended in the last week, against how many the law expected of those under way (a gamma prior of a hundred
  endings holds it at one). A slow week is in the pace before it is in the quantile; hazards of all ages are scaled by it;
- *aims*: deadlines are held against what came, day by day, and the share that may lie beyond them is moved against the
  difference, slowly (adaptive conformal inference, Gibbs and Candes 2021).

Some flows never end, because the event got lost; the share that stays beyond the longest seen is taken out again (a cure
model), else two lost ones in a hundred would make the deadline of 98 % endless.

Residuals are counted in bins of the logarithm, so the state is of one size whatever it has seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.anomalies.beginnings import Worth
from apps.anomalies.beginnings import learn as learn_worth
from apps.anomalies.contract import Detector, State, packed, unpacked

Floats = NDArray[np.float64]
PRIOR = 10.0
#: flows of a lane from which on the sentence speaks of the lane itself
LEAST = 20
BINS = 256
LOW, HIGH = -4.0, 4.0
WIDTH = (HIGH - LOW) / BINS
WINDOW = timedelta(days=45)
WATCH, TASK = 0.90, 0.98
#: a flow open for so many times its task deadline is lost, not slow: nothing is learnt from it any more
LOST = 3.0
#: of the share beyond the longest seen so much is taken for lost, and never more than a tenth of all
TAKEN_FOR_LOST = 0.9
MOST_LOST = 0.10
SHORTEST_HOURS = 1 / 60
#: what ended so lately makes the pace; a whole week, so that every weekday is in it once
PACE = timedelta(days=7)
#: endings as expected that the pace leans on; ages at which fewer than this share is left say nothing of it (most are lost)
PACE_PRIOR, PACE_TAIL = 100.0, 0.10
#: days in which a difference between promised and realised share is taken back; flows of a day that count half
AIM_DAYS, AIM_PRIOR = 90.0, 10.0
#: of the share that may lie beyond, so much is aimed at (98 of 100 shall hold in a bad month as well); and how far it may move
AIMED = {WATCH: 1.0, TASK: 0.75}
AIM_REACH = (0.4, 2.0)
BETWEEN = "\x1f"


@dataclass(frozen=True, slots=True)
class Reach:
    """What a deadline rests on. level: lane, partner or stage; n: flows of it that ended; hours: the deadline."""

    hours: float
    level: str
    n: int
    mean: float


@dataclass
class Law:
    """lanes, partners, stage: number of ended flows and sum of their log hours. By bin of the residual: ended, open_
    (the age of those that have not), late (the age at which flows entered the window).

    worth: what the facts of a beginning shift the mean by; pace: endings of the last week to those expected; aims: quantile
    (as text) -> share that may lie beyond its deadline, where it is another than what the quantile says."""

    lanes: dict[str, list[float]] = field(default_factory=dict)
    partners: dict[str, list[float]] = field(default_factory=dict)
    stage: list[float] = field(default_factory=lambda: [0.0, 0.0])
    ended: Floats = field(default_factory=lambda: np.zeros(BINS))
    open_: Floats = field(default_factory=lambda: np.zeros(BINS))
    late: Floats = field(default_factory=lambda: np.zeros(BINS))
    worth: Worth | None = None
    pace: float = 1.0
    aims: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> State:
        return {
            "lanes": self.lanes,
            "partners": self.partners,
            "stage": self.stage,
            "ended": self.ended.tolist(),
            "open": self.open_.tolist(),
            "late": self.late.tolist(),
            "worth": self.worth.as_json() if self.worth else None,
            "pace": self.pace,
            "aims": self.aims,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Law:
        return cls(
            {key: list(value) for key, value in raw.get("lanes", {}).items()},
            {key: list(value) for key, value in raw.get("partners", {}).items()},
            list(raw.get("stage", [0.0, 0.0])),
            np.array(raw.get("ended", np.zeros(BINS)), dtype=float),
            np.array(raw.get("open", np.zeros(BINS)), dtype=float),
            np.array(raw.get("late", np.zeros(BINS)), dtype=float),
            Worth.from_json(raw["worth"]) if raw.get("worth") else None,
            float(raw.get("pace", 1.0)),
            dict(raw.get("aims", {})),
        )

    def mean(self, partner: str, lane: str) -> float:
        """Shrunk mean log hours of a lane."""
        n, total = self.stage
        mean = total / n if n else 0.0
        for n, total in (self.partners.get(partner, (0.0, 0.0)), self.lanes.get(lane_key(partner, lane), (0.0, 0.0))):
            mean = (total + PRIOR * mean) / (n + PRIOR)
        return mean

    def shift(self, known: Floats) -> Floats:
        """What the facts of flows (`beginnings.facts`) add to their means, in log hours. Shape (n,)."""
        return self.worth.of(known) if self.worth else np.zeros(len(known))

    def survival(self) -> Floats:
        """Share of flows whose residual lies beyond the end of each bin, at the pace of the last week. Shape (bins,)."""
        return np.asarray(self.usual() ** self.pace)

    def usual(self) -> Floats:
        """The same at the pace of the whole window."""
        leaving = self.ended + self.open_
        at_risk = leaving[::-1].cumsum()[::-1] - self.late[::-1].cumsum()[::-1]
        # within a bin half of the open ones leave before those that end
        exposed = np.maximum(at_risk - self.open_ / 2, self.ended)
        hazard = np.divide(self.ended, exposed, out=np.zeros(BINS), where=exposed > 0)
        beyond = np.cumprod(1.0 - hazard)
        last = np.flatnonzero(self.ended)
        lost = min(MOST_LOST, TAKEN_FOR_LOST * float(beyond[last[-1]])) if len(last) else 0.0
        return np.maximum(0.0, (beyond - lost) / (1.0 - lost))

    def residual(self, q: float) -> float:
        """The residual that a share q stays within; where too few ended to say, the longest that ended (open for longer
        are mostly the lost ones)."""
        beyond, left = self.survival(), self.aims.get(f"{q:.2f}", 1 - q)
        reached = np.flatnonzero(beyond <= left + 1e-12)
        if not len(reached):
            seen = np.flatnonzero(self.ended if self.ended.any() else self.open_)
            return LOW + WIDTH * (int(seen[-1]) + 1) if len(seen) else math.log(3)
        at = int(reached[0])
        before = float(beyond[at - 1]) if at else 1.0
        part = (before - left) / (before - float(beyond[at])) if before > beyond[at] else 1.0
        return LOW + WIDTH * (at + part)

    def level(self, partner: str, lane: str) -> tuple[str, int]:
        """The narrowest level with enough flows to speak of."""
        here = int(self.lanes.get(lane_key(partner, lane), (0, 0))[0])
        if lane and here >= LEAST:
            return "lane", here
        of_partner = int(self.partners.get(partner, (0, 0))[0])
        if partner and of_partner >= LEAST:
            return "partner", of_partner
        return "stage", int(self.stage[0])

    def deadline(self, partner: str, lane: str, residual: float, shift: float = 0.0) -> Reach:
        """shift: what the facts of the flow add (`shift`)."""
        mean = self.mean(partner, lane) + shift
        level, n = self.level(partner, lane)
        return Reach(math.exp(mean + residual), level, n, mean)


def lane_key(partner: str, lane: str) -> str:
    return f"{partner}{BETWEEN}{lane}"


def logs(hours: Floats) -> Floats:
    return np.log(np.maximum(hours, SHORTEST_HOURS))


def fit(
    hours: Floats,
    ended: NDArray[np.bool_],
    partners: Sequence[str],
    lanes: Sequence[str],
    entered: Floats | None = None,
    known: Floats | None = None,
    recent: Floats | None = None,
) -> Law:
    """A law from flows of one stage. hours: lead time of those that ended, age of the others; entered, recent: the age at
    which each came into the window, and into the last week (0 if it began within); known: their facts, shape
    (n, `beginnings.WIDTH`); all of one length."""
    log_hours = logs(hours)
    keys = [lane_key(partner, lane) for partner, lane in zip(partners, lanes, strict=True)]
    lane_names, lane_of = np.unique(np.array(keys, dtype=object), return_inverse=True)
    partner_names, partner_of = np.unique(np.array(partners, dtype=object), return_inverse=True)
    law = Law()

    def means(values: Floats) -> Floats:
        law.stage = [float(ended.sum()), float(values[ended].sum())]
        law.partners = _sums(partner_names, partner_of[ended], values[ended])
        law.lanes = _sums(lane_names, lane_of[ended], values[ended])
        return np.array([law.mean(*name.split(BETWEEN, 1)) for name in lane_names])[lane_of]

    mean = means(log_hours)
    if known is not None and ended.any():
        law.worth = learn_worth(known[ended], (log_hours - mean)[ended])
        shift = law.shift(known)
        mean = means(log_hours - shift) + shift
    bins = bin_of(log_hours - mean)
    law.ended = np.bincount(bins[ended], minlength=BINS).astype(float)
    law.open_ = np.bincount(bins[~ended], minlength=BINS).astype(float)
    if entered is not None and (entered > 0).any():
        old = entered > 0
        law.late = np.bincount(bin_of(logs(entered[old]) - mean[old]), minlength=BINS).astype(float)
    if recent is not None:
        law.pace = _pace(law, bins, ended & (hours >= recent), hours >= recent, recent, mean)
    return law


def _pace(
    law: Law, bins: NDArray[np.int64], ended: NDArray[np.bool_], here: NDArray[np.bool_], recent: Floats, mean: Floats
) -> float:
    """Endings of the last week against those expected: the hazard that each flow under way went through in it. Ages that
    few reach are left out: who is there is mostly lost, and would make every week a slow one."""
    beyond = law.usual()
    hazard = -np.log(np.maximum(beyond, PACE_TAIL))
    before = np.concatenate([[0.0], hazard])
    left_at = (before[bins] + before[bins + 1]) / 2
    came_at = np.where(recent > 0, before[bin_of(logs(recent) - mean)], 0.0)
    expected = float(np.maximum(left_at - came_at, 0.0)[here].sum())
    told = float((ended & (bins < np.searchsorted(-beyond, -PACE_TAIL))).sum())
    return (told + PACE_PRIOR) / (expected + PACE_PRIOR)


def aimed(aims: Mapping[str, float], q: float, n: int, missed: int, days: float) -> float:
    """The share that may lie beyond the deadline of q from now on. n, missed: flows that ended in the last days, and those
    of them that ended after their deadline. Never further than `AIM_REACH` from what q says."""
    share = 1 - q
    now = aims.get(f"{q:.2f}", share)
    if n:
        step = min(1.0, days / AIM_DAYS) * n / (n + AIM_PRIOR)
        now += step * (share * AIMED.get(q, AIMED[TASK]) - missed / n)
    return min(max(now, AIM_REACH[0] * share), AIM_REACH[1] * share)


def means_of(law: Law, partners: Sequence[str], lanes: Sequence[str]) -> Floats:
    """The shrunk mean log hours of many flows."""
    known: dict[tuple[str, str], float] = {}
    for pair in zip(partners, lanes, strict=True):
        if pair not in known:
            known[pair] = law.mean(*pair)
    return np.array([known[pair] for pair in zip(partners, lanes, strict=True)])


def _sums(names: NDArray[Any], of: NDArray[np.int64], log_hours: Floats) -> dict[str, list[float]]:
    n = np.bincount(of, minlength=len(names))
    total = np.bincount(of, log_hours, len(names))
    return {str(name): [float(n[at]), float(total[at])] for at, name in enumerate(names) if n[at]}


def bin_of(residual: Floats) -> NDArray[np.int64]:
    return np.clip((residual - LOW) / WIDTH, 0, BINS - 1).astype(np.int64)


class LearnedDeadlines(Detector):
    """score: how rare so long a lead time is, as a power of ten (2: one of a hundred takes longer)."""

    kind = "deadline"
    label = "Learned deadlines"
    #: 2: facts of the beginning, pace and aims
    version = 2

    def judge(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, float]:
        """event: ``partner``, ``lane``, ``hours`` (lead time, or age of an open flow), ``ended``, and ``facts`` if known. Only
        what ended is learnt here; the ages of open flows change daily, so the nightly fit counts them anew."""
        law = Law.from_json(state)
        value = float(logs(np.array([event["hours"]]))[0]) - _shift(law, event)
        mean = law.mean(event["partner"], event["lane"])
        at = int(bin_of(np.array([value - mean]))[0])
        beyond = float(law.survival()[at])
        known = float(law.ended.sum())
        score = -math.log10(max(beyond, 0.5 / (known + 1)))
        if event["ended"]:
            law.ended[at] += 1
            for table, key in (
                (law.partners, event["partner"]),
                (law.lanes, lane_key(event["partner"], event["lane"])),
            ):
                n, total = table.get(key, (0.0, 0.0))
                table[key] = [n + 1, total + value]
            law.stage = [law.stage[0] + 1, law.stage[1] + value]
        return law.as_json(), score

    def needed(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, State]:
        return part_of(state, event["partner"], event["lane"], residuals_of(state)), dict(event)

    def rescore(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> float:
        """Also of a flow told late (event: ``partner``, ``lane``, ``facts``, ``age_hours``), see `lateness`."""
        whole = {**state, **unpacked(state["residuals"])}
        if "age_hours" not in event:
            return super().rescore(whole, event)
        law = Law.from_json(whole)
        reach = law.deadline(event["partner"], event["lane"], law.residual(TASK), _shift(law, event))
        return lateness(event["age_hours"], reach.hours)


def _shift(law: Law, event: Mapping[str, Any]) -> float:
    """facts: a row of `beginnings.facts`, with None for what is not known."""
    known = event.get("facts")
    return float(law.shift(np.array([known], dtype=float))[0]) if known else 0.0


def residuals_of(state: Mapping[str, Any]) -> State | str:
    """What a law (`Law.as_json`) counted of residuals, packed: the same for all its lanes."""
    return packed({name: state[name] for name in ("ended", "open", "late") if name in state})


def part_of(state: Mapping[str, Any], partner: str, lane: str, residuals: State | str) -> State:
    """The part of a law that the deadlines of one lane rest on: its own sums, its partner's and the stage's, residuals."""
    part: State = {"stage": state.get("stage", [0.0, 0.0]), "residuals": residuals}
    part |= {name: state[name] for name in ("worth", "pace", "aims") if name in state}
    for table, key in (("partners", partner), ("lanes", lane_key(partner, lane))):
        known = state.get(table, {})
        part[table] = {key: known[key]} if key in known else {}
    return part


def lateness(age_hours: float, task_hours: float) -> float:
    """How rare a flow is that is still open at this age: what 98 of 100 stay within, and that many times over."""
    return -math.log10(1 - TASK) * max(1.0, age_hours / task_hours)
