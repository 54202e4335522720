"""Lead-time drift: a lane that has become slower or faster. Pure.

Method: the residuals of learned deadlines (log lead time less the lane's own mean) are ranked among the lane's last 200; the
rank, a number between -1 and 1, goes into a two-sided CUSUM (Page 1954), so that one wild value counts no more than one
unusual one. A flow still open counts by its age from when it is slower than the median: it can only say "slower".
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from statistics import median
from typing import Any

from apps.anomalies.contract import Detector, State

WINDOW = 200
LEAST = 40
#: ranks stray by chance; only what goes beyond this much counts
SLACK = 0.15
#: a sum above this is told: by simulation less than one false drift in a year of a lane with 50 flows a week
THRESHOLD = 9.5
SINCE = 60


class LeadDrift(Detector):
    """score: the larger of the two sums; negative when the lane became faster."""

    kind = "drift"
    label = "Lead-time drift"

    def judge(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, float]:
        """event: ``residual`` (log of lead time or age, less the mean the lane had), ``ended`` (false: still open)."""
        known: list[float] = list(state.get("known", ()))
        slower, faster = float(state.get("slower", 0.0)), float(state.get("faster", 0.0))
        recent: list[float] = list(state.get("recent", ()))
        value, ended = float(event["residual"]), bool(event.get("ended", True))
        if len(known) >= LEAST:
            rank = _rank(known, value)
            if ended or rank > 0:
                slower = max(0.0, slower + rank - SLACK)
                faster = max(0.0, faster - rank - SLACK) if ended else faster
        recent = [*recent, value][-SINCE:] if slower or faster else []
        if ended and slower < THRESHOLD / 2 and faster < THRESHOLD / 2:  # what drifts is not learnt as normal
            known = [*known, value][-WINDOW:]
        after = {"known": known, "slower": slower, "faster": faster, "recent": recent}
        return after, slower if slower >= faster else -faster

    def needed(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, State]:
        """Without the flows since the sum began to grow: they say by how much it drifted, not that it did."""
        return {key: value for key, value in state.items() if key != "recent"}, dict(event)


def _rank(known: list[float], value: float) -> float:
    """Where a value stands among the known ones: -1 below all, 0 in the middle, 1 above all."""
    ordered = sorted(known)
    return (bisect_left(ordered, value) + bisect_right(ordered, value)) / len(ordered) - 1.0


def change(state: Mapping[str, Any]) -> tuple[float, int]:
    """(by what factor the median moved since the sum began to grow, of how many flows)."""
    if not state["recent"] or not state["known"]:
        return 1.0, 0
    return 2.718281828459045 ** (median(state["recent"]) - median(state["known"])), len(state["recent"])
