"""What a learned deadline keeps of what it rests on, enough to be computed again, and the sentence that says it. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from apps.anomalies import beginnings
from apps.anomalies.contract import DETECTORS, State
from apps.anomalies.detectors.deadline import (
    BINS,
    LOW,
    WIDTH,
    WINDOW,
    Law,
    LearnedDeadlines,
    Reach,
    part_of,
    residuals_of,
)
from apps.anomalies.models import LeadLaw
from apps.core.wording import duration

#: no deadline lies further away, in hours
FURTHEST = 24.0 * 365


@dataclass(frozen=True, slots=True)
class Kept:
    """What the evidence of all flows of one law has in common. curve: residual -> share still open beyond it."""

    row: LeadLaw
    residuals: State | str
    curve: list[tuple[float, float]]

    @classmethod
    def of(cls, row: LeadLaw, law: Law) -> Kept:
        beyond = law.survival()
        levels = np.array([0.98, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02])
        shown = np.unique(np.clip(np.searchsorted(-beyond, -levels), 0, BINS - 1))
        curve = [(LOW + WIDTH * (int(at) + 1), round(float(beyond[at]), 4)) for at in shown]
        return cls(row, residuals_of(row.state), curve)

    def evidence(
        self, key: tuple[str, str, str], partner: str, lane: str, watch: Reach, task: Reach, facts: beginnings.Floats
    ) -> str:
        slug, start, end = key
        told = {
            "model": detector().model,
            "state": part_of(self.row.state, partner, lane, self.residuals),
            "flow": slug,
            "start": start,
            "end": end,
            "partner": partner,
            "lane": lane,
            "facts": [None if math.isnan(one) else one for one in facts.tolist()],
            "level": task.level,
            "n": task.n,
            "mean": task.mean,
            "watch_hours": watch.hours,
            "task_hours": task.hours,
            "limit_hours": min(task.hours, FURTHEST),
            "fitted_at": self.row.fitted_at.isoformat(),
            "curve": [[round(math.exp(task.mean + at), 2), share] for at, share in self.curve],
        }
        return json.dumps(told)


def detector() -> LearnedDeadlines:
    found = DETECTORS.get("deadline")
    assert isinstance(found, LearnedDeadlines)
    return found


def sentence(evidence: Mapping[str, Any], label: str, age_hours: float) -> str:
    """Why this flow is late by its like: "98 of 100 comparable flows (FR>DE, carrier x, n=412, 45 days) .."."""
    level = evidence["level"]
    who = [evidence["lane"]] if level == "lane" else []
    who += [evidence["partner"]] if level in ("lane", "partner") else []
    who = [*(one for one in who if one), f"n={evidence['n']:,}", f"{WINDOW.days} days"]
    thin = "" if level == "lane" or not evidence["lane"] else " (too few on its own lane to say more)"
    limit, age = _long(evidence["task_hours"]), _long(age_hours)
    return (
        f"98 of 100 comparable flows ({', '.join(who)}) reached “{label}” within {limit}; this one is at {age}{thin}."
    )


def _long(hours: float) -> str:
    """As exact as the difference between a limit and an age asks: days with a tenth ("4.1 days")."""
    return f"{hours / 24:.1f} days" if hours >= 48 else duration(timedelta(hours=hours))
