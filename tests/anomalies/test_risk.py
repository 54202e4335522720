"""Breach risk: nothing of the future in a score, no model without proof, honest laws, and trees that are only numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.anomalies.risk import growing, proving, trees
from apps.anomalies.risk import law as laws
from apps.anomalies.risk.features import GROUPS, NAMES, Case, leads, walk
from apps.anomalies.risk.law import chance_late, expected_lead
from apps.anomalies.risk.proving import auc, average_precision, calibration, precision_at, prove, score
from apps.anomalies.risk.scoring import Voice
from apps.anomalies.risk.scoring import score as speak


def stream(seed: int, n: int = 1100, span: float = 300.0, *, learnable: bool = True) -> list[Case]:
    """Cases of one lane whose partner decides how long they take, if anything does; every fifth partner is slow."""
    chance = random.Random(seed)
    made = []
    for number in range(n):
        start = span * number / n
        partner = chance.randrange(10)
        slow = 1.9 if learnable and partner % 5 == 0 else 1.0
        lead = math.exp(chance.gauss(1.0, 0.35)) * slow
        promise = chance.choice([4.0, 5.0, 6.0])
        made.append(
            Case(
                start, start + promise, start - 0.2, start + lead, "A>B", f"p{partner}", "w", 50.0,
                24 * (start % 1), int(start) % 7, int(start + promise) % 7,
            )
        )  # fmt: skip
    return made


#: days between two fits, and a model small enough for a test
SELDOM = 60.0


@pytest.fixture(autouse=True, scope="module")
def small_models() -> Iterator[None]:
    before = dict(growing.SETTINGS)
    growing.SETTINGS |= {"max_iter": 25, "learning_rate": 0.08}
    yield
    growing.SETTINGS |= before


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return stream(1)


@pytest.fixture(scope="module")
def scored(cases: list[Case]) -> proving.Scored:
    return score(cases, 400.0, SELDOM)


def test_a_model_that_knows_more_is_promoted_and_says_by_how_much(cases: list[Case], scored: proving.Scored) -> None:
    proof = prove(scored, np.ones(len(cases), dtype=bool))
    assert proof.promoted, proof.why
    assert proof.table[-1]["part"] == "all"
    assert proof.table[-1]["model"]["auc"] > proof.table[-1]["rule"]["auc"] + 0.05
    assert proof.table[0]["spoke"] == "law", "before it has shown anything the plain law speaks"
    said = sum(one["said"] * one["n"] for one in proof.bins) / sum(one["n"] for one in proof.bins)
    came = sum(one["came"] * one["n"] for one in proof.bins) / sum(one["n"] for one in proof.bins)
    assert abs(said - came) < 0.06


@pytest.mark.parametrize("seed", range(2))
def test_shuffled_outcomes_are_never_promoted(seed: int) -> None:
    chance = random.Random(f"shuffle {seed}")
    told = stream(seed, 800, 270.0)
    lengths = [case.lead for case in told]
    chance.shuffle(lengths)
    shuffled = [replace(case, done=case.start + lead) for case, lead in zip(told, lengths, strict=True)]
    # what a promise is worth is shuffled too, so that nothing at all is left to be known
    promises = [case.due - case.start for case in told]
    chance.shuffle(promises)
    shuffled = [replace(case, due=case.start + span) for case, span in zip(shuffled, promises, strict=True)]
    proof = prove(score(shuffled, 400.0, SELDOM), np.ones(len(shuffled), dtype=bool))
    assert not proof.promoted
    assert "plain law speaks" in proof.why


def test_the_future_leaves_every_score_bit_identical(cases: list[Case], scored: proving.Scored) -> None:
    """What ends after a moment is permuted, and what begins after it is thrown away: scores before it do not move."""
    moment = 210.0
    chance = random.Random(3)
    later = [case.done - moment for case in cases if case.done and case.done > moment and case.start <= moment]
    chance.shuffle(later)
    fates = iter(later)
    changed = [
        replace(case, done=moment + next(fates)) if case.done and case.done > moment else case
        for case in cases
        if case.start <= moment
    ]
    again = score(changed, 400.0, SELDOM)
    before = np.array([case.start <= moment for case in cases])
    assert int(before.sum()) > 600
    for name in ("model", "simple", "rule", "predicted", "predicted_simple"):
        old, new = getattr(scored, name)[before], getattr(again, name)
        assert np.array_equal(old, new, equal_nan=True), name
    assert np.isfinite(again.model).any()


def test_the_present_does_not_read_what_has_not_happened_yet(cases: list[Case]) -> None:
    """A case that ends tomorrow is open today: whether its end is known or not changes nothing."""
    now = 150.0
    known = walk(cases, now)
    blind = walk([case if case.done and case.done <= now else replace(case, done=None) for case in cases], now)
    assert np.array_equal(known.rows, blind.rows, equal_nan=True)
    assert np.isnan(known.rows[-1]).all()


@given(st.integers(0, 10_000), st.floats(0.2, 0.95))
@settings(max_examples=25, deadline=None)
def test_open_flows_keep_the_law_from_being_too_short(seed: int, cut: float) -> None:
    """Half of the flows are cut off while open: the law that counts them stays near the truth, the one that does not, not."""
    chance = np.random.default_rng(seed)
    truth = chance.normal(0.0, 0.5, 1500)
    censor = chance.normal(cut - 0.5, 0.5, 1500)
    ended = truth <= censor
    found = laws.fit(np.minimum(truth, censor), ended)
    naive = laws.fit(truth[ended], np.ones(int(ended.sum()), dtype=bool))
    assert found is not None
    assert naive is not None
    assert found.quantile(0.5) == pytest.approx(0.0, abs=0.12)
    assert naive.quantile(0.5) < found.quantile(0.5)
    points = np.linspace(-3, 6, 50)
    beyond = found.survival(points)
    assert ((beyond >= 0) & (beyond <= 1)).all()
    assert (np.diff(beyond) <= 1e-9).all(), "the longer, the fewer"


def test_the_longer_it_has_lasted_the_likelier_it_is_late_and_the_later_it_is_expected() -> None:
    chance = np.random.default_rng(1)
    law = laws.fit(chance.normal(0, 0.4, 900), np.ones(900, dtype=bool))
    assert law is not None
    ages = np.array([0.0, 1.0, 2.0, 3.0, 3.9, 4.0, 9.0])
    told = chance_late(law, np.full(7, 1.0), np.full(7, 4.0), ages)
    assert (np.diff(told) >= -1e-9).all()
    assert told[-1] == told[-2] == 1.0
    assert 0 < told[0] < 0.5
    assert (expected_lead(law, np.full(7, 1.0), ages) >= ages).all()
    assert laws.Law.from_json(law.as_json()).survival(ages).tolist() == law.survival(ages).tolist()
    assert laws.fit(np.zeros(5), np.ones(5, dtype=bool)) is None


def test_trees_as_numbers_say_what_the_library_says(cases: list[Case]) -> None:
    """Our bins and our medians of leaves are a quicker way to the library's own model, with weights."""
    rows, targets, ages = walk(cases).rows[:700], leads(cases)[:700], np.linspace(400, 0, 700)
    forest = growing.fit(rows, targets, ages)
    with growing.threadpool_limits(limits=1):
        library = growing.HistGradientBoostingRegressor(**growing.SETTINGS)
        library.fit(np.nan_to_num(rows, nan=-1e9), targets, sample_weight=np.exp(-ages / growing.RECENCY))
        assert np.allclose(forest.predict(rows), library.predict(rows), atol=1e-9)
    again = trees.Forest.from_bytes(forest.as_bytes())
    assert np.array_equal(again.predict(rows), forest.predict(rows))
    with pytest.raises(ValueError, match=r"pickle|Cannot load|zip"):
        trees.Forest.from_bytes(b"\x80\x04not a table")
    # a group as usual: what a whole prediction with it replaced says
    groups = sorted(set(GROUPS))
    group, usual = np.array([groups.index(name) for name in GROUPS]), np.median(rows, axis=0)
    found = forest.without(rows, usual, group, len(groups))
    for number in range(len(groups)):
        replaced = np.where(group == number, usual, rows)
        assert np.allclose(found[:, number], forest.predict(replaced), atol=1e-12)
    assert np.ptp(found, axis=1).max() > 0.05


@given(st.lists(st.tuples(st.integers(-20, 20), st.floats(0.01, 5)), min_size=1, max_size=80))
@settings(max_examples=40, deadline=None)
def test_a_weighted_median_has_half_of_the_weight_on_each_side(rows: list[tuple[int, float]]) -> None:
    values, weights = np.array([float(row[0]) for row in rows]), np.array([row[1] for row in rows])
    middle, half = growing.weighted_median(values, weights), weights.sum() / 2
    assert weights[values <= middle].sum() >= half * (1 - 1e-9)
    assert weights[values < middle].sum() <= half * (1 + 1e-9)
    edges = growing.edges_of(values[:, None], weights)
    numbers = growing.binned(values[:, None], edges)[:, 0]
    order = np.argsort(values)
    assert (np.diff(numbers[order]) >= 0).all()
    assert len(np.unique(numbers)) == len(np.unique(values)), "few values have a bin each"


def test_reasons_are_in_hours_and_strange_input_gets_no_chance(cases: list[Case]) -> None:
    fitted = proving.fit_stage(cases, 301.0, SELDOM)
    assert fitted.forest is not None
    voice = Voice(fitted.forest, fitted.law, fitted.typical, fitted.low, fitted.high)
    begun = [replace(case, done=None) for case in cases[-40:]]
    walked = walk([*cases[:-40], *begun], 300.0)
    # all at their beginning: what has lasted longer is likelier late whoever carries it
    told = speak(voice, walked.rows[-40:], walked.simple[-40:], begun, begun[0].start, {"p0": "Slow Freight"})
    slow = [one for one, case in zip(told, begun, strict=True) if case.partner == "p0"]
    quick = [one for one, case in zip(told, begun, strict=True) if case.partner == "p1"]
    assert np.mean([one.chance or 0 for one in slow]) > np.mean([one.chance or 0 for one in quick])
    reasons = [reason for one in slow for reason in one.reasons]
    assert any("Slow Freight" in reason["text"] and reason["hours"] > 5 for reason in reasons)
    odd = walked.rows[-1:].copy()
    odd[0, :9] += 1000
    [silent] = speak(voice, odd, walked.simple[-1:], begun[-1:], 300.0)
    assert silent.chance is None
    assert "Unlike anything" in silent.reasons[0]["text"]
    [without] = speak(replace(voice, law=None), odd, walked.simple[-1:], begun[-1:], 300.0)
    assert without.basis == "none"


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=2, max_size=60))
def test_measures_are_what_their_definitions_say(rows: list[tuple[float, bool]]) -> None:
    scores, late = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[late] for b in scores[~late]]
    assert auc(scores, late) == pytest.approx(np.mean(pairs) if pairs else 0.5)
    assert 0 <= average_precision(scores, late) <= 1
    top = max(1, round(len(rows) * 0.05))
    assert precision_at(scores, late) * top == pytest.approx(round(precision_at(scores, late) * top))
    assert sum(one["n"] for one in calibration(np.clip(scores / 5, 0, 1), late)) == len(rows)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.integers(1, 30))
def test_a_fit_of_the_replay_learns_from_the_newest_in_bounded_number(ends: list[float], most: int) -> None:
    done = np.array(ends)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proving, "MOST_EXAMPLES", most)
        kept = proving._newest(np.ones(len(done), dtype=bool), done)
    assert int(kept.sum()) >= min(most, len(done))
    assert kept.all() or done[kept].min() >= done[~kept].max()
    assert int((done[kept] > done[kept].min()).sum()) < most or len(done) <= most


def test_every_feature_belongs_to_a_reason() -> None:
    assert len(NAMES) == len(GROUPS) == len(set(NAMES))
    assert walk(stream(2, 50, 10.0)).rows.shape == (50, len(NAMES))
