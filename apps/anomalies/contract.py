"""What a detector is: one class in one file of `apps.anomalies.detectors`. Pure: state and event in, state and score out.

Everything a detector keeps is plain JSON, of a size that does not grow with what it has seen. What it says of an event
depends on the state before it and on the event, on nothing else: the same evidence gives the same score, bit for bit, a
year later, as long as the model's version is the same (`Detector.replay`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from apps.core.registry import Registry

State = dict[str, Any]


class OtherModel(ValueError):
    """The evidence was written by another version of the detector; this one must not judge it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """state: for the next event. score: how unusual this one is, larger is stranger; each detector names its unit.

    evidence: what the score rests on, enough to compute it again: ``model``, ``state`` (before), ``event``, ``score``.
    """

    state: State
    score: float
    evidence: dict[str, Any]


class Detector:
    """Base of all detectors. Subclasses set `kind`, `label` and `version`, and say how one event is judged.

    version: raised whenever the same input would give another score.
    """

    kind: ClassVar[str] = ""
    label: ClassVar[str] = ""
    version: ClassVar[int] = 1

    @property
    def model(self) -> str:
        return f"{self.kind}/{self.version}"

    def empty(self) -> State:
        """The state of a key nothing is known of."""
        return {}

    def judge(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, float]:
        """(state after, score). Must change neither argument."""
        raise TypeError(f"{type(self).__name__} judges no single events")

    def step(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> Outcome:
        after, score = self.judge(state, event)
        evidence = {"model": self.model, "state": dict(state), "event": dict(event), "score": score}
        return Outcome(after, score, evidence)

    def replay(self, evidence: Mapping[str, Any]) -> float:
        """The score that this evidence gives. Raises OtherModel when another version wrote it."""
        if evidence.get("model") != self.model:
            raise OtherModel(f"this evidence is of {evidence.get('model')}, the detector at hand is {self.model}")
        return self.judge(evidence["state"], evidence["event"])[1]


DETECTORS: Registry[Detector] = Registry("apps.anomalies.detectors", Detector)
