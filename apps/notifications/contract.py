"""What a notification channel is. One file per kind in apps/notifications/channels/."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms

from apps.core import outbound
from apps.core.registry import Registry

Door = Callable[..., outbound.Response]


@dataclass(frozen=True, slots=True)
class News:
    """One piece of news in a message.

    kind: of the timeline row. at: in the reader's zone, as words. facts: what matters, as name and value. url: of the
    incident's page. acknowledge_url: "" when there is nothing to acknowledge or nobody to do it. key: the same for all
    news of one incident, for receivers that keep one alert (or ticket) per incident. held: somebody had it when this was
    sent, so that an alert it opens is theirs already. given_back: who had it has it no more.
    """

    subject: str
    text: str
    at: str
    state: str
    facts: tuple[tuple[str, str], ...]
    url: str
    acknowledge_url: str
    kind: str = "opened"
    severity: str = "normal"
    title: str = ""
    incident_id: int = 0
    key: str = ""
    moment: datetime | None = None
    held: bool = False
    given_back: bool = False

    @property
    def is_over(self) -> bool:
        """The incident ended, or was merged into another which has an alert of its own."""
        return self.kind in ("resolved", "merged")

    @property
    def is_taken(self) -> bool:
        return self.kind == "acknowledged"

    @property
    def wanted(self) -> str:
        """Where a ticket of it belongs: "over", "taken" (somebody has it) or "open"; "" for news that moves nothing."""
        if self.is_over:
            return "over"
        if self.is_taken or self.held:
            return "taken"
        return (
            "open"
            if self.given_back or self.kind in ("opened", "reopened", "woken", "unacknowledged", "unmerged")
            else ""
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one recipient.

    message_id: RFC 5322 form ``<id@host>``, the same over all attempts, for receivers that drop what they know.
    thread: same form, the same for all messages of one incident. recipient: an address the channel understands.
    short: what fits a telephone: one or two sentences and one link. news: the same for machines and for cards.
    """

    message_id: str
    thread: str
    recipient: str
    subject: str
    text: str
    html: str = ""
    short: str = ""
    spoken: str = ""
    severity: str = "normal"
    news: tuple[News, ...] = ()

    @property
    def key(self) -> str:
        """The message id without brackets and host: letters, digits and dashes."""
        return self.message_id.strip("<>").split("@", 1)[0]

    @property
    def url(self) -> str:
        """Where a tap on it leads: to acknowledge if that is possible, else to the incident; "" if there is none."""
        one = self.news[0] if self.news else None
        return (one.acknowledge_url or one.url) if one else ""


class DeliveryError(Exception):
    """It was not delivered; the message is for people.

    permanent: trying again cannot help. blames_channel: neither the message nor the address is at fault but the
    channel itself (wrong key, address gone); after some of these in a row the channel is switched off. gone: the
    receiver says it will never take anything again (410). unreachable: there was no answer, so the next message
    would wait in vain too. retry_after: what the receiver asks for.
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        blames_channel: bool = False,
        gone: bool = False,
        unreachable: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.blames_channel = blames_channel
        self.gone = gone
        self.unreachable = unreachable
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a channel: asked for once, kept encrypted, never shown again."""

    name: str
    label: str
    help: str = ""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where a channel sends: its settings, its secrets in the clear, and the door all HTTP leaves by."""

    config: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    door: Door = outbound.request


class Channel(ABC):
    """Base of all channels. Subclasses set `kind` and `label` and implement `send`.

    personal: people have an address of their own on it (`address_label`, checked by `clean_address`); otherwise it
    leads to one place that its settings name. paced: for people's eyes, so news is bundled and slowed down; machines
    get each piece by itself. rings: it wakes people, so only calls for help go over it. acknowledges: it keeps one alert
    per incident that can be acknowledged from here, so it gets news of the kind ``acknowledged``; nobody else does.
    """

    kind: ClassVar[str] = ""
    label: ClassVar[str] = ""
    purpose: ClassVar[str] = ""
    personal: ClassVar[bool] = False
    paced: ClassVar[bool] = True
    rings: ClassVar[bool] = False
    acknowledges: ClassVar[bool] = False
    address_label: ClassVar[str] = ""
    address_help: ClassVar[str] = ""
    #: form of the channel's own settings, if it has any
    ConfigForm: ClassVar[type[forms.Form]] = forms.Form
    secrets: ClassVar[tuple[Secret, ...]] = ()

    @abstractmethod
    def send(self, message: Message, target: Target, now: datetime) -> str:
        """What the provider answered, once it has taken the message; raises DeliveryError. Ends within `dispatch.LEASE`."""

    def clean_address(self, text: str) -> str:
        """A person's address in the one form it is kept in. Raises ValidationError with what is expected."""
        return text.strip()

    def place(self, config: Mapping[str, Any]) -> str:
        """The address of the shared place the settings name; "" when only people's own addresses can be sent to."""
        return str(config.get("to", "")) if self.personal else "*"


CHANNELS: Registry[Channel] = Registry("apps.notifications.channels", Channel)
