"""Topics of Kafka, read from the position the tower has committed with its own receipts.

The position of every partition is in the cursor, in the same commit as the receipt of what was read: so nothing comes
twice, whenever a worker stops. The group's offsets are committed behind it, so that the broker's own tools show our lag;
they are where a new integration of a known group begins. Partitions are assigned, not balanced: one worker at a time
reads an integration (the poller's lease).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from apps.collectors.channels.envelope import Message
from apps.collectors.channels.health import Health
from apps.collectors.channels.rounds import Batch, Channel, portions
from apps.collectors.contract import PollFailed

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 8.0
GAP_SECONDS = 0.5
#: without a message and without the end of a partition for so long, the round is over
IDLE_SECONDS = 5.0
SHORT_SECONDS = 1.0
OFFSETS = "offsets"

_LOGIN = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_RIGHTS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
#: the offset asked for is not there (any more)
_GONE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """Checked settings. servers: ``host:port``; security: one of librdkafka's protocols, in lower case."""

    servers: tuple[str, ...]
    topics: tuple[str, ...]
    group: str = "control-tower"
    security: str = "plaintext"
    mechanism: str = ""
    user: str = ""
    dead_letter_topic: str = ""
    from_now: bool = False
    batch_size: int = 200

    @property
    def name(self) -> str:
        return self.servers[0]


@dataclass(slots=True)
class _Partition:
    """What is known of a partition: the first offset there is, the one after the last, and the next to read."""

    low: int
    high: int
    next: int


class TopicChannel(Channel):
    def __init__(self, settings: TopicSettings, secrets: Sequence[str], cursor: Mapping[str, Any]) -> None:
        self.settings = settings
        self.secrets = secrets
        self.known = _offsets(cursor)
        self.errors: list[KafkaError] = []
        self.consumer: Any = None
        self.config: dict[str, Any] = {}
        self.partitions: dict[tuple[str, int], _Partition] = {}
        self.behind: list[TopicPartition] = []

    def open(self) -> None:
        if self.settings.security.startswith("sasl") and not self.secrets:
            raise PollFailed(
                f"No password is stored for {self.settings.user}: store it as the credential of this integration.",
                permanent=True,
            )
        tries: Sequence[str | None] = self.secrets if self.settings.security.startswith("sasl") else [None]
        for place, secret in enumerate(tries):
            self._connect(secret)
            try:
                self._find()
                break
            except KafkaException as error:
                if place + 1 == len(tries) or not self._refused(error):
                    raise
                self.consumer.close()
        self.consumer.assign(self._ends())
        if self.behind:
            # a worker stopped between its commit here and the one there; what our cursor says is kept
            self.consumer.commit(offsets=self.behind, asynchronous=False)

    def _connect(self, secret: str | None) -> None:
        settings = self.settings
        self.config = {
            "bootstrap.servers": ",".join(settings.servers),
            "group.id": settings.group,
            "client.id": "control-tower",
            "security.protocol": settings.security,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "socket.timeout.ms": 15_000,
            "fetch.wait.max.ms": 100,
            # what librdkafka may hold in memory of what was not asked for yet
            "queued.max.messages.kbytes": 16 * 1024,
            "allow.auto.create.topics": False,
            "error_cb": self.errors.append,
            "log_level": 0,
        }
        if secret is not None:
            self.config |= {
                "sasl.mechanism": settings.mechanism or "PLAIN",
                "sasl.username": settings.user,
                "sasl.password": secret,
            }
        self.errors.clear()
        self.consumer = Consumer(self.config)

    def _find(self) -> None:
        """The partitions of our topics, and where to go on in each."""
        held: list[TopicPartition] = []
        for topic in self.settings.topics:
            found = self.consumer.list_topics(topic, timeout=CONNECT_SECONDS).topics[topic]
            if found.error is not None:
                raise KafkaException(found.error)
            held += [TopicPartition(topic, number) for number in sorted(found.partitions)]
        committed = self.consumer.committed(held, timeout=CONNECT_SECONDS)
        starts = {(one.topic, one.partition): one.offset for one in committed if one.offset >= 0}
        for one in held:
            low, high = self._marks(one.topic, one.partition)
            place = (one.topic, one.partition)
            begin = high if self.settings.from_now else low
            self.partitions[place] = _Partition(low, high, self.known.get(place, starts.get(place, begin)))
        self.behind = [
            TopicPartition(*place, offset)
            for place, offset in self.known.items()
            if place in self.partitions and offset != starts.get(place)
        ]

    def _marks(self, topic: str, number: int) -> tuple[int, int]:
        """The first offset of a partition and the one after its last."""
        found = self.consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=CONNECT_SECONDS)
        if found is None:
            raise PollFailed(
                f"{self.settings.name} did not say in time where {topic}/{number} ends. It is tried again."
            )
        low, high = found
        return int(low), int(high)

    def batches(self) -> Iterator[Batch]:
        unread = set(self.partitions)
        quiet = 0.0
        while unread and quiet < (SHORT_SECONDS if self._read_through() else IDLE_SECONDS):
            found = self.consumer.consume(num_messages=self.settings.batch_size, timeout=GAP_SECONDS)
            quiet = 0.0 if found else quiet + GAP_SECONDS
            self._stumble()
            messages: list[Any] = []
            for one in found:
                code = one.error().code() if one.error() is not None else None
                if code is None:
                    messages.append(one)
                elif code == KafkaError._PARTITION_EOF:
                    unread.discard((one.topic(), one.partition()))
                elif code in _GONE:
                    yield self._skip((one.topic(), one.partition()))
                else:
                    raise KafkaException(one.error())
            start = 0
            for portion in portions([_message(one) for one in messages]):
                for one in messages[start : start + len(portion)]:
                    self.partitions[(one.topic(), one.partition())].next = one.offset() + 1
                start += len(portion)
                yield Batch(portion, partial(self._commit, self._ends()), self.position())

    def _read_through(self) -> bool:
        """Whether the ends there were when the round began are reached. Not every broker tells the end by itself."""
        return all(one.next >= one.high for one in self.partitions.values())

    def _skip(self, place: tuple[str, int]) -> Batch:
        """The offset that was to be read next does not exist: says so, and goes on at the first one there is."""
        topic, number = place
        low, high = self._marks(topic, number)
        wanted, name = self.partitions[place].next, f"{topic}/{number}"
        sentence = (
            f"The offsets {wanted} to {low - 1} of {name} were deleted by the topic's retention before they were read."
        )
        if wanted >= low:
            sentence = (
                f"{name} ends at offset {high}, but {wanted} was to be read next: the topic was made anew. It is read "
                "from its beginning."
            )
        self.partitions[place] = _Partition(low, high, low)
        self.consumer.assign(self._ends())
        return Batch([Message(f"{name}@{wanted}", gone=sentence)], _nothing, self.position())

    def _stumble(self) -> None:
        """Errors that concern the client as a whole come by callback only."""
        for error in self.errors:
            if error.fatal() or error.code() in _LOGIN or error.code() == KafkaError._ALL_BROKERS_DOWN:
                raise KafkaException(error)

    def _ends(self) -> list[TopicPartition]:
        return [TopicPartition(topic, number, one.next) for (topic, number), one in self.partitions.items()]

    def position(self) -> dict[str, Any]:
        return {OFFSETS: {f"{topic}/{number}": one.next for (topic, number), one in self.partitions.items()}}

    def _commit(self, ends: list[TopicPartition]) -> None:
        self.consumer.commit(offsets=ends, asynchronous=False)

    def measure(self, now: datetime) -> Health:
        waiting = 0
        for (topic, number), one in self.partitions.items():
            # as the last fetch told it: asking anew takes one request for each partition
            low, high = self.consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True) or (0, 0)
            one.low, one.high = max(one.low, low), max(one.high, high)
            waiting += max(0, one.high - max(one.next, one.low))
        if not self.settings.dead_letter_topic:
            return Health(now, waiting=waiting)
        dead, oldest = self._dead_letters()
        return Health(now, waiting=waiting, dead_letters=dead, oldest_dead_letter_at=oldest)

    def _dead_letters(self) -> tuple[int, datetime | None]:
        """How many offsets the dead-letter topic holds, and when the oldest was stamped (read by a consumer of its own,
        in no group's name)."""
        topic = self.settings.dead_letter_topic
        found = self.consumer.list_topics(topic, timeout=CONNECT_SECONDS).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        places = [TopicPartition(topic, number) for number in found.partitions]
        marks = [(one, *self._marks(topic, one.partition)) for one in places]
        held = [(one, low) for one, low, high in marks if high > low]
        count = sum(high - low for _, low, high in marks)
        if not held:
            return count, None
        reader: Any = Consumer(self.config)
        try:
            reader.assign([TopicPartition(topic, one.partition, low) for one, low in held])
            return count, min(_first_stamps(reader, {one.partition for one, _ in held}), default=None)
        finally:
            reader.close()

    def close(self) -> None:
        try:
            if self.consumer is not None:
                self.consumer.close()
        except Exception as error:
            log.debug("channel_close", error=type(error).__name__)

    def _refused(self, error: KafkaException) -> bool:
        return bool({one.code() for one in (_inner(error), *self.errors) if one is not None} & _LOGIN)

    def explain(self, error: Exception) -> PollFailed | None:
        if not isinstance(error, KafkaException):
            return None
        settings, inner = self.settings, _inner(error)
        code = inner.code() if inner is not None else None
        if self._refused(error):
            return PollFailed(
                f"{settings.name} refused the login of {settings.user or 'this client'}: store the right password as the "
                "credential, and check user and mechanism.",
                permanent=True,
            )
        if code in _RIGHTS:
            return PollFailed(
                f"{settings.user or 'This client'} may not read {', '.join(settings.topics)} as group {settings.group} on "
                f"{settings.name}: allow READ and DESCRIBE on the topic and READ on the group.",
                permanent=True,
            )
        if code in _UNKNOWN:
            wanted = ", ".join(filter(None, (*settings.topics, settings.dead_letter_topic)))
            return PollFailed(
                f"A topic ({wanted}) does not exist on {settings.name}: create it, or correct its name.", permanent=True
            )
        if code == KafkaError._SSL or any(one.code() == KafkaError._SSL for one in self.errors):
            return PollFailed(
                f"No secure connection to {settings.name}: its certificate is not valid, or it does not speak TLS there.",
                permanent=True,
            )
        what = inner.name() if inner is not None else type(error).__name__
        return PollFailed(
            f"{', '.join(settings.servers)} could not be read ({what}). It is tried again by itself; are the brokers running?"
        )


def _nothing() -> None:
    """A note of ours about lost messages: there is nothing to confirm."""


def _inner(error: KafkaException) -> KafkaError | None:
    return error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None


def _offsets(cursor: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    found = cursor.get(OFFSETS)
    known = {}
    for name, offset in (found if isinstance(found, dict) else {}).items():
        topic, _, number = name.rpartition("/")
        if topic and number.isdecimal() and isinstance(offset, int):
            known[(topic, int(number))] = offset
    return known


def _message(one: Any) -> Message:
    headers = {name.lower(): _text(value) for name, value in one.headers() or () if value is not None}
    if one.key() is not None:
        headers["kafka-key"] = _text(one.key())
    place = f"{one.topic()}/{one.partition()}@{one.offset()}"
    return Message(place, one.value() or b"", headers.get("content-type", ""), headers, _stamped(one))


def _first_stamps(reader: Any, waiting: set[int]) -> Iterator[datetime]:
    """When the first message of each of these partitions was stamped; those that do not answer in time are left out."""
    for _ in range(int(IDLE_SECONDS / GAP_SECONDS)):
        for message in reader.consume(num_messages=1, timeout=GAP_SECONDS):
            if (
                message.partition() in waiting
                and message.error() is None
                and (stamped := _stamped(message)) is not None
            ):
                yield stamped
            waiting.discard(message.partition())
        if not waiting:
            return


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _stamped(one: Any) -> datetime | None:
    kind, milliseconds = one.timestamp()
    try:
        return None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
