"""RabbitMQ and other AMQP 0-9-1 brokers: the messages of one queue, read by the tower itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from apps.collectors.channels.kind import ChannelCollector
from apps.collectors.channels.rabbit import PORTS, RabbitChannel, RabbitSettings
from apps.collectors.channels.settings import ChannelForm, allow_of, check_reach, checked, read_address


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


class Amqp(ChannelCollector):
    """Reads one queue; messages are acknowledged when their receipt is committed (docs/collectors/channels.md)."""

    kind = "amqp"
    label = "RabbitMQ queue (AMQP)"
    ConfigForm = AmqpForm

    def channel(self, settings: Mapping[str, Any], secrets: Sequence[str], cursor: Mapping[str, Any]) -> RabbitChannel:
        return _channel(settings, secrets, cursor)


def _channel(raw: Mapping[str, Any], secrets: Sequence[str], cursor: Mapping[str, Any]) -> RabbitChannel:
    """Raises `PollFailed` when the settings are wrong or lead where the tower does not go."""
    settings = checked(AmqpForm, raw)
    address = read_address(settings["url"], PORTS)
    check_reach([(address.host, address.port)], allow_of(settings))
    wanted = RabbitSettings(
        address, settings["user"], settings["queue"], settings["dead_letter_queue"], settings["batch_size"]
    )
    return RabbitChannel(wanted, secrets, cursor)
