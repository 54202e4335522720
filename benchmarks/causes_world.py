"""A pretend population with known, overlapping causes: what grouping is measured against. Pure and reproducible."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from apps.anomalies.grouping.scan import Affected, Dimension, Group, Population, Shape

DIMENSIONS = (
    Dimension("feed", told=True, alone=True, absorbs=True),
    Dimension("change", told=True, alone=True),
    Dimension("error", outcome=True),
    Dimension("integration"),
    Dimension("partner"),
    Dimension("contract"),
    Dimension("carrier"),
    Dimension("site"),
    Dimension("lane"),
    Dimension("message"),
)
NAMES = tuple(one.name for one in DIMENSIONS)
STEPS = 96
MESSAGES = ("asn", "shipped", "first_scan", "delivered", "invoiced", "acknowledged")
ERRORS = ("timeout", "unit", "code list", "envelope", "missing key")


@dataclass(frozen=True, slots=True)
class Cause:
    """What was broken on purpose: units with this shape, from one step to another, each with this chance."""

    shape: Shape
    first: int
    last: int
    rate: float


@dataclass(slots=True)
class World:
    """population and affected as the scan wants them; labels: for each finding the number of its cause, -1: none."""

    causes: list[Cause]
    population: Population
    affected: Affected
    labels: list[int]


def world(
    seed: int, units: int, causes: int, background: float = 0.01, rates: tuple[float, float] = (0.8, 1.0)
) -> World:
    """Units of 40 partners over 96 steps; ``causes`` of mixed kinds, that may overlap; 1 % fail for no common cause."""
    chance = random.Random(f"causes/{seed}")
    partners = _partners(chance)
    rows = [_unit(chance, partners) for _ in range(units)]
    sizes = Counter((name, value) for row in rows for name, value in zip(NAMES, row[:-1], strict=True) if value)
    chosen = _causes(chance, rows, sizes, causes, rates)
    cells: Counter[tuple[tuple[str, ...], int]] = Counter()
    values: list[tuple[str, ...]] = []
    steps: list[int] = []
    labels: list[int] = []
    for row in rows:
        unit, step = row[:-1], int(row[-1])
        hit = [
            number for number, cause in enumerate(chosen) if _hits(cause, unit, step) and chance.random() < cause.rate
        ]
        told = _told(chosen, unit, step)
        if hit or chance.random() < background:
            label = chance.choice(hit) if hit else -1
            error = (
                chance.choice(ERRORS)
                if chance.random() < 0.3 and not _errors(chosen, label)
                else _errors(chosen, label)
            )
            told = (*told[:2], error, *told[3:])
            values.append(told)
            steps.append(step)
            labels.append(label)
        cells[told, step] += 1
    usual = {("error", error): units * background * 0.3 / len(ERRORS) for error in ERRORS}
    population = Population([key[0] for key in cells], list(cells.values()), [key[1] for key in cells], usual)
    return World(chosen, population, Affected(values, steps), labels)


def _partners(chance: random.Random) -> list[dict[str, list[str]]]:
    made = []
    for number in range(40):
        feeds = [f"p{number}-{kind}" for kind in ("edi", "api", "files")[: chance.randint(1, 3)]]
        versions = {feed: [f"{feed} v{v}" for v in range(1, chance.randint(2, 3))] for feed in feeds}
        made.append(
            {
                "name": [f"p{number}"],
                "feeds": feeds,
                "messages": chance.sample(MESSAGES, 4),
                "carriers": chance.sample([f"c{n}" for n in range(8)], 3),
                "sites": chance.sample([f"w{n}" for n in range(6)], 2),
                **versions,
            }
        )
    return made


def _unit(chance: random.Random, partners: Sequence[dict[str, list[str]]]) -> tuple[str, ...]:
    partner = partners[min(39, int(chance.paretovariate(0.8)) - 1 + chance.randrange(12))]
    feed = chance.choice(partner["feeds"])
    return (
        "",
        "",
        "",
        feed,
        partner["name"][0],
        chance.choice(partner[feed]),
        chance.choice(partner["carriers"]),
        chance.choice(partner["sites"]),
        f"{chance.choice('ABCDEF')}>{chance.choice('ABCDEF')}",
        chance.choice(partner["messages"]),
        str(chance.randrange(STEPS)),
    )


def _causes(
    chance: random.Random,
    rows: Sequence[tuple[str, ...]],
    sizes: Counter[tuple[str, str]],
    count: int,
    rates: tuple[float, float],
) -> list[Cause]:
    """Causes that hit between 0.2 % and 4 % of the units, each of another kind than the one before."""
    kinds: list[tuple[str, ...]] = [
        ("partner",), ("integration", "message"), ("lane",), ("carrier",), ("feed",), ("partner", "lane"),
        ("site", "message"), ("contract",), ("change",), ("error",), ("carrier", "lane"), ("integration",),
    ]  # fmt: skip
    chance.shuffle(kinds)
    found: list[Cause] = []
    tries = 0
    while len(found) < count and tries < 4000:
        tries += 1
        kind = kinds[len(found) % len(kinds)]
        unit = chance.choice(rows)[:-1]
        base = {"feed": ("integration",), "change": ("integration",), "error": ("partner", "message")}.get(
            kind[0], kind
        )
        shape = tuple((name, unit[NAMES.index(name)]) for name in base)
        first = chance.randrange(0, STEPS * 2 // 3)
        last = (
            STEPS - 1
            if kind[0] in ("feed", "change") or chance.random() < 0.4
            else first + chance.randint(12, STEPS // 3)
        )
        share = math.prod(sizes[one] / len(rows) for one in shape) * (min(last, STEPS - 1) - first + 1) / STEPS
        if not 0.002 <= share <= 0.04 or any(cause.shape == shape for cause in found):
            continue
        if kind[0] in ("feed", "change", "error"):
            shape = (*shape, (kind[0], f"{kind[0]} {len(found)}"))
        found.append(Cause(shape, first, min(last, STEPS - 1), chance.uniform(*rates)))
    return found


def _hits(cause: Cause, unit: Sequence[str], step: int) -> bool:
    real = [(name, value) for name, value in cause.shape if name not in ("feed", "change", "error")]
    return cause.first <= step <= cause.last and all(unit[NAMES.index(name)] == value for name, value in real)


def _told(causes: Sequence[Cause], unit: tuple[str, ...], step: int) -> tuple[str, ...]:
    """The unit with the feed known to be silent and the change known to have been made, as the register would say."""
    told = list(unit)
    for cause in causes:
        name, value = cause.shape[-1]
        if name in ("feed", "change") and _hits(cause, unit, step):
            told[NAMES.index(name)] = value
    return tuple(told)


def _errors(causes: Sequence[Cause], label: int) -> str:
    if label < 0:
        return ""
    return next((value for name, value in causes[label].shape if name == "error"), "")


def named(cause: Cause) -> Shape:
    """How the scan should name it: what was told by somebody, else its own values."""
    told = [one for one in cause.shape if one[0] in ("feed", "change", "error")]
    return tuple(told) if told else tuple(sorted(cause.shape))


@dataclass(frozen=True, slots=True)
class Quality:
    """v_measure: harmony of homogeneity and completeness, findings in no group each on their own; first, three: share of
    causes with 3 findings or more whose largest group names them first, or among its first three; foreign: share of the
    findings in groups that belong elsewhere and to no cause; groups; compression: findings in groups per group."""

    v_measure: float
    first: float
    three: float
    foreign: float
    groups: int
    compression: float
    missed: tuple[Shape, ...]


def quality(made: World, groups: Sequence[Group]) -> Quality:
    predicted = [-(at + 1) for at in range(len(made.labels))]
    for number, group in enumerate(groups):
        for member in group.members:
            predicted[member] = number
    truth = [label if label >= 0 else -(at + 1) for at, label in enumerate(made.labels)]
    first = three = counted = 0
    missed = []
    for number, cause in enumerate(made.causes):
        mine = [at for at, label in enumerate(made.labels) if label == number]
        if len(mine) < 3:
            continue
        counted += 1
        homes = Counter(predicted[at] for at in mine if predicted[at] >= 0)
        named_by = groups[homes.most_common(1)[0][0]] if homes else None
        wanted = named(cause)
        ranked = []
        if named_by is not None:
            best = {tuple(sorted(named_by.cause.shape)), *(tuple(sorted(one)) for one in named_by.cause.also)}
            ranked = [best, *({tuple(sorted(one.shape))} for one in named_by.others)]
        first += bool(ranked) and wanted in ranked[0]
        three += any(wanted in one for one in ranked)
        if not (ranked and wanted in ranked[0]):
            missed.append(cause.shape)
    hidden = [made.labels[at] for group in groups for at in group.members]
    foreign = sum(label < 0 for label in hidden) / max(1, len(hidden))
    return Quality(
        v_measure(truth, predicted), first / max(1, counted), three / max(1, counted), foreign, len(groups),
        len(hidden) / max(1, len(groups)), tuple(missed),
    )  # fmt: skip


def v_measure(truth: Sequence[int], predicted: Sequence[int]) -> float:
    """Rosenberg and Hirschberg 2007, beta 1."""
    n = len(truth)
    both = Counter(zip(truth, predicted, strict=True))
    rows, columns = Counter(truth), Counter(predicted)

    def entropy(counts: Counter[int]) -> float:
        return -sum(c / n * math.log(c / n) for c in counts.values())

    given = -sum(c / n * math.log(c / columns[p]) for (_, p), c in both.items())
    back = -sum(c / n * math.log(c / rows[t]) for (t, _), c in both.items())
    homogeneity = 1 - given / entropy(rows) if entropy(rows) else 1.0
    completeness = 1 - back / entropy(columns) if entropy(columns) else 1.0
    whole = homogeneity + completeness
    return 2 * homogeneity * completeness / whole if whole else 0.0
