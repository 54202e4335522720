"""What people chose and which channels listen, from the incident to what arrives; the clock is ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role, User
from apps.incidents import workflow
from apps.incidents.models import Incident, IncidentEvent
from apps.notifications import dispatch, keeping
from apps.notifications.messages import compose, whom_it_hurts
from apps.notifications.models import Channel, ContactMethod, Delivery, Preference
from apps.notifications.planning import plan
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, flow, person, team
from tests.notifications.mailserver import Mailbox, part
from tests.notifications.receiver import LOOPBACK, Receiver, receiving
from tests.notifications.samples import config_of, secrets_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def mara(db: None) -> User:
    return person("mara", role=Role.ON_CALL, time_zone="Europe/Berlin")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def raised(key: int, at: datetime = NOW, **values: Any) -> None:
    workflow.raise_findings([draft(key, cause=key, **values)], at)


def wishes(user: User, **rules: dict[str, Any]) -> None:
    Preference.objects.create(user=user, rules=rules, changed_at=NOW, quiet_from="22:00", quiet_until="07:00")


def listening(receiver: Receiver, **values: Any) -> Channel:
    row = Channel(slug=values.pop("slug", "planner"), name="Planner", kind="webhook", listens=True, **values)
    row.config = config_of("webhook", receiver.url) | {"allow_networks": [LOOPBACK]}
    keeping.save(row, secrets_of("webhook", receiver.url), None, NOW)
    return row


def test_low_ones_gather_in_one_digest_and_no_call_pulls_them_forward(mailbox: Mailbox, mara: User) -> None:
    for n in range(4):
        raised(n, severity="low")
        dispatch.run(NOW + n * MINUTE)
    raised(9, severity="high")
    dispatch.run(NOW + 10 * MINUTE)
    assert [mail["Subject"] for mail in mailbox.mails] == ["[HIGH] No scans from 9"]
    eight = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)  # 08:00 in Berlin
    dispatch.run(eight - MINUTE)
    assert len(mailbox.mails) == 1
    dispatch.run(eight)
    assert mailbox.mails[1]["Subject"] == "[LOW] 4 messages: No scans from 0 and 3 more"


def test_what_was_solved_before_the_digest_is_not_in_it(mailbox: Mailbox, mara: User) -> None:
    for n in range(3):
        raised(n, severity="low")
    dispatch.run(NOW)
    workflow.acknowledge(Incident.objects.get(title="No scans from 1").pk, mara, NOW + HOUR)
    dispatch.run(NOW + 24 * HOUR)
    [mail] = mailbox.mails
    assert "No scans from 1" not in part(mail, "plain")


def test_quiet_hours_hold_what_may_wait_and_nothing_that_may_not(mailbox: Mailbox, mara: User) -> None:
    wishes(mara, high={"quiet": {"how": "later", "by": ["email"]}}, critical={"quiet": {"how": "never", "by": []}})
    night = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
    raised(1, night, severity="high")
    raised(2, night, severity="critical")
    dispatch.run(night)
    assert [mail["Subject"] for mail in mailbox.mails] == ["[CRITICAL] No scans from 2"]
    dispatch.run(datetime(2026, 3, 3, 6, 0, tzinfo=UTC))
    assert [mail["Subject"] for mail in mailbox.mails][1:] == ["[HIGH] No scans from 1"]


def test_who_wants_silence_is_not_missed_but_who_cannot_be_reached_is(mara: User) -> None:
    wishes(mara, low={"day": {"how": "never", "by": []}})
    raised(1, severity="low")
    plan(NOW)
    assert not IncidentEvent.objects.filter(kind="notified").exists()
    User.objects.update(email="")
    raised(2, severity="high")
    plan(NOW)
    assert IncidentEvent.objects.get(kind="notified").data["failed"]


def test_an_address_on_a_channel_that_is_off_counts_for_nothing(mara: User, receiver: Receiver) -> None:
    row = listening(receiver)
    method = ContactMethod.objects.create(user=mara, channel=row, address="x", verified_at=NOW, created_at=NOW)
    Channel.objects.update(enabled=False)
    wishes(mara, high={"day": {"how": "now", "by": [method.key]}})
    raised(1, severity="high")
    plan(NOW)
    assert list(Delivery.objects.values_list("channel", flat=True)) == ["email"]


def test_channels_listen_by_team_and_severity(receiver: Receiver) -> None:
    night, day = team("night"), team("day")
    listening(receiver, slug="all", min_severity="high")
    listening(receiver, slug="nights", team=night, min_severity="low")
    for n, (one, severity) in enumerate([(night, "low"), (day, "high"), (night, "critical"), (day, "normal")]):
        raised(n, team_id=one.pk, severity=severity)
    plan(NOW)
    got = Delivery.objects.exclude(channel="email").order_by("incident_event_id", "channel")
    assert [(one.channel, one.incident_event.incident.title[-1]) for one in got] == [
        ("nights", "0"),
        ("all", "1"),
        ("all", "2"),
        ("nights", "2"),
    ]


@pytest.mark.parametrize(("kind", "listens"), [("opened", True), ("escalated", False), ("reminded", False)])
def test_a_policy_chooses_people_and_takes_no_news_from_those_who_listen(
    kind: str, listens: bool, mara: User, receiver: Receiver
) -> None:
    jon = person("jon")
    listening(receiver)
    raised(1)
    row = IncidentEvent.objects.get(kind="opened")
    IncidentEvent.objects.filter(pk=row.pk).update(kind=kind, data={"targets": {"users": [jon.pk], "channels": []}})
    plan(NOW)
    expected = {("email", jon.email)} | ({("planner", "*")} if listens else set())
    assert set(Delivery.objects.values_list("channel", "recipient")) == expected


def test_nonsense_targets_call_whom_the_usual_routing_calls(mara: User) -> None:
    raised(1)
    IncidentEvent.objects.update(data={"targets": {"users": ["x", None, 1.5], "channels": 7}})
    plan(NOW)
    assert Delivery.objects.get().user == mara


def test_nonsense_targets_with_nobody_else_to_call_are_said() -> None:
    raised(1)
    IncidentEvent.objects.update(data={"targets": {"users": ["x", None, 1.5], "channels": 7}})
    plan(NOW)
    assert not Delivery.objects.exists()
    assert IncidentEvent.objects.get(kind="notified").data["failed"]


def test_a_message_says_whom_it_hurts_in_two_statements_for_all(mailbox: Mailbox, mara: User) -> None:
    flows = [flow(str(n), value=Decimal(1_000), currency="EUR") for n in range(3)]
    drafts = [draft(n, cause=0, severity="high", flow_id=one.pk, due_at=NOW - HOUR) for n, one in enumerate(flows)]
    workflow.raise_findings(drafts, NOW)
    dispatch.run(NOW)
    [mail] = mailbox.mails
    for words in ("Hits: 3 flows, 3,000 EUR", "Late since: Mon 02 Mar 2026, 09:00 CET", "has no first scan"):
        assert words in part(mail, "plain")
    head = Delivery.objects.select_related("incident_event__incident", "user").get()
    message = compose([head], NOW)
    assert message.short.startswith("[HIGH] No scans from 0. ")
    assert "Hits: 3 flows, 3,000 EUR" in message.short
    assert message.short.endswith("/")
    assert "3 flows" in message.spoken
    assert "http" not in message.spoken
    workflow.raise_findings([draft(("x", n), cause=("x", n), flow_id=flows[0].pk) for n in range(30)], NOW)
    with CaptureQueriesContext(connection) as found:
        hurt = whom_it_hurts(list(Incident.objects.values_list("pk", flat=True)))
    assert len(hurt) == 31
    assert len(found) - 1 == 2


def test_a_short_text_fits_three_parts_whatever_is_in_it(mara: User) -> None:
    workflow.raise_findings([draft(1, incident_title="x" * 300, sentence="y" * 900, severity="critical")], NOW)
    dispatch.plan(NOW)
    head = Delivery.objects.select_related("incident_event__incident", "user").get()
    head.user = mara
    assert len(compose([head], NOW + timedelta(minutes=1)).short) <= 459
