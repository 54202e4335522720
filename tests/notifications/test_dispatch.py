"""Claim, send, mark, over a real SMTP server; the clock is ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from apps.accounts.models import Role, User
from apps.core.models import Heartbeat
from apps.incidents import links, workflow
from apps.incidents.models import Incident, IncidentEvent
from apps.notifications import dispatch
from apps.notifications.contract import CHANNELS
from apps.notifications.dispatch import PACE, Summary, run
from apps.notifications.models import Delivery
from apps.notifications.retries import PAUSES
from apps.notifications.tasks import dispatch_messages
from tests.incidents.builders import HOUR, MINUTE, NOW, at_once, draft, person, uid
from tests.notifications.mailserver import Mailbox, part

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def mara(db: None) -> User:
    return person("mara", role=Role.ON_CALL, time_zone="Europe/Berlin")


def raised(key: object = 1, at: datetime = NOW, **values: Any) -> Incident:
    workflow.raise_findings([draft(key, cause=key, **values)], at)
    return Incident.objects.get(fingerprint=uid("cause", key))


def states() -> dict[str, str]:
    return {
        f"{kind} {title.removeprefix('No scans from ')}": state
        for kind, title, state in Delivery.objects.order_by("id").values_list(
            "incident_event__kind", "incident_event__incident__title", "state"
        )
    }


def test_a_page_from_the_finding_to_the_mailbox(mailbox: Mailbox, mara: User) -> None:
    incident = raised(severity="high", due_at=NOW - HOUR)
    assert run(NOW + MINUTE) == Summary(planned=1, sent=1)
    [mail] = mailbox.mails
    assert mail["Subject"] == "[HIGH] No scans from 1"
    assert mail["To"] == "mara@tower.example"
    text, html = part(mail, "plain"), part(mail, "html")
    for words in (
        "Parcel 1 has no first scan, due 18:00.",
        "Late since: Mon 02 Mar 2026, 09:00 CET",
        "Findings: 1 open of 1",
        f"Open: https://tower.example/incidents/{incident.pk}/",
    ):
        assert words in text
    assert "<script" not in html
    assert "http://" not in html
    token = re.search(r"/incidents/acknowledge/([^/]+)/", text)
    assert token
    assert token[0] in html
    link = links.read(token[1], NOW + HOUR)
    assert (link.incident_id, link.user_id) == (incident.pk, mara.pk)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.sent_at, delivery.attempts) == ("sent", NOW + MINUTE, 1)
    assert delivery.message_id == mail["Message-ID"]
    assert token[1] not in delivery.text
    assert incident.timeline.get(kind="notified").text == "E-mail sent to Mara"
    assert run(NOW + 10 * MINUTE) == Summary()


def test_words_of_strangers_stay_words(mailbox: Mailbox) -> None:
    raised(incident_title='<img src=x onerror="a()">\r\nBcc: x@y', sentence="<script>alert(1)</script> & co")
    run(NOW)
    [mail] = mailbox.mails
    assert mail["Subject"] == '[NORMAL] <img src=x onerror="a()"> Bcc: x@y'
    assert mail["Bcc"] is None
    assert "<script>alert(1)</script> & co" in part(mail, "plain")
    assert "<script" not in part(mail, "html")
    assert "<img" not in part(mail, "html")


def test_the_story_of_an_incident_in_mails(mailbox: Mailbox, mara: User) -> None:
    incident = raised()
    run(NOW)
    workflow.acknowledge(incident.pk, mara, NOW + 5 * MINUTE)
    workflow.unacknowledge(incident.pk, mara, NOW + 10 * MINUTE, "Shift ends")
    run(NOW + 10 * MINUTE)
    workflow.snooze(incident.pk, mara, NOW + 20 * MINUTE, until=NOW + HOUR)
    workflow.wake(NOW + HOUR)
    run(NOW + HOUR)
    workflow.clear_findings([uid("key", 1)], "The scan came, 3 h late.", NOW + 2 * HOUR)
    run(NOW + 2 * HOUR)
    workflow.raise_findings([draft(2, cause=1)], NOW + 3 * HOUR)
    run(NOW + 3 * HOUR)
    assert mailbox.subjects() == [
        "[NORMAL] No scans from 1",
        "[NORMAL] Nobody works on it: No scans from 1",
        "[NORMAL] Snooze over: No scans from 1",
        "[RESOLVED] No scans from 1",
        "[NORMAL] Back again: No scans from 1",
    ]
    assert "Resolved by itself. The scan came, 3 h late." in part(mailbox.mails[3], "plain")
    assert "Acknowledge:" not in part(mailbox.mails[3], "plain")
    assert len({mail["References"] for mail in mailbox.mails}) == 1
    assert len(set(mailbox.ids())) == 5


@pytest.mark.parametrize("end", ["acknowledged", "resolved", "cleared", "snoozed"])
def test_what_is_no_longer_needed_is_dropped(mailbox: Mailbox, mara: User, end: str) -> None:
    incident = raised()
    dispatch.plan(NOW)
    deeds: dict[str, Callable[[], object]] = {
        "acknowledged": partial(workflow.acknowledge, incident.pk, mara, NOW),
        "resolved": partial(workflow.resolve, incident.pk, mara, NOW, "fixed"),
        "cleared": partial(workflow.clear_findings, [uid("key", 1)], "came", NOW),
        "snoozed": partial(workflow.snooze, incident.pk, mara, NOW, NOW + HOUR),
    }
    deeds[end]()
    run(NOW + MINUTE)
    assert mailbox.mails == []
    assert states() == {"opened 1": "dropped"}


def test_a_call_that_failed_stops_when_it_is_answered_elsewhere(mailbox: Mailbox, mara: User) -> None:
    incident = raised()
    mailbox.mood = "451 busy"
    run(NOW)
    mailbox.mood = "250 OK"
    workflow.acknowledge(incident.pk, mara, NOW + SECOND)
    run(NOW + MINUTE)
    assert mailbox.mails == []
    # it may have arrived in spite of the error, so the end is told
    workflow.resolve(incident.pk, mara, NOW + HOUR, "fixed")
    run(NOW + HOUR)
    assert mailbox.subjects() == ["[RESOLVED] No scans from 1"]


def test_a_resolution_that_was_taken_back_is_not_told(mailbox: Mailbox, mara: User) -> None:
    incident = raised()
    run(NOW)
    workflow.resolve(incident.pk, mara, NOW + SECOND, "fixed")
    run(NOW + 2 * SECOND)
    workflow.reopen(incident.pk, mara, NOW + 3 * SECOND)
    run(NOW + PACE)
    assert mailbox.subjects() == ["[NORMAL] No scans from 1", "[NORMAL] Back again: No scans from 1"]


def test_a_hand_over_passed_on_is_told_only_to_the_last(mailbox: Mailbox, mara: User) -> None:
    incident = raised()
    run(NOW)
    jon, kim = person("jon"), person("kim")
    workflow.assign(incident.pk, mara, NOW, assignee=jon)
    workflow.assign(incident.pk, mara, NOW, assignee=kim)
    run(NOW + SECOND)
    assert [(mail["To"], mail["Subject"]) for mail in mailbox.mails[1:]] == [
        ("kim@tower.example", "[NORMAL] Assigned to you: No scans from 1")
    ]


def test_a_storm_is_one_message_at_once_and_one_every_two_minutes(mailbox: Mailbox) -> None:
    """10,000 breaches over 50 partners within a minute: nothing is lost, and nobody gets 50 mails."""
    for second in range(0, 60, 6):
        at = NOW + second * SECOND
        workflow.raise_findings(
            [draft((second, n), cause=n % 5 + second // 6 * 5, severity="high") for n in range(1_000)], at
        )
        run(at)
    for minute in range(1, 10):
        run(NOW + minute * MINUTE)
    assert Incident.objects.count() == 50
    assert len(mailbox.mails) == 2
    assert mailbox.subjects()[1].startswith("[HIGH] 45 messages: No scans from ")
    assert mailbox.subjects()[1].endswith(" and 44 more")
    everything = "".join(part(mail, "plain") for mail in mailbox.mails)
    for incident in Incident.objects.all():
        assert f"/incidents/{incident.pk}/\r\n" in everything
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    assert Delivery.objects.count() == 50
    assert set(Delivery.objects.values_list("sent_at", flat=True)) == {NOW, NOW + PACE}


def test_the_pace_is_per_person(mailbox: Mailbox) -> None:
    person("jon", role=Role.ON_CALL)
    raised(1)
    run(NOW)
    raised(2)
    run(NOW + SECOND)
    assert sorted(str(mail["To"]) for mail in mailbox.mails) == ["jon@tower.example", "mara@tower.example"]
    assert run(NOW + PACE - SECOND).sent == 0
    assert run(NOW + PACE).sent == 2


def test_answered_ones_are_left_out_of_the_bundle(mailbox: Mailbox, mara: User) -> None:
    raised("first")
    run(NOW)
    one, two = raised("one"), raised("two")
    run(NOW + SECOND)
    workflow.acknowledge(one.pk, mara, NOW + MINUTE)
    run(NOW + PACE)
    assert mailbox.subjects()[1:] == ["[NORMAL] No scans from two"]
    assert states() == {"opened first": "sent", "opened one": "dropped", "opened two": "sent"}
    assert two.timeline.filter(kind="notified").exists()


def test_a_bundle_that_failed_comes_again_as_it_was(mailbox: Mailbox, mara: User) -> None:
    """New news waits for the next message, so that a reader who drops known ids misses nothing."""
    raised("first")
    run(NOW)
    mailbox.drop_after_taking = True  # the server takes it, we never hear of it
    one, _two = raised("one"), raised("two")
    assert run(NOW + PACE) == Summary(planned=2, failed=1)
    mailbox.drop_after_taking = False
    workflow.acknowledge(one.pk, mara, NOW + PACE + SECOND)
    raised("three")
    for second in range(0, 300, 10):
        run(NOW + PACE + second * SECOND)
    first, lost, later, again = mailbox.mails
    assert lost["Message-ID"] == again["Message-ID"]
    assert lost["Subject"] == again["Subject"] == "[NORMAL] 2 messages: No scans from one and 1 more"
    assert "Now: Acknowledged by Mara" in part(again, "plain")
    assert later["Subject"] == "[NORMAL] No scans from three"
    assert len({first["Message-ID"], lost["Message-ID"], later["Message-ID"]}) == 3
    assert set(states().values()) == {"sent"}


def test_provider_down_for_half_an_hour(mailbox: Mailbox) -> None:
    raised()
    mailbox.mood = "421 down"
    ends = NOW + 30 * MINUTE
    at = NOW
    while at < NOW + 100 * MINUTE:
        mailbox.mood = "421 down" if at < ends else "250 OK"
        run(at)
        at += 30 * SECOND
    assert mailbox.ids() == [Delivery.objects.get().message_id]
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.error) == ("sent", 6, "")


def test_after_seventy_five_hours_it_is_given_up_and_that_is_seen(mailbox: Mailbox) -> None:
    incident = raised()
    mailbox.mood = "451 busy"
    at = NOW
    for _attempt in range(len(PAUSES)):
        assert run(at) == Summary(planned=int(at == NOW), failed=1)
        at = Delivery.objects.get().next_at
        assert run(at - SECOND) == Summary()
    assert timedelta(hours=65) < at - NOW < timedelta(hours=85)
    assert run(at) == Summary(dead=1)
    assert mailbox.tried == len(PAUSES) + 1
    assert run(at + timedelta(days=30)) == Summary()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.error) == ("dead", "The mail server said: 451 busy")
    row = incident.timeline.get(kind="notified")
    assert row.data["failed"]
    assert row.text == "E-mail to Mara was given up after 12 attempts: The mail server said: 451 busy"


def test_what_cannot_be_delivered_is_given_up_at_once(mailbox: Mailbox) -> None:
    raised()
    mailbox.refused["mara@tower.example"] = "550 no such user"
    assert run(NOW) == Summary(planned=1, dead=1)
    assert states() == {"opened 1": "dead"}


def test_a_broken_channel_does_not_stop_the_others(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    person("jon", role=Role.ON_CALL)
    email = CHANNELS.get("email")
    sound = email.send

    def broken_for_mara(message: Any, *target: Any) -> str:
        if message.recipient.startswith("mara"):
            raise KeyError("boom")
        return sound(message, *target)

    monkeypatch.setattr(email, "send", broken_for_mara)
    raised()
    assert run(NOW) == Summary(planned=1, sent=1, failed=1)
    assert Delivery.objects.get(state="waiting").error == "KeyError: 'boom'"


def test_a_channel_that_is_gone_is_an_error_and_no_crash(mailbox: Mailbox) -> None:
    raised()
    dispatch.plan(NOW)
    Delivery.objects.update(channel="carrier_pigeon")
    assert run(NOW) == Summary(failed=1)
    assert "carrier_pigeon" in Delivery.objects.get().error


def test_a_lease_that_ends_is_sent_again_with_the_same_id(mailbox: Mailbox) -> None:
    raised()
    dispatch.plan(NOW)
    claim = dispatch.claim_next(NOW)
    assert claim is not None
    assert run(NOW + dispatch.LEASE - SECOND) == Summary()
    assert run(NOW + dispatch.LEASE) == Summary(sent=1)
    assert mailbox.ids() == [claim.head.message_id]
    # the first one was only slow: its late word changes nothing
    assert dispatch.mark_failed(claim, "timeout", NOW + dispatch.LEASE, permanent=True) is False
    dispatch.mark_sent(claim, NOW + dispatch.LEASE)
    assert states() == {"opened 1": "sent"}
    assert IncidentEvent.objects.filter(kind="notified").count() == 1


def test_a_slow_worker_does_not_undo_the_claim_of_the_next(mailbox: Mailbox) -> None:
    raised()
    dispatch.plan(NOW)
    slow = dispatch.claim_next(NOW)
    fast = dispatch.claim_next(NOW + dispatch.LEASE)
    assert slow is not None
    assert fast is not None
    assert dispatch.mark_failed(slow, "timeout", NOW + dispatch.LEASE, permanent=True) is False
    assert states() == {"opened 1": "sending"}
    dispatch.mark_sent(fast, NOW + dispatch.LEASE)
    assert states() == {"opened 1": "sent"}


def test_a_run_ends_when_its_time_is_up(mailbox: Mailbox) -> None:
    for n in range(3):
        person(f"p{n}", role=Role.ON_CALL)
    raised()
    ticks = iter(NOW + n * 10 * SECOND for n in range(1000))
    assert run(NOW, lambda: next(ticks)).sent < 4
    assert run(NOW + HOUR).sent > 0
    assert len(mailbox.mails) == 4


def test_the_task_leaves_a_heartbeat(mailbox: Mailbox) -> None:
    raised()
    dispatch_messages()
    beat = Heartbeat.objects.get(name="dispatch")
    assert beat.detail == {"planned": 1, "sent": 1, "failed": 0, "dead": 0}


@pytest.mark.django_db(transaction=True)
def test_many_dispatchers_send_everything_once(mailbox: Mailbox) -> None:
    for n in range(9):
        person(f"p{n}", role=Role.ON_CALL)
    workflow.raise_findings([draft(n, cause=n) for n in range(5)], NOW)
    results = at_once([partial(run, NOW)] * 6)
    assert sum(result.sent for result in results) == 10, results
    assert sum(result.planned for result in results) == 5
    assert len(mailbox.mails) == len(set(mailbox.ids())) == 10
    assert all("5 messages" in subject for subject in mailbox.subjects())
    assert Delivery.objects.filter(state="sent").count() == 50
