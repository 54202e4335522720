"""What is known of a flow when a stage begins, and what that is worth: the promised time, the weekday, the hour. Pure.

Learned deadlines compare a flow with its lane. Two flows of one lane still differ by what was promised (far, heavy or cheap
goods are promised later) and by when they began (on a Friday evening nothing moves). Each is worth a factor, found by ridge
regression of what the lane leaves open: a fact that has been seen seldom is worth little. Facts that are not known
stand for the usual ones, so that a flow without a promised time is treated as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: log of the promised span, seven weekdays, and the hour as a point on a circle
WIDTH = 10
#: flows of no effect that each fact is averaged with: days and hours are many, so chance finds more in them
RIDGE = np.array([10.0] + [100.0] * (WIDTH - 1))
#: a promise beyond what 96 of 100 learnt flows had is worth no more than theirs
EDGES = (0.02, 0.98)
SHORTEST_SPAN = 1.0


def facts(spans: Sequence[float] | Floats, weekdays: Sequence[int] | Floats, hours: Sequence[float] | Floats) -> Floats:
    """spans: hours from the beginning of the flow to the promised time of the stage's end (nan: nothing promised);
    weekdays: 0 Monday, and hours 0 to 24, when the stage began, on the partner's clock. Shape (n, WIDTH)."""
    span, hour = np.asarray(spans, dtype=float), np.asarray(hours, dtype=float) * (2 * np.pi / 24)
    found = np.zeros((len(span), WIDTH))
    found[:, 0] = np.log(np.maximum(span, SHORTEST_SPAN))
    found[np.arange(len(span)), 1 + np.asarray(weekdays, dtype=int)] = 1.0
    found[:, 8], found[:, 9] = np.sin(hour), np.cos(hour)
    return found


@dataclass(frozen=True, slots=True)
class Worth:
    """What facts are worth in log hours. usual: their means; slopes: log hours for each unit; low, high: limits of the span."""

    usual: Floats
    slopes: Floats
    low: float
    high: float

    def of(self, known: Floats) -> Floats:
        """Shape (n,) of (n, WIDTH). Summed fact by fact, so that one flow alone gets bit for bit what it gets among many."""
        total = np.zeros(len(known))
        for at, (usual, slope) in enumerate(zip(self.usual, self.slopes, strict=True)):
            column = np.where(np.isnan(known[:, at]), usual, known[:, at])
            total = total + (np.clip(column, self.low, self.high) if at == 0 else column) * slope - usual * slope
        return total

    def as_json(self) -> dict[str, Any]:
        return {"usual": self.usual.tolist(), "slopes": self.slopes.tolist(), "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Worth:
        return cls(np.array(raw["usual"]), np.array(raw["slopes"]), float(raw["low"]), float(raw["high"]))


def learn(known: Floats, left: Floats) -> Worth:
    """known: facts of flows that ended, shape (n, WIDTH), n at least 1; left: log hours less the mean of their lane."""
    spans = known[:, 0][~np.isnan(known[:, 0])]
    low, high = (float(edge) for edge in np.quantile(spans, EDGES)) if len(spans) else (0.0, 0.0)
    shown = known.copy()
    shown[:, 0] = np.clip(shown[:, 0], low, high)
    usual = np.array([float(np.nanmean(column)) if not np.isnan(column).all() else low for column in shown.T])
    shown = np.where(np.isnan(shown), usual, shown) - usual
    # einsum, not a matrix product: one order of summation on every machine and with any number of threads
    square = np.einsum("ni,nj->ij", shown, shown) + np.diag(RIDGE)
    return Worth(usual, np.linalg.solve(square, np.einsum("ni,n->i", shown, left)), low, high)
