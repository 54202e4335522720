"""Fits gradient boosted trees, as `trees` walks them. Only who fits imports the library: pages and scores need numbers alone.

Pure; one thread, so that the same data gives the same model, bit for bit.

Two steps of the library are slow with weights, because each goes through one general weighted percentile at a time: the
edges of the bins (254 a feature) and the medians of the leaves. Both are done here with one sort: features are cut into
bins before they are handed over, and the loss brings its own weighted median. The model is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn._loss.loss import AbsoluteError
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from apps.anomalies.risk.trees import Floats, Forest, Ints

#: fixed: the same data gives the same model, bit for bit
SETTINGS: dict[str, Any] = {
    "loss": "absolute_error",
    "learning_rate": 0.03,
    "max_iter": 120,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "max_features": 0.5,
    "early_stopping": False,
    "random_state": 7,
}
RECENCY = 180.0


#: bins of a feature, of equal weight
BINS = 255


class Median(AbsoluteError):  # type: ignore[misc]
    """The library's absolute error; the median of a leaf by one sort."""

    def fit_intercept_only(self, y_true: Floats, sample_weight: Floats | None = None) -> np.float64:
        return np.float64(weighted_median(y_true, sample_weight) if sample_weight is not None else np.median(y_true))


def weighted_median(values: Floats, weights: Floats) -> float:
    """The smallest value up to which half of the weight lies."""
    order = np.argsort(values)
    reached = weights[order].cumsum()
    return float(values[order[int(reached.searchsorted(reached[-1] / 2))]])


def edges_of(rows: Floats, weights: Floats) -> list[Floats]:
    """For each feature the upper ends of its bins, ascending: at most 254, each a value of the data.

    Few distinct values have a bin each; many are parted so that all bins weigh about the same."""
    return [_edges(column, weights) for column in np.ascontiguousarray(rows.T)]


def _edges(column: Floats, weights: Floats) -> Floats:
    order = np.argsort(column)
    ranked = column[order]
    distinct = ranked[np.concatenate([[True], ranked[1:] != ranked[:-1]])]
    if len(distinct) <= BINS:
        return distinct[:-1]
    reached = weights[order].cumsum()
    places = reached.searchsorted(np.arange(1, BINS) / BINS * reached[-1])
    return np.unique(ranked[places])


def binned(rows: Floats, edges: Sequence[Floats]) -> Floats:
    """The number of the bin of each value: that of the first edge it does not exceed."""
    found = np.empty(rows.shape, dtype=np.float64)
    for place, ends in enumerate(edges):
        found[:, place] = ends.searchsorted(rows[:, place])
    return found


def fit(rows: Floats, log_leads: Floats, ages: Floats) -> Forest:
    """Learns mean log lead time. ages: days since each example ended: recent ones count more (half as much in 125 days)."""
    # missing values are put left of everything: the walk above needs no rule of its own for them
    filled = np.nan_to_num(rows, nan=-1e9)
    weights = np.exp(-np.maximum(ages, 0.0) / RECENCY)
    edges = edges_of(filled, weights)
    model = HistGradientBoostingRegressor(**SETTINGS | {"loss": Median(sample_weight=weights)})
    # one thread: on a busy machine waiting threads cost far more than they bring, and sums keep one order
    with threadpool_limits(limits=1):
        model.fit(binned(filled, edges), log_leads, sample_weight=weights)
    return _from_library(model, edges)


def _ends(feature: Ints, bin_threshold: Floats, edges: Sequence[Floats]) -> Floats:
    """The library parts between the numbers of two bins; the same in the feature's own unit."""
    sizes = np.array([len(ends) for ends in edges])
    starts = np.cumsum(sizes) - sizes
    return np.concatenate(edges)[starts[feature] + np.floor(bin_threshold).astype(np.int64)]


def _from_library(model: HistGradientBoostingRegressor, edges: Sequence[Floats]) -> Forest:
    trees: Sequence[Any] = [stage[0].nodes for stage in model._predictors]
    sizes = [len(nodes) for nodes in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    feature, threshold, left, right, value = [], [], [], [], []
    for start, nodes in zip(roots, trees, strict=True):
        leaf = nodes["is_leaf"].astype(bool)
        itself = np.arange(len(nodes)) + start
        feature.append(np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64))
        parting = np.full(len(nodes), np.inf)
        parting[~leaf] = _ends(nodes["feature_idx"][~leaf], nodes["num_threshold"][~leaf], edges)
        threshold.append(parting)
        left.append(np.where(leaf, itself, nodes["left"].astype(np.int64) + start))
        right.append(np.where(leaf, itself, nodes["right"].astype(np.int64) + start))
        value.append(np.where(leaf, nodes["value"], 0.0).astype(np.float64))
    depth = max(int(nodes["depth"].max()) for nodes in trees)
    return Forest(
        float(np.ravel(model._baseline_prediction)[0]), roots, np.concatenate(feature), np.concatenate(threshold),
        np.concatenate(left), np.concatenate(right), np.concatenate(value), depth,
    )  # fmt: skip
