"""A name server that hangs: every sender gives up in bounded time, the others go on, escalation comes, the auditor
speaks up. Each with its control."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import EmailMessage, get_connection

from apps.accounts.models import Role
from apps.core import mail as tower_mail
from apps.core import outbound
from apps.incidents import workflow
from apps.incidents.models import Incident
from apps.notifications import auditing, dispatch, escalation_tick, keeping
from apps.notifications.escalation_models import AwaitedStep, EscalationPolicy, EscalationRoute
from apps.notifications.models import Channel, Delivery
from apps.notifications.planning import plan
from tests.incidents.builders import MINUTE, NOW, draft, person
from tests.notifications.mailserver import Mailbox
from tests.notifications.receiver import receiving

SECOND = timedelta(seconds=1)
#: what one look-up may take in these tests, and far more than that
PATIENCE, AGES = 0.05, 8.0
ROOMS = 3


class Names:
    """The system's resolver, of which names under hang.example hang until the end of the test, or answer loopback."""

    def __init__(self) -> None:
        self.real, self.over, self.hangs, self.asked = socket.getaddrinfo, threading.Event(), True, 0

    def __call__(self, host: Any, *args: Any, **options: Any) -> Any:
        if not str(host).endswith("hang.example"):
            return self.real(host, *args, **options)
        self.asked += 1
        if self.hangs:
            self.over.wait(AGES)
            raise socket.gaierror(socket.EAI_AGAIN, "the name server never answered")
        return self.real("127.0.0.1", *args, **options)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    one = Names()
    monkeypatch.setattr(socket, "getaddrinfo", one)
    monkeypatch.setattr(outbound, "CONNECT_SECONDS", PATIENCE)
    monkeypatch.setattr(tower_mail, "NAME_SECONDS", PATIENCE)
    yield one
    one.over.set()


def rooms(port: int) -> None:
    """Channels that hear everything and stand behind the names that hang; the first in the queue."""
    for number in range(ROOMS):
        row = Channel(slug=f"room-{number}", name=f"Room {number}", kind="webhook", listens=True)
        row.config = {"url": f"http://room-{number}.hang.example:{port}/hook", "allow_networks": ["127.0.0.0/8"]}
        keeping.save(row, {}, None, NOW)


def ladder() -> Incident:
    """An incident that calls Mara at once and Jon ten minutes later."""
    for name in ("mara", "jon"):
        person(name, role=Role.ON_CALL)
    steps = [
        {"after": 0, "targets": [{"kind": "person", "ref": "mara"}]},
        {"after": 10, "targets": [{"kind": "person", "ref": "jon"}]},
    ]
    EscalationRoute.objects.create(position=1, policy=EscalationPolicy.objects.create(slug="p", name="P", steps=steps))
    workflow.raise_findings([draft(1)], NOW)
    return Incident.objects.get()


def rounds(minutes: int, names: Names) -> int:
    """Dispatcher and escalation as beat wakes them, every 30 s; the most look-ups that one round waited for."""
    most, at = 0, NOW
    while at <= NOW + minutes * MINUTE:
        before = names.asked
        escalation_tick.tick(at)
        dispatch.run(at)
        most = max(most, names.asked - before)
        at += 30 * SECOND
    return most


@pytest.mark.django_db
def test_the_others_go_on_and_the_next_one_is_called_in_time(names: Names, mailbox: Mailbox) -> None:
    with receiving() as receiver:
        rooms(receiver.port)
        ladder()
        began = time.monotonic()
        assert rounds(12, names) == ROOMS, "one wait for each channel behind the hanging names, and no more"
        assert time.monotonic() - began < names.asked * AGES / 2, "each of them was short"
        personal = Delivery.objects.filter(user__isnull=False)
        sent = {one.user.username: one.sent_at for one in personal if one.user and one.sent_at}
        assert sent["mara"] <= NOW + MINUTE
        assert NOW + 10 * MINUTE <= sent["jon"] <= NOW + 12 * MINUTE
        waiting = Delivery.objects.filter(channel__startswith="room-")
        assert set(waiting.values_list("state", flat=True)) == {"waiting"}
        assert all("took longer than" in one.error for one in waiting)
        assert [one.kind for one in auditing.look(NOW + 12 * MINUTE)] == ["unsent"]
        assert "took longer than" in auditing.look(NOW + 12 * MINUTE)[0].sentence
        assert set(Channel.objects.values_list("enabled", flat=True)) == {True}, "a name server's fault is not theirs"
        names.hangs = False
        dispatch.run(NOW + timedelta(hours=3))
        assert set(waiting.values_list("state", flat=True)) == {"sent"}
        assert len(receiver.keys()) == len(set(receiver.keys()))
    assert auditing.look(NOW + timedelta(hours=3)) == []


@pytest.mark.django_db
def test_control_a_look_up_without_a_limit_holds_everybody_up(
    names: Names, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        outbound, "look_up", lambda host, port, seconds, resolver=None: outbound.system_resolver(host, port)
    )
    monkeypatch.setattr(outbound, "_resolve", lambda target, resolver, seconds: resolver(target.host, target.port))
    rooms(25)
    ladder()
    threading.Timer(0.7, names.over.set).start()
    began = time.monotonic()
    dispatch.run(NOW)
    assert time.monotonic() - began > 0.6, "it waited for the name server"


@pytest.mark.django_db
def test_while_nobody_dispatches_the_auditor_says_so(names: Names, mailbox: Mailbox) -> None:
    """The control of the auditor: as if the only dispatcher were stuck in a look-up for good."""
    ladder()
    plan(NOW)
    assert auditing.look(NOW + MINUTE) == []
    assert AwaitedStep.objects.filter(done_at=None).exists()
    assert {one.kind for one in auditing.look(NOW + 13 * MINUTE)} == {"unsent", "escalation"}


def sending(host: str, **options: Any) -> float:
    """Seconds until a mail over this server fails."""
    connection = get_connection("apps.core.mail.EmailBackend", host=host, port=25, timeout=10, **options)
    began = time.monotonic()
    with pytest.raises(OSError):
        EmailMessage("Hello", "there", to=["mara@tower.example"], connection=connection).send()
    return time.monotonic() - began


@pytest.mark.parametrize("options", [{}, {"use_ssl": True}])
def test_mail_does_not_wait_for_a_name_server_that_hangs(names: Names, options: dict[str, Any]) -> None:
    assert sending("mail.hang.example", **options) < AGES / 2
    assert names.asked == 1


def test_control_of_mail(names: Names) -> None:
    """Django's own backend waits as long as the name server does."""
    threading.Timer(0.7, names.over.set).start()
    connection = get_connection("django.core.mail.backends.smtp.EmailBackend", host="mail.hang.example", timeout=0.2)
    began = time.monotonic()
    with pytest.raises(OSError):
        EmailMessage("Hello", "there", to=["mara@tower.example"], connection=connection).send()
    assert time.monotonic() - began > 0.6
