"""What was told is computed again from its row alone: on every path that tells, and on the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.anomalies import deadlines, paths, replaying, schemas
from apps.anomalies.models import Anomaly, MetricState
from apps.flows import registry
from tests.anomalies import test_metrics as metric_rounds
from tests.anomalies.test_change import UnusualPath
from tests.anomalies.test_deadlines import NOW as THEN
from tests.anomalies.test_deadlines import TestFlows as Flows
from tests.dashboard.network import HOUR, NOW, definitions, event, flow, integration, partner, told

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def metric() -> None:
    pk, _ = metric_rounds.learnt()
    metric_rounds.judge(0.03, pk)
    metric_rounds.judge(0.6, pk, 1)


def deadline() -> None:
    made = Flows()
    made.history()
    made.open("slow", 10 * DAY)
    deadlines.learn(THEN)
    deadlines.tick(THEN)


def path() -> None:
    slug, state = definitions().slug, UnusualPath().empty()
    registry.load()
    for _ in range(400):
        state = UnusualPath().judge(state, {"steps": ["placed", "shipped", "delivered"]})[0]
    MetricState.objects.create(detector="path", key=slug, at=NOW - DAY, state=state)
    odd = flow("odd", partner("Carrier X"), status="completed", awaiting="", closed_at=NOW - HOUR)
    odd.milestones.create(name="delivered", ordinal=2, actual_at=NOW - HOUR, received_at=NOW - HOUR)
    paths.run(NOW)


def schema() -> None:
    source = integration("Acme events", partner=partner("Acme Metals"))
    for batch in range(4):
        told(source, [event(batch * 20 + n) for n in range(20)], at=NOW + batch * timedelta(minutes=5))
        schemas.run(NOW + batch * timedelta(minutes=5))
    changed = [{**event(100 + n), "id": n, "weight": 3, "x" * 9_000: 1} for n in range(8)]
    at = NOW + timedelta(minutes=30)
    told(source, [json.dumps(one).encode() for one in changed], at=at)
    schemas.run(at)


@pytest.mark.parametrize("tell", [metric, deadline, path, schema])
def test_what_is_told_replays_from_its_row(tell: Callable[[], None]) -> None:
    tell()
    rows = list(Anomaly.objects.filter(detector=tell.__name__))
    assert rows
    for row in rows:
        assert len(json.dumps(row.evidence)) < 8 * 1024
        found = replaying.replayed(row)
        assert found.same
        assert found.again == found.stored == row.score > 0
        assert replaying.words(row) == "Replays to the same score"


def run(pk: int) -> str:
    out = io.StringIO()
    call_command("replay_anomaly", str(pk), stdout=out)
    return out.getvalue()


def test_the_command_says_both_scores_and_refuses_in_words() -> None:
    metric()
    row = Anomaly.objects.get()
    said = run(row.pk)
    assert said.count(repr(row.score)) == 2
    assert "bit for bit" in said

    def spoilt(**changes: Any) -> None:
        Anomaly.objects.filter(pk=row.pk).update(evidence={**row.evidence, **changes})

    spoilt(event={**row.evidence["event"], "value": 0.02})
    with pytest.raises(CommandError, match="cannot be read"):
        run(row.pk)
    spoilt(score=row.score + 1e-12)
    with pytest.raises(CommandError, match="The two differ"):
        run(row.pk)
    spoilt(model="metric/99")
    with pytest.raises(CommandError, match="written by metric/99, the detector at hand is metric/2"):
        run(row.pk)
    Anomaly.objects.filter(pk=row.pk).update(evidence={"model": "metric/2", "score": 3.0})
    with pytest.raises(CommandError, match="only the figures shown"):
        run(row.pk)
    with pytest.raises(CommandError, match="no anomaly 0"):
        run(0)
