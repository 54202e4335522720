"""Channels, the log and one's own notifications in a real browser; and from the link in a message to acknowledged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from apps.accounts.models import Role, User
from apps.core import heartbeats
from apps.incidents import workflow
from apps.incidents.models import Incident
from apps.notifications import dispatch, keeping
from apps.notifications.models import Channel, ContactMethod, Preference
from tests.browser.conftest import Screen
from tests.incidents.builders import draft, person, team
from tests.notifications.conftest import mailbox
from tests.notifications.mailserver import Mailbox, part
from tests.notifications.receiver import LOOPBACK, Receiver, receiving
from tests.notifications.samples import config_of, secrets_of

__all__ = ["mailbox"]
pytestmark = pytest.mark.django_db(transaction=True)
#: each theme and each shape once
SCREENS = [("desktop", "dark"), ("phone", "light")]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        one.reply = b'{"id": "m-1", "status": "queued"}'
        yield one


def channel(kind: str, name: str, receiver: Receiver, **values: object) -> Channel:
    row = Channel(slug=kind.replace("_", "-"), name=name, kind=kind, **values)
    row.config = config_of(kind, receiver.url) | {"allow_networks": [LOOPBACK]}
    keeping.save(row, secrets_of(kind, receiver.url), None, timezone.now())
    return row


@pytest.fixture
def mara(receiver: Receiver, mailbox: Mailbox) -> User:
    """Three channels, one of which fails for good, some messages, and a person with addresses."""
    now = timezone.now()
    for name in ("sweep", "dispatch"):
        heartbeats.beat(name, now)
    mara = person("mara", role=Role.ON_CALL, time_zone="Europe/Berlin", last_name="Lind")
    sms = channel("sms_gateway", "Text messages", receiver)
    channel("slack", "Night shift room", receiver, listens=True, team=team("night", name="Night shift"))
    hook = channel("webhook", "Warehouse planner", receiver, listens=True)
    ContactMethod.objects.create(
        user=mara, channel=sms, address="+491701234567", created_at=now, verified_at=now - timedelta(days=3)
    )
    ContactMethod.objects.create(user=mara, channel=sms, address="+491709876543", created_at=now)
    Preference.objects.create(user=mara, quiet_from="22:00", quiet_until="06:30", rules={}, changed_at=now)
    receiver.mood = lambda one: (
        (410, b"endpoint was deleted") if one.path == "/hook" else (200, b'{"status": "queued"}')
    )
    workflow.raise_findings([draft(n, cause=n, severity="high") for n in range(3)], now)
    dispatch.run(now)
    assert not Channel.objects.get(pk=hook.pk).enabled
    return mara


@pytest.mark.parametrize(("shape", "theme"), SCREENS)
def test_channels_and_the_log(
    screens: Callable[..., Screen], mara: User, receiver: Receiver, shape: str, theme: str
) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in("operations")
    for path, name in (
        ("/channels/", "channels"),
        ("/channels/add/", "channel-kinds"),
        ("/channels/add/sms_gateway/", "channel-add"),
        ("/channels/webhook/", "channel-off"),
        ("/deliveries/", "deliveries"),
    ):
        screen.open(path)
        screen.no_axe_violations()
        screen.no_sideways_scroll()
        screen.picture(name)
    page = screen.open("/channels/slack/")
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("#test")).to_contain_text('Answered 200: {"status": "queued"}')
    screen.picture("channel-tested")
    page = screen.open("/channels/webhook/")
    page.get_by_role("button", name="Turn on").click()
    receiver.mood = None
    page.get_by_role("button", name=re.compile("given-up again")).click()
    page.get_by_role("button", name=re.compile(r"^Send \d+ again$")).click()
    expect(page.get_by_text("will be sent again")).to_be_visible()


@pytest.mark.parametrize(("shape", "theme"), SCREENS)
def test_my_notifications(
    screens: Callable[..., Screen], mara: User, receiver: Receiver, shape: str, theme: str
) -> None:
    screen = screens(shape, color_scheme=theme)
    screen.sign_in(mara)
    page = screen.open("/me/notifications/")
    screen.no_axe_violations()
    screen.no_sideways_scroll()
    screen.picture("mine")
    row = page.locator(".ways li", has_text="+491709876543")
    row.get_by_role("button", name="Send another code").click()
    expect(page.get_by_text("A code is on its way")).to_be_visible()
    code = re.findall(r"\d{6}", receiver.taken[-1].json["text"])[0]
    row.get_by_label("Code you got").fill(code)
    row.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("What is critical comes there")).to_be_visible()
    page.locator("#wish-high summary").click()
    screen.picture("mine-open")
    page.locator("#wish-high").get_by_label("In quiet hours").select_option("later")
    page.get_by_role("button", name="Keep my choices").click()
    expect(page.locator("body")).to_contain_text("in quiet hours when quiet hours end")
    screen.no_axe_violations()


def test_from_the_message_to_acknowledged_in_two_taps(phone: Screen, mara: User, mailbox: Mailbox) -> None:
    """One tap on the link in the message, one on the button; what a mail scanner does before changes nothing."""
    now = timezone.now()
    text = next(part(mail, "plain") for mail in mailbox.mails if mail["To"] == mara.email)
    link = re.findall(r"/incidents/acknowledge/[^\s/]+/", text)[0]
    for method in ("get", "head", "options"):
        phone.context.request.fetch(phone.address + link, method=method)
    assert not Incident.objects.filter(state="acknowledged").exists()
    page = phone.open(link)  # the first tap
    phone.no_axe_violations()
    phone.no_sideways_scroll()
    phone.picture("link")
    button = page.get_by_role("button", name="Acknowledge", exact=True)
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["width"] >= 300
    assert box["y"] + box["height"] <= 844, "the button is not on the first screen"
    button.tap()  # the second
    expect(page.locator("body")).to_contain_text("You have it since")
    [incident] = Incident.objects.filter(state="acknowledged")
    assert incident.acknowledged_by == mara
    assert f"/incidents/{incident.pk}/" in text
    dispatch.run(now + dispatch.PACE)


def test_a_gateway_that_is_down_is_said_to_the_one_who_asks(desktop: Screen, mara: User, receiver: Receiver) -> None:
    receiver.mood = lambda one: (503, b"maintenance")
    desktop.sign_in(mara)
    page = desktop.open("/me/notifications/")
    page.get_by_role("button", name="Send a test to +491701234567").click()
    expect(page.get_by_text("Answered 503: maintenance")).to_be_visible()
