"""RabbitMQ and other AMQP 0-9-1 brokers: the messages of one queue, read by the tower itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors.channels.envelope import CONTENT_TYPE
from apps.collectors.channels.rabbit import PORTS, RabbitChannel, RabbitSettings
from apps.collectors.channels.reading import read_messages
from apps.collectors.channels.rounds import check, run
from apps.collectors.channels.settings import ChannelForm, allow_of, check_reach, checked, read_address
from apps.collectors.contract import Check, Collector, Polled, PollFailed, RawDelivery, SourceContext
from apps.flows.canonical import ParseResult


class AmqpForm(ChannelForm):
    url = forms.CharField(label="Broker", help_text="amqps://host:5671/virtual-host, without user and password")
    user = forms.CharField(max_length=128, help_text="Its password is the credential of this integration")
    queue = forms.CharField(max_length=255, help_text="A queue of our own, bound to what the tower shall see")
    dead_letter_queue = forms.CharField(
        required=False, max_length=255, help_text="Watched: how many messages it holds, and since when"
    )

    def clean_url(self) -> str:
        value = str(self.cleaned_data["url"]).strip()
        read_address(value, PORTS)
        return value


class Amqp(Collector):
    """Reads one queue; messages are acknowledged when their receipt is committed (docs/collectors/channels.md)."""

    kind = "amqp"
    label = "RabbitMQ queue (AMQP)"
    ConfigForm = AmqpForm
    has_door = False
    polls = True
    takes_mapping = True
    max_body = 64 * 1024 * 1024
    content_types: ClassVar[Mapping[str, str]] = {".jsonl": CONTENT_TYPE}

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        return read_messages(delivery, source)

    def poll(
        self, source: SourceContext, secrets: Sequence[str], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Polled]:
        yield from run(_channel(source.settings, secrets, cursor), cursor, now)

    def check(self, source: SourceContext, secrets: Sequence[str], now: datetime) -> Iterator[Check]:
        try:
            channel = _channel(source.settings, secrets, {})
        except PollFailed as failure:
            yield Check(False, "The settings cannot be used.", str(failure))
            return
        yield from check(channel, now)


def _channel(raw: Mapping[str, Any], secrets: Sequence[str], cursor: Mapping[str, Any]) -> RabbitChannel:
    """Raises `PollFailed` when the settings are wrong or lead where the tower does not go."""
    settings = checked(AmqpForm, raw)
    address = read_address(settings["url"], PORTS)
    check_reach([(address.host, address.port)], allow_of(settings))
    wanted = RabbitSettings(
        address, settings["user"], settings["queue"], settings["dead_letter_queue"], settings["batch_size"]
    )
    return RabbitChannel(wanted, secrets, cursor)
