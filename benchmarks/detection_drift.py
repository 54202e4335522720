"""Lanes whose truth is known: how soon a slower one is told, how often a steady one, and what becomes of small changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from apps.anomalies.detectors.drift import THRESHOLD, LeadDrift, Least, change, matters

DETECTOR = LeadDrift()
#: flows a week; scatter of log lead times; usual hours; days of the lane
WEEK, SPREAD, HOURS, YEAR = 50, 0.3, 96.0, 365
#: flows of the last so many days say by their ages how it goes
LATELY = 30


def lane(seed: int, shift: float, days: int = YEAR, least: Least | None = None) -> tuple[int, float, float]:
    """(false alarms in ``days``, slower flows that had ended and days gone by when it was told; inf within 40 days). shift: ln of the
    factor by which all that starts after ``days`` takes longer. Judged four times a day."""
    chance, state, false = np.random.default_rng([17, seed]), DETECTOR.empty(), 0
    n = WEEK * (days + 40) // 7
    start = np.sort(chance.uniform(0, days + 40, n))
    lead = chance.normal(0, SPREAD, n) + np.where(start >= days, shift, 0.0)
    end = start + np.exp(lead) * HOURS / 24
    order, at = np.argsort(end), 0
    for now in np.arange(40, days + 40, 0.25):
        while at < n and end[order[at]] <= now:
            state = DETECTOR.judge(state, {"residual": float(lead[order[at]])})[0]
            at += 1
        lately = (start <= now) & (start > now - LATELY)
        ages = np.log(np.maximum(now - start[lately], 1e-3) * 24 / HOURS)
        started = [[round(float(age), 4), bool(one > now)] for age, one in zip(ages, end[lately], strict=True)][-120:]
        shown, score = DETECTOR.judge(state, {"started": started})
        if abs(score) >= THRESHOLD and matters(change(shown, started), HOURS, least or Least()):
            if now >= days:
                return false, float(((start >= days) & (end <= now)).sum()), float(now - days)
            false, state = false + 1, DETECTOR.empty()
    return false, math.inf, math.inf


def measure(lanes: int = 6) -> dict[str, Any]:
    """Medians over lanes of a year each; small: the share of lanes 5 % slower that were told within 40 days."""
    found = [lane(seed, math.log(1.25)) for seed in range(lanes)]
    small = [lane(100 + seed, math.log(1.05), days=120) for seed in range(lanes)]
    return {
        "flows_until_told": float(np.median([flows for _, flows, _ in found])),
        "days_until_told": float(np.median([days for *_, days in found])),
        "false_per_lane_year": sum(false for false, *_ in found) / lanes,
        "small_told": sum(flows < math.inf for _, flows, _ in small) / lanes,
        "lanes": lanes,
    }
