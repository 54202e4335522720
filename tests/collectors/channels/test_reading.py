"""Messages are kept as they came, and read in whichever form they are; one bad message costs only itself."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.channels import reading
from apps.collectors.channels.envelope import CONTENT_TYPE, Message, read, write
from apps.collectors.channels.reading import read_messages
from apps.collectors.contract import RawDelivery, SourceContext
from apps.flows.canonical import ParseFailure, ParseResult, Reference

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
MESSAGES = st.builds(
    Message,
    id=TEXTS,
    body=st.binary(max_size=60) | st.text(max_size=30).map(str.encode),
    content_type=st.text(max_size=20),
    headers=st.dictionaries(TEXTS, TEXTS, max_size=3),
    at=st.none() | st.datetimes(timezones=st.just(UTC)),
)


def parse(*messages: Message, **settings_: Any) -> ParseResult:
    delivery = RawDelivery(write(messages), CONTENT_TYPE, {}, NOW)
    return read_messages(delivery, SourceContext("channel", "acme", "UTC", settings_))


def own(number: int = 1, **changes: Any) -> bytes:
    event = {
        "id": f"e-{number}",
        "type": "pick.completed",
        "happened_at": "2026-01-19T14:00:00Z",
        "references": [{"kind": "picking", "value": "WH/OUT/1"}],
    }
    return json.dumps({**event, **changes}).encode()


ATTRIBUTES = {
    "specversion": "1.0",
    "id": "7",
    "source": "/shöp 100%",
    "type": "order.placed",
    "time": "2026-01-19T13:00:00Z",
}
DATA = b'{"references": [{"kind": "sales_order", "value": "S1"}]}'


@given(st.lists(MESSAGES, max_size=5))
@settings(deadline=None)
def test_bodies_come_back_byte_for_byte(messages: list[Message]) -> None:
    back = [one for _, one in read(write(messages))]
    assert not any(isinstance(one, ParseFailure) for one in back)
    assert [one.body for one in back if isinstance(one, Message)] == [one.body for one in messages]


@given(st.lists(st.binary(max_size=80), max_size=6))
@settings(deadline=None)
def test_no_message_takes_another_one_down(poison: list[bytes]) -> None:
    result = parse(*(Message(f"q#{n}", body) for n, body in enumerate(poison)), Message("q#last", own()))
    assert result.events[-1].source_event_id == "e-1"
    assert result.events[-1].position == f"message {len(poison) + 1} (q#last), $"


def test_a_collector_that_stumbles_costs_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    real = reading._DOCUMENTS.parse

    def stumbles(delivery: RawDelivery, source: SourceContext) -> ParseResult:
        if b"e-2" in delivery.body:
            raise KeyError("a defect")
        return real(delivery, source)

    monkeypatch.setattr(reading._DOCUMENTS, "parse", stumbles)
    result = parse(*(Message(f"q#{n}", own(n)) for n in (1, 2, 3)))
    assert [event.source_event_id for event in result.events] == ["e-1", "e-3"]
    assert [(issue.code, issue.position) for issue in result.issues] == [("collector.crashed", "message 2 (q#2)")]


@pytest.mark.parametrize("prefix", ["ce_", "ce-", "cloudevents:", "cloudevents_"])
def test_binary_cloudevents_of_every_binding(prefix: str) -> None:
    headers = {f"{prefix}{name}": value for name, value in ATTRIBUTES.items()}
    [event] = parse(Message("q#1", DATA, "application/json", headers)).events
    assert (event.type, event.source_event_id) == ("order.placed", "/shöp 100% 7")
    assert event.references == (Reference("sales_order", "S1"),)


@pytest.mark.parametrize(
    ("content_type", "form", "read_as"),
    [
        ("application/cloudevents+json; charset=utf-8", "auto", "cloudevents"),
        ("application/json", "auto", "cloudevents"),
        ("", "cloudevents", "cloudevents"),
        ("", "json", "json"),
    ],
)
def test_structured_cloudevents(content_type: str, form: str, read_as: str) -> None:
    body = json.dumps({"data": json.loads(DATA), **ATTRIBUTES}).encode()
    result = parse(Message("q#1", body, content_type), format=form)
    assert bool(result.events) is (read_as == "cloudevents")
    assert bool(result.issues) is (read_as == "json")


def test_a_document_that_speaks_of_specversion_somewhere_inside_is_no_cloudevent() -> None:
    assert parse(Message("q#1", own(data={"specversion": "9"}))).events[0].type == "pick.completed"


def test_compressed_messages_are_read_and_bombs_are_not() -> None:
    coded = {"content-encoding": "gzip"}
    result = parse(
        Message("q#1", gzip.compress(own()), headers=coded),
        Message("q#2", gzip.compress(bytes(50_000_000)), headers=coded),
        Message("q#3", own(3), headers={"content-encoding": "utf-8"}),
    )
    assert [event.source_event_id for event in result.events] == ["e-1", "e-3"]
    assert [issue.code for issue in result.issues] == ["encoding.unreadable"]


@pytest.mark.parametrize("type_", ["com.acme.Order", "pick.teleported"])
def test_an_unknown_type_is_named(type_: str) -> None:
    [issue] = parse(Message("q#1", own(type=type_))).issues
    assert type_ in issue.sentence


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "json.syntax"),
        (b"[]", "channel.envelope"),
        (b'{"id": "1"}', "channel.envelope"),
        (b'{"id": "1", "body": 7}', "channel.envelope"),
        (b'{"id": "1", "body_base64": "***"}', "channel.envelope"),
        (b'{"id": "1", "body": "", "headers": 7}', "channel.envelope"),
        (b'{"id": "1", "body": ""}', "channel.empty"),
        (b'{"id": "1", "gone": "It was removed."}', "channel.gone"),
    ],
)
def test_lines_that_are_no_messages(line: bytes, code: str) -> None:
    body = line + b"\n\n" + write([Message("q#2", own())])
    result = read_messages(RawDelivery(body, CONTENT_TYPE, {}, NOW), SourceContext("channel", "acme", "UTC"))
    assert [issue.code for issue in result.issues] == [code]
    assert result.issues[0].position.startswith("message 1")
    assert len(result.events) == 1
