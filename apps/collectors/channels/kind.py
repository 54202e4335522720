"""What the kinds that read a channel have in common; each says how its channel is opened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from apps.collectors.channels.envelope import CONTENT_TYPE
from apps.collectors.channels.reading import read_messages
from apps.collectors.channels.rounds import Channel, check, run
from apps.collectors.contract import Check, Collector, Polled, PollFailed, RawDelivery, SourceContext
from apps.flows.canonical import ParseResult


class ChannelCollector(Collector):
    """Reads by itself; the channel is told only once the receipt is committed (docs/collectors/channels.md)."""

    has_door = False
    polls = True
    takes_mapping = True
    max_body = 64 * 1024 * 1024
    content_types: ClassVar[Mapping[str, str]] = {".jsonl": CONTENT_TYPE}

    @abstractmethod
    def channel(self, settings: Mapping[str, Any], secrets: Sequence[str], cursor: Mapping[str, Any]) -> Channel:
        """Raises `PollFailed` when the settings are wrong or lead where the tower does not go."""

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        return read_messages(delivery, source)

    def poll(
        self, source: SourceContext, secrets: Sequence[str], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Polled]:
        yield from run(self.channel(source.settings, secrets, cursor), cursor, now)

    def check(self, source: SourceContext, secrets: Sequence[str], now: datetime) -> Iterator[Check]:
        try:
            channel = self.channel(source.settings, secrets, {})
        except PollFailed as failure:
            yield Check(False, "The settings cannot be used.", str(failure))
            return
        yield from check(channel, now)
