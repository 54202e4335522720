"""Any metric: a value that its own past does not explain. Pure.

Six readings of every value: how high it is, how low, how far from the usual of its half-hour (of the week or of the day,
whichever is nearer), how sudden (what is left of that distance after the part that follows from the value before), how
lasting (the distance, smoothed), and how far the median of the last twelve moved from that of the twelve before. Each is
ranked among its last 6,000 (a conformal tail p-value); beyond the sample goes on the generalised Pareto law of its own
largest twentieth, so that a metric that is used to bursts is not strange for one more. The score is the largest of the six
-log10 p plus half the second: it means the same in every metric, and nothing is tuned by series.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from statistics import median
from typing import Any, NamedTuple

from apps.anomalies.contract import Detector, Place, State

WINDOW = 6_000
#: values of a reading before its rank means anything
LEAST = 100
#: share of the largest values that say how the tail goes on, and how many at least
TAIL, LEAST_TAIL = 0.05, 10
#: half of the measured heaviness of a tail is believed (it is measured on few values), and of no more than this
BELIEVED, HEAVIEST = 0.5, 0.9
#: how fast the usual of a half-hour follows what was seen in it, and how many values are one visit to it at most
SLOT, VISIT = 0.3, 60
#: how fast the smoothed distance from the usual follows, and the memory of how one distance follows from the last
LASTING, FOLLOWS = 0.1, 0.01
SHIFT = 12
#: after a score that counted, one within so many records counts only if it is ten times as strange
REFRACTORY, STRONGER = 150, 1.0
#: what is less strange than one in a thousand neither counts nor quietens
LOUD = 3.0
READINGS = ("high", "low", "off", "sudden", "lasting", "shift")
WORDS = {
    "high": "it is higher than it has been",
    "low": "it is lower than it has been",
    "off": "it is far from the usual of this half-hour",
    "sudden": "it changed at once",
    "lasting": "it has been off its usual for a while",
    "shift": "it has moved to another level",
}


class Tail(NamedTuple):
    """How the largest values thin out. many: how many they are; edge: where they begin; excess: how far they lie beyond
    it on average; shape: 0 thins out exponentially, more is heavier."""

    many: int
    edge: float
    excess: float
    shape: float

    @classmethod
    def of(cls, ordered: Sequence[float]) -> Tail:
        """Of sorted values, by probability-weighted moments (Hosking and Wallis 1987)."""
        many = tail_of(len(ordered))
        edge = ordered[-many - 1]
        beyond = [value - edge for value in ordered[-many:]]
        excess = sum(beyond) / many
        weighted = sum(far * (many - at - 0.65) for at, far in enumerate(beyond)) / many**2
        heavy = 2 - excess / (excess - 2 * weighted) if excess > 2 * weighted else 0.0
        return cls(many, edge, excess, BELIEVED * min(max(heavy, 0.0), HEAVIEST))

    def p(self, value: float, n: int, larger: int) -> float:
        """The chance of so large a value among n, of which so many are as large; at least the square of 1 : n."""
        rank = (1 + larger) / (n + 1)
        if value <= self.edge:
            return rank
        if self.excess <= 0:
            return 1 / (n + 1)
        far = (value - self.edge) / self.excess
        if self.shape < 1e-3:
            going_on = math.exp(-min(far, 700.0))
        else:
            going_on = float((1 + self.shape * far / (1 - self.shape)) ** (-1 / self.shape))
        return max(min(rank, self.many / (n + 1) * going_on), (n + 1) ** -2.0)


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
        return Tail.of(self.sorted).p(value, n, larger) if larger < tail_of(n) else (1 + larger) / (n + 1)

    def needed(self, value: float) -> list[Any]:
        """What `p` of this value rests on: its place, and where it is among the largest, their law (see `p_again`)."""
        place = Place.of(value, self.sorted)
        least = place.n < LEAST or place.n - place.below >= tail_of(place.n)
        return [*place.as_json(), [] if least else list(Tail.of(self.sorted))]

    def add(self, value: float) -> None:
        insort(self.sorted, value)
        self.recent.append(value)
        if len(self.recent) > self.size:
            del self.sorted[bisect_left(self.sorted, self.recent.popleft())]


def tail_of(n: int) -> int:
    """How many of n values are the tail."""
    return max(LEAST_TAIL, int(n * TAIL))


def p_again(value: float, kept: Sequence[Any]) -> float:
    """`Ranks.p` from what `Ranks.needed` kept. Raises ValueError when it was kept of another value."""
    place, tail = Place(*kept[:4]), kept[4]
    place.check(value)
    if place.n < LEAST:
        return 1.0
    larger = place.n - place.below
    return Tail(*tail).p(value, place.n, larger) if tail else (1 + larger) / (place.n + 1)


class Stream:
    """One metric as the detector knows it; `as_json` is its whole state."""

    def __init__(self, raw: Mapping[str, Any], size: int = WINDOW) -> None:
        self.size = int(raw.get("size", size))
        self.slots: dict[str, float] = dict(raw.get("slots", {}))
        #: the half-hour the last values were in, their sum and number
        self.visit: tuple[str, float, int] = tuple(raw.get("visit", ("", 0.0, 0)))
        #: the last distance from the usual; how it goes with the one before, and with itself; smoothed
        self.off: float | None = raw.get("off")
        self.together, self.square, self.lasting = raw.get("follows", (0.0, 0.0, 0.0))
        self.last: deque[float] = deque(raw.get("last", ()), maxlen=2 * SHIFT)
        self.ranks = {name: Ranks(raw.get("ranks", {}).get(name, ()), self.size) for name in READINGS}

    def as_json(self) -> State:
        return {
            "size": self.size,
            "slots": self.slots,
            "visit": list(self.visit),
            "off": self.off,
            "follows": [self.together, self.square, self.lasting],
            "last": list(self.last),
            "ranks": {name: list(ranks.recent) for name, ranks in self.ranks.items()},
        }

    def readings(self, value: float, slot: str) -> dict[str, float]:
        found = {"high": value, "low": -value}
        usual = self.usual(slot)
        if usual is not None:
            off = value - usual
            found["off"] = min(abs(off), abs(value - self.slots[day_of(slot)]))
            if self.off is not None:
                follows = min(max(self.together / self.square, 0.0), 1.0) if self.square > 0 else 0.0
                found["sudden"] = abs(off - follows * self.off)
            found["lasting"] = abs(self.lasting + LASTING * (off - self.lasting))
        last = [*self.last, value][-2 * SHIFT :]
        if len(last) == 2 * SHIFT:
            found["shift"] = abs(median(last[SHIFT:]) - median(last[:SHIFT]))
        return {name: float(f"{reading:.6g}") for name, reading in found.items()}

    def usual(self, slot: str) -> float | None:
        """The usual of this half-hour of the week; of the day where the week has not come round yet."""
        return self.slots.get(slot, self.slots.get(day_of(slot)))

    def needed(self, value: float, slot: str) -> State:
        """What the p-values of this value rest on: the usual, the last values, its place in each reading."""
        self._enter(slot)
        return {
            "slots": {key: self.slots[key] for key in (slot, day_of(slot)) if key in self.slots},
            "off": self.off,
            "follows": [self.together, self.square, self.lasting],
            "last": list(self.last),
            "places": {name: self.ranks[name].needed(one) for name, one in self.readings(value, slot).items()},
        }

    def push(self, value: float, slot: str, learn: bool = True) -> dict[str, float]:
        """The p-value of each reading; then the value is learnt."""
        self._enter(slot)
        found = self.readings(value, slot)
        ps = {name: self.ranks[name].p(reading) for name, reading in found.items()}
        if not learn:
            return ps
        for name, reading in found.items():
            self.ranks[name].add(reading)
        usual = self.usual(slot)
        if usual is not None:
            off = value - usual
            if self.off is not None:
                self.together += FOLLOWS * (off * self.off - self.together)
                self.square += FOLLOWS * (self.off * self.off - self.square)
            self.off = off
            self.lasting += LASTING * (off - self.lasting)
        self.visit = (slot, self.visit[1] + value, self.visit[2] + 1)
        self.last.append(value)
        return ps

    def _enter(self, slot: str) -> None:
        """The mean of a visit becomes part of the usual when the next half-hour begins: not by how many values it had."""
        was, total, n = self.visit
        if n and (was != slot or n >= VISIT):
            for key in (was, day_of(was)):
                mean = total / n
                self.slots[key] = mean if key not in self.slots else self.slots[key] + SLOT * (mean - self.slots[key])
            n = 0
        if not n:
            self.visit = (slot, 0.0, 0)


def day_of(slot: str) -> str:
    """The half-hour of the day of one of the week."""
    return slot.split(" ")[-1]


def score_of(ps: Mapping[str, float]) -> float:
    """Largest of the -log10 p plus half the second."""
    powers = sorted((-math.log10(max(p, 1e-300)) for p in ps.values()), reverse=True)
    return powers[0] + 0.5 * powers[1] if len(powers) > 1 else 0.0


def slot_of(at: datetime, zone: tzinfo = UTC) -> str:
    """ "2 14:30": weekday and half-hour; the second part alone is the half-hour of the day."""
    local = at.astimezone(zone) if at.tzinfo else at
    return f"{local.weekday()} {local.hour:02d}:{local.minute // 30 * 30:02d}"


def quieted(scores: Sequence[float], records: int = REFRACTORY, stronger: float = STRONGER) -> list[float]:
    """A score counts only where none of the last ``records`` that counted was nearly as strong: one event is told once,
    and once more when it becomes ten times as strange."""
    kept: list[float] = []
    told: deque[tuple[int, float]] = deque()
    for at, score in enumerate(scores):
        while told and told[0][0] < at - records:
            told.popleft()
        counts = score >= LOUD and all(score > one + stronger for _, one in told)
        if counts:
            told.append((at, score))
        kept.append(score if counts else 0.0)
    return kept


class AnyMetric(Detector):
    """score: power of ten of the strangest reading, plus half of the second strangest."""

    kind = "metric"
    label = "Metrics"
    version = 2

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
