"""An anomaly's score, computed again from its row alone."""

from __future__ import annotations

from dataclasses import dataclass

from apps.anomalies.contract import DETECTORS, NoInputs, OtherModel
from apps.anomalies.models import Anomaly


@dataclass(frozen=True, slots=True)
class Replayed:
    """stored: the score in the evidence; again: the one computed now; same: equal, and the row shows its size."""

    model: str
    stored: float
    again: float
    same: bool


def replayed(row: Anomaly) -> Replayed:
    """Raises OtherModel or NoInputs with a sentence when the evidence is not for the detector at hand, or holds too little.
    A row's score is the size of the evidence's: a drift's is negative where a lane became faster."""
    if row.detector not in DETECTORS.plugins:
        raise OtherModel(f"There is no detector {row.detector!r} here (any more), so nothing can judge its evidence.")
    again = DETECTORS.get(row.detector).replay(row.evidence)
    stored = row.evidence.get("score")
    if not isinstance(stored, (int, float)):
        raise NoInputs("This evidence holds no score to compare with.")
    return Replayed(row.evidence["model"], stored, again, again == stored and row.score in (again, -again))


def words(row: Anomaly) -> str:
    """One sentence for the page; never raises."""
    try:
        found = replayed(row)
    except (OtherModel, NoInputs) as refused:
        return str(refused)
    return "Replays to the same score" if found.same else f"Replays to another score ({found.again:.6g})"
