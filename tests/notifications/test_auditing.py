"""The auditor: what it finds, by which ways it speaks, and that it needs no dispatcher."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.core import heartbeats
from apps.incidents import workflow
from apps.notifications import auditing, dispatch
from apps.notifications.auditing import REPEAT_AFTER, UNSENT_AFTER, audit, look
from apps.notifications.models import Channel, Delivery, Preference
from tests.incidents.builders import MINUTE, NOW, draft, person
from tests.notifications.mailserver import Mailbox, free_port, part
from tests.notifications.receiver import LOOPBACK, Receiver, door_to, receiving

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def ada(db: None) -> User:
    person("mara", role=Role.ON_CALL)
    return person("ada", role=Role.ADMIN)


@pytest.fixture
def switch(settings: Any) -> Iterator[Receiver]:
    with receiving() as one:
        settings.DEAD_MAN_URL, settings.DEAD_MAN_NETWORKS = f"{one.url}/alive", [LOOPBACK]
        yield one


def kinds(at: Any) -> list[str]:
    return [one.kind for one in look(at)]


def test_news_nobody_plans_and_messages_nobody_sends_are_flagged_after_five_minutes() -> None:
    workflow.raise_findings([draft(1)], NOW)
    assert kinds(NOW + UNSENT_AFTER - SECOND) == []
    assert kinds(NOW + UNSENT_AFTER) == ["unplanned"]
    dispatch.plan(NOW + UNSENT_AFTER)
    assert kinds(NOW + UNSENT_AFTER) == []
    assert kinds(NOW + 2 * UNSENT_AFTER) == ["unsent"]
    Delivery.objects.update(state="sending", lease_until=NOW)
    assert kinds(NOW + 2 * UNSENT_AFTER) == ["unsent"]
    for state in ("sent", "dead", "dropped"):
        Delivery.objects.update(state=state)
        assert kinds(NOW + 2 * UNSENT_AFTER) == []


def test_what_waits_on_purpose_is_no_fault_until_its_time_is_over(ada: User) -> None:
    mara = User.objects.get(username="mara")
    Preference.objects.create(user=mara, changed_at=NOW, rules={"normal": {"day": {"how": "digest", "by": ["email"]}}})
    workflow.raise_findings([draft(1)], NOW)
    dispatch.plan(NOW)
    held = Delivery.objects.get().held_until
    assert held is not None
    assert kinds(held + UNSENT_AFTER - SECOND) == []
    assert kinds(held + UNSENT_AFTER) == ["unsent"]


def test_the_administrators_are_told_at_once_and_not_again_for_the_same(mailbox: Mailbox, switch: Receiver) -> None:
    workflow.raise_findings([draft(1)], NOW)
    dispatch.plan(NOW)
    at = NOW + UNSENT_AFTER
    for minute in range(5):
        audit(at + minute * MINUTE)
    [mail] = mailbox.mails
    assert "1 message was due and not sent" in part(mail, "plain")
    assert switch.taken == []  # no sign of life while something is wrong
    workflow.raise_findings([draft(2, cause=2)], at)
    audit(at + UNSENT_AFTER)
    assert len(mailbox.mails) == 2  # something new: news that nobody plans
    audit(at + UNSENT_AFTER + REPEAT_AFTER)
    assert len(mailbox.mails) == 3
    Delivery.objects.update(state="sent")
    audit(NOW + UNSENT_AFTER - SECOND)
    assert [one.path for one in switch.taken] == ["/alive"]
    assert heartbeats.detail(auditing.BEAT)["spoken"] == {}


def test_the_sign_of_life_says_where_it_hurts_when_it_may(switch: Receiver, settings: Any) -> None:
    settings.DEAD_MAN_FAIL_URL = f"{switch.url}/fail"
    audit(NOW)
    Channel.objects.create(
        slug="room", name="Room", kind="slack", enabled=False, disabled_because="404", created_at=NOW
    )
    audit(NOW)
    assert [one.path for one in switch.taken] == ["/alive", "/fail"]
    assert "“Room” is switched off".encode() in switch.taken[1].body
    assert heartbeats.detail(auditing.BEAT)["sign_of_life"] == "answered 200"


def test_it_speaks_by_the_other_way_when_one_is_broken(mailbox: Mailbox, switch: Receiver, settings: Any) -> None:
    settings.EMAIL_PORT = free_port()
    settings.DEAD_MAN_FAIL_URL = f"{switch.url}/fail"
    workflow.raise_findings([draft(1)], NOW)
    audit(NOW + UNSENT_AFTER)
    assert [one.path for one in switch.taken] == ["/fail"]
    settings.DEAD_MAN_FAIL_URL = "http://127.0.0.1:1/"
    audit(NOW + UNSENT_AFTER + MINUTE)
    assert "could not be reached" in heartbeats.detail(auditing.BEAT)["sign_of_life"]


def test_the_switch_is_called_through_the_door(settings: Any) -> None:
    settings.DEAD_MAN_URL = "http://switch.example/"
    audit(NOW, door_to(["127.0.0.1"]))
    assert "no public address" in heartbeats.detail(auditing.BEAT)["sign_of_life"]


def test_it_needs_neither_the_dispatcher_nor_its_queue(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the dispatcher is broken")

    monkeypatch.setattr(dispatch, "run", broken)
    workflow.raise_findings([draft(1)], NOW)
    with pytest.raises(CommandError, match="nobody was chosen to get it"):
        call_command("audit_messages")
    assert len(mailbox.mails) == 1
    route = current_app.amqp.router.route
    assert route({}, "notifications.audit")["queue"].name != route({}, "notifications.dispatch")["queue"].name


def test_it_costs_the_same_however_much_waits() -> None:
    workflow.raise_findings([draft(1)], NOW)
    dispatch.plan(NOW)
    with CaptureQueriesContext(connection) as few:
        look(NOW + UNSENT_AFTER)
    workflow.raise_findings([draft(n, cause=n) for n in range(2, 200)], NOW)
    dispatch.plan(NOW)
    with CaptureQueriesContext(connection) as many:
        look(NOW + UNSENT_AFTER)
    assert len(many) == len(few) <= 7


@pytest.mark.parametrize("name", ["dispatch", "escalation", "processing", "polling", "auditor"])
def test_every_page_says_which_part_is_late(client: Client, ada: User, name: str) -> None:
    client.force_login(ada)
    from_now = timezone.now()
    heartbeats.beat("sweep", from_now)
    heartbeats.beat(name, from_now)
    assert client.get("/pulse/", headers={"HX-Request": "true"}).content.strip() == b""
    heartbeats.beat(name, from_now - timedelta(minutes=12))
    assert b"last ran 12 min ago" in client.get("/pulse/").content
