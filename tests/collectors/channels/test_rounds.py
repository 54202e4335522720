"""A round over a pretend channel: what is confirmed when, and what is said when something fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.channels import rabbit, streams
from apps.collectors.channels.envelope import Message
from apps.collectors.channels.health import KEY, Health, health_of
from apps.collectors.channels.rounds import Batch, Channel, check, portions, run
from apps.collectors.channels.settings import BATCH_BYTES, check_reach, read_address
from apps.collectors.contract import COLLECTORS, Polled, PollFailed, SourceContext

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Pretender(Channel):
    """Holds texts; notes what was done to it."""

    def __init__(self, *texts: str, refuse: bool = False, broken: Exception | None = None) -> None:
        self.texts, self.refuse, self.broken = texts, refuse, broken
        self.done: list[str] = []

    def open(self) -> None:
        self.done.append("open")

    def batches(self) -> Iterator[Batch]:
        for place, text in enumerate(self.texts):
            yield Batch([Message(text, text.encode())], lambda text=text: self._confirm(text), {"at": place})  # type: ignore[misc]
        if self.broken:
            raise self.broken

    def _confirm(self, text: str) -> None:
        if self.refuse:
            raise ConnectionResetError("gone")
        self.done.append(f"confirm {text}")

    def measure(self, now: datetime) -> Health:
        return Health(now, waiting=len(self.texts) - sum(one.startswith("confirm") for one in self.done))

    def close(self) -> None:
        self.done.append("close")

    def explain(self, error: Exception) -> PollFailed | None:
        return PollFailed("The broker is away.") if isinstance(error, OSError) else None


def keep(batch: Polled, *, fails: bool = False) -> None:
    """As the poller does: what is to be done after the commit is done only then."""
    if not fails and batch.committed is not None:
        batch.committed()


def test_confirmed_after_the_commit_and_never_before() -> None:
    channel = Pretender("a", "b")
    batches = run(channel, {"old": 1}, NOW)
    first = next(batches)
    assert first.cursor["at"] == 0
    assert first.cursor["old"] == 1
    assert channel.done == ["open"]
    keep(first)
    assert channel.done == ["open", "confirm a"]
    keep(next(batches))
    last = next(batches)
    assert (last.body, last.cursor[KEY]["waiting"]) == (b"", 0)
    assert list(batches) == []
    assert channel.done == ["open", "confirm a", "confirm b", "close"]


def test_nothing_is_confirmed_that_was_rolled_back_or_refused() -> None:
    channel = Pretender("a", "b")
    batches = run(channel, {}, NOW)
    keep(next(batches), fails=True)
    batches.close()  # type: ignore[attr-defined]
    assert channel.done == ["open", "close"]


def test_a_batch_the_caller_stops_after_is_confirmed_too() -> None:
    channel = Pretender("a", "b")
    batches = run(channel, {}, NOW)
    keep(next(batches))
    batches.close()  # type: ignore[attr-defined]
    assert channel.done == ["open", "confirm a", "close"]


def test_a_confirmation_that_fails_is_told_and_the_commit_stands() -> None:
    batches = run(Pretender("a", refuse=True), {}, NOW)
    keep(next(batches))
    with pytest.raises(PollFailed, match="1 messages were kept, but the broker could not be told"):
        next(batches)


def test_only_the_brokers_errors_become_sentences() -> None:
    for broken, expected in [(OSError("x"), PollFailed), (KeyError("x"), KeyError)]:
        channel = Pretender(broken=broken)
        with pytest.raises(expected):
            list(run(channel, {}, NOW))
        assert channel.done[-1] == "close"


def test_a_check_connects_and_reads_nothing() -> None:
    channel = Pretender("a", "b")
    [found] = check(channel, NOW)
    assert found.good
    assert "2 messages wait" in found.sentence
    assert channel.done == ["open", "close"]


@given(st.lists(st.integers(0, BATCH_BYTES * 2), max_size=30))
def test_portions_keep_order_and_bounds(sizes: list[int]) -> None:
    messages = [Message(str(number), bytes(size)) for number, size in enumerate(sizes)]
    cut = list(portions(messages))
    assert [one for portion in cut for one in portion] == messages
    assert all(len(portion) == 1 or sum(one.size for one in portion) <= BATCH_BYTES for portion in cut)
    assert all(cut)


@pytest.mark.parametrize(
    "cursor",
    [{}, {KEY: None}, {KEY: {}}, {KEY: {"at": "soon"}}, {KEY: {"at": NOW.isoformat(), "waiting": "many"}}],
)
def test_no_health_is_no_health(cursor: dict[str, Any]) -> None:
    assert health_of(cursor) is None


@given(
    st.builds(
        Health, st.just(NOW), *[st.none() | st.integers(0, 9), st.none() | st.integers(0, 9), st.none() | st.just(NOW)]
    )
)
def test_health_comes_back_from_the_cursor(health: Health) -> None:
    assert health_of({KEY: health.as_json(), "other": 1}) == health


@pytest.mark.parametrize(
    "url", ["", "host", "http://host", "amqp://", "amqp://u:p@host", "amqp://u@host", "amqp://host:x", "amqp://h/v?x=1"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValidationError):
        read_address(url, rabbit.PORTS)


def test_addresses() -> None:
    found = read_address(" amqps://mq.example.com/wms%2Ftest ", rabbit.PORTS)
    assert (found.host, found.port, found.path, found.name) == (
        "mq.example.com",
        5671,
        "wms/test",
        "mq.example.com:5671",
    )
    assert read_address("redis://[::1]:7000/3", streams.PORTS).host == "::1"


def test_addresses_inside_are_reached_only_when_allowed() -> None:
    with pytest.raises(PollFailed, match="no public address") as failure:
        check_reach([("10.1.2.3", 5672)], [])
    assert failure.value.permanent
    check_reach([("192.0.2.1", 1), ("8.8.8.8", 1)][1:], [])


@pytest.mark.parametrize("kind", ["amqp", "redis_stream", "kafka"])
@pytest.mark.parametrize("settings", [{}, {"url": 7, "servers": 7}, {"url": "amqp://a", "queue": "q", "batch_size": 0}])
def test_wrong_settings_are_told_before_anything_is_reached(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(PollFailed, match="The setting") as failure:
        list(COLLECTORS.get(kind).poll(SourceContext("x", "", "UTC", settings), [], {}, NOW))
    assert failure.value.permanent


def entry(fields: dict[bytes, bytes], body_field: str = "") -> Message:
    return streams._message(b"1768831445000-0", fields, body_field)


def test_entries_of_a_stream() -> None:
    assert entry({b"payload": b"\xff", b"Content_Type": b"text/plain"}).body == b"\xff"
    assert entry({b"payload": b"x", b"Content_Type": b"text/plain"}).content_type == "text/plain"
    assert entry({b"a": b"1", b"b": b"\xff"}).body == b'{"a":"1","b":"\\\\udcff"}'
    assert entry({b"a": b"1", b"body": b"2"}, "a").body == b"1"
    assert entry({b"a": b"1"}).at == datetime(2026, 1, 19, 14, 4, 5, tzinfo=UTC)
    assert entry({}).gone


def test_headers_of_a_queue_are_texts() -> None:
    table: dict[str, Any] = {"N": 1, "B": b"\xff", "X-Death": [{"queue": "q", "time": NOW}], "none": None, "f": True}
    assert rabbit._headers(table) == {
        "n": "1",
        "b": "\udcff",
        "x-death[0].queue": "q",
        "x-death[0].time": NOW.isoformat(),
        "f": "true",
    }
