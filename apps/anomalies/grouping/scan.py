"""Which few causes explain what is wrong: a scan over the whole population, not only over the alerts. Pure.

Method (detection.md, D9). Everything that fell due in the window is a *unit*: it carries a value for each dimension
(partner, feed, lane ...) and is affected or not. A candidate cause is one value, or a pair of values of two dimensions,
perhaps only for a stretch of time. Its evidence is the binomial log-likelihood ratio of "its units fail at a rate of
their own" against "all units fail at one rate"; its price is what it costs to name it (minimum description length: which
dimension, which value, which stretch, one more parameter). Greedy cover: the candidate with the largest gain takes its
units away, then the rest is looked at again, until nothing pays for its name.

Counting is two `bincount`s over all candidates at once, so 10,000 findings over ten dimensions take well under a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: fewer findings than this are no group, unless somebody already told the cause (a silent feed)
LEAST = 3
#: candidates whose stretch of time is looked for
REFINED = 12
#: stretches are looked for on at most so many steps
STEPS = 96
MOST_GROUPS = 200
#: runners-up shown beside the cause
OTHERS = 2
#: other names of the same units that are told
TWINS = 6
#: findings expected of an outcome that was hardly ever seen
RARE = 0.5
#: what the name of a cause must pay beyond its price, in nats: 1 in 400
MARGIN = 6.0


@dataclass(frozen=True, slots=True)
class Dimension:
    """told: its values were found by somebody else already (a feed known to be silent, a change): they cost no search and
    two findings are enough. Dimensions are given in order of preference: of causes that explain just the same, the
    earlier is named. absorbs: a trouble by itself, whose children are taken before anything else is looked at.
    alone: never named in a pair. outcome: known of what failed only (an error's fingerprint), so that the
    population cannot say how often it is usual; `Population.usual` does."""

    name: str
    told: bool = False
    alone: bool = False
    absorbs: bool = False
    outcome: bool = False


@dataclass(frozen=True, slots=True)
class Population:
    """values: one row per cell, one text per dimension ('' = unknown, never a cause); n: units in the cell, affected ones
    included; step: the time step (any whole number) in which they fell due. usual: for (outcome dimension, value) how many
    findings of it there would be without any cause; what is not named has hardly ever been seen.
    """

    values: Sequence[Sequence[str]]
    n: Sequence[int]
    step: Sequence[int]
    usual: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Affected:
    """The findings: values as in the population, and their time steps."""

    values: Sequence[Sequence[str]]
    step: Sequence[int]


Shape = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A candidate cause. shape: its (dimension, value)s; k of n units are affected, elsewhere `elsewhere` of 1.

    first, last: the stretch of steps it holds for (None: all the time looked at); gain: nats left after its price;
    also: other shapes that mean exactly the same units; usual: of an outcome, how many there would be without a cause.
    """

    shape: Shape
    k: int
    n: int
    elsewhere: float
    gain: float
    first: int | None = None
    last: int | None = None
    also: tuple[Shape, ...] = ()
    usual: float | None = None

    @property
    def share(self) -> float:
        return self.k / self.n if self.n else 0.0

    @property
    def lift(self) -> float:
        """How many times as likely a unit of it is affected as one elsewhere; of an outcome: as usual."""
        if self.usual is not None:
            return self.k / self.usual
        return self.share / self.elsewhere if self.elsewhere else math.inf

    @property
    def foreign(self) -> float:
        """Expected share of its findings that would be there without it."""
        if self.usual is not None:
            return min(1.0, self.usual / self.k) if self.k else 1.0
        return self.elsewhere * (self.n - self.k) / self.k if self.k else 1.0


@dataclass(slots=True)
class Group:
    """Findings of one cause. members: places in the affected; others: the next best explanations of the same findings."""

    members: list[int]
    cause: Explanation
    others: list[Explanation] = field(default_factory=list)


class _Space:
    """All candidates that occur among the affected, numbered; for each unit the candidates it belongs to."""

    def __init__(self, dimensions: Sequence[Dimension], population: Population, affected: Affected) -> None:
        self.dimensions = dimensions
        codes_p, codes_a, self.words = _encode(dimensions, population.values, affected.values)
        self.n: Ints = np.asarray(population.n, dtype=np.int64)
        self.shapes: list[tuple[int, ...]] = [(at,) for at in range(len(dimensions))]
        free = [at for at, one in enumerate(dimensions) if not (one.alone or one.told or one.outcome)]
        self.shapes += list(combinations(free, 2))
        ids_p, ids_a = [], []
        owner: list[Ints] = []
        first: list[Ints] = []
        count = 1  # 0 stands for "none"
        prices: list[Floats] = []
        for number, shape in enumerate(self.shapes):
            keys_p, keys_a = _keys(codes_p, shape, self.words), _keys(codes_a, shape, self.words)
            known, where, inverse = np.unique(keys_a, return_index=True, return_inverse=True)
            skip = int(known.size > 0 and known[0] == -1)
            at = np.searchsorted(known, keys_p)
            at[at == known.size] = 0
            hit = (known[at] == keys_p) & (keys_p >= 0) if known.size else np.zeros(keys_p.size, dtype=bool)
            ids_a.append(np.where(keys_a >= 0, inverse - skip + count, 0))
            ids_p.append(np.where(hit, at - skip + count, 0))
            fresh = known.size - skip
            owner.append(np.full(fresh, number))
            first.append(where[skip:])
            prices.append(np.full(fresh, self._price(shape)))
            count += fresh
        self.count = count
        self.of_cells: Ints = np.stack(ids_p, axis=1) if ids_p else np.zeros((len(self.n), 0), dtype=np.int64)
        self.of_findings: Ints = np.stack(ids_a, axis=1)
        self.shape_of: Ints = np.concatenate([[0], *owner]).astype(np.int64)
        self.example: Ints = np.concatenate([[0], *first]).astype(np.int64)
        self.price: Floats = np.concatenate([[math.inf], *prices])
        self.told: Bools = np.array([len(s) == 1 and dimensions[s[0]].told for s in self.shapes])[self.shape_of]
        self.absorbs: Bools = np.array([dimensions[s[0]].absorbs for s in self.shapes])[self.shape_of]
        self.codes_a = codes_a
        self.usual: Floats = np.full(count, np.nan)
        for candidate in np.flatnonzero(np.array([dimensions[s[0]].outcome for s in self.shapes])[self.shape_of]):
            if candidate:
                [one] = self.words_of(int(candidate))
                self.usual[candidate] = max(population.usual.get(one, 0.0), RARE)

    def _price(self, shape: tuple[int, ...]) -> float:
        """Nats to name a candidate: which dimensions, which value of each (of all values there are, seen or not)."""
        if len(shape) == 1 and self.dimensions[shape[0]].told:
            return 0.0
        values = sum(math.log(max(2, len(self.words[at]) - 1)) for at in shape)
        return math.log(len(self.shapes)) + values + (1.0 if len(shape) > 1 else 0.0)

    def holds(self, ids: Ints, candidate: int) -> Bools:
        """Of units with these candidates, which belong to one."""
        found: Bools = ids[:, self.shape_of[candidate]] == candidate
        return found

    def words_of(self, candidate: int) -> Shape:
        row = self.codes_a[self.example[candidate]]
        shape = self.shapes[self.shape_of[candidate]]
        return tuple((self.dimensions[at].name, self.words[at][row[at]]) for at in shape)


def _encode(
    dimensions: Sequence[Dimension], cells: Sequence[Sequence[str]], findings: Sequence[Sequence[str]]
) -> tuple[Ints, Ints, list[list[str]]]:
    """Texts to whole numbers, '' to 0; and the texts of each dimension."""
    codes_p = np.zeros((len(cells), len(dimensions)), dtype=np.int64)
    codes_a = np.zeros((len(findings), len(dimensions)), dtype=np.int64)
    words: list[list[str]] = []
    for at in range(len(dimensions)):
        in_cells, in_findings = [row[at] for row in cells], [row[at] for row in findings]
        known = {word: number for number, word in enumerate(dict.fromkeys(["", *in_findings, *in_cells]))}
        codes_p[:, at] = list(map(known.__getitem__, in_cells))
        codes_a[:, at] = list(map(known.__getitem__, in_findings))
        words.append(list(known))
    return codes_p, codes_a, words


def _keys(codes: Ints, shape: tuple[int, ...], words: Sequence[Sequence[str]]) -> Ints:
    """One number per row and value (pair); -1 where a value is unknown."""
    keys: Ints = codes[:, shape[0]].copy()
    missing = keys == 0
    for at in shape[1:]:
        missing |= codes[:, at] == 0
        keys = keys * len(words[at]) + codes[:, at]
    keys[missing] = -1
    return keys


def _entropy(k: Floats, n: Floats) -> Floats:
    """Log-likelihood of k of n at their own rate (0 log 0 = 0)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(n > 0, k / np.maximum(n, 1), 0.0)
        found: Floats = np.where(k > 0, k * np.log(rate), 0.0) + np.where(n > k, (n - k) * np.log1p(-rate), 0.0)
    return found


def evidence(k: Floats, n: Floats, whole_k: float, whole_n: float) -> Floats:
    """Log-likelihood ratio of a rate of their own for k of n against one rate for all; 0 where it is no higher."""
    n = np.maximum(n, k)
    out_k, out_n = whole_k - k, np.maximum(whole_n - n, whole_k - k)
    llr = _entropy(k, n) + _entropy(out_k, out_n) - _entropy(np.array(whole_k), np.array(max(whole_n, whole_k)))
    higher = k * np.maximum(out_n, 1) > out_k * n
    return np.where(higher, llr, 0.0)


def surplus(k: Floats, usual: Floats) -> Floats:
    """Log-likelihood ratio of k findings where ``usual`` are expected (Poisson); 0 where there are no more."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(k > usual, k * np.log(k / usual) - (k - usual), 0.0)


def scan(dimensions: Sequence[Dimension], population: Population, affected: Affected) -> list[Group]:
    """The causes that explain the findings, strongest first; findings that nothing explains are in no group."""
    if not affected.values:
        return []
    space = _Space(dimensions, population, affected)
    cells, findings = np.ones(len(space.n), dtype=bool), np.ones(len(affected.values), dtype=bool)
    steps = _steps(population, affected)
    groups: list[Group] = []
    while len(groups) < MOST_GROUPS and findings.any():
        best = _best(space, cells, findings, steps)
        if best is None:
            break
        cause, candidate, others = best
        members = findings & _of(space, space.of_findings, candidate, steps[1], cause)
        taken = cells & _of(space, space.of_cells, candidate, steps[0], cause)
        groups.append(Group([int(at) for at in np.flatnonzero(members)], cause, others))
        findings &= ~members
        cells &= ~taken
    return groups


def _steps(population: Population, affected: Affected) -> tuple[Ints, Ints]:
    return np.asarray(population.step, dtype=np.int64), np.asarray(affected.step, dtype=np.int64)


def _of(space: _Space, ids: Ints, candidate: int, step: Ints, cause: Explanation) -> Bools:
    """Which units belong to a candidate within its stretch."""
    found = space.holds(ids, candidate)
    if cause.first is not None and cause.last is not None:
        found &= (step >= cause.first) & (step <= cause.last)
    return found


def _best(
    space: _Space, cells: Bools, findings: Bools, steps: tuple[Ints, Ints]
) -> tuple[Explanation, int, list[Explanation]] | None:
    """The candidate with the largest gain among the units that are left, and its runners-up."""
    width = space.of_cells.shape[1]
    k = np.bincount(space.of_findings[findings].ravel(), minlength=space.count).astype(float)
    weights = np.repeat(space.n[cells], width).astype(float)
    n = np.bincount(space.of_cells[cells].ravel(), weights=weights, minlength=space.count)
    n = np.maximum(n, k)
    whole_k, whole_n = float(findings.sum()), float(max(space.n[cells].sum(), findings.sum()))
    parameter = 0.5 * math.log(max(whole_n, 2.0))
    least = np.where(space.told, 2, LEAST)
    llr = np.where(np.isnan(space.usual), evidence(k, n, whole_k, whole_n), surplus(k, space.usual))
    gain = llr - space.price - parameter
    gain[(k < least) | (space.price == math.inf)] = -math.inf
    taking = space.absorbs & (gain > MARGIN)
    if taking.any():
        gain[~taking] = -math.inf
    order = np.argsort(-gain, kind="stable")[: max(REFINED * 4, REFINED)]
    found: list[tuple[Explanation, int]] = []
    for candidate in _without_twins(space, [int(one) for one in order], k, n)[:REFINED]:
        if not math.isfinite(gain[candidate]):
            continue
        elsewhere = _elsewhere(k[candidate], n[candidate], whole_k, whole_n)
        whole = _explanation(space, candidate, k[candidate], n[candidate], elsewhere, gain[candidate])
        found.append((_stretch(space, candidate, cells, findings, steps, (whole_k, whole_n), whole), candidate))
    found.sort(key=lambda one: -one[0].gain)
    if not found or found[0][0].gain <= MARGIN:
        return None
    cause, chosen = found[0]
    also = _twins(space, chosen, findings, k, n)
    cause = replace(cause, also=also)
    others = [one for one, _ in found[1:] if one.gain > 0][:OTHERS]
    return cause, chosen, others


def _without_twins(space: _Space, order: Sequence[int], k: Floats, n: Floats) -> list[int]:
    """Of candidates that count the same, the one named first (single before pair, earlier dimension before later)."""
    kept: dict[tuple[float, float], int] = {}
    for candidate in order:
        twin = kept.get((k[candidate], n[candidate]))
        if twin is None or space.shape_of[candidate] < space.shape_of[twin]:
            kept[(k[candidate], n[candidate])] = candidate
    return list(kept.values())


def _twins(space: _Space, chosen: int, findings: Bools, k: Floats, n: Floats) -> tuple[Shape, ...]:
    """Other names of exactly the same units, no longer than the chosen one."""
    length = len(space.shapes[space.shape_of[chosen]])
    same = np.flatnonzero((k == k[chosen]) & (n == n[chosen]) & (space.price < math.inf))
    mine = findings & space.holds(space.of_findings, chosen)
    return tuple(
        space.words_of(int(one))
        for one in same
        if one != chosen
        and len(space.shapes[space.shape_of[one]]) <= length
        and bool((findings & space.holds(space.of_findings, int(one)) == mine).all())
    )[:TWINS]


def _explanation(space: _Space, candidate: int, k: float, n: float, elsewhere: float, gain: float) -> Explanation:
    usual = space.usual[candidate]
    return Explanation(
        space.words_of(candidate),
        int(k),
        int(n),
        elsewhere,
        float(gain),
        usual=None if math.isnan(usual) else float(usual),
    )


def _elsewhere(k: float, n: float, whole_k: float, whole_n: float) -> float:
    """The rate outside, a little above zero: nothing is infinitely likely."""
    return (whole_k - k + 0.5) / (max(whole_n - n, whole_k - k) + 1.0)


def _stretch(
    space: _Space,
    candidate: int,
    cells: Bools,
    findings: Bools,
    steps: tuple[Ints, Ints],
    whole: tuple[float, float],
    full: Explanation,
) -> Explanation:
    """The stretch of time in which the candidate explains most, if naming it pays; else the candidate as it is."""
    in_cells = cells & space.holds(space.of_cells, candidate)
    in_findings = findings & space.holds(space.of_findings, candidate)
    at = steps[1][in_findings]
    low, high = int(at.min()), int(at.max())
    every = steps[0][in_cells]
    low, high = min(low, int(every.min(initial=low))), max(high, int(every.max(initial=high)))
    size = max(1, math.ceil((high - low + 1) / STEPS))
    count = (high - low) // size + 1
    if count < 2:
        return full
    k = np.bincount((at - low) // size, minlength=count).astype(float)
    n = np.bincount((every - low) // size, weights=space.n[in_cells].astype(float), minlength=count)
    n = np.maximum(n, k)
    sum_k, sum_n = np.concatenate([[0.0], np.cumsum(k)]), np.concatenate([[0.0], np.cumsum(n)])
    begin, end = np.triu_indices(count)
    part_k, part_n = sum_k[end + 1] - sum_k[begin], sum_n[end + 1] - sum_n[begin]
    price = (0.0 if space.told[candidate] else float(space.price[candidate])) + math.log(count * (count + 1) / 2)
    spread = (end - begin + 1) / count
    llr = evidence(part_k, part_n, *whole) if full.usual is None else surplus(part_k, full.usual * spread)
    gain = llr - price - 0.5 * math.log(max(whole[1], 2.0))
    least = 2 if space.told[candidate] else LEAST
    gain[part_k < least] = -math.inf
    # of stretches that explain the same, the shortest: a cause begins with what it makes late
    best = int(np.lexsort((end - begin, -np.round(gain, 9)))[0])
    if not gain[best] > full.gain:
        return full
    first, last = low + int(begin[best]) * size, low + (int(end[best]) + 1) * size - 1
    found_k, found_n = float(part_k[best]), float(part_n[best])
    usual = None if full.usual is None else full.usual * float(spread[best])
    elsewhere = _elsewhere(found_k, found_n, *whole)
    return Explanation(full.shape, int(found_k), int(found_n), elsewhere, float(gain[best]), first, last, usual=usual)
