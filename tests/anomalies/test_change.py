"""Drift of lead times, unusual paths, schema drift: what is found, how soon, and what is left in peace."""

from __future__ import annotations

import json
import math
import random
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from apps.anomalies import deadlines, drifts, paths, schemas
from apps.anomalies.detectors.drift import THRESHOLD, LeadDrift, Least, beyond, change, matters
from apps.anomalies.detectors.path import UnusualPath, surprises, total
from apps.anomalies.detectors.schema import SchemaDrift, changes, fields_of
from apps.anomalies.models import Anomaly, MetricState, VoiceBudget
from apps.flows import registry
from apps.incidents.models import Incident
from apps.integrations.models import SourceState
from tests.dashboard.network import NOW, definitions, event, flow, integration, partner, told

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEPS = ["placed", "released", "picked", "packed", "labelled", "dispatched", "in_transit", "delivered"]


def until_found(shift: float, spread: float, seed: int, quiet: int = 400, most: int = 200) -> tuple[int, float]:
    """(false alarms while all was well, flows until the shift is told)."""
    chance, state, false = np.random.default_rng(seed), LeadDrift().empty(), 0
    for number in range(quiet + most):
        value = chance.normal(0, spread) + (shift if number >= quiet else 0)
        outcome = LeadDrift().step(state, {"residual": float(value)})
        state = outcome.state
        if abs(outcome.score) >= THRESHOLD and matters(change(state), 48, Least()):
            if number >= quiet:
                return false, number - quiet + 1
            false, state = false + 1, LeadDrift().empty()
    return false, math.inf


@pytest.mark.parametrize("shift", [math.log(1.25), -math.log(1.25)], ids=["slower", "faster"])
def test_a_quarter_slower_is_found_within_sixty_flows(shift: float) -> None:
    found = [until_found(shift, 0.3, seed) for seed in range(9)]
    assert np.median([n for _, n in found]) <= 60
    assert sum(false for false, _ in found) <= 1  # 3,600 quiet flows: more than a year of a lane


@pytest.mark.parametrize("factor", [1.03, 1.06, 0.95])
def test_a_change_of_a_few_percent_is_seen_and_not_told(factor: float) -> None:
    chance, state, told, seen = np.random.default_rng(2), LeadDrift().empty(), 0, 0
    for number in range(700):
        value = chance.normal(0, 0.1) + (math.log(factor) if number >= 200 else 0)
        state, score = LeadDrift().judge(state, {"residual": float(value)})
        seen += abs(score) >= THRESHOLD
        told += abs(score) >= THRESHOLD and matters(change(state), 48, Least())
    assert told == 0
    assert seen or factor == 1.03
    assert not seen or matters(change(state), 48, Least(0.02, 1)), "a setting"


def test_a_tenth_of_a_short_time_is_no_matter_and_chance_is_none() -> None:
    state = {"known": [0.0, 0.1, -0.1, 0.2, -0.2] * 20, "slower": 12.0, "up": 30, "recent": [0.18] * 30}
    assert matters(change(state), 48, Least())
    assert not matters(change(state), 1, Least())
    assert matters(change(state), 1, Least(minutes=5))
    few = {**state, "up": 2}
    assert change(few).factor == change(state).factor
    assert not matters(change(few), 48, Least())


def test_a_lane_that_is_itself_again_is_believed_within_a_hundred_flows() -> None:
    chance, state = np.random.default_rng(1), LeadDrift().empty()
    for number in range(900):
        value = chance.normal(0, 0.3) + (1.0 if 200 <= number < 600 else 0)
        state, score = LeadDrift().judge(state, {"residual": float(value)})
        if number == 599:
            assert score >= THRESHOLD
        if number == 700:
            assert score < THRESHOLD / 3


def test_open_flows_say_slower_before_they_end_and_nothing_while_all_is_well() -> None:
    chance = np.random.default_rng(4)
    known = chance.normal(0, 0.3, 200).tolist()
    state = {"known": known, "slower": 0.0, "faster": 1.0, "recent": [], "up": 0, "down": 3}

    def ages(shift: float, seed: int) -> list[list[Any]]:
        """Flows of the last ten times the usual: the residual of each one's age, and whether it is still open."""
        of = np.random.default_rng(seed)
        age, lead = of.uniform(0, 10, 100), np.exp(of.normal(shift, 0.3, 100))
        return [[round(float(np.log(one)), 4), bool(one < took)] for one, took in zip(age, lead, strict=True)]

    usual = [beyond(known, ages(0, seed)) for seed in range(60)]
    assert abs(np.mean(usual)) < 0.3
    assert max(usual) < THRESHOLD / 2
    after, score = LeadDrift().judge(state, {"started": ages(1.6, 1)})
    assert score > THRESHOLD
    assert (after["known"], after["faster"]) == (known, 1.0)
    found = change(state | {"slower": score}, ages(1.6, 1))
    assert found.factor > 1.5
    assert found.open_ > 10
    assert LeadDrift().judge(state, {"started": [[-5.0, True]] * 100})[1] <= 0
    assert beyond(known[:10], ages(1.6, 1)) == 0


def way(chance: random.Random) -> list[str]:
    steps = list(STEPS)
    if chance.random() < 0.3:
        steps.remove("packed")
    if chance.random() < 0.2:
        steps.insert(6, "in_transit")
    return steps


def spoilt(chance: random.Random, how: str) -> list[str]:
    steps = way(chance)
    at = chance.randrange(1, len(steps) - 2)
    if how == "skip":
        del steps[at : at + 2]
    elif how == "swap":
        steps[at], steps[at + 1] = steps[at + 1], steps[at]
    elif how == "repeat":
        steps.insert(at, steps[at - 1])
    else:
        steps.insert(at, "customs_held")
    return steps


@pytest.fixture(scope="module")
def learnt() -> dict[str, Any]:
    chance, state = random.Random(3), UnusualPath().empty()
    for _ in range(700):
        state = UnusualPath().judge(state, {"steps": way(chance)})[0]
    return state


@pytest.mark.parametrize("how", ["skip", "swap", "repeat", "foreign"])
def test_spoilt_ways_stand_out(learnt: dict[str, Any], how: str) -> None:
    chance = random.Random(4)
    well = np.array([total(surprises(learnt["counts"], way(chance))) for _ in range(150)])
    ill = np.array([total(surprises(learnt["counts"], spoilt(chance, how))) for _ in range(60)])
    auc = np.mean((ill[:, None] > well) + 0.5 * (ill[:, None] == well))
    assert auc >= 0.95


def test_few_usual_ways_are_told_and_forbidden_ones_are(learnt: dict[str, Any]) -> None:
    chance, state, alarms = random.Random(5), learnt, 0
    for _ in range(400):
        state, score = UnusualPath().judge(state, {"steps": way(chance)})
        alarms += score >= paths.THRESHOLD
    assert alarms <= 2
    assert UnusualPath().judge(state, {"steps": STEPS, "forbidden": ["picked > packed"]})[1] >= paths.THRESHOLD


def test_fields_that_changed() -> None:
    state: dict[str, Any] = {}
    for number in range(80):
        fields = {"id": "string", "qty": "number", "note": "null" if number % 2 else "string"}
        state = SchemaDrift().step(state, {"fields": fields}).state
    assert changes(state, {"id": "string", "qty": "number", "note": "null"}) == []
    got = {
        (name, what)
        for _, name, what, _ in changes(state, {"id": "null", "qty": "string", "note": "null", "extra": "number"})
    }
    assert got == {("id", "empty"), ("qty", "other type"), ("extra", "new")}
    assert ("qty", "gone") in {(name, what) for _, name, what, _ in changes(state, {"id": "string"})}
    assert fields_of({"a": {"b": [{"c": 1}, {"c": None, "d": True}]}, "e": "x"}) == {
        "a.b[].c": "number",
        "a.b[].d": "boolean",
        "e": "string",
    }


@pytest.mark.django_db
class TestRounds:
    def lane(self, n: int, first: int, factor: float) -> None:
        carrier = partner("Carrier X")
        chance = np.random.default_rng(first)
        for number in range(first, first + n):
            ended = NOW - 40 * DAY + number * 4 * HOUR
            hours = float(np.exp(chance.normal(3.8, 0.25))) * factor
            made = flow(
                f"SO-{number}",
                carrier,
                status="completed",
                awaiting="",
                closed_at=ended,
                opened_at=ended - timedelta(hours=hours),
                attributes={"lane_from": "FR", "lane_to": "DE"},
            )
            made.milestones.create(name="shipped", ordinal=1, actual_at=ended, received_at=ended)

    def test_a_lane_that_became_slower_is_told_as_a_task(self) -> None:
        definitions()
        registry.load()
        self.lane(110, 0, 1.0)
        then = NOW - 40 * DAY + 110 * 4 * HOUR
        deadlines.learn(then)
        assert drifts.run(then) == 0
        self.lane(60, 110, 1.5)
        later = NOW - 40 * DAY + 171 * 4 * HOUR
        assert drifts.run(later) == 1
        one = Anomaly.objects.get(detector="drift")
        assert one.title == "FR>DE with carrier-x has become slower to “Shipped”"
        assert one.sentence.startswith("FR>DE: +")
        assert len(one.evidence["weeks"]) >= 3
        assert all(week[2] <= week[3] <= week[4] for week in one.evidence["weeks"])
        assert one.began_at < later
        assert len(json.dumps(one.evidence)) < 8 * 1024
        assert LeadDrift().replay(one.evidence) == one.score
        assert drifts.run(later + HOUR) == 0
        assert Incident.objects.count() == 0

    def test_a_change_too_small_to_matter_is_kept_and_not_told(self) -> None:
        definitions()
        registry.load()
        VoiceBudget.objects.create(drift_share=0.9, changed_at=NOW)
        self.lane(110, 0, 1.0)
        then = NOW - 40 * DAY + 110 * 4 * HOUR
        deadlines.learn(then)
        drifts.run(then)
        self.lane(60, 110, 1.5)
        later = NOW - 40 * DAY + 171 * 4 * HOUR
        assert drifts.run(later) == 0
        one = Anomaly.objects.get(detector="drift")
        assert one.suppressed == "too small"
        VoiceBudget.objects.update(drift_share=0.1)
        assert drifts.run(later + HOUR) == 1
        one.refresh_from_db()
        assert one.suppressed == ""

    def test_flows_still_open_tell_it_before_they_end(self) -> None:
        definitions()
        registry.load()
        self.lane(110, 0, 1.0)
        then = NOW - 40 * DAY + 110 * 4 * HOUR
        deadlines.learn(then)
        drifts.run(then)
        carrier = partner("Carrier X")
        for number in range(30):
            flow(f"SO-open-{number}", carrier, opened_at=then + number * HOUR,
                 attributes={"lane_from": "FR", "lane_to": "DE"})  # fmt: skip
        later = then + 6 * DAY
        source = integration("Carrier events", partner=carrier)
        SourceState.objects.update_or_create(integration=source, defaults={"stale_since": then})
        assert drifts.run(later) == 0, "who cannot be heard is not called slow"
        SourceState.objects.update(stale_since=None)
        assert drifts.run(later) == 1
        one = Anomaly.objects.get(detector="drift")
        assert "of them still open" in one.sentence
        assert len(one.evidence["open"]) == 30
        assert LeadDrift().replay(one.evidence) == one.score

    def test_a_flow_that_skipped_a_milestone_is_shown(self) -> None:
        slug, state = definitions().slug, UnusualPath().empty()
        registry.load()
        for _ in range(400):
            state = UnusualPath().judge(state, {"steps": ["placed", "shipped", "delivered"]})[0]
        MetricState.objects.create(detector="path", key=slug, at=NOW - DAY, state=state)
        odd = flow("odd", partner("Carrier X"), status="completed", awaiting="", closed_at=NOW - HOUR)
        odd.milestones.create(name="delivered", ordinal=2, actual_at=NOW - HOUR, received_at=NOW - HOUR)
        assert paths.run(NOW) == 1
        one = Anomaly.objects.get(detector="path")
        assert (
            one.sentence
            == "“Delivered” directly after “Placed”: 0 of 400 flows went that way before; Shipped never came."
        )
        assert one.tier == "watch"
        assert paths.run(NOW + HOUR) == 0

    def test_a_field_of_another_type_is_told_once(self) -> None:
        source = integration("Acme events", partner=partner("Acme Metals"))
        for batch in range(4):
            told(source, [event(batch * 20 + n) for n in range(20)], at=NOW + batch * timedelta(minutes=5))
            assert schemas.run(NOW + batch * timedelta(minutes=5)) == 0
        changed = [{**event(100 + n), "id": n, "weight": 3} for n in range(8)]
        at = NOW + timedelta(minutes=30)
        told(source, [json.dumps(one).encode() for one in changed], at=at)
        assert schemas.run(at) == 1
        sentence = Anomaly.objects.get(detector="schema").sentence
        assert "id has another type (number)" in sentence
        assert "weight is new" in sentence
