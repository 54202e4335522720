"""What a detector is: one class in one file of `apps.anomalies.detectors`. Pure: state and event in, state and score out.

Everything a detector keeps is plain JSON, of a size that does not grow with what it has seen. What it says of an event
depends on the state before it and on the event, on nothing else: the same evidence gives the same score, bit for bit, a
year later, as long as the model's version is the same (`Detector.replay`). Evidence keeps the part of the state the score
rests on (`Detector.needed`), less than 8 KB of it.
"""

from __future__ import annotations

import base64
import json
import zlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from apps.core.registry import Registry

State = dict[str, Any]
#: characters of a state's JSON up to which evidence keeps it as it is, and from which on it is no state of ours
PLAIN, MOST_UNPACKED = 1_000, 1_000_000


class OtherModel(ValueError):
    """The evidence was written by another version of the detector; this one must not judge it."""


class NoInputs(ValueError):
    """The evidence holds what was shown, but not (or not whole) what its score rests on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """state: for the next event. score: how unusual this one is, larger is stranger; each detector names its unit."""

    state: State
    score: float
    detector: Detector
    before: Mapping[str, Any]
    event: Mapping[str, Any]

    @property
    def evidence(self) -> dict[str, Any]:
        """What the score rests on, enough to compute it again: ``model``, ``state``, ``event``, ``score``."""
        return self.detector.evidence(self.before, self.event, self.score)


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
        return Outcome(after, score, self, state, event)

    def needed(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, State]:
        """The part of a state, and of an event, that its score rests on; of bounded size. Together with `rescore` it is
        the same judgement: ``rescore(*needed(state, event)) == judge(state, event)[1]``."""
        return dict(state), dict(event)

    def rescore(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> float:
        """The score of what `needed` gave."""
        return self.judge(state, event)[1]

    def evidence(self, state: Mapping[str, Any], event: Mapping[str, Any], score: float) -> dict[str, Any]:
        """What is kept of one judgement. state, event: as they were judged."""
        part, given = self.needed(state, event)
        return self.kept(part, given, score)

    def kept(self, part: Mapping[str, Any], given: Mapping[str, Any], score: float) -> dict[str, Any]:
        """The same of what was needed already; a long state is packed."""
        return {"model": self.model, "state": packed(part), "event": dict(given), "score": score}

    def replay(self, evidence: Mapping[str, Any]) -> float:
        """The score that this evidence gives. Raises OtherModel when another version wrote it, NoInputs when it holds
        only what was shown (written before inputs were kept) or was cut."""
        if evidence.get("model") != self.model:
            raise OtherModel(
                f"This evidence was written by {evidence.get('model') or 'an unnamed model'}, the detector at hand is "
                f"{self.model}: another version may weigh the same numbers otherwise, so it does not judge them again."
            )
        if "state" not in evidence or "event" not in evidence:
            raise NoInputs("This evidence holds only the figures shown: it was written before inputs were kept.")
        try:
            return self.rescore(unpacked(evidence["state"]), evidence["event"])
        except (KeyError, TypeError, IndexError, ValueError, zlib.error) as broken:
            raise NoInputs(f"The inputs kept in this evidence cannot be read ({broken!r}).") from broken


def packed(part: Mapping[str, Any]) -> dict[str, Any] | str:
    """A state as evidence keeps it: itself, or where it is long its JSON, compressed. Floats come back bit for bit."""
    text = json.dumps(part, separators=(",", ":"))
    if len(text) <= PLAIN:
        return dict(part)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(kept: Mapping[str, Any] | str) -> Mapping[str, Any]:
    """What `packed` was given. Raises ValueError when it was cut or is no state."""
    if not isinstance(kept, str):
        return kept
    reader = zlib.decompressobj()
    text = reader.decompress(base64.b64decode(kept, validate=True), MOST_UNPACKED)
    if not reader.eof:
        raise ValueError("cut, or too long")
    found: Mapping[str, Any] = json.loads(text)
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands among sorted ones, without them: how many there are, how many lie below it, and its
    neighbours, so that a value computed again that would stand elsewhere is noticed."""

    n: int
    below: int
    under: float | None
    over: float | None

    @classmethod
    def of(cls, value: float, ordered: Sequence[float]) -> Place:
        at = bisect_left(ordered, value)
        return cls(len(ordered), at, ordered[at - 1] if at else None, ordered[at] if at < len(ordered) else None)

    def check(self, value: float) -> None:
        """Raises ValueError when this value stands elsewhere."""
        if (self.under is not None and value <= self.under) or (self.over is not None and value > self.over):
            raise ValueError(f"{value!r} does not stand between {self.under!r} and {self.over!r}")

    def as_json(self) -> list[Any]:
        return [self.n, self.below, self.under, self.over]


DETECTORS: Registry[Detector] = Registry("apps.anomalies.detectors", Detector)
