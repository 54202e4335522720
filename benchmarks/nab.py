"""The score of the Numenta anomaly benchmark (Lavin and Ahmad 2015), by an implementation of our own.

A window of anomaly earns up to 1 for its first detection, the earlier the more, by a sigmoid that is 0 at its right edge;
an undetected one costs the weight of a miss. A detection outside costs up to the weight of a false alarm: less, soon after a
window. The first 15 % (at most 750 records) are not scored. 0 is the detector that says nothing, 100 the perfect one.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

PROBATION, PROBATION_ROWS = 0.15, 5000


@dataclass(frozen=True, slots=True)
class Series:
    """One file of the corpus. windows: (first, last) record of each labelled anomaly."""

    name: str
    times: tuple[datetime, ...]
    values: tuple[float, ...]
    windows: tuple[tuple[int, int], ...]

    @property
    def group(self) -> str:
        return self.name.split("/")[0]

    @property
    def probation(self) -> int:
        """The first record that counts."""
        n = len(self.values)
        return math.ceil(min(math.floor(PROBATION * n), PROBATION * PROBATION_ROWS))

    @property
    def days(self) -> float:
        return (self.times[-1] - self.times[self.probation]).total_seconds() / 86_400


@dataclass(frozen=True, slots=True)
class Weights:
    """What a hit earns, a miss and a false alarm cost."""

    hit: float = 1.0
    miss: float = 1.0
    false: float = 0.11


PROFILES = {
    "standard": Weights(),
    "reward_low_FP_rate": Weights(false=0.22),
    "reward_low_FN_rate": Weights(miss=2.0),
}


def sigmoid(position: float) -> float:
    """From 0.987 at the left edge (-1) over 0 at the right edge (0) to -1 well behind (3 and more)."""
    return -1.0 if position >= 3 else 2 / (1 + math.exp(5 * position)) - 1


def places(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """(worth of a detection at each record before weights, window it lies in or -1)."""
    worth, inside = np.full(len(series.values), -1.0), np.full(len(series.values), -1)
    before: tuple[int, int] | None = None
    windows = list(series.windows)
    for at in range(len(series.values)):
        number = next((n for n, (first, last) in enumerate(windows) if first <= at <= last), None)
        if number is not None:
            first, last = windows[number]
            worth[at] = sigmoid(-(last - at + 1) / (last - first + 1)) / sigmoid(-1.0)
            inside[at] = number
            before = windows[number]
        elif before is not None:
            worth[at] = sigmoid((at - before[1]) / max(1, before[1] - before[0]))
    return worth, inside


def raw_score(series: Series, told: Sequence[bool] | np.ndarray, weights: Weights) -> tuple[float, int, int, int]:
    """(score before scaling, windows that count, windows hit, false alarms)."""
    worth, inside = places(series)
    counts = np.arange(len(worth)) >= series.probation
    told = np.asarray(told, bool) & counts
    windows = sorted(set(inside[counts]) - {-1})
    total, hits = 0.0, 0
    for number in windows:
        found = told & (inside == number)
        hits += bool(found.any())
        total += worth[found].max() * weights.hit if found.any() else -weights.miss
    false = told & (inside == -1)
    return total + float((worth[false] * weights.false).sum()), len(windows), hits, int(false.sum())


def score(corpus: Sequence[Series], told: Mapping[str, Sequence[bool] | np.ndarray], weights: Weights) -> float:
    """The score of a whole corpus: 0 as if nothing was told, 100 if every window was found at once and nothing else."""
    total, windows = 0.0, 0
    for series in corpus:
        got, n, _, _ = raw_score(series, told[series.name], weights)
        total, windows = total + got, windows + n
    least = -weights.miss * windows
    return 100 * (total - least) / (weights.hit * windows - least) if windows else 0.0


class Sweep:
    """The score of every series at every threshold of a grid, so that a threshold can be chosen on some of them."""

    def __init__(self, corpus: Sequence[Series], scores: Mapping[str, Sequence[float]], weights: Weights) -> None:
        self.weights = weights
        self.grid = np.round(np.arange(3.0, 9.01, 0.1), 1)
        self.scores: dict[str, np.ndarray] = {}
        self.windows: dict[str, int] = {}
        self.false: dict[str, np.ndarray] = {}
        self.days: dict[str, float] = {}
        for series in corpus:
            worth, inside = places(series)
            counts = np.arange(len(worth)) >= series.probation
            told = np.asarray(scores[series.name])[counts]
            kept = told >= self.grid[0]
            numbers = sorted(set(inside[counts]) - {-1})
            self.windows[series.name], self.days[series.name] = len(numbers), series.days
            outside = np.sort(told[kept & (inside[counts] == -1)])
            self.false[series.name] = len(outside) - np.searchsorted(outside, self.grid)
            self.scores[series.name] = self._at(worth[counts][kept], inside[counts][kept], told[kept], numbers)

    def _at(self, worth: np.ndarray, inside: np.ndarray, told: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
        total = np.zeros(len(self.grid))
        for number, threshold in enumerate(self.grid):
            over = told >= threshold
            total[number] = (worth[over & (inside == -1)] * self.weights.false).sum()
            for window in numbers:
                found = worth[over & (inside == window)]
                total[number] += found.max() * self.weights.hit if len(found) else -self.weights.miss
        return total

    def best(self, names: Sequence[str], beside: Sweep | None = None, most: float = math.inf) -> float:
        """The threshold with the best score on these series, and on all of ``beside`` where given, among those that tell
        at most so many false alarms a series and day there; the one that tells fewest if none does."""
        parts = [(self, names)] + ([(beside, list(beside.scores))] if beside is not None else [])
        score = sum(sum(sweep.scores[name] for name in some) for sweep, some in parts)
        false = sum(sum(sweep.false[name] for name in some) for sweep, some in parts)
        days = sum(sum(sweep.days[name] for name in some) for sweep, some in parts)
        held = np.asarray(false) <= most * days
        return float(self.grid[np.where(held, score, -np.inf).argmax() if held.any() else -1])

    def scaled(self, chosen: Mapping[str, float]) -> float:
        """The score when every series has the threshold chosen for it."""
        total = sum(self.scores[name][np.abs(self.grid - one).argmin()] for name, one in chosen.items())
        windows = sum(self.windows[name] for name in chosen)
        least = -self.weights.miss * windows
        return float(100 * (total - least) / (self.weights.hit * windows - least))


def load(folder: Path) -> list[Series]:
    """The corpus in a folder: data/<group>/<file>.csv and labels/combined_windows.json."""
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    found = []
    for path in sorted((folder / "data").glob("*/*.csv")):
        name = f"{path.parent.name}/{path.name}"
        with open(path, newline="") as file:
            rows = [(datetime.fromisoformat(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
        times = tuple(at for at, _ in rows)
        index = {at: number for number, at in reversed(list(enumerate(times)))}
        windows = tuple(
            (index[datetime.fromisoformat(first)], index[datetime.fromisoformat(last)])
            for first, last in labels.get(name, ())
        )
        found.append(Series(name, times, tuple(value for _, value in rows), windows))
    return found
