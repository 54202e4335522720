"""Who hears of what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role, Team, User
from apps.incidents import workflow
from apps.incidents.models import Incident, IncidentEvent
from apps.notifications.models import Delivery
from apps.notifications.planning import plan
from apps.notifications.routing import Router
from apps.oncall.models import Override, Schedule
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, person, team, uid
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def crew() -> Team:
    return team("night", email="night@tower.example")


@pytest.fixture
def mara(crew: Team) -> User:
    """On call for the team from NOW on; jon is from a week later."""
    mara, jon = person("mara", role=Role.ON_CALL), person("jon", role=Role.ON_CALL)
    rotation_of(crew, "Night", NOW, timedelta(days=7), [mara, jon])
    return mara


def raised(team_id: int | None = None, key: object = 1, **values: object) -> Incident:
    workflow.raise_findings([draft(key, cause=key, team_id=team_id, **values)], NOW)
    return Incident.objects.get(fingerprint=uid("cause", key))


def addresses(incident: Incident, kind: str, at: object = NOW) -> list[str]:
    event = IncidentEvent.objects.filter(incident=incident, kind=kind).latest("id")
    return [recipient.address for recipient in Router(at).recipients(event)]  # type: ignore[arg-type]


def test_who_is_on_call_now(crew: Team, mara: User) -> None:
    incident = raised(crew.pk)
    assert addresses(incident, "opened") == ["mara@tower.example"]
    assert addresses(incident, "opened", NOW + timedelta(days=7)) == ["jon@tower.example"]
    schedule = Schedule.objects.get()
    Override.objects.create(schedule=schedule, user=person("kim"), start=NOW, end=NOW + HOUR)
    assert addresses(incident, "opened") == ["kim@tower.example"]


def test_then_the_team_then_everybody_on_call(crew: Team, mara: User) -> None:
    User.objects.filter(pk=mara.pk).update(email="")
    incident = raised(crew.pk)
    assert addresses(incident, "opened") == ["night@tower.example"]
    Team.objects.update(email="")
    assert addresses(incident, "opened") == ["jon@tower.example"]
    assert addresses(raised(None, key=2), "opened") == ["jon@tower.example"]


def test_nobody_to_reach_is_said_on_the_timeline_and_not_lost() -> None:
    incident = raised()
    assert plan(NOW) == 1
    row = incident.timeline.get(kind="notified")
    assert row.text == "Nobody could be called: the incident has no team; nobody has the role on-call."
    assert (row.data["failed"], row.data["nobody"]) == (True, True)
    assert not Delivery.objects.exists()
    assert plan(NOW) == 0


def test_assigning_tells_the_assignee_and_nobody_who_assigns_to_themselves(crew: Team, mara: User) -> None:
    incident = raised(crew.pk)
    kim = person("kim")
    workflow.assign(incident.pk, mara, NOW, assignee=kim)
    assert addresses(incident, "assigned") == ["kim@tower.example"]
    workflow.assign(incident.pk, kim, NOW, assignee=kim)
    assert addresses(incident, "assigned") == []
    other = team("returns", email="returns@tower.example")
    workflow.assign(incident.pk, mara, NOW, team=other)
    assert addresses(incident, "assigned") == ["returns@tower.example"]


def test_worse_goes_to_who_works_on_it(crew: Team, mara: User) -> None:
    incident = raised(crew.pk)
    workflow.acknowledge(incident.pk, person("kim"), NOW)
    workflow.raise_findings([draft("more", cause=1, severity="critical")], NOW + MINUTE)
    assert addresses(incident, "severity") == ["kim@tower.example"]
    workflow.unacknowledge(incident.pk, mara, NOW + 2 * MINUTE)
    assert addresses(incident, "severity") == ["mara@tower.example"]


def test_the_end_is_told_to_whom_the_beginning_was(crew: Team, mara: User) -> None:
    incident = raised(crew.pk)
    plan(NOW)
    Delivery.objects.update(state="sent", attempts=1, sent_at=NOW)
    workflow.resolve(incident.pk, person("kim"), NOW + HOUR, "fixed")
    assert addresses(incident, "resolved", NOW + timedelta(days=7)) == ["mara@tower.example"]
    # a second life has its own list
    workflow.reopen(incident.pk, person("ace"), NOW + 2 * HOUR)
    workflow.resolve(incident.pk, mara, NOW + 3 * HOUR, "fixed")
    assert addresses(incident, "resolved") == []


@pytest.mark.parametrize(("state", "attempts", "told"), [("waiting", 0, 0), ("waiting", 1, 1), ("dead", 12, 0)])
def test_who_was_never_called_is_not_told_of_the_end(
    crew: Team, mara: User, state: str, attempts: int, told: int
) -> None:
    incident = raised(crew.pk)
    plan(NOW)
    Delivery.objects.update(state=state, attempts=attempts)
    workflow.resolve(incident.pk, mara, NOW + HOUR, "fixed")
    assert len(addresses(incident, "resolved")) == told


def test_one_address_gets_one_message() -> None:
    person("a", role=Role.ON_CALL, email="Shift@tower.example")
    person("b", role=Role.ON_CALL, email="shift@tower.example")
    person("c", role=Role.ON_CALL, email="c@tower.example", is_active=False)
    person("d", role=Role.MANAGER)
    assert addresses(raised(), "opened") == ["Shift@tower.example"]


def test_planning_asks_for_each_team_once(crew: Team, mara: User) -> None:
    workflow.raise_findings([draft(n, cause=n, team_id=crew.pk) for n in range(3)], NOW)
    with CaptureQueriesContext(connection) as few:
        assert plan(NOW) == 3
    workflow.raise_findings([draft(n, cause=n, team_id=crew.pk) for n in range(10, 110)], NOW)
    with CaptureQueriesContext(connection) as many:
        assert plan(NOW) == 100
    assert len(many) == len(few)
