"""Feed rate: a feed that brings fewer messages than usual, none, or far more. Pure.

Method (reference: Shiryaev-Roberts): the expected count of an hour is its hour of the week's share, learnt with decay,
times the level of the last fourteen days (a median, so that an outage does not lower it). Counts scatter as a negative
binomial with the feed's own dispersion. For each of six alternatives ("2 % of the messages come", "three times as many
come") R becomes (1 + R) times the likelihood ratio of the hour; the evidence of a drop is the mean of the first four, of
a surge the mean of the last two. Nobody has to say when it began. The threshold is the larger of 1/alpha and what the
feed's own past would have reached, so that a batchy feed must be stranger for longer than a steady one.

A step takes the six R (as natural logarithms) and one hour; many feeds and hours are judged at once (`evidence_of`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from apps.anomalies.contract import Detector, State

Floats = NDArray[np.float64]
HOUR = timedelta(hours=1)
WEEK_HOURS = 168
DECAY = 0.93
DROP = (0.02, 0.3, 0.6, 0.8)
SURGE = (1.5, 3.0)
RATES = np.array(DROP + SURGE)
#: natural logarithms: no evidence yet, and as much as is ever kept (a feed that is back is soon believed)
NOTHING = -700.0
MOST = 40.0
#: evidence (as a power of ten) below which no drop and no surge is told; counts stray upwards more easily
FLOOR = 3.8
SURGE_FLOOR = 5.0
#: an outage nobody marked must not make a feed's threshold unreachable
CEILING = 9.0
#: what the own past reached is exceeded by this much before anybody is told
MARGIN = 0.3
SURGE_MARGIN = 1.5
RECOVERED = math.log(100)
LEAST_DAYS = 7
LEAST_MESSAGES = 50
LEVEL_DAYS = 14
#: messages of an hour of the week and its neighbours from which on they lean on each other by less than half
LEAN = 20.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What is usual: expected count for each hour of the week (Monday 00:00 local first), scatter, thresholds.

    dispersion: variance over mean (1: Poisson). threshold, surge: evidence as a power of ten above which a drop or a
    surge is told. days: how much history it rests on.
    """

    shares: tuple[float, ...]
    dispersion: float
    threshold: float
    days: int
    surge: float = CEILING

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"shares": [round(share, 4) for share in self.shares]}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Profile:
        return cls(
            tuple(raw["shares"]), raw["dispersion"], raw["threshold"], raw["days"], float(raw.get("surge", CEILING))
        )


@dataclass(frozen=True, slots=True)
class Series:
    """A feed's past, oldest hour first. slots: hour of the week each hour counts as (a holiday counts as a Sunday).

    usable: False for hours nothing may be learnt from (incidents, planned outages, known exceptions).
    """

    slots: NDArray[np.int64]
    counts: Floats
    usable: NDArray[np.bool_]


def hour_of_week(at: datetime, zone: tzinfo) -> int:
    local = at.astimezone(zone)
    return local.weekday() * 24 + local.hour


def log_ratio(seen: Floats, expected: Floats, dispersion: Floats) -> Floats:
    """ln of the likelihood ratio of each alternative in `RATES` (last axis) against "as usual".

    Counts are negative binomial with variance = dispersion x mean, so parts of an hour add up to the hour. nan where
    nothing is expected or the expectation is not known: such an hour says nothing.
    """
    mean = np.where(np.isfinite(expected) & (expected > 1e-9), expected, 0.0)[..., None]
    x, d = seen[..., None], dispersion[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = mean / np.maximum(d - 1.0, 1e-9)
        binomial = (
            gammaln(x + RATES * size)
            - gammaln(RATES * size)
            - gammaln(x + size)
            + gammaln(size)
            - (RATES - 1.0) * size * np.log(d)
        )
    poisson = x * np.log(RATES) - (RATES - 1.0) * mean
    found = np.where(d > 1.01, binomial, poisson)
    return np.where(mean > 0, found, np.nan)


def accumulate(start: Floats, ratios: Floats) -> Floats:
    """ln R after each hour. start: ln R before, shape (.., 6); ratios: ln of the ratios, shape (.., hours, 6)."""
    told = np.nan_to_num(ratios)
    total = np.cumsum(told, axis=-2)
    # R_t = exp(S_t) * (R_0 + sum over the judged hours s <= t of exp(-S_(s-1)))
    began = np.logaddexp.accumulate(np.where(np.isnan(ratios), NOTHING, told - total), axis=-2)
    return np.clip(total + np.logaddexp(began, start[..., None, :]), NOTHING, MOST)


def powers(log_r: Floats) -> tuple[Floats, Floats]:
    """(drop, surge): the evidence as powers of ten."""
    cut = len(DROP)
    drop = np.logaddexp.reduce(log_r[..., :cut], axis=-1) - math.log(cut)
    surge = np.logaddexp.reduce(log_r[..., cut:], axis=-1) - math.log(len(SURGE))
    return drop / math.log(10), surge / math.log(10)


def evidence_of(start: Floats, seen: Floats, expected: Floats, dispersion: Floats) -> tuple[Floats, Floats, Floats]:
    """Judges many feeds at once: (ln R after each hour, drop, surge). seen, expected: (feeds, hours); dispersion: (feeds,)."""
    log_r = accumulate(start, log_ratio(seen, expected, np.broadcast_to(dispersion[:, None], seen.shape)))
    drop, surge = powers(log_r)
    return log_r, drop, surge


class FeedRate(Detector):
    """score: evidence against "as usual" as a power of ten (6: one to a million), of a drop or a surge, the larger."""

    kind = "feed"
    label = "Feed rate"
    version = 2

    def empty(self) -> State:
        return {"log_r": [NOTHING] * len(RATES)}

    def judge(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, float]:
        """event: lists ``expected`` and ``seen`` of the next hours (the last may be a part of one), ``dispersion``."""
        start = np.array([state["log_r"]], dtype=float)
        log_r, drop, surge = evidence_of(
            start,
            np.array([event["seen"]], dtype=float),
            np.array([[math.nan if one is None else one for one in event["expected"]]], dtype=float),
            np.array([event["dispersion"]], dtype=float),
        )
        return {"log_r": log_r[0, -1].tolist()}, float(max(drop[0, -1], surge[0, -1]))

    def fit(self, series: Series) -> Profile | None:
        """Learns from whole past hours. None with less than a week of history, or fewer than 50 messages."""
        hours = len(series.counts)
        if hours < LEAST_DAYS * 24 or series.counts[series.usable].sum() < LEAST_MESSAGES:
            return None
        expected = _causal(series)
        shares = _level(series, _shares(series, hours), hours)
        judged = np.isfinite(expected) & series.usable
        if judged.sum() < WEEK_HOURS:
            expected, judged = shares[series.slots], series.usable
        dispersion = _dispersion(series.counts, expected, judged)
        quiet = np.where(judged, expected, np.nan)
        ratios = log_ratio(series.counts, quiet, np.full(hours, dispersion))
        return Profile(
            tuple(shares.tolist()),
            dispersion,
            _threshold(ratios, slice(None, len(DROP)), FLOOR, MARGIN),
            int(hours // 24),
            _threshold(ratios, slice(len(DROP), None), SURGE_FLOOR, SURGE_MARGIN),
        )


def began(ratios: Floats) -> int:
    """The hour from which on the evidence speaks: where the sum of the best alternative's ratios was lowest before.

    ratios: (hours, 6). Returns an index into the hours.
    """
    told = np.nan_to_num(ratios)
    total = np.cumsum(told, axis=0)
    gain = total[-1] - (total - told)
    best = int(np.argmax(gain.max(axis=0)))
    return int(np.argmax(gain[:, best]))


def recovered(ratios: Floats, path: Floats, alternative: int, threshold: float) -> bool:
    """Whether it is over: the evidence is gone, or the hours since its height speak a hundred to one against the
    alternative still holding. ratios: (hours, 6); path: the evidence after each hour, as a power of ten."""
    if path[-1] < threshold - 1:
        return True
    height = len(path) - 1 - int(np.argmax(path[::-1]))
    since = np.cumsum(np.nan_to_num(ratios[height + 1 :, alternative])[::-1])
    return bool(len(since) and since.min() <= -RECOVERED)


def _shares(series: Series, until: int) -> Floats:
    """Mean count of each hour of the week over the hours before ``until``; last weeks weigh more, neighbours lean in."""
    slots, counts = series.slots[:until], np.where(series.usable, series.counts, 0.0)[:until]
    weight = DECAY ** ((until - 1 - np.arange(until)) // WEEK_HOURS) * series.usable[:until]
    total = np.bincount(slots, weight * counts, WEEK_HOURS)
    seen = np.bincount(slots, weight, WEEK_HOURS)
    means = np.divide(total, seen, out=np.zeros(WEEK_HOURS), where=seen > 0)
    if (seen == 0).any() and seen.any():  # an hour of the week never seen: what the day's other hours usually have
        means[seen == 0] = means[seen > 0].mean()
    # where little was seen an hour leans on its neighbours; beside a busy hour an empty one is known to be empty
    around = np.roll(total, 1) + total + np.roll(total, -1)
    lean = 0.25 * LEAN / (LEAN + around)
    smoothed: Floats = lean * np.roll(means, 1) + (1 - 2 * lean) * means + lean * np.roll(means, -1)
    return smoothed


def _level(series: Series, shares: Floats, until: int) -> Floats:
    """The shares times how busy the last fourteen days were: the median day."""
    ratios = []
    for day in range(min(LEVEL_DAYS, until // 24)):
        hours = slice(until - (day + 1) * 24, until - day * 24)
        usable = series.usable[hours]
        mean = shares[series.slots[hours]][usable].sum()
        if mean > 0 and usable.sum() >= 12:
            ratios.append(series.counts[hours][usable].sum() / mean)
    level = min(3.0, max(0.3, float(np.median(ratios)))) if ratios else 1.0
    return shares * level


def _causal(series: Series) -> Floats:
    """What would have been expected of each hour by what had come before; nan for the first week."""
    hours = len(series.counts)
    expected = np.full(hours, np.nan)
    for first in range(hours - WEEK_HOURS * (hours // WEEK_HOURS) + WEEK_HOURS, hours, WEEK_HOURS):
        shares = _shares(series, first)
        for day in range(first, min(first + WEEK_HOURS, hours), 24):
            expected[day : day + 24] = _level(series, shares, day)[series.slots[day : day + 24]]
    return expected


def _dispersion(counts: Floats, expected: Floats, judged: NDArray[np.bool_]) -> float:
    """Variance over mean of hours and of days; the worst part left out, since outages are no scatter."""
    hourly = _scatter(counts[judged], expected[judged], 0.5)
    whole = np.where(judged, expected, 0.0), np.where(judged, counts, 0.0)
    days = len(counts) // 24
    mean, seen = (one[len(one) - days * 24 :].reshape(days, 24).sum(axis=1) for one in whole)
    daily = _scatter(seen[mean > 0], mean[mean > 0], 5.0)
    # days that stray together count, but not so much that a busy feed could hide a bad hour
    return max(1.0, hourly, min(daily, 2 * hourly), math.sqrt(hourly * daily))


def _scatter(seen: Floats, mean: Floats, least: float) -> float:
    kept = mean >= least
    if kept.sum() < 10:
        return 1.0
    ratios = np.sort((seen[kept] - mean[kept]) ** 2 / mean[kept])
    ratios = ratios[: max(1, len(ratios) * 98 // 100)]
    # the mean of a chi square below its 98 % point is 0.89
    return float(ratios.mean() / 0.89)


def _threshold(ratios: Floats, columns: slice, floor: float, margin: float) -> float:
    """Above what the feed's own past reached, but for its worst stretch in a quarter. ratios: (hours, 6)."""
    told = np.full_like(ratios, np.nan)
    told[:, columns] = ratios[:, columns]
    start, which = np.full(len(RATES), NOTHING), 0 if columns.start is None else 1
    for _ in range(1 + len(told) // (91 * 24)):
        path = powers(accumulate(start, told))[which]
        height = len(path) - 1 - int(np.argmax(path[::-1]))
        if path[height] > floor:
            told[began(told[: height + 1]) : height + 1] = np.nan
    reached = float(powers(accumulate(start, told))[which].max())
    return min(CEILING, max(floor, reached + margin))
