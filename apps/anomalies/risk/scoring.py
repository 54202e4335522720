"""What is to be expected of open flows now: chance of being late, when it will come, and why in hours. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.anomalies.risk.features import GROUPS, NAMES, Case
from apps.anomalies.risk.law import Law, chance_late, expected_lead
from apps.anomalies.risk.trees import Forest

Floats = npt.NDArray[np.float64]

#: features that may lie outside what was learnt from before the model says nothing
STRANGE = 3
#: reasons are sought from this chance on; an effect below half an hour is none
WORTH_A_REASON, LEAST_HOURS, REASONS = 0.10, 0.5, 3
#: seen counts grow without end, so they are never strange
_COUNTED = np.array([not name.startswith(("seen_", "open")) for name in NAMES])
WORDS = {
    "promise": "a promise of {slack}",
    "calendar": "the hour and day it began",
    "start": "it began {waited} after the order",
    "value": "its value",
    "load": "{open} under way together",
    "all": "the usual time of all",
    "all now": "all flows of the last two weeks",
    "site": "{site}",
    "site now": "{site} of the last two weeks",
    "partner": "{partner}",
    "partner now": "{partner} this week",
    "lane": "{lane}",
    "lane now": "{lane} of the last two weeks",
}


@dataclass(frozen=True, slots=True)
class Voice:
    """What speaks for one stage. forest None: the plain law. typical: medians that stand in for what is left out."""

    forest: Forest | None
    law: Law | None
    typical: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Risk:
    """chance None: nothing is said, and reasons say why. lead: expected days from the start of the stage."""

    chance: float | None
    lead: float | None
    basis: str
    reasons: list[dict[str, Any]] = field(default_factory=list)


def score(
    voice: Voice,
    rows: Floats,
    simple: Floats,
    cases: Sequence[Case],
    now: float,
    names: Mapping[str, str] | None = None,
) -> list[Risk]:
    """rows: features of each case at its start; simple: the plain law's log lead. names: slug -> words for the reasons."""
    if voice.law is None or not len(cases):
        why = "Too few flows of this kind have ended yet to say how long they take."
        return [Risk(None, None, "none", [{"text": why, "hours": None}]) for _ in cases]
    age = np.array([max(0.0, now - case.start) for case in cases])
    slack = np.array([case.due - case.start for case in cases])
    filled = np.nan_to_num(rows, nan=-1e9)
    predicted = voice.forest.predict(filled) if voice.forest is not None else simple
    chances = chance_late(voice.law, predicted, slack, age)
    expected = expected_lead(voice.law, predicted, age)
    odd = strange(voice, rows)
    told: list[Risk] = []
    effects = _effects(voice, filled, predicted, expected, chances) if voice.forest is not None else {}
    for at, case in enumerate(cases):
        if voice.forest is not None and odd[at] > STRANGE:
            why = "Unlike anything this model has learnt from: no chance is given."
            told.append(Risk(None, None, "none", [{"text": why, "hours": None}]))
        elif not math.isfinite(predicted[at]):
            told.append(Risk(None, None, "none", [{"text": "Nothing comparable has ended yet.", "hours": None}]))
        else:
            reasons = _said(effects.get(at, []), case, rows[at], names or {})
            basis = "model" if voice.forest is not None else "law"
            told.append(Risk(round(float(chances[at]), 4), float(expected[at]), basis, reasons))
    return told


def strange(voice: Voice, rows: Floats) -> npt.NDArray[np.int64]:
    """How many features lie outside what was learnt from, with some room."""
    room = 0.25 * np.maximum(voice.high - voice.low, 1e-6)
    outside = (rows < voice.low - room) | (rows > voice.high + room)
    return np.asarray((outside & _COUNTED).sum(axis=1), dtype=np.int64)


def _effects(
    voice: Voice, rows: Floats, predicted: Floats, expected: Floats, chances: Floats
) -> dict[int, list[tuple[str, float]]]:
    """Row -> (group, hours it adds), strongest first: what is expected, less what would be with the group as usual."""
    assert voice.forest is not None
    wanted = np.flatnonzero(chances >= WORTH_A_REASON)
    if not len(wanted):
        return {}
    groups = sorted(set(GROUPS))
    group = np.array([groups.index(name) for name in GROUPS])
    without = voice.forest.without(rows[wanted], voice.typical, group, len(groups))
    hours = 24 * expected[wanted][:, None] * (1 - np.exp(without - predicted[wanted][:, None]))
    found: dict[int, list[tuple[str, float]]] = {}
    for place, at in enumerate(wanted):
        ranked = sorted(zip(groups, hours[place], strict=True), key=lambda one: -abs(one[1]))
        found[int(at)] = [(group, float(h)) for group, h in ranked if abs(h) >= LEAST_HOURS][:REASONS]
    return found


def _said(
    effects: Sequence[tuple[str, float]], case: Case, row: Floats, names: Mapping[str, str]
) -> list[dict[str, Any]]:
    said = []
    for group, hours in effects:
        words = WORDS.get(group, group).format(
            slack=_span(case.due - case.start),
            waited=_span(case.start - case.opened),
            open=f"{math.expm1(float(row[NAMES.index('open')])):,.0f}",
            site=names.get(case.site, case.site) or "the site",
            partner=names.get(case.partner, case.partner) or "the partner",
            lane=_lane(case.lane),
        )
        said.append({"text": words, "hours": round(hours, 1)})
    return said


def _lane(lane: str) -> str:
    start, _, end = lane.partition(">")
    if start.strip("?") and end.strip("?"):
        return f"lane {start} to {end}"
    return f"lane to {end}" if end.strip("?") else "the lane"


def _span(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{max(0.0, days) * 24:.0f} h"
