"""How loud a detector may be. Pure: feedback, budget and promises in, thresholds out.

Scores and thresholds are powers of ten ("one to a million" is 6), so a threshold that is trebled rises by 0.477.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: one answer moves a stream's threshold by at most this factor, all answers together by at most `MOST`
STEP = {"not_useful": 1.8, "expected": 1.3, "real": 1 / 1.3, "fixed": 1 / 1.3}
MOST = 3.0
#: an answer counts for half after so long
DECAY = timedelta(days=60)
#: share of false discoveries tolerated among all streams (e-BH)
ALPHA = 0.1
#: steps of a day over which evidence may have gathered by chance: an evidence R is an e-value of R / 24
HOURS = 24
#: a detector whose share of false alarms exceeds what it promises by this factor lowers its voice
TOLERANCE = 1.25
LEAST_JUDGED = 8
MOST_LOWERED = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: str
    at: datetime


def factor(answers: Iterable[Answer], now: datetime) -> float:
    """What people's answers about one stream multiply its threshold by: between a third and three, fading in 60 days."""
    total = 0.0
    for one in answers:
        age = max(0.0, (now - one.at) / DECAY)
        total += math.log(STEP.get(one.verdict, 1.0)) * 0.5**age
    return min(MOST, max(1 / MOST, math.exp(total)))


def across(scores: Sequence[float], streams: int, alpha: float = ALPHA) -> int:
    """How many of these scores (largest first) may be told, among so many streams judged: e-BH, valid whatever the
    streams share (Wang and Ramdas 2022): the largest k with the k-th e-value at least streams / (alpha k)."""
    told = 0
    for k, score in enumerate(scores, start=1):
        if score >= math.log10(max(streams, k) * HOURS / (alpha * k)):
            told = k
    return told


def over_budget(told_today: int, budget: int) -> float:
    """By how much thresholds rise once the day's budget is spent; what is really wrong still comes through, later."""
    return 2 * math.log10(max(1.0, (told_today + 1) / max(1, budget)))


def lowered(judged: int, false: int, promised: float) -> float:
    """By how much a detector raises its own thresholds: the odds by which its false alarms exceed the promise.

    promised: the share of its alarms it said would be false. Nothing below eight judged ones.
    """
    if judged < LEAST_JUDGED or promised <= 0:
        return 0.0
    excess = (false / judged) / promised
    return min(MOST_LOWERED, math.log10(excess) * 2) if excess > TOLERANCE else 0.0
