"""What every detector must keep, whatever it detects: pure, of bounded size, blind to the future, replayable bit for bit."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.anomalies.contract import DETECTORS, Detector, NoInputs, OtherModel, packed, unpacked
from apps.anomalies.detectors.metric import WINDOW, Stream, slot_of
from tests.anomalies.test_metric import START, timedelta

Events = list[dict[str, Any]]
LARGEST = 8 * 1024


def feed(chance: random.Random) -> Events:
    return [
        {
            "expected": [chance.choice([None, 4.0, 9.5, 0.3]) for _ in range(chance.randint(1, 5))][:1] * 2,
            "seen": [float(chance.randint(0, 20)), float(chance.randint(0, 20))],
            "dispersion": chance.choice([1.0, 1.7, 4.0]),
        }
        for _ in range(40)
    ]


def deadline(chance: random.Random) -> Events:
    return [
        {
            "partner": chance.choice(["a", "b", ""]),
            "lane": chance.choice(["FR>DE", "DE>DE", ""]),
            "hours": chance.lognormvariate(3, 0.7),
            "ended": chance.random() < 0.8,
        }
        for _ in range(60)
    ]


def metric(chance: random.Random) -> Events:
    return [
        {"value": chance.gauss(50, 5) + (200 if n == 120 else 0), "slot": slot_of(START + n * timedelta(minutes=30))}
        for n in range(140)
    ]


def drift(chance: random.Random) -> Events:
    return [
        {"residual": chance.gauss(0, 0.4) + (0.6 if n > 80 else 0)}
        if n % 10
        else {"started": [[round(chance.gauss(0, 0.6), 4), chance.random() < 0.6] for _ in range(120)]}
        for n in range(140)
    ]


def path(chance: random.Random) -> Events:
    steps = ["order.placed", "pick.completed", "shipment.dispatched", "delivery.completed"]
    return [
        {"flow": "order", "steps": chance.sample(steps, 4) if n % 9 == 8 else steps, "forbidden": []}
        for n in range(140)
    ]


def schema(chance: random.Random) -> Events:
    return [
        {"fields": {"id": "string", "qty": "number" if n < 60 else "string", **({"note": "null"} if n % 3 else {})}}
        for n in range(80)
    ]


STREAMS: dict[str, Callable[[random.Random], Events]] = {
    "feed": feed,
    "deadline": deadline,
    "metric": metric,
    "drift": drift,
    "path": path,
    "schema": schema,
}


@pytest.fixture(params=sorted(DETECTORS.plugins))
def detector(request: pytest.FixtureRequest) -> Detector:
    return DETECTORS.get(request.param)


def events_of(detector: Detector, seed: int = 1) -> Events:
    assert detector.kind in STREAMS, f"say in STREAMS what a stream of {detector.kind!r} looks like"
    return STREAMS[detector.kind](random.Random(seed))


def run(detector: Detector, events: Events) -> list[tuple[float, str]]:
    state, found = detector.empty(), []
    for event in events:
        outcome = detector.step(state, event)
        state = outcome.state
        found.append((outcome.score, json.dumps(outcome.state, sort_keys=True)))
    return found


def test_it_has_a_name_a_label_and_a_version(detector: Detector) -> None:
    assert detector.label
    assert detector.model == f"{detector.kind}/{detector.version}"


def test_the_same_events_give_the_same_scores_and_arguments_stay_as_they_were(detector: Detector) -> None:
    events = events_of(detector)
    before = copy.deepcopy(events)
    first = run(detector, events)
    assert events == before
    assert first == run(detector, events)
    state = json.loads(first[len(first) // 2][1])
    kept = copy.deepcopy(state)
    detector.step(state, events[-1])
    assert state == kept
    assert any(score != 0 for score, _ in first)


def test_the_state_survives_json_at_every_step(detector: Detector) -> None:
    events = events_of(detector)
    state = detector.empty()
    plain = run(detector, events)
    for event, (score, _) in zip(events, plain, strict=True):
        outcome = detector.step(json.loads(json.dumps(state)), event)
        assert outcome.score == score
        state = outcome.state


def test_permuting_the_future_leaves_every_score_as_it_was(detector: Detector) -> None:
    events = events_of(detector)
    half = len(events) // 2
    later = events[half:]
    random.Random(7).shuffle(later)
    assert [score for score, _ in run(detector, events[:half] + later)][:half] == [
        score for score, _ in run(detector, events)
    ][:half]


def test_its_evidence_gives_the_same_score_a_year_later(detector: Detector) -> None:
    state, whole = detector.empty(), detector.empty()
    for event in events_of(detector):
        outcome = detector.step(state, event)
        text = json.dumps(outcome.evidence)
        assert len(text) < LARGEST
        assert detector.replay(json.loads(text)) == outcome.score == json.loads(text)["score"]
        whole, state = state, outcome.state
    assert detector.rescore(*detector.needed(whole, event)) == detector.judge(whole, event)[1]


def test_evidence_of_long_histories_stays_small_and_still_replays(detector: Detector) -> None:
    state = detector.empty()
    if detector.kind == "metric":  # a full window, learnt without writing the state down each time
        stream, chance = Stream({}), random.Random(3)
        for number in range(WINDOW + 50):
            stream.push(chance.gauss(50, 5), slot_of(START + number * timedelta(minutes=30)))
        state = stream.as_json()
    for event in [one for seed in range(1, 12 if not state else 1) for one in events_of(detector, seed)]:
        state = detector.judge(state, event)[0]
    for event in events_of(detector, 99)[-40:]:
        outcome = detector.step(state, event)
        text = json.dumps(outcome.evidence)
        assert len(text) < LARGEST
        assert detector.replay(json.loads(text)) == outcome.score
        state = outcome.state


def test_evidence_it_must_not_or_cannot_judge_is_refused_in_words(detector: Detector) -> None:
    state = detector.empty()
    for event in events_of(detector):
        outcome = detector.step(state, event)
        state = outcome.state
    stored = json.loads(json.dumps(outcome.evidence))
    with pytest.raises(OtherModel, match=f"written by {detector.kind}/0, the detector at hand is {detector.model}"):
        detector.replay({**stored, "model": f"{detector.kind}/0"})
    with pytest.raises(OtherModel, match="an unnamed model"):
        detector.replay({})
    with pytest.raises(NoInputs, match="only the figures shown"):
        detector.replay({"model": detector.model, "score": 3.0})
    for spoilt in ("AAAA", "", "no base64!", str(packed({"a": "b" * 2_000}))[:-20]):
        with pytest.raises(NoInputs, match="cannot be read"):
            detector.replay({**stored, "state": spoilt, "event": {}})


@given(
    st.dictionaries(
        st.text(max_size=8), st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40), max_size=6
    )
)
def test_a_packed_state_comes_back_bit_for_bit(state: dict[str, Any]) -> None:
    again = unpacked(json.loads(json.dumps(packed(state))))
    assert json.dumps(again, sort_keys=True) == json.dumps(state, sort_keys=True)


def test_the_state_does_not_grow_with_what_it_has_seen(detector: Detector) -> None:
    """Twice and four times as many events of the same keys: the state's size levels off."""
    events = events_of(detector) * 2
    sizes = [len(run(detector, events * times)[-1][1]) for times in (1, 2)]
    limit = 2.2 if detector.kind in ("metric", "path") else 1.15  # windows of 6,000 and 1,000 fill first
    assert sizes[1] <= limit * sizes[0]
