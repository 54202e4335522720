"""A stream of Redis or Valkey, read through a consumer group and acknowledged by the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
import redis
from redis import exceptions

from apps.collectors.channels.envelope import Message
from apps.collectors.channels.health import Health
from apps.collectors.channels.rounds import Batch, Channel, portions
from apps.collectors.channels.settings import Address
from apps.collectors.contract import PollFailed

PORTS = {"redis": 6379, "rediss": 6379}
CONNECT_SECONDS = 5.0
#: without an entry for so long the stream counts as read
IDLE_MS = 1_000
#: a group is read by one worker at a time (the poller's lease), so one name is enough, and what a worker that died has
#: not confirmed is found again under it
CONSUMER = "control-tower"
#: fields of an entry that hold the body, in this order, when the settings name none
BODY_FIELDS = ("body", "data", "payload", "message", "value")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Checked settings. address.path: the number of the database; body_field: '' takes the first of `BODY_FIELDS`."""

    address: Address
    user: str
    stream: str
    group: str = "control-tower"
    body_field: str = ""
    dead_letter_stream: str = ""
    from_now: bool = False
    batch_size: int = 200


class StreamChannel(Channel):
    def __init__(self, settings: StreamSettings, secrets: Sequence[str]) -> None:
        self.settings = settings
        self.secrets = secrets
        self.client: Any = None

    def open(self) -> None:
        tries: Sequence[str | None] = self.secrets or [None]
        for place, secret in enumerate(tries):
            try:
                self._connect(secret)
                break
            except (exceptions.AuthenticationError, exceptions.ResponseError):
                if place + 1 == len(tries):
                    raise
        if not self.client.exists(self.settings.stream):
            raise PollFailed(
                f"The stream {self.settings.stream} does not exist on {self.settings.address.name} yet: it is created by "
                "the first entry. Check its name and the number of the database."
            )
        try:
            start = "$" if self.settings.from_now else "0"
            self.client.xgroup_create(self.settings.stream, self.settings.group, id=start)
        except exceptions.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _connect(self, secret: str | None) -> None:
        address = self.settings.address
        self.client = redis.Redis(
            host=address.host,
            port=address.port,
            db=int(address.path or 0),
            username=self.settings.user or None,
            password=secret,
            ssl=address.scheme == "rediss",
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=15,
        )
        self.client.ping()

    def batches(self) -> Iterator[Batch]:
        yield from self._read("0", None)  # what a worker that died has not confirmed
        yield from self._read(">", IDLE_MS)

    def _read(self, after: str, block: int | None) -> Iterator[Batch]:
        settings = self.settings
        while True:
            found = self.client.xreadgroup(
                settings.group, CONSUMER, {settings.stream: after}, count=settings.batch_size, block=block
            )
            entries = [one for _, held in _pairs(found) for one in held]
            if not entries:
                return
            messages = [_message(entry_id, fields, settings.body_field) for entry_id, fields in entries]
            for portion in portions(messages):
                ids = [one.id for one in portion]
                yield Batch(portion, partial(self.client.xack, settings.stream, settings.group, *ids))

    def measure(self, now: datetime) -> Health:
        settings = self.settings
        groups = self.client.xinfo_groups(settings.stream)
        mine: dict[str, Any] = next((one for one in groups if _text(one["name"]) == settings.group), {})
        after = _text(mine.get("last-delivered-id", b"0-0"))
        oldest = self.client.xrange(settings.stream, min=f"({after}", count=1)
        waiting = mine.get("lag")
        if waiting is None:  # Redis before 7, or entries were deleted: it does not know
            waiting = 0 if not oldest else None
        dead, died_at = None, None
        if settings.dead_letter_stream:
            dead = self.client.xlen(settings.dead_letter_stream)
            first = self.client.xrange(settings.dead_letter_stream, count=1)
            died_at = _moment(_text(first[0][0])) if first else None
        return Health(
            now,
            waiting=waiting,
            pending=mine.get("pending"),
            oldest_waiting_at=_moment(_text(oldest[0][0])) if oldest else None,
            dead_letters=dead,
            oldest_dead_letter_at=died_at,
        )

    def close(self) -> None:
        if self.client is not None:
            self.client.close()

    def explain(self, error: Exception) -> PollFailed | None:
        name, settings = self.settings.address.name, self.settings
        said = str(error)
        who = settings.user or "the default user"
        if isinstance(error, exceptions.AuthenticationError) or said.startswith(("WRONGPASS", "NOAUTH", "ERR AUTH")):
            return PollFailed(
                f"{name} refused the login of {who}: store the right password as the credential of this integration.",
                permanent=True,
            )
        if isinstance(error, exceptions.NoPermissionError) or said.startswith("NOPERM"):
            return PollFailed(
                f"{who} may not do this on {name}: allow XREADGROUP, XACK, XGROUP, XINFO, XRANGE, XLEN, EXISTS and PING "
                f"on {settings.stream}.",
                permanent=True,
            )
        if said.startswith("WRONGTYPE"):
            return PollFailed(f"{settings.stream} (or its dead-letter stream) on {name} is no stream.", permanent=True)
        if said.startswith("NOGROUP"):
            return PollFailed(
                f"The group {settings.group} of {settings.stream} was removed while it was read; the next round makes it anew."
            )
        if isinstance(error, exceptions.TimeoutError):
            return PollFailed(f"{name} did not answer in time. It is tried again by itself.")
        if isinstance(error, exceptions.ConnectionError):
            return PollFailed(f"The connection to {name} failed. It is tried again by itself; is the server running?")
        if isinstance(error, exceptions.RedisError):
            return PollFailed(f"{name} refused to be read: {said[:200]}.")
        return None


def _pairs(found: Any) -> list[tuple[Any, Any]]:
    """Streams and their entries, in the shape of either protocol (RESP 2 and 3)."""
    if isinstance(found, dict):
        return [(name, held[0] if held and isinstance(held[0], list) else held) for name, held in found.items()]
    return [(name, held) for name, held in found or ()]


def _message(entry_id: Any, fields: Mapping[Any, Any] | None, body_field: str) -> Message:
    """An entry with a body field is that body, its other fields are headers; one without is a document of its fields."""
    place = _text(entry_id)
    if not fields:
        return Message(place, gone=f"The entry {place} was removed from the stream before it was kept.")
    values = {
        _text(name): bytes(value) if isinstance(value, bytes | bytearray) else str(value).encode()
        for name, value in fields.items()
    }
    wanted = [body_field] if body_field else BODY_FIELDS
    holder = next((name for name in wanted if name in values), None)
    if holder is None:
        body = orjson.dumps({_clean(name): _clean(_text(value)) for name, value in values.items()})
        return Message(place, body, "application/json", at=_moment(place))
    headers = {
        name.lower().replace("content_type", "content-type"): _text(value)
        for name, value in values.items()
        if name != holder
    }
    return Message(place, values[holder], headers.get("content-type", ""), headers, _moment(place))


def _text(value: Any) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes | bytearray) else str(value)


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _moment(entry_id: str) -> datetime | None:
    """Entry ids begin with milliseconds since 1970, unless their producer chose its own."""
    try:
        milliseconds = int(entry_id.partition("-")[0])
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds > 1_000_000_000_000 else None
    except (ValueError, OverflowError, OSError):
        return None
