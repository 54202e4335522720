"""A queue of an AMQP 0-9-1 broker (RabbitMQ), read with a bounded prefetch and acknowledged by the batch."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import amqp
import structlog
from kombu import Connection
from kombu.exceptions import OperationalError

from apps.collectors.channels.envelope import Message
from apps.collectors.channels.health import Health, health_of
from apps.collectors.channels.rounds import Batch, Channel, portions
from apps.collectors.channels.settings import Address
from apps.collectors.contract import PollFailed
from apps.collectors.mapping_rules import plain

log = structlog.get_logger(__name__)

PORTS = {"amqp": 5672, "amqps": 5671}
CONNECT_SECONDS = 5.0
#: without a message for so long the queue counts as empty
IDLE_SECONDS = 1.0
#: between two messages of one batch
GAP_SECONDS = 0.1
_MOST_DEPTH = 8


@dataclass(frozen=True, slots=True)
class RabbitSettings:
    """Checked settings. address.path: the virtual host."""

    address: Address
    user: str
    queue: str
    dead_letter_queue: str = ""
    batch_size: int = 200


class RabbitChannel(Channel):
    def __init__(self, settings: RabbitSettings, secrets: Sequence[str], cursor: Mapping[str, Any]) -> None:
        self.settings = settings
        self.before = health_of(cursor)
        self.secrets = secrets
        self.received: deque[amqp.Message] = deque()
        self.connection: Connection | None = None
        self.channel: amqp.Channel | None = None
        self.consuming = False

    def open(self) -> None:
        if not self.secrets:
            raise PollFailed(
                f"No password is stored for {self.settings.user}: store it as the credential of this integration.",
                permanent=True,
            )
        for place, secret in enumerate(self.secrets):
            try:
                self._connect(secret)
                break
            except amqp.AccessRefused:
                if place + 1 == len(self.secrets):
                    raise
        assert self.channel is not None
        self.channel.basic_qos(0, self.settings.batch_size, False)

    def _connect(self, secret: str) -> None:
        address = self.settings.address
        secure = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": address.host}
        self.connection = Connection(
            hostname=address.host,
            port=address.port,
            virtual_host=address.path or "/",
            userid=self.settings.user,
            password=secret,
            ssl=secure if address.scheme == "amqps" else False,
            transport="pyamqp",
            connect_timeout=CONNECT_SECONDS,
            transport_options={"read_timeout": 30, "write_timeout": 30},
        )
        try:
            # kombu's own connect() hides why a broker said no
            self.channel = self.connection.transport.establish_connection().channel()
        except BaseException:
            self.connection = None
            raise

    def batches(self) -> Iterator[Batch]:
        assert self.channel is not None
        self.channel.basic_consume(self.settings.queue, callback=self.received.append, consumer_tag="control-tower")
        self.consuming = True
        while self._wait(IDLE_SECONDS):
            while len(self.received) < self.settings.batch_size and self._more(GAP_SECONDS):
                pass
            held = [self.received.popleft() for _ in range(min(len(self.received), self.settings.batch_size))]
            messages = [_message(one, self.settings.queue) for one in held]
            last = 0
            for portion in portions(messages):
                last += len(portion)
                tag = held[last - 1].delivery_tag
                yield Batch(portion, partial(self.channel.basic_ack, tag, multiple=True))

    def _wait(self, seconds: float) -> bool:
        """Whether there is a message at hand, waiting for one that long."""
        return bool(self.received) or self._more(seconds)

    def _more(self, seconds: float) -> bool:
        assert self.channel is not None
        try:
            self.channel.connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        return bool(self.received)

    def measure(self, now: datetime) -> Health:
        assert self.channel is not None
        waiting = self.channel.queue_declare(self.settings.queue, passive=True).message_count
        name = self.settings.dead_letter_queue
        if not name:
            return Health(now, waiting=waiting + len(self.received))
        dead = self.channel.queue_declare(name, passive=True).message_count
        # Looking at the oldest message would count as a failed delivery of it, and quorum queues drop what failed too
        # often: what is told is since when the queue has not been empty, as far as the tower has seen.
        before = self.before.oldest_dead_letter_at if self.before and self.before.dead_letters else None
        since = (before or now) if dead else None
        return Health(now, waiting=waiting + len(self.received), dead_letters=dead, oldest_dead_letter_at=since)

    def close(self) -> None:
        try:
            if self.channel is not None:
                self.channel.connection.close()
        except Exception as error:
            log.debug("channel_close", error=type(error).__name__)
        self.channel = None

    def explain(self, error: Exception) -> PollFailed | None:
        name, settings = self.settings.address.name, self.settings
        if isinstance(error, amqp.AccessRefused):
            if self.channel is None:
                return PollFailed(
                    f"{name} refused the login of {settings.user}: store the right password as the credential, and "
                    "check that the user exists.",
                    permanent=True,
                )
            return PollFailed(
                f"{settings.user} may not read {settings.queue} on {name}: give the user the right to read it.",
                permanent=True,
            )
        if isinstance(error, amqp.NotFound):
            missing = settings.dead_letter_queue if "dead" in _told(error, settings) else settings.queue
            return PollFailed(
                f"The queue {missing} does not exist on {name}: create it, or correct its name in the settings.",
                permanent=True,
            )
        if isinstance(error, amqp.NotAllowed):
            return PollFailed(
                f"The virtual host {settings.address.path or '/'} of {name} does not exist, or {settings.user} may not "
                "enter it.",
                permanent=True,
            )
        if isinstance(error, amqp.ResourceLocked):
            return PollFailed(
                f"Another consumer reads {settings.queue} on {name} exclusively; stop it, or use a queue of our own."
            )
        if isinstance(error, ssl.SSLCertVerificationError):
            return PollFailed(f"The certificate of {name} is not valid: {error.verify_message}.", permanent=True)
        if isinstance(error, amqp.ConsumerCancelled):
            return PollFailed(
                f"The broker took the queue {settings.queue} away while it was read (deleted, or moved to another node)."
            )
        if isinstance(error, OSError | amqp.AMQPError | OperationalError):
            what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            return PollFailed(
                f"The connection to {name} failed ({what}). It is tried again by itself; is the broker running?"
            )
        return None


def _told(error: amqp.NotFound, settings: RabbitSettings) -> str:
    """Which of the two queues the broker speaks of."""
    return "dead" if settings.dead_letter_queue and f"'{settings.dead_letter_queue}'" in str(error) else "read"


def _message(one: amqp.Message, queue: str) -> Message:
    properties = dict(one.properties)
    headers = _headers(properties.pop("application_headers", None) or {})
    for name in ("content_encoding", "correlation_id", "message_id", "type", "app_id", "reply_to"):
        if text := plain(properties.get(name)):
            headers.setdefault(name.replace("_", "-"), text)
    headers |= {
        "exchange": one.delivery_info.get("exchange", ""),
        "routing-key": one.delivery_info.get("routing_key", ""),
    }
    if one.delivery_info.get("redelivered"):
        headers["redelivered"] = "true"
    body = one.body if isinstance(one.body, bytes) else str(one.body).encode("utf-8", "surrogateescape")
    return Message(
        id=plain(properties.get("message_id")) or f"{queue}#{one.delivery_tag}",
        body=body,
        content_type=plain(properties.get("content_type")) or "",
        headers={name: value for name, value in headers.items() if value},
        at=_moment(properties.get("timestamp")),
    )


def _headers(table: Mapping[str, Any]) -> dict[str, str]:
    """Headers as texts; tables inside (``x-death``) as flat names."""
    found: dict[str, str] = {}
    stack: list[tuple[str, Any, int]] = [(str(name).lower(), value, 0) for name, value in reversed(list(table.items()))]
    while stack:
        name, value, depth = stack.pop()
        if isinstance(value, bytes | bytearray):
            value = bytes(value).decode("utf-8", "surrogateescape")
        if isinstance(value, dict) and depth < _MOST_DEPTH:
            stack += [(f"{name}.{key}", inner, depth + 1) for key, inner in reversed(list(value.items()))]
        elif isinstance(value, list | tuple) and depth < _MOST_DEPTH:
            stack += [(f"{name}[{place}]", inner, depth + 1) for place, inner in reversed(list(enumerate(value)))]
        elif isinstance(value, datetime):
            found[name] = value.replace(tzinfo=value.tzinfo or UTC).isoformat()
        elif value is not None:
            found[name] = plain(value) or str(value)
    return found


def _moment(value: Any) -> datetime | None:
    """AMQP timestamps are seconds since 1970, in UTC; the library gives them as a number or without a zone."""
    try:
        if isinstance(value, datetime):
            return value.replace(tzinfo=value.tzinfo or UTC)
        return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and value > 0 else None
    except (OverflowError, OSError, ValueError):
        return None
