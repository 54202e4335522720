"""Feeds whose truth is known: quiet quarters, silence, thinning, surges; and how many are judged in a minute."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from apps.anomalies.detectors.feed import NOTHING, RATES, FeedRate, Profile, Series, evidence_of

WEEKS_LEARNT, WEEKS_QUIET = 8, 13
#: messages an hour on average, whether it has a working week, variance over mean
FEEDS = [(1.2, False, 1.0), (1.2, True, 1.3), (8.0, True, 1.0), (8.0, False, 1.5), (40.0, True, 1.0), (40.0, True, 1.5)]
PARTS = 6
DETECTOR = FeedRate()


def rates(mean: float, working_week: bool, hours: int) -> np.ndarray:
    hour = np.arange(hours)
    shape = np.ones(hours)
    if working_week:
        shape = np.where((hour % 24 >= 7) & (hour % 24 < 18), 3.0, 0.5)
        shape = np.where(hour // 24 % 7 >= 5, shape * 0.3, shape)
    return np.asarray(shape / shape.mean() * mean)


def counts(mean: np.ndarray, dispersion: float, chance: np.random.Generator) -> np.ndarray:
    if dispersion <= 1:
        return chance.poisson(mean).astype(float)
    return chance.negative_binomial(np.maximum(mean, 1e-9) / (dispersion - 1), 1 / dispersion).astype(float)


def until_told(profile: Profile, mean: np.ndarray, expected: np.ndarray, seen: np.ndarray) -> float:
    """Expected messages until a drop is told, judged every ten minutes; inf when it is not."""
    _, drop, _ = evidence_of(
        np.full((1, len(RATES)), NOTHING), seen[None], expected[None], np.array([profile.dispersion])
    )
    over = drop[0] > profile.threshold
    return float(mean[: int(over.argmax()) + 1].sum()) if over.any() else math.inf


def measure(draws: int = 4) -> dict[str, Any]:
    """Median expected messages until silence and half volume are found, false incidents by feed and quarter."""
    found: dict[str, list[float]] = {"silence": [], "half": [], "false": []}
    learnt, quiet = WEEKS_LEARNT * 168, WEEKS_QUIET * 168
    for number, (mean, week, dispersion) in enumerate(FEEDS):
        for draw in range(draws):
            chance = np.random.default_rng([number, draw])
            rate = rates(mean, week, learnt + quiet)
            seen = counts(rate, dispersion, chance)
            false, log_r, profile = 0, np.full((1, len(RATES)), NOTHING), None
            for first in range(learnt, learnt + quiet, 168):
                slots = np.arange(first - learnt, first) % 168
                profile = DETECTOR.fit(Series(slots, seen[first - learnt : first], np.ones(learnt, bool)))
                assert profile is not None
                expected = np.array(profile.shares)[np.arange(first, first + 168) % 168]
                after, drop, surge = evidence_of(
                    log_r, seen[None, first : first + 168], expected[None], np.array([profile.dispersion])
                )
                told = bool((drop > profile.threshold).any() or (surge > profile.surge).any())
                false += told
                log_r = np.full_like(log_r, NOTHING) if told else after[:, -1]
                if first == learnt:
                    ahead = np.arange(first + 10, first + 10 + 60 * 24)
                    truth = np.repeat(rates(mean, week, learnt + quiet)[ahead % (learnt + quiet)] / PARTS, PARTS)
                    usual = np.repeat(np.array(profile.shares)[ahead % 168] / PARTS, PARTS)
                    for name, keep in (("silence", 0.0), ("half", 0.5)):
                        found[name].append(until_told(profile, truth, usual, counts(truth * keep, dispersion, chance)))
            found["false"].append(false)
    return {
        "silence": float(np.median(found["silence"])),
        "silence_p90": float(np.quantile(found["silence"], 0.9)),
        "half": float(np.median(found["half"])),
        "false_per_feed_quarter": float(np.mean(found["false"])),
        "feeds": len(FEEDS) * draws,
    }


def feeds_a_minute(feeds: int = 2_000, hours: int = 97) -> float:
    """How many feeds one core judges in a minute, four days of hours each."""
    chance = np.random.default_rng(1)
    expected = np.maximum(0.1, chance.gamma(2.0, 5.0, (feeds, hours)))
    seen, start = chance.poisson(expected).astype(float), np.full((feeds, len(RATES)), NOTHING)
    begin = time.process_time()
    evidence_of(start, seen, expected, np.full(feeds, 1.7))
    return 60 * feeds / (time.process_time() - begin)
