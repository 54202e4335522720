"""Gradient boosted trees as plain arrays: kept without pickling, evaluated without the library that fitted them. Pure.

A model in a database must never be code. What HistGradientBoostingRegressor learned is a table of nodes; it is written
as an npz of numbers and walked here, all trees at once. The result is the library's own, to the last digit but one.
"""

from __future__ import annotations

import io
from collections.abc import Callable
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
        return np.asarray(self.base + self.value[self.leaves(rows)].sum(axis=1), dtype=np.float64)

    def leaves(self, rows: Floats) -> Ints:
        """The leaf each row falls into, in each tree: one row per row, one column per tree."""
        node = np.tile(self.roots, len(rows))
        row = np.repeat(np.arange(len(rows)), len(self.roots))
        self._fall(node, lambda falling, feature: rows[row[falling], feature])
        return node.reshape(len(rows), len(self.roots))

    def without(self, rows: Floats, usual: Floats, group: Ints, groups: int) -> Floats:
        """What `predict` would say with the features of one group as usual: one row per row, one column per group.

        usual: a value for each feature; group: the number of each feature's group. Only trees that asked for a feature of the
        group on the way to the row's leaf can answer otherwise, and only those are walked again.
        """
        leaf = self.leaves(rows)
        asked = self._asked(group)[leaf]
        found = np.repeat(self.base + self.value[leaf].sum(axis=1)[:, None], groups, axis=1)
        row, tree, left_out = np.nonzero((asked[:, :, None] >> np.arange(groups)) & 1)
        node = self.roots[tree]

        def value(falling: Ints, feature: Ints) -> Floats:
            return np.where(group[feature] == left_out[falling], usual[feature], rows[row[falling], feature])

        self._fall(node, value)
        np.add.at(found, (row, left_out), self.value[node] - self.value[leaf[row, tree]])
        return found

    def _fall(self, node: Ints, value: Callable[[Ints, Ints], Floats]) -> None:
        """Moves every node down to its leaf, in place. value: of which entries, which feature -> what they hold."""
        falling = np.flatnonzero(self.left[node] != node)
        while len(falling):
            at = node[falling]
            right = value(falling, self.feature[at]) > self.threshold[at]
            node[falling] = below = np.where(right, self.right[at], self.left[at])
            falling = falling[self.left[below] != below]

    def _asked(self, group: Ints) -> Ints:
        """For each node, as bits, the groups of the features asked for on the way to it. Parents come before children."""
        bits = [0] * len(self.left)
        left, right, feature = self.left.tolist(), self.right.tolist(), group[self.feature].tolist()
        for node, below in enumerate(left):
            if below != node:
                bits[below] = bits[right[node]] = bits[node] | 1 << feature[node]
        return np.array(bits, dtype=np.int64)

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
