"""The detectors against data whose truth is known: a corpus of metrics, a marketplace's orders, made feeds.

Data: --data DIR with `nab/` and `olist/` as described in docs/anomalies.md; what is not there is said and left out.
Only what was known at a moment is used at it. Thresholds are chosen without the group they are scored on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from django.conf import settings
from sklearn.ensemble import HistGradientBoostingRegressor

from apps.anomalies.detectors.deadline import fit, means_of
from benchmarks import detection_drift, detection_feeds, detection_metrics, detection_olist
from benchmarks.harness import FOREIGN_SHARE, Goal, Result

GOAL_NAB, GOAL_FALSE = 63.0, 0.1


def run(options: dict[str, Any]) -> Result:
    result = Result("detection")
    folder = Path(options.get("data") or settings.BASE_DIR.parent / "shared" / "data")
    foreign = _foreign()
    metrics(result, folder / "nab")
    orders(result, folder / "olist", draws=20 if options.get("scale") == "full" else 4)
    feeds(result)
    drifts(result)
    speed(result)
    result.notes["foreign_cpu_share_before_and_after"] = [foreign, _foreign()]
    if min(foreign, _foreign()) > 1 - FOREIGN_SHARE:
        result.why_unstable.append("other processes used the whole processor: the speeds mean little")
    result.stable = not result.why_unstable
    return result


def _foreign() -> float:
    return round(psutil.cpu_percent(interval=0.2) / 100, 2)


def metrics(result: Result, folder: Path) -> None:
    """The score of the corpus, the threshold of each group chosen without it."""
    if not (folder / "labels" / "combined_windows.json").exists():
        result.notes["metrics"] = f"left out: no corpus in {folder}"
        return
    found = detection_metrics.measure(folder)
    result.notes["metrics"] = found.note
    result.goals += [
        Goal("metrics, standard score blind to the group", found.score, GOAL_NAB),
        Goal("metrics, false alarms a series and day", found.false, GOAL_FALSE, "less"),
    ]


def orders(result: Result, folder: Path, draws: int) -> None:
    """Coverage of learned deadlines by month, and what the hidden events cost."""
    if not list(folder.glob("orders*.csv*")):
        result.notes["orders"] = f"left out: no orders in {folder}"
        return
    note: dict[str, Any] = {}
    for stage in detection_olist.load(folder):
        covered = detection_olist.coverage(stage)
        note[stage.name] = covered
        ninety = covered["0.90"]
        result.goals += [
            Goal(f"orders at {stage.name}, 90 % deadlines, points off", abs(ninety["coverage"] - 0.9), 0.02, "less"),
            Goal(f"orders at {stage.name}, 90 % deadlines, worst month", ninety["worst_month"][1], 0.83),
        ]
        if stage.name == "hand-over":
            note["hidden"] = detection_olist.hidden(stage, draws)
            note["hidden_draws"] = draws
    result.notes["orders"] = note


def feeds(result: Result) -> None:
    found = detection_feeds.measure()
    result.notes["feeds"] = found
    result.goals += [
        Goal("feeds, expected messages until silence is found (median)", found["silence"], 20, "less"),
        Goal("feeds, expected messages until half volume is found (median)", found["half"], 110, "less"),
        Goal("feeds, false incidents a feed and quarter", found["false_per_feed_quarter"], 1, "less"),
        Goal("feeds judged a minute on one core", detection_feeds.feeds_a_minute(), 10_000),
    ]


def drifts(result: Result) -> None:
    """A lane of 50 flows a week that becomes a quarter slower, and what is false in the year before."""
    found = detection_drift.measure()
    result.notes["drift"] = found
    result.goals += [
        Goal("drift, slower flows ended until +25 % is told (median)", found["flows_until_told"], 60, "less"),
        Goal("drift, false alarms a lane and year", found["false_per_lane_year"], 1, "less"),
    ]


def speed(result: Result) -> None:
    """The nightly fit of 100,000 flows and the scoring of 1,000, beside a plain call of scikit-learn."""
    hours, ended, partner, lane = detection_olist.fit_many(100_000)
    begin = time.process_time()
    law = fit(hours, ended, partner, lane)
    fitted = time.process_time() - begin
    begin = time.process_time()
    mean = means_of(law, partner[:1000], lane[:1000])
    np.exp(mean + law.residual(0.98))
    scored = time.process_time() - begin
    features = np.column_stack([np.unique(one, return_inverse=True)[1] for one in (partner, lane)])
    begin = time.process_time()
    HistGradientBoostingRegressor(max_iter=50).fit(features, np.log(hours))
    plain = time.process_time() - begin
    result.goals += [
        Goal("seconds to fit 100,000 flows", fitted, 180, "less"),
        Goal("seconds to score 1,000 flows", scored, 0.2, "less"),
    ]
    result.notes["speed"] = {"fit / plain scikit-learn fit": round(fitted / plain, 3), "plain_seconds": round(plain, 2)}
