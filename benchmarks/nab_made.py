"""Made series of the kinds one meets, with labelled windows as the benchmark draws them: a tenth of a series in all, each
around the moment something began. They show whether a detector does on what it was not chosen on.

Machines with spikes, bursts, cycles, days and failures; counts, prices, road speeds, sensors, weeks, the timing of people;
and noise in which nothing is wrong. Everything also does unlabelled small things, as real metrics do. Same seed, same series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

from benchmarks.nab import Series

START = datetime(2015, 3, 2)
SHARE = 0.1

Chance = np.random.Generator
#: values, records where something begins, minutes between records
Made = tuple[np.ndarray, list[int], int]


def series(name: str, made: Made) -> Series:
    """Windows that touch are one; none begins in the part that is not scored."""
    values, begins, minutes = made
    n = len(values)
    half, first = int(SHARE * n / max(1, len(begins)) / 2), int(min(0.15 * n, 750)) + 1
    windows: list[tuple[int, int]] = []
    for begin in sorted(begins):
        left, right = max(first, begin - half), min(n - 1, begin + half)
        if windows and left <= windows[-1][1]:
            windows[-1] = (windows[-1][0], right)
        else:
            windows.append((left, right))
    times = tuple(START + timedelta(minutes=minutes) * number for number in range(n))
    return Series(name, times, tuple(np.round(values, 6).tolist()), tuple(windows))


def begins(chance: Chance, n: int, many: int, apart: float = 0.08) -> list[int]:
    """So many records, in the scored part, at least a share of the series apart."""
    while True:
        found = np.sort(chance.uniform(0.22, 0.97, many))
        if many < 2 or np.diff(found).min() > apart:
            return [int(one * n) for one in found]


def day(n: int, minutes: int, phase: float = 0.0) -> np.ndarray:
    return np.asarray(np.sin(2 * np.pi * np.arange(n) * minutes / 1440 + phase))


def wandering(chance: Chance, n: int, keeps: float, step: float) -> np.ndarray:
    """A first-order autoregression."""
    steps, found = chance.normal(0, step, n), np.zeros(n)
    for at in range(1, n):
        found[at] = keeps * found[at - 1] + steps[at]
    return found


def spiky(chance: Chance, n: int = 4032) -> Made:
    level = chance.uniform(2, 40)
    x = level * (1 + 0.03 * chance.standard_t(4, n))
    x += (chance.random(n) < 0.004) * level * chance.uniform(0.1, 0.5, n)
    found = begins(chance, n, int(chance.integers(1, 4)))
    for at in found:
        match int(chance.integers(0, 3)):
            case 0:
                x[at : at + chance.integers(1, 4)] += level * chance.uniform(0.8, 3)
            case 1:
                x[at : at + chance.integers(30, 200)] *= chance.choice([0.6, 1.5])
            case _:
                x[at : at + chance.integers(20, 80)] += level * chance.uniform(0.15, 0.6)
    return x, found, 5


def bursty(chance: Chance, n: int = 4032) -> Made:
    x = chance.exponential(1e3, n) * (chance.random(n) < 0.1)
    x += (chance.random(n) < 0.006) * 1e5 * chance.pareto(2.5, n)
    found = begins(chance, n, int(chance.integers(1, 3)))
    for at in found:
        if chance.random() < 0.5:
            x[at] += 1e6 * chance.uniform(1, 3)
        else:
            x[at : at + 60] += 2e4 * chance.exponential(1, len(x[at : at + 60]))
    return x, found, 5


def cycle(chance: Chance, n: int = 4032) -> Made:
    period, share = int(chance.integers(20, 150)), chance.uniform(0.2, 0.7)
    low, high = chance.uniform(5, 20), chance.uniform(40, 90)
    x = np.where(np.cumsum(1 + 0.02 * chance.normal(size=n)) / period % 1 < share, high, low)
    found = begins(chance, n, int(chance.integers(1, 3)))
    for at in found:
        match int(chance.integers(0, 3)):
            case 0:
                x[at : at + period] = low
            case 1:
                x[at : at + 2 * period] = high
            case _:
                x[at : at + period] *= 0.6
    return x + chance.normal(0, 1.5, n), found, 5


def daily(chance: Chance, n: int = 4032) -> Made:
    x = 100 + 60 * day(n, 5, chance.uniform(0, 6)) + wandering(chance, n, 0.8, 6)
    x += 8 * chance.standard_t(3, n) * (chance.random(n) < 0.1)
    found = begins(chance, n, int(chance.integers(1, 4)))
    for at in found:
        until = at + int(chance.integers(12, 144))
        match int(chance.integers(0, 4)):
            case 0:
                x[at : at + 3] += chance.uniform(150, 300)
            case 1:
                x[at:until] = x[at]
            case 2:
                x[at:until] -= chance.uniform(50, 120)
            case _:
                x[at:until] = x[at - 144 : until - 144][: len(x[at:until])]
    return np.maximum(x, 0), found, 5


def failing(chance: Chance, n: int = 4032) -> Made:
    x = chance.uniform(30, 60) + wandering(chance, n, 0.9, chance.uniform(0.5, 2))
    first, last = int(n * chance.uniform(0.25, 0.5)), int(n * chance.uniform(0.6, 0.95))
    x[first : first + chance.integers(1, 20)] += chance.uniform(10, 30)
    x[last:] = chance.choice([0.0, x[last] * 0.3]) + chance.normal(0, 0.2, n - last)
    return x, [first, last], 5


def counts(chance: Chance, n: int = 12_000) -> Made:
    rate = np.exp(
        np.log(chance.uniform(2, 40)) + 0.8 * day(n, 5, chance.uniform(0, 6)) + wandering(chance, n, 0.98, 0.07)
    )

    def burst(at: int, size: float) -> None:
        long = int(chance.uniform(20, 120))
        after = np.arange(min(4 * long, n - at))
        rate[at : at + len(after)] *= 1 + size * np.exp(-after / long)

    for sudden in np.flatnonzero(chance.random(n) < 0.0012):
        burst(int(sudden), chance.pareto(2.0))
    found = begins(chance, n, int(chance.integers(2, 5)), 0.05)
    for at in found:
        burst(at, chance.uniform(5, 20))
    return chance.negative_binomial(4, 4 / (4 + rate)).astype(float), found, 5


def price(chance: Chance, n: int = 1600) -> Made:
    x = np.exp(chance.normal(0, 0.25, n) + 0.15 * day(n, 60) + wandering(chance, n, 0.95, 0.05))
    x *= chance.uniform(0.05, 2) * np.where(chance.random(n) < 0.004, chance.uniform(1.8, 3, n), 1)
    found = begins(chance, n, int(chance.integers(1, 4)))
    for at in found:
        if chance.random() < 0.7:
            x[at : at + chance.integers(1, 3)] *= chance.uniform(3.5, 8)
        else:
            x[at : at + chance.integers(12, 60)] *= chance.uniform(1.6, 2.2)
    return x, found, 60


def road(chance: Chance, n: int = 2400) -> Made:
    x = 65 + 3 * day(n, 10, chance.uniform(0, 6)) + chance.normal(0, 3, n)
    for number in range(n // 144):
        rush = int(number * 144 + 51 + chance.normal(0, 3))
        if number % 7 < 5 and chance.random() < 0.8:
            x[rush : rush + int(chance.uniform(4, 14))] -= chance.uniform(5, 28)
    found = begins(chance, n, int(chance.integers(1, 4)))
    for at in found:
        x[at : at + int(chance.uniform(3, 30))] -= chance.uniform(30, 50)
    x = np.maximum(x, 3)
    return (3000 / x * (1 + 0.1 * chance.random(n)) if chance.random() < 0.5 else x), found, 10


def sensor(chance: Chance, n: int = 9000) -> Made:
    x = 70 + 6 * day(n, 10) * chance.uniform(0, 1) + wandering(chance, n, 0.995, 0.4) + chance.normal(0, 0.5, n)
    found = begins(chance, n, int(chance.integers(2, 4)))
    for at in found:
        long = min(int(chance.uniform(30, 300)), n - at)
        match int(chance.integers(0, 3)):
            case 0:
                x[at : at + long] -= np.linspace(chance.uniform(10, 25), 0, long)
            case 1:
                x[at : at + long] -= np.linspace(0, chance.uniform(15, 30), long)
            case _:
                x[at : at + long] += chance.normal(0, 4, long)
    return x, found, 10


def weekly(chance: Chance, n: int = 8000) -> Made:
    days = np.arange(n) // 48
    x = 15_000 * np.where(days % 7 >= 5, 0.7, 1.0) * (1 + 0.5 * day(n, 30, -2) + 0.2 * day(n, 15))
    x *= (1 + wandering(chance, n, 0.9, 0.015)) * (1 + 0.04 * chance.normal(size=int(days[-1]) + 1))[days]
    found = []
    for somewhere in begins(chance, n, int(chance.integers(2, 5))):
        midnight = somewhere // 48 * 48
        if chance.random() < 0.4:
            x[midnight : midnight + 6] *= 1.8
            found.append(midnight)
        else:
            x[midnight : midnight + 48] *= chance.uniform(0.55, 0.8)
            found.append(midnight + 24)
    return x, found, 30


def timing(chance: Chance, n: int = 3600) -> Made:
    def person(many: int) -> np.ndarray:
        plain = np.exp(chance.normal(chance.normal(-2.3, 0.25), chance.uniform(0.25, 0.5), many))
        return np.asarray(plain * (1 + 3 * (chance.random(many) < 0.01) * chance.pareto(1.2, many)))

    x = person(n)
    found = begins(chance, n, 2)
    for at in found:
        until = min(n, at + int(chance.uniform(60, 250)))
        x[at:until] = person(until - at)
    return x, found, 5


def noise(chance: Chance, n: int = 4032) -> Made:
    match int(chance.integers(0, 4)):
        case 0:
            x = chance.normal(0, 1, n)
        case 1:
            x = np.where(np.arange(n) // 12 % 24 > 12, 80, 20) + chance.normal(0, 2, n)
        case 2:
            x = 20 + 20 * day(n, 5) + chance.normal(0, chance.uniform(0, 3), n)
        case _:
            x = wandering(chance, n, 0.95, 1)
    return x, [], 5


KINDS: Sequence[Callable[[Chance], Made]] = (
    spiky,
    bursty,
    cycle,
    daily,
    failing,
    counts,
    price,
    road,
    sensor,
    weekly,
    timing,
    noise,
)


def corpus(each: int = 4, seed: int = 0) -> list[Series]:
    """So many series of every kind; the kind is the group."""
    return [
        series(f"{kind.__name__}/{copy}", kind(np.random.default_rng([seed, number, copy])))
        for number, kind in enumerate(KINDS)
        for copy in range(each)
    ]
