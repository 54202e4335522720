"""Fits gradient boosted trees, as `trees` walks them. Only who fits imports the library: pages and scores need numbers alone.

Pure; one thread, so that the same data gives the same model, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from apps.anomalies.risk.trees import Floats, Forest

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


def fit(rows: Floats, log_leads: Floats, ages: Floats) -> Forest:
    """Learns mean log lead time. ages: days since each example ended: recent ones count more (half as much in 125 days)."""
    model = HistGradientBoostingRegressor(**SETTINGS)
    # missing values are put left of everything: the walk above needs no rule of its own for them
    weights = np.exp(-np.maximum(ages, 0.0) / RECENCY)
    # one thread: on a busy machine waiting threads cost far more than they bring, and sums keep one order
    with threadpool_limits(limits=1):
        model.fit(np.nan_to_num(rows, nan=-1e9), log_leads, sample_weight=weights)
    return _from_library(model)


def _from_library(model: HistGradientBoostingRegressor) -> Forest:
    trees: Sequence[Any] = [stage[0].nodes for stage in model._predictors]
    sizes = [len(nodes) for nodes in trees]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    feature, threshold, left, right, value = [], [], [], [], []
    for start, nodes in zip(roots, trees, strict=True):
        leaf = nodes["is_leaf"].astype(bool)
        itself = np.arange(len(nodes)) + start
        feature.append(np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64))
        threshold.append(np.where(leaf, np.inf, nodes["num_threshold"]).astype(np.float64))
        left.append(np.where(leaf, itself, nodes["left"].astype(np.int64) + start))
        right.append(np.where(leaf, itself, nodes["right"].astype(np.int64) + start))
        value.append(np.where(leaf, nodes["value"], 0.0).astype(np.float64))
    depth = max(int(nodes["depth"].max()) for nodes in trees)
    return Forest(
        float(np.ravel(model._baseline_prediction)[0]), roots, np.concatenate(feature), np.concatenate(threshold),
        np.concatenate(left), np.concatenate(right), np.concatenate(value), depth,
    )  # fmt: skip
