"""Providers that fail, over real HTTP: every message is sent at least once, with the same id. Each with its control."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from apps.accounts.models import Role, User
from apps.core import outbound
from apps.incidents import workflow
from apps.incidents.models import Incident
from apps.notifications import dispatch, http, keeping
from apps.notifications.models import Channel, ContactMethod, Delivery, Preference
from apps.notifications.replaying import replay
from apps.notifications.retries import PAUSES
from tests.incidents.builders import MINUTE, NOW, draft, person
from tests.notifications.mailserver import Mailbox
from tests.notifications.receiver import LOOPBACK, Receiver, Taken, receiving
from tests.notifications.samples import config_of, secrets_of
from tests.notifications.test_kills import dispatcher_dies

SECOND = timedelta(seconds=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def channel(kind: str, receiver: Receiver, **values: Any) -> Channel:
    row = Channel(slug=kind.replace("_", "-"), name=kind, kind=kind, **({"listens": True} | values))
    row.config = config_of(kind, receiver.url) | {"allow_networks": [LOOPBACK]}
    keeping.save(row, secrets_of(kind, receiver.url), None, NOW)
    return row


def raised(key: int = 1, at: Any = NOW, **values: Any) -> Incident:
    workflow.raise_findings([draft(key, cause=key, **values)], at)
    return Incident.objects.latest("id")


def over(slug: str) -> Delivery:
    return Delivery.objects.get(channel=slug)


def rounds(start: Any, length: timedelta, every: timedelta = 10 * SECOND) -> None:
    at = start
    while at <= start + length:
        dispatch.run(at)
        at += every


@pytest.mark.parametrize("kind", ["slack", "webhook", "pagerduty"])
def test_a_provider_that_is_down_for_half_an_hour_gets_it_later(kind: str, receiver: Receiver) -> None:
    channel(kind, receiver)
    raised()
    receiver.status = 503
    rounds(NOW, 30 * MINUTE, 5 * MINUTE)
    assert over(kind).state == "waiting"
    receiver.status = 200
    rounds(NOW + 30 * MINUTE, 70 * MINUTE, 10 * MINUTE)
    assert over(kind).state == "sent"
    assert len(set(receiver.keys())) == 1
    assert over(kind).message_id.strip("<>").startswith(receiver.keys()[0])


def test_control_without_further_tries_half_an_hour_would_lose_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel("slack", receiver)
    raised()
    receiver.status = 503
    monkeypatch.setattr(dispatch, "pause", lambda failures, key: PAUSES[0] if failures < 3 else None)
    rounds(NOW, 30 * MINUTE, 5 * MINUTE)
    receiver.status = 200
    rounds(NOW + 30 * MINUTE, 70 * MINUTE, 10 * MINUTE)
    assert over("slack").state == "dead"


@pytest.mark.parametrize("obeyed", [True, False])
def test_retry_after_holds_the_whole_channel_and_only_it(
    receiver: Receiver, obeyed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control (obeyed: False) shows that the tower would come too early if it did not listen."""
    if not obeyed:
        monkeypatch.setattr(http, "retry_after", lambda text, now: None)
    with receiving() as other:
        channel("pagerduty", receiver)
        channel("webhook", other)
        asked: list[int] = []
        receiver.headers = {"Retry-After": "300"}
        receiver.mood = lambda one: (asked.append(1), (429, b"slow down"))[1]  # type: ignore[func-returns-value]
        raised(1)
        dispatch.run(NOW)
        raised(2, NOW + 10 * SECOND)
        rounds(NOW + 10 * SECOND, 280 * SECOND, 40 * SECOND)
        assert len(other.taken) == 2
        if not obeyed:
            assert len(asked) > 1
            return
        assert len(asked) == 1
        receiver.mood = None
        rounds(NOW + 300 * SECOND, 20 * SECOND)
        assert set(Delivery.objects.filter(channel="pagerduty").values_list("state", flat=True)) == {"sent"}
        assert len(receiver.taken) == 3


def test_a_timeout_after_it_was_taken_repeats_it_under_the_same_id(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.15)
    channel("webhook", receiver)
    raised()

    def hangs(one: Taken) -> None:
        time.sleep(0.4)

    receiver.mood = hangs  # type: ignore[assignment]
    assert dispatch.run(NOW).failed == 1
    receiver.mood = None
    rounds(NOW + 10 * SECOND, 10 * SECOND)
    first, again = receiver.taken
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.body == again.body
    assert over("webhook").state == "sent"


def test_control_taking_a_timeout_for_a_success_would_lose_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver hung and kept nothing: whoever stops trying here loses the message."""
    channel("webhook", receiver)
    raised()
    receiver.mood = lambda one: None
    monkeypatch.setattr(dispatch, "send", lambda claim, now: "taken, surely")
    rounds(NOW, 60 * MINUTE, 10 * MINUTE)
    assert over("webhook").state == "sent"
    assert receiver.taken == []


def test_slow_names_cost_one_wait_a_round_and_nobody_else_waits(
    receiver: Receiver, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    person("mara", role=Role.ON_CALL)
    row = channel("webhook", receiver)
    row.config["url"] = f"http://slow.example:{receiver.port}/hook"
    row.save()
    real, is_slow, asked = socket.getaddrinfo, [True], []

    def names(host: Any, *args: Any, **options: Any) -> Any:
        if host != "slow.example":
            return real(host, *args, **options)
        asked.append(host)
        if is_slow[0]:
            time.sleep(0.5)
        return real("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", names)
    monkeypatch.setattr(outbound, "CONNECT_SECONDS", 0.1)
    workflow.raise_findings([draft(n, cause=n) for n in range(8)], NOW)
    started = time.monotonic()
    dispatch.run(NOW)
    assert time.monotonic() - started < 3
    assert len(mailbox.mails) == 1  # all eight, in one mail
    assert len(asked) == 1  # one wait, not eight
    is_slow[0] = False
    rounds(NOW + MINUTE, MINUTE)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert len(receiver.taken) == len(set(receiver.keys())) == 8


@pytest.mark.parametrize("status", [410, 404])
def test_what_is_gone_is_switched_off_and_what_was_given_up_can_be_sent_again(receiver: Receiver, status: int) -> None:
    row = channel("webhook", receiver)
    receiver.status = status
    for n in range(keeping.BLAMES + 2):
        raised(n, NOW + n * MINUTE)
        dispatch.run(NOW + n * MINUTE)
    row.refresh_from_db()
    assert not row.enabled
    assert str(status) in row.disabled_because
    assert len(receiver.taken) == (1 if status == 410 else keeping.BLAMES)
    # incidents from before it was switched off; later ones are not even written for it
    dead = Delivery.objects.filter(channel="webhook", state="dead")
    ids = set(dead.values_list("message_id", flat=True))
    assert len(ids) == len(receiver.taken)
    keeping.switch(row, True, None, NOW)
    receiver.status = 200
    receiver.taken.clear()
    at = NOW + timedelta(days=30)
    assert replay(None, None, at) == len(ids)
    dispatch.run(at)
    assert set(receiver.keys()) == {one.strip("<>").split("@")[0] for one in ids}
    assert not dead.exists()


def test_a_replayed_message_has_all_its_tries_again(receiver: Receiver) -> None:
    channel("webhook", receiver)
    raised()
    receiver.status = 400
    dispatch.run(NOW)
    assert over("webhook").state == "dead"
    replay([over("webhook").pk], None, NOW + MINUTE)
    receiver.status = 503
    at = NOW + MINUTE
    for _try in range(len(PAUSES)):
        assert dispatch.run(at).failed == 1
        at = over("webhook").next_at
    assert dispatch.run(at).dead == 1
    assert len(receiver.taken) == 1 + len(PAUSES) + 1
    assert len(set(receiver.keys())) == 1
    assert timedelta(hours=65) < at - NOW < timedelta(hours=85)


def with_telephone(receiver: Receiver) -> User:
    mara = person("mara", role=Role.ON_CALL)
    sms = channel("sms_gateway", receiver, listens=False)
    method = ContactMethod.objects.create(
        user=mara, channel=sms, address="+491701234567", verified_at=NOW, created_at=NOW
    )
    by = {"how": "now", "by": [method.key]}
    rules = {severity: {"day": by, "quiet": by} for severity in ("critical", "high", "normal")}
    Preference.objects.create(user=mara, rules=rules, changed_at=NOW)
    return mara


def test_a_call_the_telephone_does_not_take_goes_by_mail_within_a_minute(receiver: Receiver, mailbox: Mailbox) -> None:
    mara = with_telephone(receiver)
    incident = raised()
    receiver.status = 503
    rounds(NOW, MINUTE)
    assert [mail["To"] for mail in mailbox.mails] == [mara.email]
    # once it is answered, the telephone stays silent, though the gateway works again
    workflow.acknowledge(incident.pk, mara, NOW + MINUTE)
    receiver.status = 200
    tried = len(receiver.taken)
    rounds(NOW + MINUTE, 30 * MINUTE, 5 * MINUTE)
    assert len(receiver.taken) == tried
    assert len(mailbox.mails) == 1


def test_a_switched_off_channel_is_no_way_and_mail_takes_over(receiver: Receiver, mailbox: Mailbox) -> None:
    mara = with_telephone(receiver)
    raised(1)
    dispatch.plan(NOW)
    keeping.switch(Channel.objects.get(), False, None, NOW)
    raised(2)
    rounds(NOW, 5 * MINUTE, MINUTE)
    assert receiver.taken == []
    assert {mail["To"] for mail in mailbox.mails} == {mara.email}
    everything = "".join(str(mail) for mail in mailbox.mails)
    assert all(f"/incidents/{one.pk}/" in everything for one in Incident.objects.all())


def test_a_storm_over_three_channels(receiver: Receiver, mailbox: Mailbox) -> None:
    """1,000 breaches of 50 causes within a minute: people get little and all of it, machines each incident once."""
    mara = with_telephone(receiver)
    with receiving() as machine:
        channel("webhook", machine)
        for second in range(0, 60, 6):
            at = NOW + second * SECOND
            causes = range(second // 6 * 5, second // 6 * 5 + 5)
            workflow.raise_findings(
                [draft((cause, n), cause=cause, severity="high") for cause in causes for n in range(20)], at
            )
            dispatch.run(at)
        rounds(NOW + MINUTE, 2 * MINUTE, 20 * SECOND)
        assert Incident.objects.count() == 50
        assert len(receiver.taken) == 2  # one at once, one summary after two minutes
        assert receiver.taken[1].json["text"].startswith("[HIGH] 45 messages")
        assert sorted({one.json["data"]["incident"] for one in machine.taken}) == sorted(
            Incident.objects.values_list("pk", flat=True)
        )
        assert len(machine.taken) == 50
        for incident in Incident.objects.all()[:40]:
            workflow.acknowledge(incident.pk, mara, NOW + 3 * MINUTE)
        rounds(NOW + 3 * MINUTE, 5 * MINUTE, MINUTE)
        assert len(receiver.taken) == 2
        assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_killed_between_send_and_mark_the_receiver_sees_the_same_id_twice(receiver: Receiver, mailbox: Mailbox) -> None:
    channel("webhook", receiver)
    raised()
    dispatcher_dies(NOW, "sent")
    assert len(receiver.taken) == 1
    assert over("webhook").state == "sending"
    dispatch.run(NOW + dispatch.LEASE)
    assert over("webhook").state == "sent"
    assert len(receiver.taken) == 2
    assert len(set(receiver.keys())) == 1


def test_an_escalation_goes_to_exactly_whom_it_names(receiver: Receiver, mailbox: Mailbox) -> None:
    person("mara", role=Role.ON_CALL)
    jon = person("jon")
    channel("webhook", receiver)
    with receiving() as room:
        channel("slack", room, listens=False)
        incident = raised()
        dispatch.run(NOW)
        receiver.taken.clear()
        mailbox.mails.clear()
        incident.timeline.create(
            kind="escalated",
            at=NOW,
            notify=True,
            text="Nobody has taken it for 10 min.",
            data={"targets": {"users": [jon.pk, 10**9], "channels": ["slack", "no-such"]}},
        )
        dispatch.run(NOW + 3 * MINUTE)
        assert [mail["To"] for mail in mailbox.mails] == [jon.email]
        assert len(room.taken) == 1
        assert receiver.taken == []
