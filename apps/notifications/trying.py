"""Messages people ask for on the spot: tests of a channel, and codes that prove an address. They show the real answer."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.conf import settings

from apps.core import outbound
from apps.notifications import keeping
from apps.notifications.contract import DeliveryError, Door, Message
from apps.notifications.messages import own_id
from apps.notifications.models import Channel

TEST = "This is a test from the control tower. Nothing is wrong, and nothing has to be done."


def plain_message(recipient: str, subject: str, text: str, spoken: str = "") -> Message:
    """A message about nothing in particular; every one has an id of its own."""
    key = own_id(f"note/{uuid4()}")
    page = f"{settings.BASE_URL.rstrip('/')}/me/notifications/"
    return Message(
        message_id=key,
        thread=key,
        recipient=recipient,
        subject=subject,
        text=f"{text}\n\nWhat you get and when: {page}\n",
        short=text,
        spoken=spoken or text,
        severity="low",
    )


def send_now(slug: str, message: Message, now: datetime, door: Door = outbound.request) -> str:
    """The receiver's answer. Raises DeliveryError; what it says of the channel is kept."""
    try:
        plugin, target = keeping.open_channel(slug, now, door)
        answer = plugin.send(message, target, now)
    except DeliveryError as error:
        keeping.note_failure(slug, error, now)
        raise
    keeping.note_success(slug, now)
    return answer


def try_channel(
    row: Channel, recipient: str, who: str, now: datetime, door: Door = outbound.request
) -> tuple[bool, str]:
    """Sends a test even over a channel that is switched off; (whether it was taken, what the receiver said)."""
    text = f"{TEST} Sent by {who} over “{row.name}”."
    message = plain_message(recipient, "Test from the control tower", text)
    try:
        answer = keeping.plugin_of(row).send(message, keeping.target_of(row, now, door), now)
    except DeliveryError as error:
        keeping.note_failure(row.slug, error, now)
        return False, str(error)
    keeping.note_success(row.slug, now)
    return True, answer
