"""The detector of any metric, and our implementation of the benchmark's score."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.anomalies.detectors.metric import (
    READINGS,
    WORDS,
    AnyMetric,
    Ranks,
    Stream,
    Tail,
    day_of,
    quieted,
    score_of,
    slot_of,
)
from benchmarks import nab, nab_made

START = datetime(2026, 3, 2, tzinfo=UTC)


def run(values: list[float], minutes: int = 30) -> list[float]:
    stream = Stream({})
    return [
        score_of(stream.push(value, slot_of(START + number * timedelta(minutes=minutes))))
        for number, value in enumerate(values)
    ]


def wave(n: int, seed: int = 1) -> list[float]:
    chance = np.random.default_rng(seed)
    at = np.arange(n)
    return list(50 + 20 * np.sin(at * 2 * math.pi / 48) + chance.normal(0, 1.5, n))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("spike", lambda v: [*v[:1200], 120.0, *v[1201:]]),
        ("drop", lambda v: [*v[:1200], -20.0, *v[1201:]]),
        ("level", lambda v: [*v[:1200], *(x + 60 for x in v[1200:])]),
        ("wrong hour", lambda v: [*v[:1212], *(v[1212 + 24 : 1212 + 48]), *v[1236:]]),
        ("a little off for long", lambda v: [*v[:1200], *(x + 6 for x in v[1200:1240]), *v[1240:]]),
    ],
)
def test_what_its_past_does_not_explain_stands_out(name: str, change: object) -> None:
    usual = wave(1500)
    before = run(usual)
    after = run(change(usual))  # type: ignore[operator]
    assert max(after[1195:1240]) > max(before[300:]) + 0.5, name


@pytest.mark.parametrize(
    ("reading", "change"),
    [
        ("high", lambda v: [*v[:1200], 90.0, *v[1201:]]),
        ("low", lambda v: [*v[:1200], 5.0, *v[1201:]]),
        ("off", lambda v: [*v[:1212], v[1212] + 15, *v[1213:]]),
        ("sudden", lambda v: [*v[:1220], v[1220] - 12, v[1221] + 12, *v[1222:]]),
        ("lasting", lambda v: [*v[:1200], *(x + 3 for x in v[1200:1230]), *v[1230:]]),
        ("shift", lambda v: [*v[:1200], *(x + 80 for x in v[1200:])]),
    ],
)
def test_each_reading_sees_what_it_is_for(reading: str, change: object) -> None:
    def smallest(values: list[float]) -> float:
        stream = Stream({})
        ps = [stream.push(v, slot_of(START + n * timedelta(minutes=30))) for n, v in enumerate(values[:1240])]
        return min(one[reading] for one in ps[1195:])

    assert smallest(change(wave(1500))) < 1e-3 < 2e-3 < smallest(wave(1500))  # type: ignore[operator]


def test_evidence_replays_also_where_a_half_hour_has_many_values() -> None:
    detector, state = AnyMetric(), AnyMetric().empty()
    for number in range(200):
        event = {"value": float(number % 7 + number // 70), "slot": "0 10:00"}
        after, score = detector.judge(state, event)
        assert detector.rescore(*detector.needed(state, event)) == score
        state = after


def test_a_constant_and_a_repeating_series_say_nothing() -> None:
    assert max(run([7.0] * 600)) < 1
    assert max(run([float(n % 48) for n in range(1500)])[200:]) < 3.5


@pytest.mark.parametrize(("law", "most"), [("exponential", 2), ("normal", 2), ("student", 4)])
def test_the_rank_is_a_valid_p_value(law: str, most: float) -> None:
    """Also beyond the sample; of values as heavy as a Student's of 2 degrees, of which half is believed, nearly."""
    chance = np.random.default_rng(5)
    drawn = {
        "exponential": lambda: chance.exponential(size=8000),
        "normal": lambda: chance.normal(size=8000),
        "student": lambda: chance.standard_t(2, 8000),
    }[law]()
    ranks, ps = Ranks(size=1000), []
    for value in drawn:
        ps.append(ranks.p(float(value)))
        ranks.add(float(value))
    for level in (0.2, 0.05, 0.01):
        assert np.mean(np.array(ps[200:]) <= level) == pytest.approx(level, rel=0.3)
    assert 0.25 < np.mean(np.array(ps[200:]) <= 5e-4) / 5e-4 < most


def test_a_heavy_tail_makes_the_next_burst_less_strange() -> None:
    chance = np.random.default_rng(3)
    light, heavy = (Tail.of(np.sort(x).tolist()) for x in (chance.exponential(size=4000), chance.pareto(1.5, 4000)))
    assert light.shape < 0.1 < 0.25 < heavy.shape < 0.5
    p = [tail.p(tail.edge + 12 * tail.excess, 4000, 0) for tail in (light, heavy)]
    assert p[0] < 1e-5 < 1e-4 < p[1]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=100, max_size=140), st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans()
)
def test_a_larger_value_is_never_less_strange_and_none_is_impossible(
    values: list[float], value: float, more: float, same: bool
) -> None:
    ranks = Ranks(values[:1] * 100 if same else values)
    p, larger = ranks.p(value), ranks.p(value + more)
    assert (len(ranks.sorted) + 1) ** -2.0 <= larger <= p <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=110, max_size=160))
def test_ranks_keep_the_last_values_in_both_orders(values: list[float]) -> None:
    ranks = Ranks(size=100)
    for value in values:
        ranks.add(value)
    assert list(ranks.recent) == values[-100:]
    assert ranks.sorted == sorted(ranks.recent)


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=12), st.integers(1, 6))
def test_the_usual_of_a_half_hour_is_of_visits_not_of_how_many_values_they_had(means: list[float], times: int) -> None:
    once, often = Stream({}), Stream({})
    for number, mean in enumerate(means):
        slot = slot_of(START + number * timedelta(days=1))
        once.push(mean, slot)
        for _ in range(times):
            often.push(mean, slot)
    often.push(0.0, "9 23:30")
    once.push(0.0, "9 23:30")
    assert often.slots == pytest.approx(once.slots)
    assert once.usual("8 00:00") == once.slots[day_of("8 00:00")]


def test_a_metric_of_one_half_hour_only_has_a_usual_too() -> None:
    stream = Stream({})
    for _ in range(70):
        stream.push(5.0, "0 10:00")
    assert stream.usual("0 10:00") == 5.0


def test_the_state_is_bounded_and_survives_json() -> None:
    stream = Stream({}, size=120)
    for number, value in enumerate(wave(400)):
        stream.push(value, slot_of(START + number * timedelta(minutes=30)))
    raw = json.dumps(stream.as_json())
    assert len(raw) < 20_000
    again = Stream(json.loads(raw))
    assert again.push(99.0, "0 10:00") == stream.push(99.0, "0 10:00")


def test_quieted_tells_once_unless_ten_times_as_strange() -> None:
    assert quieted([2, 5, 4, 5.5, 6.5, 7, 0], records=3) == [0, 5, 0, 0, 6.5, 0, 0]
    assert quieted([5, 0, 0, 0, 5], records=3) == [5, 0, 0, 0, 5]


def test_slots_are_local_half_hours() -> None:
    assert slot_of(datetime(2026, 7, 6, 22, 45, tzinfo=UTC), ZoneInfo("Europe/Berlin")) == "1 00:30"
    assert set(WORDS) == set(READINGS)


# -- the score of the benchmark ------------------------------------------------------------------------------------


def made(n: int, *windows: tuple[int, int]) -> nab.Series:
    times = tuple(START + number * timedelta(minutes=5) for number in range(n))
    return nab.Series(f"group/{n}", times, tuple(0.0 for _ in range(n)), windows)


CORPUS = [made(1000, (300, 399), (700, 749)), made(400, (200, 219)), made(500)]


@pytest.mark.parametrize("profile", nab.PROFILES)
def test_nothing_is_0_and_perfect_is_100(profile: str) -> None:
    weights = nab.PROFILES[profile]
    nothing = {one.name: [False] * len(one.values) for one in CORPUS}
    perfect = {
        one.name: [any(at == first for first, _ in one.windows) for at in range(len(one.values))] for one in CORPUS
    }
    assert nab.score(CORPUS, nothing, weights) == 0
    assert nab.score(CORPUS, perfect, weights) == pytest.approx(100)


def test_the_published_constants() -> None:
    """Of the paper: a detection at the left edge is worth 0.98661, half-way 0.84828, one well behind costs all."""
    assert nab.sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert nab.sigmoid(-0.5) == pytest.approx(0.84828, abs=1e-5)
    assert nab.sigmoid(0.0) == 0
    assert nab.sigmoid(1.0) == pytest.approx(-0.98661, abs=1e-5)
    assert nab.sigmoid(3.0) == -1


def test_early_is_worth_more_false_alarms_cost_and_the_beginning_does_not_count() -> None:
    series = made(1000, (300, 399))
    assert series.probation == 150

    def told(*at: int) -> float:
        return nab.raw_score(series, [n in at for n in range(1000)], nab.Weights())[0]

    assert told(300) == pytest.approx(1)
    assert told(300) > told(340) > told(390) > 0 > told(400) > told(450)
    assert told(300, 390) == told(300)
    assert told(20, 300) == told(300)
    assert told(200, 300) == pytest.approx(1 - 0.11)
    assert told(300, 402) > told(300, 800) == pytest.approx(1 - 0.11)
    assert nab.raw_score(series, [n in (200, 310) for n in range(1000)], nab.Weights())[1:] == (1, 1, 1)


def test_the_sweep_is_the_score_at_each_threshold() -> None:
    chance = np.random.default_rng(2)
    scores = {one.name: (3 + 5 * chance.random(len(one.values)) ** 4).round(2).tolist() for one in CORPUS}
    sweep = nab.Sweep(CORPUS, scores, nab.Weights())
    for threshold in (3.5, 6.0, 7.9):
        told = {name: np.array(values) >= threshold for name, values in scores.items()}
        wanted = nab.score(CORPUS, told, nab.Weights())
        assert sweep.scaled(dict.fromkeys(scores, threshold)) == pytest.approx(wanted)
    names = [one.name for one in CORPUS]
    assert sweep.best(names[:1], sweep) == sweep.best([names[0], *names])
    days = sum(one.days for one in CORPUS)
    for most in (0.5, 40.0, math.inf):
        held = {}
        for at in sweep.grid:
            told = {name: np.array(values) >= at for name, values in scores.items()}
            false = sum(nab.raw_score(one, told[one.name], nab.Weights(false=0))[3] for one in CORPUS)
            if false <= most * days:
                held[float(at)] = nab.score(CORPUS, told, nab.Weights(false=0))
        free = nab.Sweep(CORPUS, scores, nab.Weights(false=0))
        assert held[free.best(names, most=most)] == pytest.approx(max(held.values()))
    assert sweep.best(names, most=-1.0) == sweep.grid[-1]


def test_made_series_are_always_the_same_and_labelled_as_the_benchmark_labels() -> None:
    first, again, other = nab_made.corpus(1), nab_made.corpus(1), nab_made.corpus(1, seed=1)
    assert first == again
    assert [one.values for one in first] != [one.values for one in other]
    assert len({one.group for one in first}) == len(first) == 12
    for one in (*first, *other):
        assert all(math.isfinite(value) for value in one.values)
        edges = [edge for window in one.windows for edge in window]
        assert edges == sorted(set(edges))
        assert not edges or (edges[0] >= one.probation and edges[-1] < len(one.values))
        share = sum(last - first + 1 for first, last in one.windows) / len(one.values)
        assert share == pytest.approx(nab_made.SHARE if edges else 0, abs=0.04)
