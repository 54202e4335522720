"""Silent feed: fewer messages than this feed usually brings at this hour of the week. Pure.

Method (detection.md, D3, thin): the expected count of an hour is a recency-weighted mean of the same hour of the week,
scaled by the level of the last days; counts scatter as a negative binomial with the feed's own dispersion. Looking back
from now over windows of 1 to 48 hours, the evidence is the smallest tail probability of having seen so few. The
threshold comes from the feed's own past, so that a batchy feed must be quieter for longer than a steady one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo
from statistics import median
from typing import Any

from scipy.special import betainc, pdtr

from apps.anomalies.contract import Detector

HOUR = timedelta(hours=1)
WEEK_HOURS = 168
DECAY = 0.93
#: whole hours looked back beside the present, unfinished one
WINDOWS = (0, 1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 48)
FLOOR = 1e-6
#: fewer expected messages than this say nothing by their absence
LEAST_EXPECTED = 8.0
LEAST_DAYS = 7


@dataclass(frozen=True, slots=True)
class Profile:
    """What is usual: expected count for each hour of the week (Monday 00:00 local first), scatter, threshold.

    dispersion: variance over mean (1: Poisson); threshold: tail probability below which a window is called silent;
    days: how much history it rests on.
    """

    shares: tuple[float, ...]
    dispersion: float
    threshold: float
    days: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"shares": [round(share, 4) for share in self.shares]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Profile:
        return cls(tuple(raw["shares"]), raw["dispersion"], raw["threshold"], raw["days"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the present says. hours: how long the window is that speaks loudest; p: chance of seeing so few if all is well."""

    silent: bool
    hours: int
    since: datetime
    until: datetime
    expected: float
    spread: float
    seen: int
    p: float


def hour_of_week(at: datetime, zone: tzinfo) -> int:
    local = at.astimezone(zone)
    return local.weekday() * 24 + local.hour


class SilentFeed(Detector):
    kind = "feed"
    label = "Silent feed"

    def fit(self, counts: Mapping[datetime, int], now: datetime, zone: tzinfo) -> Profile | None:
        """Learns from whole past hours (UTC hour starts -> messages). None with less than a week of history."""
        last = now.replace(minute=0, second=0, microsecond=0)
        if not counts:
            return None
        hours = int((last - min(counts)) / HOUR)
        if hours < LEAST_DAYS * 24:
            return None
        series = [counts.get(last - (back + 1) * HOUR, 0) for back in range(hours)]  # newest first
        slots = [hour_of_week(last - (back + 1) * HOUR, zone) for back in range(hours)]
        shares = _smoothed(_weekly_means(series, slots))
        level = _level(series, [shares[slot] for slot in slots])
        shares = tuple(share * level for share in shares)
        expected = [shares[slot] for slot in slots]
        dispersion = _dispersion(series, expected)
        return Profile(shares, dispersion, _threshold(series, expected, dispersion), hours // 24)

    def judge(
        self, profile: Profile, counts: Mapping[datetime, int], now: datetime, zone: tzinfo, patience: timedelta
    ) -> Verdict | None:
        """Whether the feed is silent at ``now``. patience: how late its messages may usually come.

        None when nothing can be said: too few messages are expected in any window.
        """
        until = now - patience
        start = until.replace(minute=0, second=0, microsecond=0)
        part = (until - start) / HOUR
        expected = [profile.shares[hour_of_week(start, zone)] * part]
        seen = [counts.get(start, 0)]
        for back in range(1, max(WINDOWS) + 1):
            hour = start - back * HOUR
            expected.append(profile.shares[hour_of_week(hour, zone)])
            seen.append(counts.get(hour, 0))
        best: Verdict | None = None
        for window in WINDOWS:
            mean, count = sum(expected[: window + 1]), sum(seen[: window + 1])
            if mean < LEAST_EXPECTED:
                continue
            p = tail(count, mean, profile.dispersion)
            if best is None or p < best.p:
                spread = math.sqrt(mean * profile.dispersion)
                best = Verdict(p < profile.threshold, window, start - window * HOUR, until, mean, spread, count, p)
        return best


def tail(seen: int, mean: float, dispersion: float) -> float:
    """Probability of at most ``seen`` when ``mean`` are expected."""
    if dispersion <= 1.01:
        return float(pdtr(seen, mean))
    # the negative binomial's distribution function by the incomplete beta function: scipy.stats takes seconds to import
    return float(betainc(mean / (dispersion - 1), seen + 1, 1 / dispersion))


def _weekly_means(series: Sequence[int], slots: Sequence[int]) -> list[float]:
    total, weight = [0.0] * WEEK_HOURS, [0.0] * WEEK_HOURS
    for back, (count, slot) in enumerate(zip(series, slots, strict=True)):
        share = DECAY ** (back // WEEK_HOURS)
        total[slot] += share * count
        weight[slot] += share
    return [t / w if w else 0.0 for t, w in zip(total, weight, strict=True)]


def _smoothed(shares: Sequence[float]) -> tuple[float, ...]:
    """Each hour leans on its neighbours: an hour of the week is seen only once a week."""
    return tuple(
        0.25 * shares[slot - 1] + 0.5 * shares[slot] + 0.25 * shares[(slot + 1) % WEEK_HOURS]
        for slot in range(WEEK_HOURS)
    )


def _level(series: Sequence[int], expected: Sequence[float]) -> float:
    """How busy the last fourteen days were against the shares: a median, so that an outage does not lower it."""
    ratios = []
    for day in range(min(14, len(series) // 24)):
        mean = sum(expected[day * 24 : day * 24 + 24])
        if mean > 0:
            ratios.append(sum(series[day * 24 : day * 24 + 24]) / mean)
    return min(3.0, max(0.3, median(ratios))) if ratios else 1.0


def _dispersion(series: Sequence[int], expected: Sequence[float]) -> float:
    """Variance over mean, over hours that expect something; the worst tenth left out, since outages are no scatter."""
    ratios = sorted((count - mean) ** 2 / mean for count, mean in zip(series, expected, strict=True) if mean >= 0.5)
    kept = ratios[: max(1, len(ratios) * 95 // 100)]
    return max(1.0, sum(kept) / len(kept)) if kept else 1.0


def _threshold(series: Sequence[int], expected: Sequence[float], dispersion: float) -> float:
    """Below what the feed's own past would have fired at most about once a quarter, its worst day left out."""
    daily: dict[int, float] = {}
    for at in range(len(series) - max(WINDOWS)):
        worst = 1.0
        for window in WINDOWS[1:]:
            mean = sum(expected[at : at + window])
            if mean >= LEAST_EXPECTED:
                worst = min(worst, tail(sum(series[at : at + window]), mean, dispersion))
        daily[at // 24] = min(daily.get(at // 24, 1.0), worst)
    ordered = sorted(daily.values())
    allowed = 1 + len(ordered) // 91
    return min(FLOOR, ordered[allowed] / 10) if len(ordered) > allowed else FLOOR
