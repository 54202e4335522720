"""Channels and the log of messages over the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.incidents import workflow
from apps.notifications import dispatch, keeping
from apps.notifications.models import Channel, Delivery
from tests.api.world import machine
from tests.incidents.builders import NOW, draft
from tests.notifications.receiver import LOOPBACK, Receiver, receiving
from tests.notifications.samples import config_of, secrets_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        row = Channel(slug="planner", name="Planner", kind="webhook", listens=True)
        row.config = config_of("webhook", one.url) | {"allow_networks": [LOOPBACK]}
        keeping.save(row, secrets_of("webhook", one.url), None, NOW)
        yield one


def test_a_channel_shows_how_it_stands_and_nothing_of_its_secrets(receiver: Receiver) -> None:
    reader = machine("notifications:read")
    one = reader.get("/api/v1/channels/planner/")
    [listed] = reader.get("/api/v1/channels/?kind=webhook").json()["results"]
    assert one.json() == listed
    assert (listed["slug"], listed["enabled"], listed["failures"]) == ("planner", True, 0)
    text = one.content.decode()
    assert "MDEyMzQ1" not in text
    assert "127.0.0.1" not in text
    assert reader.post("/api/v1/channels/planner/test/").status_code == 403
    assert machine("flows:read").get("/api/v1/channels/").status_code == 403


def test_a_test_says_what_the_receiver_answered(receiver: Receiver) -> None:
    writer = machine("notifications:write", "notifications:read")
    receiver.reply = b"thanks"
    answer = writer.post("/api/v1/channels/planner/test/", {}, content_type="application/json").json()
    assert answer == {"taken": True, "answer": "Answered 200: thanks"}
    receiver.status = 401
    answer = writer.post("/api/v1/channels/planner/test/", {}, content_type="application/json").json()
    assert answer == {"taken": False, "answer": "Answered 401: thanks"}


def test_off_on_and_given_up_messages_again(receiver: Receiver) -> None:
    writer = machine("notifications:write", "notifications:read")
    receiver.status = 410
    workflow.raise_findings([draft(1)], NOW)
    dispatch.run(NOW)
    assert writer.get("/api/v1/channels/planner/").json()["disabled_because"].startswith("Answered 410")
    [dead] = writer.get("/api/v1/deliveries/?state=dead&channel=planner").json()["results"]
    switched = writer.post("/api/v1/channels/planner/switch/", {"enabled": True}, content_type="application/json")
    assert switched.json()["enabled"] is True
    wrong: list[dict[str, object]] = [{}, {"ids": [1], "channel": "planner"}, {"ids": []}, {"ids": [0]}]
    for body in wrong:
        answer = writer.post("/api/v1/deliveries/replay/", body, content_type="application/json")
        assert answer.status_code == 400, body
    receiver.status = 200
    again = writer.post("/api/v1/deliveries/replay/", {"ids": [dead["id"]]}, content_type="application/json")
    assert again.json() == {"replayed": 1}
    dispatch.run(Delivery.objects.get().next_at)
    [sent] = writer.get(f"/api/v1/deliveries/?incident={dead['incident']}").json()["results"]
    assert (sent["state"], sent["message_id"]) == ("sent", dead["message_id"])
