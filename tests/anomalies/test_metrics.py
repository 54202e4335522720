"""Streams of our own: what is sampled by the half-hour, what is told of it, what is not learnt."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from apps.anomalies import metrics
from apps.anomalies.contract import DETECTORS
from apps.anomalies.detectors.metric import Stream, slot_of
from apps.anomalies.models import Anomaly, KnownSpan, MetricPoint, MetricState
from apps.incidents.models import Incident
from tests.dashboard.network import HOUR, NOW, event, integration, partner, told

pytestmark = pytest.mark.django_db
BUCKET = metrics.BUCKET


def learnt(metric: str = "errors", n: int = 700) -> tuple[int, Stream]:
    source = integration("Acme events", partner=partner("Acme Metals"))
    chance, stream = np.random.default_rng(1), Stream({}, metrics.WINDOW)
    for back in range(n, 0, -1):
        stream.push(float(chance.beta(2, 60)), slot_of(NOW - back * BUCKET))
    MetricState.objects.create(
        detector="metric", integration=source, key=metric, at=NOW - BUCKET, state=stream.as_json()
    )
    return source.pk, stream


def judge(value: float, pk: int, step: int = 0) -> metrics.Sampled:
    sources = {pk: integration("Acme events")}
    at = NOW + step * BUCKET
    return metrics.judge({(pk, "errors"): value}, sources, at, at + BUCKET)


def test_a_rate_far_above_its_usual_is_a_task_and_ends_by_itself() -> None:
    pk, _ = learnt()
    assert judge(0.03, pk).told == 0
    assert judge(0.6, pk, 1).told == 1
    one = Anomaly.objects.get()
    assert one.tier == "task"
    assert one.sentence.startswith("Acme events: share of messages that could not be read is 60.0 %; usual")
    assert one.evidence["seen"][-2:] == [0.03, 0.6]
    assert Incident.objects.count() == 0
    assert judge(0.6, pk, 2).told == 0
    assert judge(0.03, pk, 3).over == 1
    assert Anomaly.objects.open().count() == 0
    assert MetricPoint.objects.count() == 4


def test_lower_is_not_worse_and_an_outage_is_not_learnt() -> None:
    pk, _ = learnt()
    assert judge(0.0, pk).told == 0
    judge(0.6, pk, 1)
    before = MetricState.objects.get(detector="metric").state["ranks"]["high"]
    judge(0.7, pk, 2)
    assert MetricState.objects.get(detector="metric").state["ranks"]["high"] == before


def test_a_known_exception_is_not_judged() -> None:
    pk, _ = learnt()
    KnownSpan.objects.create(
        kind="expected", integration_id=pk, starts_at=NOW - HOUR, ends_at=NOW + 5 * HOUR, name="Test", created_at=NOW
    )
    assert judge(0.9, pk).told == 0


def test_values_are_taken_from_what_came_once_a_half_hour() -> None:
    source = integration("Acme events")
    bodies = [event(n, happened_at=(NOW - (n % 3) * HOUR).isoformat()) for n in range(9)]
    told(source, [*bodies, bodies[0], b"{", event(20, "acme.surprise")], at=NOW - timedelta(minutes=20))
    at = NOW + timedelta(minutes=6)
    assert metrics.tick(at).points == 6
    assert metrics.tick(at + timedelta(minutes=1)).points == 0
    values = dict(MetricPoint.objects.values_list("metric", "value"))
    assert values["errors"] == pytest.approx(1 / 12, abs=0.1)
    assert values["duplicates"] > 0
    assert values["disorder"] > 0.3
    assert values["backlog"] == 0
    assert 0 < values["delay"] < 3 * 3600
    assert set(values) == set(metrics.METRICS)


def test_evidence_of_the_detector_itself_replays() -> None:
    _, stream = learnt(n=150)
    detector = DETECTORS.get("metric")
    outcome = detector.step(stream.as_json(), {"value": 0.9, "slot": "0 10:00"})
    assert detector.replay(outcome.evidence) == outcome.score > 4
