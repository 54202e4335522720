"""What is known of a flow at the moment a stage begins, from what had been told by then and nothing later. Pure.

`Memory` walks through time: starts and completions in their order. For each key (everything, lane, partner, site) it
holds decayed sums of log lead times and of late ones over four memories (about 7, 14 and 45 days, and all), so that its
state is of constant size per key. A value read at a moment depends only on what was told before it: permuting the future
changes no bit of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: days of each memory
MEMORIES = (7.0, 14.0, 45.0, math.inf)
LEVELS = ("all", "site", "partner", "lane")
#: weight of the level above, in flows
PRIOR = 10.0
LEAST_LEAD = 1 / 96  # a quarter of an hour, in days

#: name -> group whose removal is the reason that is told
_HEAD = {
    "slack": "promise",
    "hour": "calendar",
    "weekday": "calendar",
    "due_weekday": "calendar",
    "waited": "start",
    "value": "value",
    "open": "load",
    "overdue": "load",
    "age": "load",
}
NAMES: tuple[str, ...] = (
    *_HEAD,
    *(f"lead_{level}_{days:g}" for level in LEVELS for days in MEMORIES),
    *(f"late_{level}_{days:g}" for level in LEVELS for days in MEMORIES[1:]),
    *(f"seen_{level}" for level in LEVELS[1:]),
    "span",  # the whole promise, from the opening: what is far, heavy or cheap is promised later
)
GROUPS: tuple[str, ...] = tuple(
    {**_HEAD, "span": "promise"}.get(name) or (name.split("_")[1] + (" now" if name.endswith(("_7", "_14")) else ""))
    for name in NAMES
)


@dataclass(frozen=True, slots=True)
class Case:
    """One flow in one stage. All times in days on one axis; clocks: hour and weekday at the start, weekday of the promise.

    start: when the stage began; due: when the promise ends; opened: when the flow began; done: when the milestone came
    (None: not known to have come).
    """

    start: float
    due: float
    opened: float
    done: float | None
    lane: str
    partner: str
    site: str
    value: float
    hour: float
    weekday: int
    due_weekday: int

    @property
    def lead(self) -> float:
        return max((self.done if self.done is not None else math.nan) - self.start, LEAST_LEAD)

    @property
    def late(self) -> bool:
        return self.done is not None and self.done > self.due


@dataclass(slots=True)
class _Sums:
    """Decayed counts, sums of log leads and of late ones, one per memory; at: when they were last touched."""

    at: float = 0.0
    n: list[float] = field(default_factory=lambda: [0.0] * len(MEMORIES))
    lead: list[float] = field(default_factory=lambda: [0.0] * len(MEMORIES))
    late: list[float] = field(default_factory=lambda: [0.0] * len(MEMORIES))

    def add(self, at: float, lead: float, late: bool) -> None:
        gap = max(0.0, at - self.at)
        for place, memory in enumerate(MEMORIES):
            keep = math.exp(-gap / memory)
            self.n[place] = self.n[place] * keep + 1.0
            self.lead[place] = self.lead[place] * keep + lead
            self.late[place] = self.late[place] * keep + late
        self.at = max(self.at, at)


class Memory:
    """Everything told so far. `read` before `learn`, in order of time."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], _Sums] = {}
        self.open = 0
        self.open_starts = 0.0
        self.overdue = 0

    def learn(self, case: Case, at: float) -> None:
        """A case came to its end at this moment."""
        lead = math.log(case.lead)
        for key in _keys(case):
            self.sums.setdefault(key, _Sums()).add(at, lead, case.late)

    def read(self, case: Case) -> list[float]:
        """The features of a case that starts now, in the order of `NAMES`."""
        now = case.start
        told = [
            math.log(max(case.due - now, LEAST_LEAD)) if case.due > now else math.log(LEAST_LEAD) - (now - case.due),
            case.hour,
            float(case.weekday),
            float(case.due_weekday),
            math.log1p(max(0.0, now - case.opened)),
            math.log1p(max(0.0, case.value)),
            math.log1p(self.open),
            self.overdue / self.open if self.open else 0.0,
            now - self.open_starts / self.open if self.open else 0.0,
        ]
        levels = [self.sums.get(key) for key in _keys(case)]
        leads, lates = _shrunk(levels, now)
        told += leads
        told += lates
        told += [math.log1p(sums.n[-1]) if sums else 0.0 for sums in levels[1:]]
        told.append(math.log(max(case.due - case.opened, LEAST_LEAD)))
        return told

    def simple(self, case: Case) -> float:
        """The shrunk mean of log lead times of its lane: the plain law, without a model."""
        leads, _ = _shrunk([self.sums.get(key) for key in _keys(case)], case.start)
        return leads[-2]  # the lane's memory of 45 days


def _keys(case: Case) -> list[tuple[str, str]]:
    return [
        ("all", ""),
        ("site", case.site),
        ("partner", case.partner),
        ("lane", f"{case.lane} {case.partner}".strip()),
    ]


def _shrunk(levels: Sequence[_Sums | None], now: float) -> tuple[list[float], list[float]]:
    """Means of log lead, and late shares without the shortest memory; each leans on the level above, the first on all time."""
    leads: list[float] = []
    lates: list[float] = []
    whole = levels[0]
    base = whole.lead[-1] / whole.n[-1] if whole and whole.n[-1] else 0.0
    base_late = (whole.late[-1] + 0.5) / (whole.n[-1] + 10.0) if whole else 0.05
    above, above_late = [base] * len(MEMORIES), [base_late] * len(MEMORIES)
    for sums in levels:
        if sums is not None:
            gap = max(0.0, now - sums.at)
            for place, memory in enumerate(MEMORIES):
                keep = math.exp(-gap / memory)
                n = sums.n[place] * keep + PRIOR
                above[place] = (sums.lead[place] * keep + PRIOR * above[place]) / n
                above_late[place] = (sums.late[place] * keep + PRIOR * above_late[place]) / n
        leads += above
        lates += above_late[1:]
    return leads, lates


@dataclass(slots=True)
class Walked:
    """rows: features of each case, in the order given; simple: the plain law's mean of log lead time."""

    rows: Floats
    simple: Floats
    memory: Memory


def walk(cases: Sequence[Case], until: float = math.inf) -> Walked:
    """Features of every case at its own start, by one walk through time. What happens after ``until`` is not read."""
    events: list[tuple[float, int, int]] = []
    for number, case in enumerate(cases):
        if case.start > until:
            continue
        events.append((case.start, 2, number))
        if case.done is not None and case.done <= until:
            events.append((case.done, 0, number))
        if case.due <= until:
            events.append((case.due, 1, number))
    events.sort()
    memory = Memory()
    rows = np.full((len(cases), len(NAMES)), np.nan)
    simple = np.full(len(cases), np.nan)
    is_open: set[int] = set()
    overdue: set[int] = set()
    for at, what, number in events:
        case = cases[number]
        if what == 2:
            rows[number], simple[number] = memory.read(case), memory.simple(case)
            if case.done is None or case.done > at:
                is_open.add(number)
                memory.open += 1
                memory.open_starts += case.start
                if case.due <= at:
                    overdue.add(number)
            else:
                memory.learn(case, at)
        elif what == 0 and number in is_open:
            is_open.discard(number)
            overdue.discard(number)
            memory.open -= 1
            memory.open_starts -= case.start
            memory.learn(case, at)
        elif what == 1 and number in is_open:
            overdue.add(number)
        memory.overdue = len(overdue)
    return Walked(rows, simple, memory)


def leads(cases: Iterable[Case]) -> Floats:
    """Log lead times; nan of cases that have not ended."""
    return np.array([math.log(case.lead) if case.done is not None else math.nan for case in cases])
