"""The law of what a prediction leaves open: Kaplan-Meier of the residuals of log lead times, open flows censored. Pure.

Learning from closed flows alone is biased short exactly when things slow down (detection.md, finding 3): a flow that is
still open says that its residual is at least so large, and the estimate uses that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: days of history a law rests on
WINDOW = 60.0
#: points a law is kept as
POINTS = 256
#: fewer residuals than this are no law of their own
LEAST = 30


@dataclass(frozen=True, slots=True)
class Law:
    """Survival of the residual: beyond ``at[i]`` a share ``beyond[i]`` is left. at ascending; n: residuals it rests on."""

    at: Floats
    beyond: Floats
    n: int

    def survival(self, residual: Floats) -> Floats:
        """P(residual > x). Before the first point 1; beyond the last it falls off as an exponential of its upper tail."""
        place = np.searchsorted(self.at, residual, side="right") - 1
        found = np.where(place < 0, 1.0, self.beyond[np.maximum(place, 0)])
        over = np.maximum(residual - self.at[-1], 0.0)
        half = max(1e-6, float(self.at[-1] - self.at[len(self.at) // 2]))
        tail = max(float(self.beyond[-1]), 1.0 / (2 * self.n))
        return np.where(over > 0, tail * np.exp(-over / half), np.maximum(found, 0.0))

    def quantile(self, share: float) -> float:
        """The residual that a share of flows stays within."""
        place = int(np.argmax(self.beyond <= 1 - share)) if (self.beyond <= 1 - share).any() else len(self.at) - 1
        return float(self.at[place])

    def as_json(self) -> dict[str, Any]:
        return {"at": self.at.tolist(), "beyond": self.beyond.tolist(), "n": self.n}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Law:
        return cls(np.array(raw["at"]), np.array(raw["beyond"]), int(raw["n"]))


def fit(residuals: Floats, ended: Bools) -> Law | None:
    """residuals: log lead - predicted, of open flows log age - predicted; ended: which of them are over. None: too few."""
    good = np.isfinite(residuals)
    residuals, ended = residuals[good], ended[good]
    if int(ended.sum()) < LEAST:
        return None
    order = np.lexsort((~ended, residuals))  # at one value, what ended comes before what is censored
    at, is_end = residuals[order], ended[order]
    left: Floats = np.arange(len(at), 0, -1, dtype=np.float64)
    survival: Floats = np.cumprod(np.where(is_end, 1.0 - 1.0 / left, 1.0), dtype=np.float64)
    at, survival = at[is_end], survival[is_end]
    if len(at) > POINTS:
        keep = np.unique(np.round(np.linspace(0, len(at) - 1, POINTS)).astype(int))
        at, survival = at[keep], survival[keep]
    return Law(at, survival, len(residuals))


def chance_late(law: Law, predicted: Floats, slack: Floats, age: Floats) -> Floats:
    """P(lead > slack | lead > age). predicted: mean of log lead; slack: days from the start to the promise; age: days so far."""
    tiny = 1e-4
    beyond = law.survival(np.log(np.maximum(slack, tiny)) - predicted)
    still = law.survival(np.log(np.maximum(age, tiny)) - predicted)
    told = np.where(age >= slack, 1.0, beyond / np.maximum(still, 1e-9))
    return np.clip(told, 0.0, 1.0)


def expected_lead(law: Law, predicted: Floats, age: Floats) -> Floats:
    """Median days from the start, given that it has lasted ``age`` days already."""
    shares = -np.diff(np.concatenate([[1.0], law.beyond]))
    points = np.log(np.maximum(age, 1e-4))[:, None] - predicted[:, None]
    weights = np.where(law.at[None, :] > points, shares[None, :], 0.0)
    total = weights.sum(axis=1)
    half = np.argmax(np.cumsum(weights, axis=1) >= total[:, None] / 2, axis=1)
    found = np.exp(predicted + law.at[half])
    return np.where(total > 0, np.maximum(found, age), age * 1.25)
