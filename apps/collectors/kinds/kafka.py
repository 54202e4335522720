"""Kafka: the messages of some topics, read by the tower itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from apps.collectors.channels.kind import ChannelCollector
from apps.collectors.channels.settings import ChannelForm, allow_of, check_reach, checked
from apps.collectors.channels.topics import TopicChannel, TopicSettings

PORT = 9092
SECURITY = [
    ("ssl", "TLS"),
    ("sasl_ssl", "TLS and password (SASL)"),
    ("plaintext", "None: only inside a closed network"),
    ("sasl_plaintext", "Password without TLS: only inside a closed network"),
]
MECHANISMS = [(one, one) for one in ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")]
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class WordsField(forms.CharField):
    """Several names: a list (configuration files) or text separated by commas, blanks or lines (the form)."""

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        if value in self.empty_values:
            return []
        parts = value.replace(",", " ").split() if isinstance(value, str) else value
        if not isinstance(parts, list):
            raise ValidationError("Give names, separated by blanks.")
        return [str(one).strip() for one in parts]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def run_validators(self, value: Any) -> None:
        """Checked by the form."""


class KafkaForm(ChannelForm):
    servers = WordsField(label="Brokers", help_text="host:port of one or more brokers; they name the others")
    topics = WordsField(label="Topics")
    group = forms.CharField(required=False, max_length=128, initial="control-tower", help_text="Consumer group")
    security = forms.ChoiceField(choices=SECURITY, initial="ssl", required=False)
    mechanism = forms.ChoiceField(choices=MECHANISMS, initial="SCRAM-SHA-512", required=False)
    user = forms.CharField(
        required=False, max_length=128, help_text="Its password is the credential of this integration"
    )
    start = forms.ChoiceField(
        choices=[("beginning", "The first message there is"), ("now", "What comes from now on")],
        initial="beginning",
        required=False,
        help_text="Where to begin when neither the tower nor the group has read the topic",
    )
    dead_letter_topic = forms.CharField(
        required=False, max_length=249, help_text="Watched: how many messages it holds, and since when"
    )

    def clean_servers(self) -> list[str]:
        value: list[str] = self.cleaned_data["servers"]
        for one in value:
            host, port = split_server(one)
            if not host or not 0 < port < 65536:
                raise ValidationError("Give brokers as host:port, e.g. kafka-1.example.com:9093.")
        return value

    def clean_topics(self) -> list[str]:
        value: list[str] = self.cleaned_data["topics"]
        if not all(_TOPIC.fullmatch(one) for one in value):
            raise ValidationError("A topic's name has letters, digits, dots, dashes and underscores only.")
        return value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if str(cleaned.get("security")).startswith("sasl") and not cleaned.get("user"):
            self.add_error("user", "A login needs a user.")
        return cleaned


def split_server(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[v6]:port``; ('', 0) if it is neither."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?", text)
    return (match[1] or match[2], int(match[3] or PORT)) if match else ("", 0)


class Kafka(ChannelCollector):
    """Reads topics; the position is committed with the receipts (docs/collectors/channels.md)."""

    kind = "kafka"
    label = "Kafka topic"
    ConfigForm = KafkaForm

    def channel(self, settings: Mapping[str, Any], secrets: Sequence[str], cursor: Mapping[str, Any]) -> TopicChannel:
        return _channel(settings, secrets, cursor)


def _channel(raw: Mapping[str, Any], secrets: Sequence[str], cursor: Mapping[str, Any]) -> TopicChannel:
    """Raises `PollFailed` when the settings are wrong or lead where the tower does not go."""
    settings = checked(KafkaForm, raw)
    check_reach([split_server(one) for one in settings["servers"]], allow_of(settings))
    wanted = TopicSettings(
        servers=tuple(settings["servers"]),
        topics=tuple(settings["topics"]),
        group=settings["group"],
        security=settings["security"],
        mechanism=settings["mechanism"],
        user=settings["user"],
        dead_letter_topic=settings["dead_letter_topic"],
        from_now=settings["start"] == "now",
        batch_size=settings["batch_size"],
    )
    return TopicChannel(wanted, secrets, cursor)
