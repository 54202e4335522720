"""Message logs: known shapes of middleware, outcomes nobody guesses, queues, and every line told or counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.messages.fields import BETWEEN, COMPLETED, FAILED, WORDS
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseResult, Reference

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
AT = datetime(2026, 1, 19, 14, 4, 5, tzinfo=UTC)


def parse(*lines: Any, **settings_: Any) -> ParseResult:
    texts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    mapping = settings_.pop("mapping", {})
    source = SourceContext("mw1", "acme", "UTC", settings_, mapping)
    return COLLECTORS.get("message_log").parse(RawDelivery(b"\n".join(texts), "application/x-ndjson", {}, NOW), source)


def line(**changes: Any) -> dict[str, Any]:
    return {"timestamp": "2026-01-19T14:04:05Z", "status": "success", "correlationId": TRACE, **changes}


def one(*lines: Any, **settings_: Any) -> CanonicalEvent:
    [event] = parse(*lines, **settings_).events
    return event


@pytest.mark.parametrize(
    ("changes", "type_"),
    [
        ({"status": "Succeeded"}, "hop.completed"),
        ({"status": "TIMED_OUT"}, "hop.failed"),
        ({"status": None, "eventName": "n8n.workflow.failed"}, "hop.failed"),
        ({"status": None, "tracePoint": "EXCEPTION"}, "hop.failed"),
        ({"status": None, "tracePoint": "BEFORE_REQUEST"}, "log.summary"),
        ({"status": None, "type": "ExchangeCompleted"}, "hop.completed"),
        ({"status": None, "level": "ERROR"}, "hop.failed"),
        ({"status": None, "level": "INFO"}, "log.summary"),
        ({"status": 200, "level": "INFO"}, "log.summary"),
        ({"status": "running"}, "log.summary"),
        ({"status": "success", "correlationId": ""}, "log.summary"),
    ],
)
def test_what_becomes_a_hop(changes: dict[str, Any], type_: str) -> None:
    result = parse(line(**changes))
    assert [event.type for event in result.events] == [type_]
    assert result.issues == ()


def test_words_for_outcomes_contradict_nobody() -> None:
    assert set(WORDS.values()) == {COMPLETED, FAILED, BETWEEN}
    assert all(word.isalnum() and word == word.lower() for word in WORDS)


def test_an_unknown_word_is_named_once_and_can_be_told() -> None:
    lines = [line(status="GREEN"), line(status="GREEN"), line(status="RED")]
    issues = parse(*lines).issues
    assert [(issue.code, issue.severity, issue.position) for issue in issues] == [
        ("message_log.unknown_status", "warning", "line 1"),
        ("message_log.unknown_status", "warning", "line 3"),
    ]
    assert "“GREEN”" in issues[0].sentence
    assert "1 more" in issues[0].sentence
    told = parse(*lines[1:], words={"GREEN": "completed", "RED": "failed"})
    assert [event.type for event in told.events] == ["hop.completed", "hop.failed"]
    assert told.issues == ()


@pytest.mark.parametrize(
    ("changes", "references"),
    [
        ({}, {Reference("trace", TRACE)}),
        ({"correlationId": f"00-{TRACE}-00f067aa0ba902b7-01"}, {Reference("trace", TRACE)}),
        ({"correlationId": "231"}, {Reference("trace", "mw1:231")}),
        ({"correlationId": 231}, {Reference("trace", "mw1:231")}),
        ({"correlationId": "a-correlation-of-our-own"}, {Reference("trace", "a-correlation-of-our-own")}),
        ({"x": 1, "traceId": "0" * 31 + "1"}, {Reference("trace", "0" * 31 + "1")}),
        ({"Sales-Order": "S1"}, {Reference("sales_order", "S1"), Reference("trace", TRACE)}),
        ({"payload": {"asn_number": "A1"}}, {Reference("despatch_advice", "A1", "acme"), Reference("trace", TRACE)}),
        ({"properties": {"trackedProperties": {"Picking": "P1"}}}, {Reference("picking", "P1"), Reference("trace", TRACE)}),
        ({"elsewhere": {"picking": "P1"}}, {Reference("trace", TRACE)}),
        ({"sscc": 340123450000000005}, {Reference("sscc", "340123450000000005"), Reference("trace", TRACE)}),
        ({"tracking_number": 12345678901234567890123}, {Reference("tracking_number", "12345678901234567890123"), Reference("trace", TRACE)}),
    ],
)  # fmt: skip
def test_what_a_hop_belongs_to(changes: dict[str, Any], references: set[Reference]) -> None:
    assert set(one(line(**changes)).references) == references


def test_own_fields_of_business_keys() -> None:
    event = one(line(orderNo="S7", correlationId=None), references={"orderNo": "sales_order"})
    assert event.references == (Reference("sales_order", "S7"),)


@pytest.mark.parametrize(
    "time",
    [
        {"timestamp": "2026-01-19T15:04:05+01:00"},
        {"timestamp": 1768831445},
        {"timestamp": "1768831445000"},
        {"timestamp": "soon", "@timestamp": "2026-01-19T14:04:05Z"},
        {"timestamp": None, "instant": {"epochSecond": 1768831445, "nanoOfSecond": 0}},
        {"timestamp": "2026-01-19T14:00:00Z", "endTime": "2026-01-19T14:04:05"},
    ],
)
def test_times(time: dict[str, Any]) -> None:
    assert one(line(**time)).happened_at == AT


def test_a_line_without_a_time_is_told() -> None:
    values: list[Any] = [None, "soon", True, -5, [], 1e300]
    for bad in values:
        [issue] = parse(line(timestamp=bad)).issues
        assert (issue.code, issue.position) == ("message_log.time", "line 1")


def test_a_failed_hop_says_why_and_a_completed_one_keeps_its_message_to_itself() -> None:
    told = one(line(status="failed", error={"message": "Article unknown", "code": "E7"}, message="x", elapsed=7))
    assert told.data["exception"] == "Article unknown"
    assert told.data["duration_ms"] == 7
    assert "Jane" not in str(one(line(message="To Jane Doe")))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"queue": "orders", "depth": 3}, [("orders", 3, False, None)]),
        ({"queue": "orders.dlq", "messages": "4", "oldestAgeSeconds": 90}, [("orders.dlq", 4, True, 90)]),
        ({"queueName": "orders", "activeMessageCount": 1, "deadLetterMessageCount": 2, "oldestAgeSeconds": 90}, [("orders", 2, True, None), ("orders", 1, False, None)]),
        ({"queueName": "orders", "deadLetterMessageCount": 2, "dlq_age_seconds": 60}, [("orders", 2, True, 60)]),
        ({"queue": "invoices-DeadLetter", "queueSize": 0}, [("invoices-DeadLetter", 0, True, None)]),
        ({"queue": "adlquist", "queueSize": 0}, [("adlquist", 0, False, None)]),
        ({"queue": "orders.error", "approximateNumberOfMessages": 8, "ApproximateAgeOfOldestMessage": 5}, [("orders.error", 8, True, 5)]),
    ],
)  # fmt: skip
def test_queues_of_others(fields: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    events = parse({"timestamp": "2026-01-19T14:04:05Z", **fields}).events
    assert {event.type for event in events} == {"queue.depth"}
    told = [
        tuple(event.data.get(name) for name in ("queue", "messages", "dead_letter", "oldest_seconds"))
        for event in events
    ]
    assert told == expected
    assert len({event.source_event_id for event in events}) == len(events)


@pytest.mark.parametrize("depth", [None, -1, "many", 1.5, True, []])
def test_a_queue_without_a_count_is_no_depth(depth: Any) -> None:
    assert [event.type for event in parse(line(queue="orders", depth=depth)).events] == ["hop.completed"]


LINES = st.one_of(
    st.fixed_dictionaries(
        {"timestamp": st.sampled_from(["2026-01-19T14:04:05Z", "2026-01-19T14:05:05Z", "soon"])},
        optional={
            "status": st.sampled_from(["success", "failed", "running", "GREEN"]),
            "correlationId": st.sampled_from([TRACE, "", "7"]),
            "n": st.integers(),
        },
    ),
    st.just(b"no JSON"),
    st.just([1]),
)


@given(st.lists(LINES, max_size=20))
@settings(deadline=None)
def test_every_line_is_told_or_counted_and_a_repeat_adds_nothing(lines: list[Any]) -> None:
    result = parse({"timestamp": "2026-01-19T14:04:05Z", "n": "first"}, *lines)
    hops = [event for event in result.events if event.type.startswith("hop.")]
    counted = sum(sum(event.data["counts"].values()) for event in result.events if event.type == "log.summary")
    bad = sum(1 for one_ in lines if not isinstance(one_, dict) or one_["timestamp"] == "soon")
    assert len(hops) + counted + bad == len(lines) + 1
    assert sum(issue.severity == "error" for issue in result.issues) <= bad
    assert bool(bad) is any(issue.severity == "error" for issue in result.issues)
    assert parse({"timestamp": "2026-01-19T14:04:05Z", "n": "first"}, *lines) == result


def test_by_mapping_each_line_is_a_document_and_a_bad_one_costs_itself() -> None:
    mapping = {
        "events": [
            {
                "type": {"path": "res", "values": {"S": "hop.completed", "E": "hop.failed"}},
                "happened_at": "when",
                "references": [{"kind": "sales_order", "path": "doc"}],
            }
        ]
    }
    good = {"when": "2026-01-19T14:04:05Z", "res": "S", "doc": "S1"}
    result = parse(good, b"{", {**good, "res": "E"}, {**good, "res": "?"}, mapping=mapping)
    assert [(event.type, event.position) for event in result.events] == [
        ("hop.completed", "line 1"),
        ("hop.failed", "line 3"),
    ]
    assert [(issue.code, issue.position) for issue in result.issues] == [
        ("message_log.json", "line 2"),
        ("mapping.unknown_code", "line 4.res"),
    ]
    assert [issue.code for issue in parse(b" ", mapping=mapping).issues] == ["message_log.empty"]


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_events_or_reasons(body: bytes) -> None:
    try:
        result = parse(body)
    except ParseFailure as failure:
        result = ParseResult((), (failure.issue,))
    assert result.events or result.issues


@pytest.mark.parametrize(
    "wrong", [{"references": '{"a": "waybill"}'}, {"words": '{"GREEN": "fine"}'}, {"words": "[1]"}]
)
def test_the_form_names_what_it_wants(wrong: dict[str, str]) -> None:
    form = COLLECTORS.get("message_log").ConfigForm
    assert form({}).is_valid()
    assert form({"references": '{"orderNo": "sales_order"}', "words": '{"GREEN": "completed"}'}).is_valid()
    assert not form(wrong).is_valid()
