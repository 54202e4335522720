"""An acknowledged breach comes back silently only while the acknowledgment held to its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from apps.accounts.models import Role, User
from apps.incidents import workflow
from apps.incidents.lapsing import lapse
from apps.incidents.models import Incident
from apps.notifications.escalation_by_hand import escalate
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, person

pytestmark = pytest.mark.django_db
Deed = Callable[[Incident, User, datetime], object]


def lapsed(incident: Incident, mara: User, now: datetime) -> object:
    return lapse(incident.pk, NOW, now, "The acknowledgment has run out")


def woken(incident: Incident, mara: User, now: datetime) -> object:
    workflow.snooze(incident.pk, mara, now, now + MINUTE)
    return workflow.wake(now + MINUTE)


ENDS: dict[str, Deed | None] = {
    "held": None,
    "given back": lambda incident, mara, now: workflow.unacknowledge(incident.pk, mara, now),
    "ran out": lapsed,
    "snooze over": woken,
    "escalated by hand": lambda incident, mara, now: escalate(incident.pk, mara, now, "out of my depth"),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_nobody_had_any_more_calls_again(end: str) -> None:
    mara = person("mara", role=Role.ON_CALL)
    one = draft(1, due_at=NOW - HOUR)
    [finding] = workflow.raise_findings([one], NOW)
    incident = Incident.objects.get(pk=finding.incident_id)
    workflow.acknowledge(incident.pk, mara, NOW)
    if (deed := ENDS[end]) is not None:
        assert deed(incident, mara, NOW + 10 * MINUTE)
    workflow.clear_findings([one.key], "Its source cannot be heard", NOW + HOUR)
    workflow.raise_findings([one], NOW + 2 * HOUR)
    incident.refresh_from_db()
    assert incident.state == ("acknowledged" if end == "held" else "open")
