"""Grouping to the probable cause: quality on a pretend world whose causes are known, and the scan's promises."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.anomalies.grouping.scan import Affected, Dimension, Group, Population, evidence, scan
from apps.anomalies.grouping.words import name_of, sentence_of
from benchmarks.causes_world import DIMENSIONS, Quality, World, named, quality, v_measure, world
from tests.incidents.builders import NOW


@pytest.fixture(scope="module")
def worlds() -> list[tuple[World, list[Group]]]:
    made = [world(seed, 15_000, 3 + seed % 4, background=0.01 + 0.01 * (seed % 3)) for seed in range(5)]
    return [(one, scan(DIMENSIONS, one.population, one.affected)) for one in made]


def test_mixed_and_overlapping_causes_are_told_apart(worlds: list[tuple[World, list[Group]]]) -> None:
    """The bars of the detector set: V-measure, the right cause first and among three, nothing foreign hidden."""
    found: list[Quality] = [quality(*one) for one in worlds]
    assert statistics.mean(one.v_measure for one in found) >= 0.90
    assert statistics.mean(one.first for one in found) >= 0.90
    assert statistics.mean(one.three for one in found) >= 0.97
    assert statistics.mean(one.foreign for one in found) <= 0.01
    assert all(one.groups <= 10 for one in found)
    assert statistics.mean(one.compression for one in found) >= 20


def test_what_is_expected_to_be_foreign_is_what_is_foreign(worlds: list[tuple[World, list[Group]]]) -> None:
    """A group says itself how much of it would be there anyway; only groups that say little may hide anything."""
    for made, groups in worlds:
        for group in groups:
            foreign = sum(made.labels[at] < 0 for at in group.members)
            expected = group.cause.foreign * len(group.members)
            assert foreign <= expected + 3 * math.sqrt(expected + 1) + 3


def test_without_a_common_cause_nothing_is_grouped() -> None:
    for seed in range(2):
        quiet = world(seed, 15_000, 0, background=0.03)
        assert len(quiet.labels) > 300
        assert scan(DIMENSIONS, quiet.population, quiet.affected) == []


def test_the_measure_is_bad_when_the_groups_are() -> None:
    """The control: one group for all, and none at all, are far from the bars."""
    made = world(1, 20_000, 5)
    [first, *_] = scan(DIMENSIONS, made.population, made.affected)
    everything = replace(first, members=list(range(len(made.labels))))
    assert quality(made, [everything]).v_measure < 0.6
    assert quality(made, []).first == 0.0
    assert v_measure([1, 1, 2, 2], [5, 5, 6, 6]) == pytest.approx(1.0)
    assert v_measure([1, 1, 2, 2], [5, 6, 5, 6]) == pytest.approx(0.0)


def test_a_silent_feed_absorbs_what_waits_for_it() -> None:
    """Although the partner explains as many, the feed that is known to be silent is named, from two findings on."""
    dimensions = (Dimension("feed", told=True, alone=True, absorbs=True), Dimension("partner"))
    values = [["", f"p{at % 20}"] for at in range(400)] + [["quiet", "p1"]] * 3
    population = Population(values, [1] * len(values), [0] * len(values))
    affected = Affected([["quiet", "p1"]] * 3 + [["", "p7"]], [0] * 4)
    [group] = scan(dimensions, population, affected)
    assert group.cause.shape == (("feed", "quiet"),)
    assert group.members == [0, 1, 2]


def test_an_error_that_is_usual_is_no_cause_and_one_that_is_not_is() -> None:
    dimensions = (Dimension("error", outcome=True), Dimension("partner"))
    values = [[error, f"p{at}"] for at, error in enumerate(["old"] * 12 + ["new"] * 12)]
    sound = [["", f"p{at}"] for at in range(24)]
    population = Population(values + sound, [1] * 24 + [40] * 24, [0] * 48, {("error", "old"): 11.0})
    [group] = scan(dimensions, population, Affected(values, [0] * 24))
    assert group.cause.shape == (("error", "new"),)
    assert len(group.members) == 12


def test_names_that_mean_the_same_units_are_told() -> None:
    dimensions = (Dimension("integration"), Dimension("partner"))
    values = [[f"i{at % 9}", f"p{at % 9}"] for at in range(360)]
    affected = Affected([one for one in values if one[0] == "i3"], [0] * 40)
    [group] = scan(dimensions, Population(values, [1] * 360, [0] * 360), affected)
    assert group.cause.shape == (("integration", "i3"),)
    assert group.cause.also == ((("partner", "p3"),),)
    assert named(world(0, 20_000, 1).causes[0])


UNITS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 5), st.booleans()), max_size=120
)


@given(UNITS)
@settings(max_examples=60, deadline=None)
def test_every_finding_is_in_one_group_at_most_and_belongs_to_it(units: list[tuple[str, str, int, bool]]) -> None:
    dimensions = (Dimension("one"), Dimension("other"))
    bad = [unit for unit in units if unit[3]]
    population = Population([unit[:2] for unit in units], [1] * len(units), [unit[2] for unit in units])
    affected = Affected([unit[:2] for unit in bad], [unit[2] for unit in bad])
    groups = scan(dimensions, population, affected)
    members = [at for group in groups for at in group.members]
    assert len(members) == len(set(members))
    for group in groups:
        assert len(group.members) == group.cause.k <= group.cause.n
        for at in group.members:
            own = dict(zip(("one", "other"), bad[at][:2], strict=True))
            assert all(own[name] == value for name, value in group.cause.shape)
            if group.cause.first is not None and group.cause.last is not None:
                assert group.cause.first <= bad[at][2] <= group.cause.last
    assert scan(dimensions, population, affected) == groups


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 500), st.integers(0, 500))
def test_evidence_is_never_negative_and_nothing_when_the_rate_is_no_higher(
    k: int, more: int, rest: int, far: int
) -> None:
    n, whole_k, whole_n = k + more, k + rest, k + more + rest + far
    found = float(evidence(np.array([float(k)]), np.array([float(n)]), float(whole_k), float(whole_n))[0])
    assert found >= -1e-9
    if n and whole_n > n and k / n <= rest / (whole_n - n):
        assert found == 0.0


def test_a_cause_is_said_in_one_sentence() -> None:
    from_names = {("message", "purchase/asn"): "ASN (Purchase)", ("partner", "acme"): "Acme Metals"}
    shape = (("partner", "acme"), ("message", "purchase/asn"))
    name = name_of(shape, from_names, NOW)
    assert name == "ASN (Purchase) of Acme Metals since Mon 2 Mar 09:00 UTC"
    made = world(3, 20_000, 1)
    [group] = scan(DIMENSIONS, made.population, made.affected)
    cause = replace(group.cause, k=207, n=214, elsewhere=0.0236)
    said = sentence_of(name, cause, ["sla.breach"] * 214)
    assert said == f"214 late events explained by: {name} (covers 97 %, 41 times as likely)"
    assert "1 finding explained" in sentence_of(name, cause, ["odd"])
