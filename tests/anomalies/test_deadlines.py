"""Learned deadlines: the law against the textbook, lost events, what is told of flows, and how fast."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.anomalies import aims, deadlines
from apps.anomalies.beginnings import facts
from apps.anomalies.detectors.deadline import (
    AIM_REACH,
    LOW,
    TASK,
    WIDTH,
    Law,
    LearnedDeadlines,
    aimed,
    fit,
    lane_key,
    means_of,
)
from apps.anomalies.models import Anomaly, KnownSpan, LeadLaw, LearnedDeadline, MetricState
from apps.flows import registry
from apps.incidents.models import Incident
from apps.integrations.models import SourceState
from benchmarks.detection_olist import Stage, judge
from tests.dashboard.network import definitions, flow, integration, partner

NOW = datetime(2026, 3, 18, 11, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def drawn(n: int, seed: int = 1, spread: float = 0.4) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(math.log(48), spread, n))


def test_without_open_flows_the_deadline_is_the_quantile() -> None:
    hours = drawn(4000)
    law = fit(hours, np.ones(4000, bool), ["p"] * 4000, ["l"] * 4000)
    for q in (0.5, 0.9, 0.98):
        assert law.deadline("p", "l", law.residual(q)).hours == pytest.approx(np.quantile(hours, q), rel=0.04)


def test_open_flows_say_that_theirs_takes_longer() -> None:
    """Everything that began in the last four days, seen now: the ended ones alone would say half the truth."""
    rng = np.random.default_rng(2)
    hours, age = drawn(6000, 2), rng.uniform(0, 96, 6000)
    ended = hours <= age
    seen = np.where(ended, hours, age)
    law = fit(seen, ended, [""] * 6000, [""] * 6000)
    truth = float(np.quantile(hours, 0.9))
    assert law.deadline("", "", law.residual(0.9)).hours == pytest.approx(truth, rel=0.08)
    assert np.quantile(seen[ended], 0.9) < 0.9 * truth


def test_lost_flows_do_not_make_deadlines_endless() -> None:
    hours = drawn(5000, 3)
    lost = np.random.default_rng(3).random(5000) < 0.03
    law = fit(np.where(lost, 1500.0, hours), ~lost, [""] * 5000, [""] * 5000)
    assert law.deadline("", "", law.residual(0.98)).hours < 1.6 * np.quantile(hours, 0.98)


def test_what_entered_late_was_not_at_risk_before() -> None:
    """A window on a steady stream gives the same law as following every flow from its beginning."""
    rng = np.random.default_rng(4)
    hours, start = drawn(8000, 4), rng.uniform(-400, 0, 8000)
    window = -100.0
    known = (start + hours >= window) & (start <= 0)
    entered = np.maximum(0, window - start)[known]
    ended = (start + hours <= 0)[known]
    seen = np.where(ended, hours[known], -start[known])
    law = fit(seen, ended, [""] * known.sum(), [""] * known.sum(), entered)
    assert law.deadline("", "", law.residual(0.9)).hours == pytest.approx(np.quantile(hours, 0.9), rel=0.08)


def test_a_lane_leans_on_its_partner_and_the_partner_on_the_stage() -> None:
    hours = np.concatenate([drawn(300, 5), 4 * drawn(300, 6), 8 * drawn(5, 7)])
    partners = ["a"] * 300 + ["b"] * 305
    lanes = ["x"] * 300 + ["y"] * 300 + ["z"] * 5
    law = fit(hours, np.ones(605, bool), partners, lanes)
    assert law.level("a", "x") == ("lane", 300)
    assert law.level("b", "z") == ("partner", 305)
    assert law.level("new", "x") == ("stage", 605)
    alone = float(np.log(hours[-5:]).mean())
    assert law.mean("b", "y") < law.mean("b", "z") < alone
    assert law.mean("new", "?") == pytest.approx(float(np.log(hours).mean()))
    assert means_of(law, partners, lanes)[-1] == law.mean("b", "z")


def test_a_stream_of_events_gives_the_law_of_the_fit() -> None:
    """What is learnt one by one differs from the fit only by when each residual was taken."""
    detector, state = LearnedDeadlines(), LearnedDeadlines().empty()
    for hours in drawn(400, 8):
        state = detector.step(state, {"partner": "p", "lane": "l", "hours": float(hours), "ended": True}).state
    law = Law.from_json(json.loads(json.dumps(state)))
    whole = fit(drawn(400, 8), np.ones(400, bool), ["p"] * 400, ["l"] * 400)
    assert law.lanes[lane_key("p", "l")] == pytest.approx(whole.lanes[lane_key("p", "l")])
    assert law.deadline("p", "l", law.residual(0.9)).hours == pytest.approx(
        whole.deadline("p", "l", whole.residual(0.9)).hours, rel=0.15
    )
    rare = detector.step(state, {"partner": "p", "lane": "l", "hours": 2000.0, "ended": False})
    assert rare.score > 2.5
    assert rare.state == detector.step(rare.state, {"partner": "p", "lane": "l", "hours": 1.0, "ended": False}).state


def test_lost_flows_and_a_slow_week_together_leave_deadlines_that_can_be_missed() -> None:
    hours = drawn(2000, 3)
    lost = np.random.default_rng(3).random(2000) < 0.02
    law = fit(np.where(lost, 1500.0, hours), ~lost, [""] * 2000, [""] * 2000)
    for law.pace, law.aims in ((0.6, {"0.98": 0.008}), (0.5, {"0.98": 0.008})):
        assert law.deadline("", "", law.residual(TASK)).hours <= hours[~lost].max() * math.exp(WIDTH)


def test_facts_of_the_beginning_shift_the_deadline_of_a_flow_within_its_lane() -> None:
    """Promises of 3 to 12 days on one lane, kept as promised; on Fridays two days more. One flow alone gets what it gets
    among many, bit for bit, and a flow without a promise gets the usual time."""
    rng = np.random.default_rng(11)
    span, clock = rng.uniform(72, 288, 3000), rng.uniform(0, 24, 3000)
    weekday = rng.integers(0, 7, 3000).astype(float)
    hours = 0.5 * span * np.exp(rng.normal(0, 0.2, 3000)) * np.where(weekday == 4, 1.5, 1.0)
    span[::50] = math.nan
    known = facts(span, weekday, clock)
    law = fit(hours, np.ones(3000, bool), ["p"] * 3000, ["l"] * 3000, known=known)
    law = Law.from_json(json.loads(json.dumps(law.as_json())))
    shifts = law.shift(known)
    assert [float(law.shift(known[at : at + 1])[0]) for at in range(100)] == shifts[:100].tolist()
    short, long, friday, none = law.shift(facts([80, 250, 250, math.nan], [1, 1, 4, 1], [12] * 4))
    assert long - short == pytest.approx(math.log(250 / 80), abs=0.1)
    assert friday - long == pytest.approx(math.log(1.5), abs=0.15)
    assert short < none < long
    late = np.mean(np.log(hours) > law.mean("p", "l") + shifts + law.residual(0.9))
    assert late == pytest.approx(0.1, abs=0.02)
    plain = fit(hours, np.ones(3000, bool), ["p"] * 3000, ["l"] * 3000)
    assert law.residual(0.9) < 0.7 * plain.residual(0.9), "what is known narrows the law"
    # a promise beyond all that was seen is worth no more than the longest seen
    assert law.shift(facts([9e9], [1], [12]))[0] < law.shift(facts([288], [1], [12]))[0] + 0.05


@pytest.mark.parametrize("slower", [1.0, 1.6])
def test_a_slow_week_moves_deadlines_before_it_is_in_the_quantile(slower: float) -> None:
    """Forty days as ever, and a week in which everything takes longer; seen at its end. Lost flows slow nothing."""
    rng = np.random.default_rng(12)
    start = rng.uniform(-45, 0, 9000) * 24
    hours = drawn(9000, 12, 0.5)
    hours = np.where(
        start + hours > -168, np.maximum(-168 - start, 0) + (hours - np.maximum(-168 - start, 0)) * slower, hours
    )
    lost = rng.random(9000) < 0.02
    ended = (start + hours <= 0) & ~lost
    seen, recent = np.where(ended, hours, -start), np.maximum(0.0, -168 - start)
    law = fit(seen, ended, [""] * 9000, [""] * 9000, np.zeros(9000), recent=recent)
    if slower == 1.0:
        assert law.pace == pytest.approx(1.0, abs=0.06)
    else:
        assert law.pace < 0.85
        before = Law.from_json(law.as_json() | {"pace": 1.0})
        assert law.residual(0.9) > before.residual(0.9) + 0.05
        assert law.residual(TASK) > before.residual(TASK) + 0.05


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1)), max_size=40), st.sampled_from([0.90, 0.98]))
def test_aims_stay_within_their_reach_and_move_against_what_was_missed(
    rounds: list[tuple[int, float]], q: float
) -> None:
    aims: dict[str, float] = {}
    for n, share in rounds:
        missed = round(n * share)
        before = aims.get(f"{q:.2f}", 1 - q)
        now = aims[f"{q:.2f}"] = aimed(aims, q, n, missed, 1.0)
        assert AIM_REACH[0] * (1 - q) - 1e-12 <= now <= AIM_REACH[1] * (1 - q) + 1e-12
        if n and missed / n > 1 - q:
            assert now <= before, "too many came late: the deadline moves out"
        if not missed:
            assert now >= before
        assert n or now == before


def test_aims_take_a_lasting_difference_back() -> None:
    """Twice as many come late as promised: within half a year the deadlines keep what they promise."""
    aims = {"0.90": 0.1}
    for _ in range(180):
        aims["0.90"] = aimed(aims, 0.9, 100, round(100 * 1.5 * aims["0.90"]), 1.0)
    assert 1.5 * aims["0.90"] == pytest.approx(0.1, abs=0.015)


def test_the_future_of_open_flows_moves_no_call_made_before_it() -> None:
    """Ends after a day are shuffled among the flows open then: whom the replay called late until that day, and when, stays,
    bit for bit; pace, aims and facts included."""
    rng = np.random.default_rng(13)
    start = np.sort(rng.uniform(0, 210, 900))
    end, moment = start + np.exp(rng.normal(1.5, 0.7, 900)), 180.0
    later = np.flatnonzero((start < moment) & (end >= moment))
    changed = end.copy()
    changed[later] = rng.permutation(end[later]) + 3.0
    lanes = np.where(np.arange(900) % 3 == 0, "a>b", "a>c")
    said = [
        judge(Stage("made", start - 1, start, until, np.floor(start) + 8, lanes, lanes), until)
        for until in (end, changed)
    ]
    for q in (0.90, 0.98):
        first, second = (np.where(one.at[q] < moment, one.at[q], np.inf) for one in said)
        assert np.array_equal(first, second)
    assert np.isfinite(said[0].at[0.90]).sum() > 20


def test_an_empty_law_still_answers() -> None:
    law = Law.from_json({})
    assert law.deadline("p", "l", law.residual(0.9)).hours == pytest.approx(3)
    assert LOW + WIDTH * 256 == 4.0


class TestFlows:
    def history(self, n: int = 120, who: str = "Carrier X") -> None:
        definitions()
        registry.load()
        carrier = partner(who)
        for number, hours in enumerate(drawn(n, 9)):
            ended = NOW - (number % 30 + 1) * DAY
            made = flow(
                f"{who} {number}",
                carrier,
                status="completed",
                awaiting="",
                opened_at=ended - timedelta(hours=float(hours)),
                attributes={"lane_from": "FR", "lane_to": "DE"},
            )
            made.milestones.create(name="shipped", ordinal=1, actual_at=ended, received_at=ended)

    def open(self, label: str, age: timedelta, **changes: Any) -> Any:
        return flow(
            label,
            partner("Carrier X"),
            opened_at=NOW - age,
            last_received_at=NOW,
            attributes={"lane_from": "FR", "lane_to": "DE"},
            **changes,
        )

    @pytest.mark.django_db
    def test_a_flow_slower_than_its_like_becomes_a_task_that_pages_nobody(self) -> None:
        self.history()
        slow, young = self.open("slow", 10 * DAY), self.open("young", timedelta(hours=5))
        assert deadlines.learn(NOW) == 1
        assert deadlines.learn(NOW + timedelta(hours=1)) == 0
        assert set(LearnedDeadline.objects.values_list("flow", flat=True)) == {slow.pk, young.pk}
        assert deadlines.tick(NOW).told == 1
        one = Anomaly.objects.get()
        assert one.tier == "task"
        assert one.flow == slow
        assert one.sentence.startswith(
            "98 of 100 comparable flows (FR>DE, carrier-x, n=120, 45 days) reached “Shipped”"
        )
        assert one.sentence.endswith("this one is at 10.0 days.")
        assert Incident.objects.count() == 0
        assert deadlines.tick(NOW + timedelta(minutes=1)).told == 0
        slow.awaiting = "delivered"
        slow.save()
        assert deadlines.tick(NOW + timedelta(minutes=2)).over == 1
        assert Anomaly.objects.open().count() == 0

    @pytest.mark.django_db
    def test_unheard_is_unknown_and_a_switch_is_obeyed(self) -> None:
        self.history()
        self.open("slow", 10 * DAY)
        source = integration("X feed", partner=partner("Carrier X"))
        state = SourceState.objects.create(integration=source, stale_since=NOW - DAY)
        deadlines.learn(NOW)
        assert deadlines.tick(NOW).told == 0
        state.stale_since = None
        state.save()
        assert deadlines.tick(NOW).told == 1

    @pytest.mark.django_db
    def test_a_deadline_is_never_drawn_nearer(self) -> None:
        self.history()
        young = self.open("young", timedelta(hours=5))
        deadlines.learn(NOW)
        said = LearnedDeadline.objects.get(flow=young).task_at
        row = LeadLaw.objects.get()
        law = Law.from_json(row.state)
        law.stage[1] -= 2 * law.stage[0]
        law.partners, law.lanes = {}, {}
        row.state = law.as_json()
        row.save()
        deadlines.refresh(NOW, since=NOW - DAY)
        assert LearnedDeadline.objects.get(flow=young).task_at == said

    @pytest.mark.django_db
    def test_what_came_late_moves_the_aims_of_its_stage(self) -> None:
        self.history()
        slow = [self.open(f"slow {number}", 10 * DAY) for number in range(8)]
        deadlines.learn(NOW)
        deadlines.tick(NOW)
        for one in slow:
            one.milestones.create(name="shipped", ordinal=1, actual_at=NOW, received_at=NOW)
            one.awaiting = "delivered"
            one.save()
        deadlines.tick(NOW + timedelta(minutes=1))
        row = MetricState.objects.get(detector=aims.RECORD)
        assert row.state == {"n": 8, "watch": 0, "task": 0}
        deadlines.learn(NOW + DAY, force=True)
        law = Law.from_json(LeadLaw.objects.get().state)
        assert law.aims["0.90"] < 0.1
        assert law.aims["0.98"] < 0.02
        row.refresh_from_db()
        assert row.state == {}, "what moved them is counted once"
        assert aims.spend(row.key, law.aims, NOW + 2 * DAY) == law.aims

    @pytest.mark.django_db
    def test_a_promised_time_is_read_from_the_milestone_and_kept_as_evidence(self) -> None:
        self.history()
        young = self.open("young", timedelta(hours=5))
        young.milestones.create(name="shipped", ordinal=1, planned_at=young.opened_at + 3 * DAY)
        deadlines.learn(NOW)
        evidence = LearnedDeadline.objects.get(flow=young).evidence
        assert evidence["facts"][0] == pytest.approx(math.log(72))
        assert evidence["facts"][1:8].index(1.0) == (NOW - timedelta(hours=5)).weekday()
        assert evidence["limit_hours"] == evidence["task_hours"]

    @pytest.mark.django_db
    def test_confirmed_outages_never_become_normal(self) -> None:
        self.history()
        deadlines.learn(NOW)
        n = LeadLaw.objects.get().state["stage"][0]
        KnownSpan.objects.create(
            kind="outage", partner=partner("Carrier X"), starts_at=NOW - 12 * DAY, ends_at=NOW - 6 * DAY, name="Strike",
            created_at=NOW,
        )  # fmt: skip
        deadlines.learn(NOW, force=True)
        assert LeadLaw.objects.get().state["stage"][0] < n - 10

    def test_a_thousand_flows_are_judged_in_a_blink(self) -> None:
        law = fit(drawn(5000), np.ones(5000, bool), ["p"] * 5000, [f"l{n % 200}" for n in range(5000)])
        laws = {("o", "a", "b"): LeadLaw(fitted_at=NOW, state=law.as_json())}
        local = NOW.replace(tzinfo=None)
        flows = [(n, "o", "a", "b", NOW, "p", f"l{n % 400}", None if n % 3 else 90.0, local) for n in range(1000)]
        begin = time.process_time()
        rows = deadlines.deadlines(flows, laws, NOW)
        assert time.process_time() - begin < 0.2
        assert len(rows) == 1000
        evidence = json.loads(rows[0][-1])
        mean = law.mean("p", "l0")
        assert evidence["task_hours"] == math.exp(mean + law.residual(TASK))
