"""kill -9 at every point between the outbox and the mailbox: nothing is lost, and what comes twice has the same id."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection

from apps.accounts.models import Role
from apps.incidents.models import Incident
from apps.incidents.workflow import raise_findings
from apps.notifications import dispatch
from apps.notifications.models import Delivery
from tests.incidents.builders import NOW, draft, person
from tests.notifications.mailserver import Mailbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]
PEOPLE = 4


def dispatcher_dies(at: datetime, point: str) -> None:
    """Runs a dispatcher in its own process until it kills itself, or has nothing to do at that point."""
    environment = os.environ | {
        "TOWER_TEST_DATABASE": str(connection.settings_dict["NAME"]),
        "TOWER_TEST_MAIL_PORT": str(settings.EMAIL_PORT),
        "DJANGO_SETTINGS_MODULE": "controltower.settings.test",
        "BASE_URL": settings.BASE_URL,
    }
    command = [sys.executable, "-m", "tests.notifications.dispatcher_process", at.isoformat(), point]
    done = subprocess.run(command, env=environment, cwd=settings.BASE_DIR, timeout=60, capture_output=True, text=True)
    assert done.returncode == 137, done.stderr[-2000:]


@pytest.fixture(autouse=True)
def crew(transactional_db: None) -> None:
    for n in range(PEOPLE):
        person(f"p{n}", role=Role.ON_CALL)
    raise_findings([draft(1)], NOW)


def test_killed_between_claim_and_send(mailbox: Mailbox) -> None:
    dispatcher_dies(NOW, "claimed")
    assert mailbox.mails == []
    dispatch.run(NOW)  # the others do not wait for the dead one's lease
    assert len(mailbox.mails) == PEOPLE - 1
    dispatch.run(NOW + dispatch.LEASE)
    assert len(mailbox.mails) == len(set(mailbox.ids())) == PEOPLE
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}


def test_killed_between_send_and_mark(mailbox: Mailbox) -> None:
    dispatcher_dies(NOW, "sent")
    assert len(mailbox.mails) == 1
    dispatch.run(NOW + dispatch.LEASE)
    assert len(mailbox.mails) == PEOPLE + 1
    ids = mailbox.ids()
    assert len(set(ids)) == PEOPLE
    assert ids.count(ids[0]) == 2
    twice = [mail for mail in mailbox.mails if mail["Message-ID"] == ids[0]]
    assert twice[0]["To"] == twice[1]["To"]
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}


def test_killed_while_planning(mailbox: Mailbox) -> None:
    dispatcher_dies(NOW, "planned")
    assert not Delivery.objects.exists()
    dispatch.run(NOW)
    assert len(mailbox.mails) == len(set(mailbox.ids())) == PEOPLE


def test_killed_again_and_again(mailbox: Mailbox) -> None:
    """Every dispatcher but the last dies, in turn at each point; at the end everybody has every message."""
    at = NOW
    for n, point in enumerate(["claimed", "sent", "planned", "sent", "claimed", "sent"]):
        raise_findings([draft(("more", n), cause=n)], at)
        dispatcher_dies(at, point)
        at += dispatch.LEASE + timedelta(seconds=1)
    for _round in range(4):
        dispatch.run(at)
        at += dispatch.PACE
    assert Incident.objects.count() == 7
    assert Delivery.objects.count() == 7 * PEOPLE
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    heads = set(Delivery.objects.filter(bundled_in=None).values_list("message_id", flat=True))
    assert set(mailbox.ids()) == heads
    for name in range(PEOPLE):
        read = "".join(str(mail) for mail in mailbox.mails if mail["To"] == f"p{name}@tower.example")
        for incident in Incident.objects.all():
            assert f"/incidents/{incident.pk}/" in read


def test_control_marking_before_sending_would_lose_a_message(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail: in the wrong order (mark, then send) the same death loses the message for good."""

    def wrong_order(claim: dispatch.Claim, now: datetime) -> str:
        dispatch.mark_sent(claim, now)
        raise SystemExit  # dies here, before the message left

    monkeypatch.setattr(dispatch, "send", wrong_order)
    with pytest.raises(SystemExit):
        dispatch.run(NOW)
    monkeypatch.undo()
    dispatch.run(NOW + dispatch.LEASE)
    dispatch.run(NOW + dispatch.LEASE * 10)
    assert len(mailbox.mails) == PEOPLE - 1
