"""Redis and Valkey streams: the entries of one stream, read by the tower itself through a consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from apps.collectors.channels.kind import ChannelCollector
from apps.collectors.channels.settings import ChannelForm, allow_of, check_reach, checked, read_address
from apps.collectors.channels.streams import PORTS, StreamChannel, StreamSettings


class RedisStreamForm(ChannelForm):
    url = forms.CharField(label="Server", help_text="rediss://host:6379/0, without user and password")
    user = forms.CharField(
        required=False, max_length=128, help_text="Empty for the default user; its password is the credential"
    )
    stream = forms.CharField(max_length=255, help_text="The key of the stream")
    group = forms.CharField(
        required=False, max_length=128, initial="control-tower", help_text="Consumer group; the tower makes it"
    )
    body_field = forms.CharField(
        required=False,
        max_length=128,
        help_text="Field with the message; empty: body, data, payload, message or value, else all fields as one object",
    )
    start = forms.ChoiceField(
        choices=[("beginning", "The first entry there is"), ("now", "What comes from now on")],
        initial="beginning",
        required=False,
        help_text="Where a new group begins",
    )
    dead_letter_stream = forms.CharField(
        required=False, max_length=255, help_text="Watched: how many entries it holds, and since when"
    )

    def clean_url(self) -> str:
        value = str(self.cleaned_data["url"]).strip()
        path = read_address(value, PORTS).path
        if path and not (path.isascii() and path.isdigit() and len(path) < 4):
            raise ValidationError(
                "Behind the host there is only the number of the database, as in redis://host:6379/0."
            )
        return value


class RedisStream(ChannelCollector):
    """Reads one stream; entries are acknowledged when their receipt is committed (docs/collectors/channels.md)."""

    kind = "redis_stream"
    label = "Redis stream"
    ConfigForm = RedisStreamForm

    def channel(self, settings: Mapping[str, Any], secrets: Sequence[str], cursor: Mapping[str, Any]) -> StreamChannel:
        return _channel(settings, secrets)


def _channel(raw: Mapping[str, Any], secrets: Sequence[str]) -> StreamChannel:
    """Raises `PollFailed` when the settings are wrong or lead where the tower does not go."""
    settings = checked(RedisStreamForm, raw)
    address = read_address(settings["url"], PORTS)
    check_reach([(address.host, address.port)], allow_of(settings))
    wanted = StreamSettings(
        address=address,
        user=settings["user"],
        stream=settings["stream"],
        group=settings["group"],
        body_field=settings["body_field"],
        dead_letter_stream=settings["dead_letter_stream"],
        from_now=settings["start"] == "now",
        batch_size=settings["batch_size"],
    )
    return StreamChannel(wanted, secrets)
