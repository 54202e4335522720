"""Lead-time drift: a lane that has become slower or faster. Pure.

Method: the residuals of learned deadlines (log lead time less the lane's own mean) are ranked among the lane's last 200; the
rank, a number between -1 and 1, goes into a two-sided CUSUM (Page 1954), so that one wild value counts no more than one
unusual one.

Flows still open speak before they end, by their ages, and can only say "slower". Of every flow that started lately it is
known whether it is still open at its age a, and by the lane's past a share S(a) would be: what is open beyond that, each
weighed by the least rank it can still end with, is added to the sum. As long as all is well this adds nothing on average,
however many flows are always under way.

A sum says that a lane changed, not that it matters: `matters` asks for a least change, beyond what chance does to a median.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from apps.anomalies.contract import Detector, State

WINDOW = 200
LEAST = 40
#: ranks stray by chance; only what goes beyond this much counts
SLACK = 0.15
#: a sum above this is told: by simulation less than one false drift in a year of a lane with 50 flows a week
THRESHOLD = 9.5
#: no sum grows beyond this, so that a lane that is itself again is soon believed
MOST = 2 * THRESHOLD
SINCE = 120
#: a change counts from so many standard errors of the difference of two medians
NOISE = 2.0


class LeadDrift(Detector):
    """score: the larger of the two sums; negative when the lane became faster."""

    kind = "drift"
    label = "Lead-time drift"
    version = 2

    def judge(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, float]:
        """event: either ``residual`` (log of a lead time, less the mean the lane had), or ``started``: what the ages of the
        flows that started lately say, pairs (residual of the age, still open). The state after the latter is for showing
        only: the same flows will be judged again when they end."""
        known: list[float] = list(state.get("known", ()))
        slower, faster = float(state.get("slower", 0.0)), float(state.get("faster", 0.0))
        if "started" in event:
            slower = min(MOST, slower + max(0.0, beyond(known, event["started"])))
            after = {"recent": [], "up": 0, "down": 0, **state, "known": known, "slower": slower, "faster": faster}
            return after, _larger(slower, faster)
        recent, value = list(state.get("recent", ())), float(event["residual"])
        if len(known) >= LEAST:
            rank = _rank(known, value)
            slower, faster = (min(MOST, max(0.0, sum_ + by - SLACK)) for sum_, by in ((slower, rank), (faster, -rank)))
        up, down = (int(state.get(name, 0)) + 1 if sum_ else 0 for name, sum_ in (("up", slower), ("down", faster)))
        recent = [*recent, value][-SINCE:] if slower or faster else []
        if slower < THRESHOLD / 2 and faster < THRESHOLD / 2:  # what drifts is not learnt as normal
            known = [*known, value][-WINDOW:]
        after = {"known": known, "slower": slower, "faster": faster, "recent": recent, "up": up, "down": down}
        return after, _larger(slower, faster)

    def needed(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, State]:
        """Without the flows since the sum began to grow: they say by how much it drifted, not that it did."""
        return {name: state[name] for name in ("known", "slower", "faster") if name in state}, dict(event)


def _larger(slower: float, faster: float) -> float:
    return slower if slower >= faster else -faster


def _rank(known: Sequence[float], value: float) -> float:
    """Where a value stands among the known ones: -1 below all, 0 in the middle, 1 above all."""
    ordered = sorted(known)
    return (bisect_left(ordered, value) + bisect_right(ordered, value)) / len(ordered) - 1.0


def beyond(known: Sequence[float], started: Sequence[Sequence[Any]]) -> float:
    """What is open beyond the usual, in ranks; 0 while too little is known. started: (residual of the age, still open)."""
    if len(known) < LEAST:
        return 0.0
    ordered, total = sorted(known), 0.0
    for age, still_open in started:
        rank = (bisect_left(ordered, age) + bisect_right(ordered, age)) / len(ordered) - 1.0
        if rank > SLACK:
            total += (bool(still_open) - (1.0 - rank) / 2) * (rank - SLACK)
    return total


@dataclass(frozen=True, slots=True)
class Change:
    """factor: of the median since the sum began to grow; at_least: so many are open that the median is not reached yet;
    flows: it rests on, open_: of these still under way and slower than the median; noise: standard error of ln factor."""

    factor: float
    flows: int
    open_: int
    noise: float
    at_least: bool = False


def change(state: Mapping[str, Any], started: Sequence[Sequence[Any]] = ()) -> Change:
    """By how much a lane changed (Kaplan and Meier 1958, the open ones censored at their ages)."""
    known = state.get("known", ())
    slower = float(state.get("slower", 0.0)) >= float(state.get("faster", 0.0))
    since = int(state.get("up" if slower else "down", SINCE))
    recent = list(state.get("recent", ()))[-since:] if since else []
    middle = median(known) if known else 0.0
    ages = [float(age) for age, still_open in started if still_open] if slower else []
    slow = sum(age > middle for age in ages)
    if not known or (not recent and not slow):
        return Change(1.0, 0, 0, math.inf)
    now, at_least = _median([(value, True) for value in recent] + [(age, False) for age in ages])
    scatter = 1.4826 * median(abs(value - middle) for value in known)
    n = len(recent) + slow
    noise = 1.2533 * scatter * math.sqrt(1 / n + 1 / len(known))
    return Change(math.exp(now - middle), n, slow, noise, at_least)


def _median(values: list[tuple[float, bool]]) -> tuple[float, bool]:
    """(median, whether it is only a lower bound) of values some of which are not over yet."""
    left, share = len(values), 1.0
    for value, ended in sorted(values, key=lambda one: (one[0], not one[1])):
        share *= 1 - 1 / left if ended else 1.0
        if share <= 0.5:
            return value, False
        left -= 1
    return max(value for value, _ in values), True


@dataclass(frozen=True, slots=True)
class Least:
    """What a change must amount to before it is told. share: of the usual time; minutes: of a flow."""

    share: float = 0.1
    minutes: float = 30.0


def matters(found: Change, usual_hours: float, least: Least) -> bool:
    """Whether a change is worth anybody's time: by share, by minutes, and beyond the noise."""
    size = abs(math.log(found.factor))
    minutes = 60 * usual_hours * abs(found.factor - 1)
    return size >= math.log1p(least.share) and minutes >= least.minutes and size >= NOISE * found.noise
