"""What a notification channel is. One file per kind in apps/notifications/channels/."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from django import forms

from apps.core.registry import Registry


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one recipient.

    message_id: RFC 5322 form ``<id@host>``, the same over all attempts, for receivers that drop what they know.
    thread: same form, the same for all messages of one incident. recipient: an address the channel understands.
    """

    message_id: str
    thread: str
    recipient: str
    subject: str
    text: str
    html: str = ""


class DeliveryError(Exception):
    """It was not delivered. permanent: trying again cannot help (the address does not exist)."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


class Channel(ABC):
    """Base of all channels. Subclasses set `kind` and `label` and implement `send`."""

    kind: ClassVar[str] = ""
    label: ClassVar[str] = ""
    #: form of the channel's own settings, if it has any
    ConfigForm: ClassVar[type[forms.Form]] = forms.Form

    @abstractmethod
    def send(self, message: Message) -> None:
        """Returns once the provider has taken the message; raises DeliveryError. Must end within `dispatch.LEASE`."""


CHANNELS: Registry[Channel] = Registry("apps.notifications.channels", Channel)
