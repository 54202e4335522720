"""The detector of any metric against the corpus of the anomaly benchmark, and against made series of the same kinds.

A threshold for a group is chosen three ways, none of which sees the group: on the other groups (the figure that counts), on
them and made series, on made series alone. One threshold chosen on everything is reported beside them, as is published.
Every choice keeps to the bound on false alarms where it is made.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.anomalies.detectors.metric import Stream, quieted, score_of, slot_of
from benchmarks import nab, nab_made

#: another draw of the made series: nothing is chosen on it
FRESH = 7
#: false alarms a series and day that a threshold may tell where it is chosen
MOST_FALSE = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """score: standard, threshold blind to the group; false: false alarms a series and day at it; note: all of it."""

    score: float
    false: float
    note: dict[str, Any]


def measure(folder: Path, made: int = 4) -> Measured:
    """folder: the corpus. made: series of each made kind."""
    corpus = nab.load(folder)
    begin = time.process_time()
    scores = said(corpus)
    took = time.process_time() - begin
    imitations = nab_made.corpus(made)
    beside = said(imitations)
    note: dict[str, Any] = {
        "series": len(corpus),
        "windows": sum(len(series.windows) for series in corpus),
        "microseconds_a_value": round(1e6 * took / sum(len(series.values) for series in corpus), 1),
    }
    names = [series.name for series in corpus]
    for profile, weights in nab.PROFILES.items():
        sweep, aside = nab.Sweep(corpus, scores, weights), nab.Sweep(imitations, beside, weights)
        other = {group: [one.name for one in corpus if one.group != group] or names for group in groups(corpus)}
        one, alone = sweep.best(names, most=MOST_FALSE), aside.best(list(beside), most=MOST_FALSE)
        blind = {group: sweep.best(rest, most=MOST_FALSE) for group, rest in other.items()}
        helped = {group: sweep.best(rest, aside, MOST_FALSE) for group, rest in other.items()}
        note[profile] = {
            "one_threshold": round(sweep.scaled(dict.fromkeys(names, one)), 2),
            "at": one,
            "blind_to_the_group": round(sweep.scaled({one.name: blind[one.group] for one in corpus}), 2),
            "blind_with_made_series": round(sweep.scaled({one.name: helped[one.group] for one in corpus}), 2),
            "made_series_alone": round(sweep.scaled(dict.fromkeys(names, alone)), 2),
        }
        if profile == "standard":
            note["by_group"] = {group: by_group(corpus, scores, group, at) for group, at in blind.items()}
            false = alarms(corpus, scores, blind)
            note["false_a_series_and_day"] = {
                "blind": round(false, 3),
                "one_threshold": round(alarms(corpus, scores, dict.fromkeys(blind, one)), 3),
                "blind_with_made_series": round(alarms(corpus, scores, helped), 3),
            }
            note["made"] = made_note(aside, alone, made, weights)
            score = float(note[profile]["blind_to_the_group"])
    return Measured(score, false, note)


def made_note(aside: nab.Sweep, threshold: float, each: int, weights: nab.Weights) -> dict[str, Any]:
    """The made series at their own threshold, and another draw of them at the same."""
    fresh = nab_made.corpus(each, FRESH)
    again = nab.Sweep(fresh, said(fresh), weights)
    return {
        "at": threshold,
        "score": round(aside.scaled(dict.fromkeys(aside.scores, threshold)), 2),
        "another_draw": round(again.scaled(dict.fromkeys(again.scores, threshold)), 2),
    }


def said(corpus: Sequence[nab.Series]) -> dict[str, list[float]]:
    return {series.name: told(series) for series in corpus}


def told(series: nab.Series) -> list[float]:
    """What the detector says of each record, in turn."""
    stream = Stream({})
    return quieted(
        [score_of(stream.push(value, slot_of(at))) for at, value in zip(series.times, series.values, strict=True)]
    )


def groups(corpus: Sequence[nab.Series]) -> list[str]:
    return sorted({series.group for series in corpus})


def alarms(
    corpus: Sequence[nab.Series], scores: Mapping[str, Sequence[float]], thresholds: Mapping[str, float]
) -> float:
    """False alarms a series and day."""
    found = [_raw(series, scores, thresholds[series.group])[3] for series in corpus]
    return sum(found) / sum(series.days for series in corpus)


def by_group(
    corpus: Sequence[nab.Series], scores: Mapping[str, Sequence[float]], group: str, threshold: float
) -> dict[str, Any]:
    mine = [series for series in corpus if series.group == group]
    raw = [_raw(series, scores, threshold) for series in mine]
    windows = sum(row[1] for row in raw)
    return {
        "threshold": threshold,
        "score": round(50 * (sum(row[0] for row in raw) / windows + 1), 2) if windows else None,
        "found": f"{sum(row[2] for row in raw)} of {windows}",
        "false_a_series_and_day": round(sum(row[3] for row in raw) / sum(series.days for series in mine), 3),
    }


def _raw(series: nab.Series, scores: Mapping[str, Sequence[float]], threshold: float) -> tuple[float, int, int, int]:
    return nab.raw_score(series, np.asarray(scores[series.name]) >= threshold, nab.PROFILES["standard"])
