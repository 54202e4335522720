"""Event channels against real brokers: RabbitMQ, Redis and a broker that speaks Kafka's protocol.

`.ci/run` starts RabbitMQ and Redis and says where they are; Kafka's broker comes with a package of the development
requirements. Where one is missing, its tests name what they miss.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection

from apps.collectors import polling
from apps.collectors.channels.health import Health, health_of
from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.collectors.polling import LEASE, PollSummary, poll_one
from apps.collectors.processing import process
from apps.flows.models import Event
from apps.integrations import credentials
from apps.integrations.models import Integration, Partner, SourceState
from tests.e2e.brokers import Broker, Kafka, Rabbit, Redis, kafka_server, needed
from tests.e2e.tower import eventually, free_port

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kafka_server(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(params=["rabbitmq", "redis", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    made: Broker
    if request.param == "rabbitmq":
        made = Rabbit(needed("TEST_AMQP_URL", "RabbitMQ server"))
    elif request.param == "redis":
        made = Redis(needed("TEST_REDIS_URL", "Redis server"))
    else:
        made = Kafka(request.getfixturevalue("kafka"))
    yield made
    made.close()


@pytest.fixture
def integration(broker: Broker, transactional_db: None) -> Integration:
    partner = Partner.objects.create(slug="nordlager", name="Nordlager", kind="3pl")
    made = Integration.objects.create(
        slug="channel", name="Nordlager channel", kind=broker.kind, partner=partner, settings=broker.settings()
    )
    if broker.password:
        credentials.issue(made, NOW, None, secret=broker.password)
    return made


def event(number: int, **changes: Any) -> bytes:
    body = {
        "id": f"e-{number}",
        "type": "pick.completed",
        "happened_at": "2026-03-02T07:00:00Z",
        "references": [{"kind": "picking", "value": f"WH/OUT/{number:05d}"}],
    }
    return json.dumps({**body, **changes}).encode()


def poll(now: datetime = NOW) -> PollSummary:
    done = poll_one("channel", now)
    assert done is not None
    return done


def processed() -> dict[str, int]:
    while process(NOW + timedelta(hours=1)).moved:
        pass
    states = ReceiptState.objects.all()
    assert not states.filter(status="waiting").exists()
    return {
        "receipts": states.count(),
        "events": sum(states.values_list("events", flat=True)),
        "duplicates": sum(states.values_list("duplicates", flat=True)),
    }


def health() -> Health:
    found = health_of(SourceState.objects.get().cursor)
    assert found is not None
    return found


def test_what_waits_becomes_events_once(broker: Broker, integration: Integration) -> None:
    broker.send([event(number) for number in range(30)])
    first = poll()
    assert (first.error, first.receipts) == ("", 1)
    assert broker.left() == 0
    assert processed()["events"] == 30
    assert set(Event.objects.values_list("type", flat=True)) == {"pick.completed"}
    assert health() == Health(NOW, waiting=0, pending=health().pending, dead_letters=0)
    assert not health().pending
    again = poll(NOW + timedelta(minutes=1))
    assert (again.error, again.receipts) == ("", 0)
    assert processed() == {"receipts": 1, "events": 30, "duplicates": 0}


def test_messages_are_kept_byte_for_byte_and_cloudevents_are_read(broker: Broker, integration: Integration) -> None:
    data = (
        b'{"references": [{"kind": "sales_order", "value": "S\xc3\xb800042"}],  "happened_at": "2026-03-02T06:00:00Z"}'
    )
    prefix = {"kafka": "ce_", "amqp": "cloudEvents:", "redis_stream": "ce-"}[broker.kind]
    attributes = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.placed"}
    broker.send(
        [data], {f"{prefix}{name}": value for name, value in attributes.items()} | {"content-type": "application/json"}
    )
    broker.send([b"\xff\x00\xfe"])
    assert poll().error == ""
    kept = b"".join(bytes(one.body) for one in Receipt.objects.order_by("id")).decode()
    assert data.decode() in [json.loads(line).get("body") for line in kept.splitlines()]
    assert "/wD+" in [json.loads(line).get("body_base64") for line in kept.splitlines()]
    assert processed()["events"] == 1
    assert Event.objects.get().source_event_id == "/shop 7"


def test_poison_is_set_aside_and_blocks_nothing(broker: Broker, integration: Integration) -> None:
    poison = [b"{", b"\x00", b"[" * 1_000, b"null", event(99, type="pick.teleported"), b'{"type": 7}']
    broker.send([event(1), *poison, event(2)])
    assert poll().error == ""
    assert broker.left() == 0
    assert processed()["events"] == 3
    letters = list(DeadLetter.objects.order_by("id"))
    unknown = [one for one in letters if one.severity == "warning"]
    assert [one.code for one in unknown] == ["event.unknown_type"]
    assert "pick.teleported" in unknown[0].sentence
    assert len(letters) - len(unknown) == 5
    assert all(one.position.startswith("message ") for one in letters)


def test_what_could_not_be_kept_stays_with_the_broker(
    broker: Broker, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.send([event(number) for number in range(6)])

    def no_room(*args: Any) -> None:
        raise DatabaseError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(polling, "store", no_room)
        assert "defect" in poll().error
    assert Receipt.objects.count() == 0
    eventually(lambda: broker.left() == 6, 10, "the broker having its messages back")
    assert poll(NOW + timedelta(minutes=1)).error == ""
    assert processed() == {"receipts": 1, "events": 6, "duplicates": 0}


@pytest.mark.faults
@pytest.mark.parametrize("point", ["read", "committed", "confirmed"])
def test_killed_anywhere_nothing_is_lost_and_what_comes_twice_is_a_duplicate(
    broker: Broker, integration: Integration, point: str
) -> None:
    broker.send([event(number) for number in range(8)])
    environment = os.environ | {
        "TOWER_TEST_DATABASE": str(connection.settings_dict["NAME"]),
        "DJANGO_SETTINGS_MODULE": "controltower.settings.test",
    }
    command = [sys.executable, "-m", "tests.e2e.poller_process", "channel", NOW.isoformat(), point]
    done = subprocess.run(command, env=environment, cwd=settings.BASE_DIR, timeout=60, capture_output=True, text=True)
    assert done.returncode == 137, done.stderr[-2000:]
    assert Receipt.objects.count() == (0 if point == "read" else 1)
    assert broker.left() == (0 if point == "confirmed" else 8) or broker.kind == "amqp"
    later = NOW + LEASE
    eventually(lambda: poll(later).error == "", 10, "the next worker reading")
    assert processed()["events"] == 8
    expected = 8 if point == "committed" and broker.redelivers else 0
    assert processed()["duplicates"] == expected
    assert Event.objects.count() == 8
    assert broker.left() == 0


def test_batches_are_bounded(broker: Broker, integration: Integration) -> None:
    integration.settings |= {"batch_size": 5}
    integration.save()
    broker.send([event(number) for number in range(12)])
    assert poll().error == ""
    sizes = [bytes(one.body).count(b"\n") for one in Receipt.objects.all()]
    assert sum(sizes) == 12
    assert max(sizes) <= 5
    large = [event(100 + number, data={"text": "x" * 300_000}) for number in range(3)]
    broker.send(large)
    before = Receipt.objects.count()
    assert poll(NOW + timedelta(minutes=1)).error == ""
    assert Receipt.objects.count() == before + 3
    assert processed()["events"] == 15


def test_depth_and_age_of_dead_letters_are_seen_and_nothing_is_taken_from_them(
    broker: Broker, integration: Integration
) -> None:
    """RabbitMQ's messages are not looked at, so there it is since when the tower has seen some."""
    assert poll().error == ""
    assert (health().dead_letters, health().oldest_dead_letter_at) == (0, None)
    sent = datetime.now(UTC)
    broker.send([b"dead", b"deader", b"deadest"], dead=True)
    for minute in (1, 2):
        assert poll(NOW + timedelta(minutes=minute)).error == ""
        assert health().dead_letters == 3
        died = health().oldest_dead_letter_at
        assert died is not None
        assert abs(died - (NOW + timedelta(minutes=1) if broker.kind == "amqp" else sent)) < timedelta(seconds=30)
    assert Receipt.objects.count() == 0


def test_what_waits_is_counted_while_it_cannot_be_kept(
    broker: Broker, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that stops early leaves the lag it began with; the next one goes on."""
    integration.settings |= {"batch_size": 4}
    integration.save()
    broker.send([event(number) for number in range(12)])
    stopped = poll_one("channel", NOW, round_seconds=0)
    assert stopped is not None
    assert stopped.more
    assert health().waiting == 12
    eventually(lambda: broker.left() == 12 - bytes(Receipt.objects.get().body).count(b"\n"), 10, "the rest being there")
    assert poll(NOW + timedelta(minutes=1)).error == ""
    assert health().waiting == 0
    assert processed() == {"receipts": Receipt.objects.count(), "events": 12, "duplicates": 0}


WRONG: dict[str, list[tuple[dict[str, Any], str, bool]]] = {
    "amqp": [
        ({"queue": "nobody-made-this"}, "nobody-made-this does not exist", True),
        ({"dead_letter_queue": "nor-this"}, "nor-this does not exist", True),
        ({"user": "nobody"}, "refused the login of nobody", True),
        ({"url": "amqp://127.0.0.1:PORT/nowhere"}, "virtual host nowhere", True),
        ({"url": "amqp://127.0.0.1:FREE"}, "is the broker running?", False),
        ({"allow_networks": []}, "no public address", True),
    ],
    "redis_stream": [
        ({"stream": "nobody-made-this"}, "does not exist", False),
        ({"user": "nobody"}, "refused the login of nobody", True),
        ({"url": "redis://127.0.0.1:FREE"}, "is the server running?", False),
        ({"dead_letter_stream": "a-text"}, "is no stream", True),
        ({"allow_networks": []}, "no public address", True),
    ],
    "kafka": [
        ({"topics": ["nobody-made-this"]}, "does not exist", True),
        ({"servers": ["127.0.0.1:FREE"]}, "are the brokers running?", False),
        ({"allow_networks": []}, "no public address", True),
    ],
}


def test_what_is_wrong_is_said_in_words(broker: Broker, integration: Integration) -> None:
    right = broker.settings()
    if isinstance(broker, Redis):
        broker.client.set("a-text", "x", ex=600)
        credentials.issue(integration, NOW, None, secret="not-the-password")
    for changes, sentence, permanent in WRONG[broker.kind]:
        text = json.dumps(changes).replace("FREE", str(free_port()))
        if isinstance(broker, Rabbit):
            text = text.replace("PORT", str(broker.port))
        integration.settings = right | json.loads(text)
        integration.save()
        if "user" not in changes and isinstance(broker, Redis):
            integration.credentials.all().delete()
        SourceState.objects.all().delete()
        error = poll().error
        assert sentence in error, changes
        assert error.endswith((".", "?")), error
        state = SourceState.objects.get()
        assert state.next_poll_at is not None
        assert (state.next_poll_at - NOW > timedelta(minutes=5)) is permanent, changes
    integration.settings = right
    integration.save()
    SourceState.objects.all().delete()
    broker.send([event(1)])
    assert poll().error == ""
    assert processed()["events"] == 1


def test_an_overlapping_password_works_while_the_key_is_changed(broker: Broker, integration: Integration) -> None:
    if not isinstance(broker, Rabbit):
        pytest.skip("this broker of the tests knows no password")
    credentials.issue(integration, NOW, None, secret="the-next-password")
    broker.send([event(1)])
    assert poll(NOW + timedelta(minutes=1)).error == ""
    assert processed()["events"] == 1
    integration.credentials.all().delete()
    assert "No password is stored" in poll(NOW + timedelta(minutes=2)).error


def test_an_entry_removed_before_it_was_kept_is_told(broker: Broker, integration: Integration) -> None:
    if not isinstance(broker, Redis):
        pytest.skip("only streams lose single entries that are being read")
    broker.send([event(1), event(2)])
    broker.client.xgroup_create(broker.name, "control-tower", id="0")
    found: Any = broker.client.xreadgroup("control-tower", "control-tower", {broker.name: ">"})
    [[_, entries]] = found
    broker.client.xdel(broker.name, entries[0][0])
    assert poll().error == ""
    assert processed()["events"] == 1
    assert [letter.code for letter in DeadLetter.objects.all()] == ["channel.gone"]
    assert broker.left() == 0
