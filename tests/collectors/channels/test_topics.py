"""Kafka over its protocol, against the pretend cluster that librdkafka brings along (``test.mock.num.brokers``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from apps.collectors.channels.envelope import read
from apps.collectors.channels.health import health_of
from apps.collectors.contract import COLLECTORS, Polled, PollFailed, SourceContext

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
TOPIC = "orders"


@dataclass
class Cluster:
    """The pretend cluster lives inside a producer; others reach it over TCP."""

    producer: Any
    server: str
    settings: dict[str, Any] = field(default_factory=dict)

    def send(self, *bodies: bytes | None, topic: str = TOPIC, partition: int = 0, **more: Any) -> None:
        for body in bodies:
            self.producer.produce(topic, body, partition=partition, **more)
        assert self.producer.flush(10) == 0

    def poll(self, cursor: dict[str, Any] | None = None, **changes: Any) -> Iterator[Polled]:
        source = SourceContext("orders-feed", "acme", "UTC", {**self.settings, **changes})
        return COLLECTORS.get("kafka").poll(source, [], cursor or {}, NOW)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
    [broker] = producer.list_topics(timeout=10).brokers.values()
    server = f"{broker.host}:{broker.port}"
    settings = {
        "servers": [server],
        "topics": [TOPIC],
        "security": "plaintext",
        "allow_networks": ["127.0.0.0/8"],
    }
    made = Cluster(producer, server, settings)
    made.send(b"first")
    yield made
    producer.purge()


def texts(batches: list[Polled]) -> list[str]:
    found = []
    for batch in batches:
        for _, message in read(batch.body):
            assert not isinstance(message, Exception)
            found.append(message.gone or message.body.decode())
    return found


def test_reads_on_from_its_own_cursor(cluster: Cluster) -> None:
    cluster.send(b"second", b"third", partition=1)
    first = list(cluster.poll())
    assert sorted(texts(first)) == ["first", "second", "third"]
    cursor = dict(first[-1].cursor)
    assert {name: at for name, at in cursor["offsets"].items() if at} == {f"{TOPIC}/0": 1, f"{TOPIC}/1": 2}
    assert texts(list(cluster.poll(cursor))) == []
    cluster.send(b"fourth")
    assert texts(list(cluster.poll(cursor))) == ["fourth"]
    health = health_of(first[-1].cursor)
    assert health is not None
    assert (health.at, health.waiting, health.dead_letters) == (NOW, 0, None)


def test_a_batch_that_is_not_kept_comes_again(cluster: Cluster) -> None:
    batches = cluster.poll()
    assert texts([next(batches)]) == ["first"]
    batches.close()  # type: ignore[attr-defined]
    assert texts(list(cluster.poll())) == ["first"]


def test_the_cursor_of_a_batch_ends_with_that_batch(cluster: Cluster) -> None:
    """What is read ahead of a batch is not in its cursor: a worker that stops between two goes on between them."""
    cluster.send(*(b"%d" % number + b"x" * 300_000 for number in range(3)))
    batches = list(cluster.poll())
    kept = [batch for batch in batches if batch.body]
    assert len(kept) > 1
    assert [batch.cursor["offsets"][f"{TOPIC}/0"] for batch in kept][-1] == 4
    cursor = dict(kept[0].cursor)
    rest = texts(list(cluster.poll(cursor)))
    assert texts(kept[:1]) + rest == texts(kept)


def test_a_known_group_begins_where_it_stopped(cluster: Cluster) -> None:
    cluster.send(b"second")
    other = Consumer({"bootstrap.servers": cluster.server, "group.id": "old-reader", "log_level": 0})
    other.commit(offsets=[TopicPartition(TOPIC, 0, 1)], asynchronous=False)
    other.close()
    assert texts(list(cluster.poll(group="old-reader"))) == ["second"]


def test_only_what_comes_from_now_on(cluster: Cluster) -> None:
    first = list(cluster.poll(start="now"))
    assert texts(first) == []
    cluster.send(b"second")
    assert texts(list(cluster.poll(dict(first[-1].cursor), start="now"))) == ["second"]


def test_an_offset_that_does_not_exist_is_told_and_the_rest_is_read(cluster: Cluster) -> None:
    [told, first] = texts(list(cluster.poll({"offsets": {f"{TOPIC}/0": 500}})))
    assert first == "first"
    assert "500 was to be read next" in told
    assert told.endswith(".")


def test_what_stands_beside_a_message_is_kept(cluster: Cluster) -> None:
    cluster.send(None, key=b"S42", headers={"CE_id": "7", "raw": b"\xff", "nothing": None}, timestamp=1_768_831_200_000)
    [_, line] = [one for batch in cluster.poll() for _, one in read(batch.body)]
    assert not isinstance(line, Exception)
    assert line.id == f"{TOPIC}/0@1"
    assert line.body == b""
    assert line.headers == {"ce_id": "7", "raw": "\\udcff", "kafka-key": "S42"}


def test_dead_letters_are_counted_and_dated(cluster: Cluster) -> None:
    stamp = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for minutes, partition in [(5, 0), (0, 1), (9, 1)]:
        at = int((stamp + timedelta(minutes=minutes)).timestamp() * 1000)
        cluster.send(b"dead", topic="orders-dead", partition=partition, timestamp=at)
    health = health_of(list(cluster.poll(dead_letter_topic="orders-dead"))[-1].cursor)
    assert health is not None
    assert (health.dead_letters, health.oldest_dead_letter_at) == (3, stamp)


@pytest.mark.parametrize(
    ("changes", "sentence", "permanent"),
    [
        ({"topics": ["nobody-made-this"]}, "A topic (nobody-made-this) does not exist", True),
        ({"dead_letter_topic": "nor-this"}, "does not exist", True),
        ({"security": "sasl_ssl", "user": "tower"}, "No password is stored for tower", True),
        ({"security": "sasl_ssl"}, "The setting 'user' is not usable: A login needs a user.", True),
        ({"servers": ["a b"]}, "The setting 'servers' is not usable", True),
        ({"servers": ["no-such-host.invalid:9092"]}, "could not be looked up", False),
        ({"topics": ["white space"]}, "The setting 'topics' is not usable", True),
        ({"topics": []}, "The setting 'topics' is not usable", True),
        ({"allow_networks": []}, "127.0.0.1, which is no public address", True),
        ({"allow_networks": ["everywhere"]}, "The setting 'allow_networks' is not usable", True),
    ],
)
def test_what_is_wrong_is_said(cluster: Cluster, changes: dict[str, Any], sentence: str, permanent: bool) -> None:
    with pytest.raises(PollFailed) as failure:
        list(cluster.poll(**changes))
    assert sentence in str(failure.value)
    assert failure.value.permanent is permanent
