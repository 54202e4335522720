"""Any metric: a value that its own past does not explain. Pure.

Five readings of every value: how far it jumped from its level, how high it is, how low it is, how far from the usual of
its half-hour of the week, and how far the median of the last twelve moved from that of the twelve before. Each is ranked
among its last 3,000 (a conformal tail p-value; beyond the sample an exponential tail goes on), and the score is the
largest of the five -log10 p plus half the second. Nothing is tuned by series.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from statistics import median
from typing import Any

from apps.anomalies.contract import Detector, Place, State

WINDOW = 3_000
#: values of a reading before its rank means anything
LEAST = 100
#: share of the largest values that say how the tail goes on, and how many at least
TAIL, LEAST_TAIL = 0.05, 10
#: beyond the sample the tail goes on no further than to a hundredth of the smallest rank
BEYOND = 100
LEVEL = 0.1
SLOT = 0.3
SHIFT = 12
REFRACTORY = 50
READINGS = ("jump", "high", "low", "slot", "shift")
WORDS = {
    "jump": "it jumped from its level",
    "high": "it is higher than it has been",
    "low": "it is lower than it has been",
    "slot": "it is far from the usual of this half-hour of the week",
    "shift": "it has moved to another level",
}


class Ranks:
    """The last values of one reading, in order of time and in order of size."""

    def __init__(self, values: Sequence[float] = (), size: int = WINDOW) -> None:
        self.size = size
        self.recent = deque(values)
        self.sorted = sorted(values)

    def p(self, value: float) -> float:
        """The chance of so large a value: its rank, or how the largest ones thin out beyond the sample."""
        n = len(self.sorted)
        if n < LEAST:
            return 1.0
        larger = n - bisect_left(self.sorted, value)
        if larger >= tail_of(n):
            return (1 + larger) / (n + 1)
        return beyond(value, n, larger, self.tail())

    def tail(self) -> list[float]:
        """The largest values and the one before them, smallest first."""
        return self.sorted[-tail_of(len(self.sorted)) - 1 :]

    def needed(self, value: float) -> list[Any]:
        """What `p` of this value rests on: its place, and where it is among the largest, those (see `p_again`)."""
        place = Place.of(value, self.sorted)
        least = place.n < LEAST or place.n - place.below >= tail_of(place.n)
        return [*place.as_json(), [] if least else self.tail()]

    def add(self, value: float) -> None:
        value = float(f"{value:.6g}")
        insort(self.sorted, value)
        self.recent.append(value)
        if len(self.recent) > self.size:
            del self.sorted[bisect_left(self.sorted, self.recent.popleft())]


def tail_of(n: int) -> int:
    """How many of n values are the tail."""
    return max(LEAST_TAIL, int(n * TAIL))


def beyond(value: float, n: int, larger: int, tail: Sequence[float]) -> float:
    """The chance of so large a value among the largest of n. tail: `Ranks.tail`."""
    k, edge = len(tail) - 1, tail[0]
    if value <= edge:
        return (1 + larger) / (n + 1)
    excess = sum(tail[1:]) / k - edge
    if excess <= 0:
        return 1 / (n + 1)
    going_on = k / (n + 1) * math.exp(-(value - edge) / excess)
    return max(min((1 + larger) / (n + 1), going_on), 1 / (n + 1) / BEYOND)


def p_again(value: float, kept: Sequence[Any]) -> float:
    """`Ranks.p` from what `Ranks.needed` kept. Raises ValueError when it was kept of another value."""
    place, tail = Place(*kept[:4]), kept[4]
    place.check(value)
    if place.n < LEAST:
        return 1.0
    larger = place.n - place.below
    return beyond(value, place.n, larger, tail) if tail else (1 + larger) / (place.n + 1)


class Stream:
    """One metric as the detector knows it; `as_json` is its whole state."""

    def __init__(self, raw: Mapping[str, Any], size: int = WINDOW) -> None:
        self.size = int(raw.get("size", size))
        self.level: float | None = raw.get("level")
        self.slots: dict[str, float] = dict(raw.get("slots", {}))
        self.last: deque[float] = deque(raw.get("last", ()), maxlen=2 * SHIFT)
        self.ranks = {name: Ranks(raw.get("ranks", {}).get(name, ()), self.size) for name in READINGS}

    def as_json(self) -> State:
        return {
            "size": self.size,
            "level": self.level,
            "slots": self.slots,
            "last": list(self.last),
            "ranks": {name: list(ranks.recent) for name, ranks in self.ranks.items()},
        }

    def readings(self, value: float, slot: str) -> dict[str, float]:
        found = {"high": value, "low": -value}
        if self.level is not None:
            found["jump"] = abs(value - self.level)
        usual = self.usual(slot)
        if usual is not None:
            found["slot"] = abs(value - usual)
        last = [*self.last, value][-2 * SHIFT :]
        if len(last) == 2 * SHIFT:
            found["shift"] = abs(median(last[SHIFT:]) - median(last[:SHIFT]))
        return found

    def usual(self, slot: str) -> float | None:
        """The usual of this half-hour of the week; of the day where the week has not come round yet."""
        return self.slots.get(slot, self.slots.get(slot.split(" ")[-1]))

    def needed(self, value: float, slot: str) -> State:
        """What the p-values of this value rest on: the level, the usual, the last values, its place in each reading."""
        day = slot.split(" ")[-1]
        return {
            "level": self.level,
            "slots": {key: self.slots[key] for key in (slot, day) if key in self.slots},
            "last": list(self.last),
            "places": {name: self.ranks[name].needed(one) for name, one in self.readings(value, slot).items()},
        }

    def push(self, value: float, slot: str, learn: bool = True) -> dict[str, float]:
        """The p-value of each reading; then the value is learnt."""
        found = self.readings(value, slot)
        ps = {name: self.ranks[name].p(reading) for name, reading in found.items()}
        if not learn:
            return ps
        for name, reading in found.items():
            self.ranks[name].add(reading)
        self.level = value if self.level is None else self.level + LEVEL * (value - self.level)
        for key in (slot, slot.split(" ")[-1]):
            self.slots[key] = value if key not in self.slots else self.slots[key] + SLOT * (value - self.slots[key])
        self.last.append(value)
        return ps


def score_of(ps: Mapping[str, float]) -> float:
    """Largest of the -log10 p plus half the second."""
    powers = sorted((-math.log10(max(p, 1e-300)) for p in ps.values()), reverse=True)
    return powers[0] + 0.5 * powers[1] if len(powers) > 1 else 0.0


def slot_of(at: datetime, zone: tzinfo = UTC) -> str:
    """ "2 14:30": weekday and half-hour; the second part alone is the half-hour of the day."""
    local = at.astimezone(zone) if at.tzinfo else at
    return f"{local.weekday()} {local.hour:02d}:{local.minute // 30 * 30:02d}"


def quieted(scores: Sequence[float], records: int = REFRACTORY) -> list[float]:
    """A score counts only where none of the last ``records`` that counted was as strong."""
    kept: list[float] = []
    told: deque[tuple[int, float]] = deque()
    for at, score in enumerate(scores):
        while told and told[0][0] < at - records:
            told.popleft()
        strongest = max((one for _, one in told), default=0.0)
        if score > strongest:
            told.append((at, score))
            kept.append(score)
        else:
            kept.append(0.0)
    return kept


class AnyMetric(Detector):
    """score: power of ten of the strangest reading, plus half of the second strangest."""

    kind = "metric"
    label = "Metrics"

    def judge(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, float]:
        """event: ``value``, ``slot`` (`slot_of`), ``learn`` (false in outages and known exceptions; true if absent)."""
        stream = Stream(state)
        ps = stream.push(float(event["value"]), event["slot"], bool(event.get("learn", True)))
        return stream.as_json(), score_of(ps)

    def needed(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[State, State]:
        value, slot = float(event["value"]), event["slot"]
        return Stream(state).needed(value, slot), {"value": value, "slot": slot}

    def rescore(self, state: Mapping[str, Any], event: Mapping[str, Any]) -> float:
        readings = Stream(state).readings(float(event["value"]), event["slot"])
        return score_of({name: p_again(reading, state["places"][name]) for name, reading in readings.items()})
