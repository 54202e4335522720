"""Escalation over real connections: many ticks and people at the same moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.accounts.models import Role
from apps.incidents import workflow
from apps.incidents.models import Incident, IncidentEvent
from apps.notifications.escalation_models import AwaitedStep, EscalationPolicy, EscalationRoute
from apps.notifications.escalation_tick import tick
from apps.notifications.planning import plan
from tests.incidents.builders import MINUTE, NOW, at_once, draft, person

pytestmark = pytest.mark.django_db(transaction=True)
Kind = IncidentEvent.Kind


@pytest.fixture
def incidents() -> list[Incident]:
    """Twelve incidents whose second step is due in five minutes."""
    for name in ("mara", "jon", "kim"):
        person(name, role=Role.ON_CALL)
    steps = [
        {"after": after, "targets": [{"kind": "person", "ref": ref}]}
        for after, ref in ((0, "mara"), (5, "jon"), (5, "kim"))
    ]
    made = EscalationPolicy.objects.create(slug="p", name="P", steps=steps, lapse_after=timedelta(minutes=30))
    EscalationRoute.objects.create(position=1, policy=made)
    workflow.raise_findings([draft(key, cause=key) for key in range(12)], NOW)
    plan(NOW)
    return list(Incident.objects.order_by("pk"))


def test_of_six_ticks_at_once_each_step_is_called_once(incidents: list[Incident]) -> None:
    now = NOW + 6 * MINUTE
    results = at_once([lambda: tick(now).called for _ in range(6)])
    assert all(isinstance(one, int) for one in results), results
    for _ in range(2):  # what a tick passed over because another held it is done by the next
        results.append(tick(now).called)
    assert sum(results) == 12
    assert IncidentEvent.objects.filter(kind=Kind.ESCALATED).count() == 12
    assert AwaitedStep.objects.filter(done_at=None, step=2).count() == 12


def test_ticks_while_people_acknowledge(incidents: list[Incident]) -> None:
    """Whoever is first: an incident that was acknowledged is called at most once more, and nothing is awaited twice."""
    mara = person("ann", role=Role.ON_CALL)
    now = NOW + 6 * MINUTE
    works: list[Any] = [lambda: tick(now), lambda: tick(now)]
    works += [lambda pk=one.pk: workflow.acknowledge(pk, mara, now) for one in incidents]
    results = at_once(works)
    assert not [one for one in results if isinstance(one, Exception)], results
    tick(now + MINUTE)
    tick(now + MINUTE)
    assert set(Incident.objects.values_list("state", flat=True)) == {"acknowledged"}
    assert not AwaitedStep.objects.filter(done_at=None, kind="step").exists()
    assert AwaitedStep.objects.filter(done_at=None, kind="lapse").count() == 12
    tick(NOW + 60 * MINUTE)
    assert set(Incident.objects.values_list("state", flat=True)) == {"open"}
