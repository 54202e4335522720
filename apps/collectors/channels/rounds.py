"""One round over a channel: batches become receipts; each is confirmed to the broker once its receipt is committed.

The confirmation is what the poller calls after the commit (`Polled.committed`): whatever stops a worker before, the
messages stay with the broker and come again; whatever stops it between commit and confirmation, they come twice, and the
second time they are duplicates. Nothing is ever confirmed that is not kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from apps.collectors.channels.envelope import CONTENT_TYPE, Message, write
from apps.collectors.channels.health import KEY, Health
from apps.collectors.channels.settings import BATCH_BYTES
from apps.collectors.contract import Check, Polled, PollFailed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages to keep together. confirm: tells the broker that they are kept; position: what the cursor adds."""

    messages: Sequence[Message]
    confirm: Callable[[], None]
    position: Mapping[str, Any] = field(default_factory=dict)


class Channel(ABC):
    """A connection to one broker for one round. Its methods raise `PollFailed`, or an exception `explain` knows."""

    @abstractmethod
    def open(self) -> None:
        """Connects and finds the queue, stream or topic."""

    @abstractmethod
    def batches(self) -> Iterator[Batch]:
        """Batches until nothing more waits; the next one is asked for after the last one was confirmed."""

    def position(self) -> Mapping[str, Any]:
        """Where reading begins, for brokers that do not remember it: kept even if nothing comes."""
        return {}

    @abstractmethod
    def measure(self, now: datetime) -> Health:
        """How the channel stands at this moment."""

    @abstractmethod
    def close(self) -> None:
        """Gives unconfirmed messages back. Raises nothing."""

    @abstractmethod
    def explain(self, error: Exception) -> PollFailed | None:
        """A broker's error in words for people; None if it is none of the broker's."""


def run(channel: Channel, cursor: Mapping[str, Any], now: datetime) -> Iterator[Polled]:
    """Everything that waits in a channel, as `Collector.poll` gives it. Raises `PollFailed`."""
    position: dict[str, Any] = dict(cursor)
    try:
        channel.open()
        position |= {**channel.position(), KEY: channel.measure(now).as_json()}
        for batch in channel.batches():
            position |= batch.position
            confirmation = _Confirmation(batch)
            yield Polled(write(batch.messages), CONTENT_TYPE, dict(position), committed=confirmation.tell)
            if confirmation.failure is not None:
                raise confirmation.failure
        yield Polled(b"", "", {**position, KEY: channel.measure(now).as_json()})
    except PollFailed:
        raise
    except Exception as error:
        failure = channel.explain(error)
        if failure is None:
            raise
        raise failure from None
    finally:
        channel.close()


def check(channel: Channel, now: datetime) -> Iterator[Check]:
    """Whether the channel can be read, without reading it."""
    try:
        channel.open()
        found = channel.measure(now)
    except Exception as error:
        failure = error if isinstance(error, PollFailed) else channel.explain(error)
        if failure is None:
            raise
        yield Check(False, "The channel cannot be read.", str(failure))
        return
    finally:
        channel.close()
    waiting = "an unknown number of" if found.waiting is None else f"{found.waiting:,}"
    yield Check(True, f"The channel can be read; {waiting} messages wait in it.")
    if found.dead_letters is not None:
        yield Check(True, f"Its dead-letter queue can be watched; it holds {found.dead_letters:,} messages.")


@dataclass(slots=True)
class _Confirmation:
    """Confirms a batch after the commit. What fails there is kept: the caller of a commit must not fall over it."""

    batch: Batch
    failure: PollFailed | None = None

    def tell(self) -> None:
        try:
            self.batch.confirm()
        except Exception as error:
            log.warning("channel_not_confirmed", error=type(error).__name__, messages=len(self.batch.messages))
            self.failure = PollFailed(
                f"{len(self.batch.messages)} messages were kept, but the broker could not be told ({type(error).__name__}):"
                " what it sends again counts as duplicates. Nothing is lost."
            )


def portions(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Messages in groups of at most `BATCH_BYTES`, each of at least one message."""
    start, size = 0, 0
    for place, message in enumerate(messages):
        if place > start and size + message.size > BATCH_BYTES:
            yield messages[start:place]
            start, size = place, 0
        size += message.size
    if start < len(messages):
        yield messages[start:]
