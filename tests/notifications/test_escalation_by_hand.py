"""Escalated by a person: the next step at once, who and why on the timeline, and the tick goes on from there."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from apps.accounts.models import Role, User
from apps.incidents import workflow
from apps.incidents.models import Incident
from apps.incidents.workflow import NotPossible
from apps.notifications.escalation_by_hand import escalate
from apps.notifications.escalation_models import AwaitedStep, EscalationPolicy
from apps.notifications.escalation_tick import tick
from apps.notifications.models import Delivery
from apps.notifications.planning import plan
from tests.incidents.builders import HOUR, MINUTE, NOW, at_once, consistent, draft, person, uid
from tests.notifications.test_escalation import called, policy, raised

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> dict[str, User]:
    return {name: person(name, role=Role.ON_CALL) for name in ("mara", "jon", "kim")}


@pytest.fixture
def ladder(people: dict[str, User]) -> EscalationPolicy:
    return policy((0, "person", "mara"), (5, "person", "jon"), (10, "person", "kim"), repeat=1, pause=30 * MINUTE)


def moved(minutes: float) -> datetime:
    now = NOW + timedelta(minutes=minutes)
    tick(now)
    plan(now)
    return now


def test_the_next_step_is_called_now_and_the_one_after_it_from_now(
    ladder: EscalationPolicy, people: dict[str, User]
) -> None:
    incident = raised()
    assert called(incident) == ["mara"]
    row = escalate(incident.pk, people["mara"], NOW + MINUTE, "I am on a train")
    plan(NOW + MINUTE)
    assert called(incident) == ["mara", "jon"]
    assert (row.kind, row.actor, row.text, row.data["to"], row.data["step"]) == (
        "escalated",
        people["mara"],
        "I am on a train",
        "Jon",
        2,
    )
    text = Delivery.objects.get(recipient="jon@tower.example").text
    assert text == "Mara escalated it: I am on a train Parcel 1 has no first scan, due 18:00."
    moved(5.5)
    assert called(incident) == ["mara", "jon"], "jon is not called twice: the step was taken"
    moved(11)
    assert called(incident) == ["mara", "jon", "kim"]
    moved(41)
    assert called(incident)[3:] == ["mara"], "the second round follows as ever"
    consistent()


def test_who_had_it_has_it_no_more_and_nothing_reminds_them(ladder: EscalationPolicy, people: dict[str, User]) -> None:
    incident = raised()
    workflow.acknowledge(incident.pk, people["mara"], NOW)
    moved(1)
    escalate(incident.pk, people["mara"], NOW + 2 * MINUTE, "out of my depth")
    plan(NOW + 2 * MINUTE)
    incident.refresh_from_db()
    assert (incident.state, incident.acknowledged_by, incident.acknowledged_at) == ("open", None, None)
    assert called(incident) == ["mara", "jon"]
    [waiting] = AwaitedStep.objects.filter(incident=incident, done_at=None)
    assert (waiting.kind, waiting.step, waiting.due_at) == ("step", 2, NOW + 12 * MINUTE)
    consistent()


def test_a_first_step_that_has_its_time_is_called_at_once(people: dict[str, User]) -> None:
    policy((20, "person", "jon"), (10, "person", "kim"))
    incident = raised()
    assert called(incident) == []
    escalate(incident.pk, people["mara"], NOW + MINUTE, "the dock is closed")
    plan(NOW + MINUTE)
    assert called(incident) == ["jon"]
    moved(11.5)
    assert called(incident) == ["jon", "kim"]


def test_what_was_opened_a_second_ago_is_not_called_twice(ladder: EscalationPolicy, people: dict[str, User]) -> None:
    workflow.raise_findings([draft(1, cause=1)], NOW)
    incident = Incident.objects.get(fingerprint=uid("cause", 1))
    escalate(incident.pk, people["kim"], NOW, "nobody is there")
    plan(NOW)
    assert sorted(called(incident)) == ["jon", "mara"]


def test_without_a_policy_whoever_is_on_call(people: dict[str, User]) -> None:
    incident = raised()
    before = len(called(incident))
    row = escalate(incident.pk, people["mara"], NOW + HOUR, "still there")
    plan(NOW + HOUR)
    assert len(called(incident)) == before + 3
    assert "targets" not in row.data


def test_a_reason_and_an_incident_that_goes_on_are_needed(ladder: EscalationPolicy, people: dict[str, User]) -> None:
    incident = raised()
    with pytest.raises(NotPossible, match="Say why"):
        escalate(incident.pk, people["mara"], NOW, " ")
    workflow.resolve(incident.pk, people["mara"], NOW, "fixed")
    with pytest.raises(NotPossible, match="You already resolved"):
        escalate(incident.pk, people["mara"], NOW, "x")
    with pytest.raises(Incident.DoesNotExist):
        escalate(999_999, people["mara"], NOW, "x")
    with pytest.raises(NotPossible, match="Partners"):
        escalate(raised(2).pk, person("pat", role=Role.PARTNER), NOW, "x")


@pytest.mark.django_db(transaction=True)
def test_beside_a_tick_and_an_acknowledgment_each_step_is_called_once(transactional_db: None) -> None:
    people = {name: person(name, role=Role.ON_CALL) for name in ("mara", "jon", "kim")}
    policy((0, "person", "mara"), (5, "person", "jon"), (10, "person", "kim"))
    incident = raised()
    now = NOW + 5 * MINUTE

    def by_hand() -> object:
        return escalate(incident.pk, people["mara"], now, "x")

    results = at_once([by_hand, *[lambda: tick(now)] * 4])
    assert not [one for one in results if isinstance(one, Exception)]
    plan(now)
    names = called(incident)
    assert names[:2] == ["mara", "jon"]
    assert len(names) == len(set(names)), "nobody is called twice"
    assert AwaitedStep.objects.filter(incident=incident, done_at=None, kind="step").count() <= 1
