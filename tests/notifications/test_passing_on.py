"""What is done in the tower is done to the alert in PagerDuty and Opsgenie, and tells nobody a second time."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role, User
from apps.incidents import workflow
from apps.incidents.models import Incident
from apps.notifications.models import Channel, Delivery
from apps.notifications.planning import plan
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, person, uid

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def mara(db: None) -> User:
    """On call, so that people are among those called; four channels hear of every incident."""
    for kind in ("pagerduty", "opsgenie", "slack", "webhook"):
        Channel.objects.create(
            slug=kind, name=kind.title(), kind=kind, listens=True, min_severity="low", created_at=NOW
        )
    return person("mara", role=Role.ON_CALL)


def raised(key: object = 1) -> Incident:
    workflow.raise_findings([draft(key, cause=key)], NOW)
    return Incident.objects.get(fingerprint=uid("cause", key))


def told(incident: Incident, kind: str) -> list[tuple[str, str]]:
    rows = Delivery.objects.filter(incident_event__incident=incident, incident_event__kind=kind)
    return list(rows.order_by("channel", "id").values_list("channel", "recipient"))


BOTH = [("opsgenie", "*"), ("pagerduty", "*")]


def test_an_acknowledgment_goes_to_the_alerts_and_to_nobody_else(mara: User) -> None:
    incident = raised()
    plan(NOW)
    assert [channel for channel, _ in told(incident, "opened")] == [
        "email",
        "opsgenie",
        "pagerduty",
        "slack",
        "webhook",
    ]
    workflow.acknowledge(incident.pk, mara, NOW + MINUTE, text="on it")
    assert plan(NOW + MINUTE) == 1
    assert told(incident, "acknowledged") == BOTH
    assert Delivery.objects.filter(text="Acknowledged by Mara. on it").count() == 2
    assert plan(NOW + MINUTE) == 0
    assert not incident.timeline.filter(kind="notified").exists(), "nobody had to be reached"


def test_opened_and_acknowledged_in_one_turn_is_both_over_there(mara: User) -> None:
    incident = raised()
    workflow.acknowledge(incident.pk, mara, NOW)
    plan(NOW)
    assert told(incident, "acknowledged") == BOTH
    order = list(
        Delivery.objects.filter(channel="pagerduty").order_by("id").values_list("incident_event__kind", flat=True)
    )
    assert order == ["opened", "acknowledged"]


def test_no_alert_no_acknowledgment(mara: User) -> None:
    """A tool that was never told, that is off, or whose alert is closed, is left alone."""
    Channel.objects.filter(slug="opsgenie").update(listens=False)
    incident = raised()
    plan(NOW)
    workflow.acknowledge(incident.pk, mara, NOW)
    plan(NOW)
    assert told(incident, "acknowledged") == [("pagerduty", "*")]
    third = raised(3)
    plan(NOW)
    workflow.resolve(third.pk, mara, NOW + MINUTE, "fixed")
    Channel.objects.update(listens=False)
    workflow.reopen(third.pk, mara, NOW + HOUR)
    workflow.acknowledge(third.pk, mara, NOW + HOUR)
    plan(NOW + HOUR)
    assert told(third, "acknowledged") == []
    fourth = raised(4)
    Channel.objects.update(listens=True)
    plan(NOW)
    Channel.objects.update(enabled=False)
    workflow.acknowledge(fourth.pk, mara, NOW)
    plan(NOW)
    assert told(fourth, "acknowledged") == []


def test_a_call_that_was_given_up_may_have_arrived_and_is_followed_by_what_became_of_it(mara: User) -> None:
    other = raised(2)
    plan(NOW)
    Delivery.objects.filter(incident_event__incident=other).update(state="dead")
    workflow.acknowledge(other.pk, mara, NOW)
    workflow.resolve(other.pk, mara, NOW, "fixed")
    plan(NOW)
    assert told(other, "acknowledged") == BOTH
    assert [channel for channel, _ in told(other, "resolved")] == ["opsgenie", "pagerduty", "webhook"]


def test_many_acknowledgments_cost_as_much_as_one(mara: User) -> None:
    incidents = [raised(n) for n in range(12)]
    plan(NOW)
    workflow.acknowledge(incidents[0].pk, mara, NOW)
    with CaptureQueriesContext(connection) as few:
        plan(NOW)
    for one in incidents[1:]:
        workflow.acknowledge(one.pk, mara, NOW)
    with CaptureQueriesContext(connection) as many:
        assert plan(NOW) == 11
    assert len(many) == len(few)
    assert Delivery.objects.filter(incident_event__kind="acknowledged").count() == 24
