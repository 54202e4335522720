"""E-mail over a real SMTP conversation."""

from __future__ import annotations

from typing import Any

import pytest

from apps.notifications.channels.email import Email
from apps.notifications.contract import DeliveryError, Message, Target
from tests.incidents.builders import NOW
from tests.notifications.mailserver import Mailbox, free_port, part

MESSAGE = Message(
    message_id="<one@tower.example>",
    thread="<incident@tower.example>",
    recipient="mara@tower.example",
    subject="[HIGH] Kein Scan für\nPaket 1Z",
    text="Größe: 3 h late\n",
    html="<p>Größe</p>",
)


def test_what_arrives(mailbox: Mailbox) -> None:
    Email().send(MESSAGE, Target(), NOW)
    [mail] = mailbox.mails
    assert mail["Message-ID"] == "<one@tower.example>"
    assert mail["In-Reply-To"] == mail["References"] == "<incident@tower.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"] == "tower@tower.example"
    assert mail["To"] == "mara@tower.example"
    assert mail["Subject"] == "[HIGH] Kein Scan für Paket 1Z"
    assert part(mail, "plain").strip() == "Größe: 3 h late"
    assert part(mail, "html").strip() == "<p>Größe</p>"


@pytest.mark.parametrize(
    ("reply", "permanent"), [("550 5.1.1 no such user", True), ("451 try later", False), ("452 mailbox full", False)]
)
def test_recipient_refused(mailbox: Mailbox, reply: str, permanent: bool) -> None:
    mailbox.refused["mara@tower.example"] = reply
    with pytest.raises(DeliveryError, match=reply[4:]) as caught:
        Email().send(MESSAGE, Target(), NOW)
    assert caught.value.permanent is permanent


@pytest.mark.parametrize(("reply", "permanent"), [("554 rejected as spam", True), ("421 going down", False)])
def test_content_refused(mailbox: Mailbox, reply: str, permanent: bool) -> None:
    mailbox.mood = reply
    with pytest.raises(DeliveryError, match=reply[4:]) as caught:
        Email().send(MESSAGE, Target(), NOW)
    assert caught.value.permanent is permanent


def test_connection_lost_after_the_message_was_taken_is_no_success(mailbox: Mailbox) -> None:
    mailbox.drop_after_taking = True
    with pytest.raises(DeliveryError) as caught:
        Email().send(MESSAGE, Target(), NOW)
    assert not caught.value.permanent
    assert mailbox.ids() == ["<one@tower.example>"]


def test_no_server_at_all(mailbox: Mailbox, settings: Any) -> None:
    settings.EMAIL_PORT = free_port()
    with pytest.raises(DeliveryError, match="could not be reached") as caught:
        Email().send(MESSAGE, Target(), NOW)
    assert not caught.value.permanent


@pytest.mark.parametrize("address", ["", "no address", "a@b@c", "x\ny@tower.example"])
def test_impossible_addresses_are_given_up_at_once(mailbox: Mailbox, address: str) -> None:
    message = Message("<2@t>", "<t@t>", address, "s", "t")
    with pytest.raises(DeliveryError, match="is no e-mail address") as caught:
        Email().send(message, Target(), NOW)
    assert caught.value.permanent
