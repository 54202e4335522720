"""Ten thousand findings of mixed, overlapping causes grouped, in seconds; beside it what was right. Needs no database."""

from __future__ import annotations

import statistics
import time
from typing import Any

from apps.anomalies.grouping.scan import scan
from benchmarks.causes_world import DIMENSIONS, quality, world
from benchmarks.harness import Goal, Result, scale_of, spread

UNITS = 140_000
CAUSES = 8


def run(options: dict[str, Any]) -> Result:
    """--scale full: ten worlds instead of three."""
    result = Result("grouping")
    took, found, sizes = [], [], []
    for seed in range(scale_of(options, 3, 10)):
        made = world(seed, UNITS, CAUSES)
        begin = time.perf_counter()
        groups = scan(DIMENSIONS, made.population, made.affected)
        took.append((time.perf_counter() - begin) * 10_000 / len(made.labels))
        found.append(quality(made, groups))
        sizes.append(len(made.labels))
    result.goals += [
        Goal("seconds for 10,000 findings", statistics.median(took), 2.0, "less"),
        Goal("groups", max(one.groups for one in found), 10, "less"),
        Goal("V-measure", statistics.mean(one.v_measure for one in found), 0.90),
        Goal("right cause first", statistics.mean(one.first for one in found), 0.90),
        Goal("right cause among three", statistics.mean(one.three for one in found), 0.97),
        Goal("foreign findings hidden", max(one.foreign for one in found), 0.01, "less"),
    ]
    result.notes |= {"findings": sizes, "seconds": spread(took), "units": UNITS}
    return result
