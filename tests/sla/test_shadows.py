"""Shadow rules: tried beside what counts, seen by nobody, compared with what came."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from apps.incidents.models import Finding
from apps.sla import shadows, sweep
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, ExpectationTally, ShadowExpectation
from tests.sla.builders import HOUR, T0, World, book, flow_state, reached, rule_row


def due(hours: int, **more: Any) -> dict[str, Any]:
    return {"due": {"after": {"milestone": "sent", "duration": f"PT{hours}H"}}, **more}


def test_a_shadow_stands_in_its_place_in_the_order() -> None:
    shelf = book(
        rule_row(due(4), slug="a", position=10),
        rule_row(due(9), slug="b", position=20),
        rule_row(due(1), slug="b", version=2, position=20, lifecycle="shadow"),
        rule_row(due(2, when={"partner": ["acme"]}), slug="c", position=5, lifecycle="shadow"),
    )
    state = flow_state(reached("sent", T0))
    found = {slug: draft.due_at for slug, draft in shadows.derive(state, shelf)}
    assert found == {"c": T0 + 2 * HOUR}, "b's shadow is behind a, which takes every flow"
    assert shelf.shadow_slugs == ["b", "c"]
    stop = shelf.stop(1, "acme", "asn")
    assert stop is not None
    assert [rule.row.slug for rule in stop.rules] == ["a", "b"]
    assert [rule.row.version for rule in stop.rules] == [1, 1]


@pytest.mark.django_db
def test_a_shadow_tells_nobody_counts_nowhere_and_is_compared() -> None:
    world = World(stale_after=timedelta(days=9))
    world.rule(due(4))
    world.rule(due(2), version=2, lifecycle="shadow")
    world.heard(T0)
    flows = {
        "early": [reached("sent", T0), reached("asn", T0 + HOUR)],
        "between": [reached("sent", T0), reached("asn", T0 + 3 * HOUR)],
        "late": [reached("sent", T0), reached("asn", T0 + 5 * HOUR)],
        "never": [reached("sent", T0)],
        "ahead": [reached("sent", T0 + 30 * HOUR)],
    }
    states = [world.flow(label, *milestones) for label, milestones in flows.items()]
    with transaction.atomic():
        refresh(states, T0 + 6 * HOUR)
    tallied = sum(ExpectationTally.objects.values_list("n", flat=True))
    now = T0 + 30 * HOUR
    assert sweep.run(now).breached == 1
    assert Finding.objects.count() == 1
    assert Expectation.objects.count() == ShadowExpectation.objects.count() == 5
    assert set(Expectation.objects.values_list("rule__version", flat=True)) == {1}
    assert tallied == 2
    found = shadows.compare("asn-in-time", now)
    assert (found.flows, found.judged, found.late) == (5, 4, 3)
    assert (found.both, found.only_shadow, found.only_active) == (2, 1, 0)
    assert (found.came, found.never, found.unmeasured) == (2, 1, 0)
    assert [(sort, one.label) for sort, one in found.samples] == [("only_shadow", "between")]
    # a flow that the shadow does not speak for any more leaves it; once in force it is history
    world.rule(due(2, when={"partner": ["other"]}), version=3, lifecycle="shadow")
    with transaction.atomic():
        refresh(states[:1], now)
    assert ShadowExpectation.objects.count() == 4
    world.rule(due(2), version=4)
    with transaction.atomic():
        refresh(states, now)
    assert ShadowExpectation.objects.count() == 4
    assert Expectation.objects.get(flow__label="never").due_at == T0 + 2 * HOUR
