"""Gradient boosted trees as plain arrays: kept without pickling, evaluated without the library that fitted them. Pure.

A model in a database must never be code. What HistGradientBoostingRegressor learned is a table of nodes; it is written
as an npz of numbers and walked here, all trees at once. The result is the library's own, to the last digit but one.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Forest:
    """Nodes of all trees. roots: first node of each tree; a leaf points to itself and adds its value."""

    base: float
    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    depth: int

    def predict(self, rows: Floats) -> Floats:
        """Mean of log lead time of each row. Missing values go left."""
        node = np.repeat(self.roots[None, :], len(rows), axis=0)
        each = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            seen = rows[each, self.feature[node]]
            right = seen > self.threshold[node]
            node = np.where(right, self.right[node], self.left[node])
        return np.asarray(self.base + self.value[node].sum(axis=1), dtype=np.float64)

    def as_bytes(self) -> bytes:
        kept = io.BytesIO()
        np.savez_compressed(
            kept, base=np.array([self.base]), depth=np.array([self.depth]), roots=self.roots, feature=self.feature,
            threshold=self.threshold, left=self.left, right=self.right, value=self.value,
        )  # fmt: skip
        return kept.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Forest:
        """Raises ValueError for anything that is not such a table of numbers."""
        with np.load(io.BytesIO(raw), allow_pickle=False) as kept:
            return cls(
                float(kept["base"][0]), kept["roots"], kept["feature"], kept["threshold"], kept["left"],
                kept["right"], kept["value"], int(kept["depth"][0]),
            )  # fmt: skip
