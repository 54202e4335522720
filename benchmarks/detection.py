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
from apps.anomalies.detectors.metric import Stream, quieted, score_of, slot_of
from benchmarks import detection_feeds, detection_olist, nab
from benchmarks.harness import FOREIGN_SHARE, Goal, Result

GOAL_NAB, GOAL_FALSE = 63.0, 0.1


def run(options: dict[str, Any]) -> Result:
    result = Result("detection")
    folder = Path(options.get("data") or settings.BASE_DIR.parent / "shared" / "data")
    foreign = _foreign()
    metrics(result, folder / "nab")
    orders(result, folder / "olist", draws=20 if options.get("scale") == "full" else 4)
    feeds(result)
    speed(result)
    result.notes["foreign_cpu_share_before_and_after"] = [foreign, _foreign()]
    if min(foreign, _foreign()) > 1 - FOREIGN_SHARE:
        result.why_unstable.append("other processes used the whole processor: the speeds mean little")
    result.stable = not result.why_unstable
    return result


def _foreign() -> float:
    return round(psutil.cpu_percent(interval=0.2) / 100, 2)


def metrics(result: Result, folder: Path) -> None:
    """The score of the corpus with one threshold for all, and with the threshold chosen without the scored group."""
    if not (folder / "labels" / "combined_windows.json").exists():
        result.notes["metrics"] = f"left out: no corpus in {folder}"
        return
    corpus = nab.load(folder)
    scores = {series.name: told(series) for series in corpus}
    groups = sorted({series.group for series in corpus})
    note: dict[str, Any] = {"series": len(corpus), "windows": sum(len(series.windows) for series in corpus)}
    for profile, weights in nab.PROFILES.items():
        sweep = nab.Sweep(corpus, scores, weights)
        everything = [series.name for series in corpus]
        one = sweep.best(everything)
        blind = {
            group: sweep.best([series.name for series in corpus if series.group != group] or everything)
            for group in groups
        }
        note[profile] = {
            "one_threshold": round(sweep.scaled(dict.fromkeys(everything, one)), 2),
            "at": round(one, 1),
            "blind_to_the_group": round(sweep.scaled({series.name: blind[series.group] for series in corpus}), 2),
        }
        if profile == "standard":
            raw = [
                nab.raw_score(series, np.asarray(scores[series.name]) >= blind[series.group], weights)
                for series in corpus
            ]
            note["found"] = f"{sum(row[2] for row in raw)} of {sum(row[1] for row in raw)} windows"
            false = sum(row[3] for row in raw) / sum(series.days for series in corpus)
            result.goals += [
                Goal("metrics, standard score blind to the group", note[profile]["blind_to_the_group"], GOAL_NAB),
                Goal("metrics, false alarms a series and day", false, GOAL_FALSE, "less"),
            ]
    result.notes["metrics"] = note


def told(series: nab.Series) -> list[float]:
    """What the detector says of each record, in turn."""
    stream = Stream({})
    raw = [score_of(stream.push(value, slot_of(at))) for at, value in zip(series.times, series.values, strict=True)]
    return quieted(raw)


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
