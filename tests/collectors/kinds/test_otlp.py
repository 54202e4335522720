"""Message traces: JSON and protobuf alike, exact partial success, and a clear answer to what is not read."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.kinds import otlp
from apps.flows.canonical import ParseFailure, ParseResult, Reference
from tests.collectors.samples import FOLDER

EXAMPLES = settings.BASE_DIR.parent / "shared" / "data" / "standards" / "otlp"
NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
COLLECTOR = COLLECTORS.get("otlp")
HOPS = (FOLDER / "otlp" / "hops.json").read_bytes()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def delivery(body: bytes, content_type: str, **headers: str) -> RawDelivery:
    return RawDelivery(body, content_type, headers, NOW)


def parse(body: bytes, content_type: str = otlp.JSON, **settings_: Any) -> ParseResult:
    return COLLECTOR.parse(delivery(body, content_type), SourceContext("traces", "acme", "UTC", settings_))


def as_protobuf(body: bytes) -> bytes:
    return otlp.read_request(body, True).SerializeToString()


def test_json_and_protobuf_tell_the_same() -> None:
    told, again = parse(HOPS), parse(as_protobuf(HOPS), otlp.PROTOBUF)
    assert told == again
    assert [event.data["operation"] for event in told.events] == ["POST /orders", "orders publish", "orders process"]
    assert [issue.position for issue in told.issues] == [f"$.resourceSpans[1].scopeSpans[0].spans[{n}]" for n in (1, 2)]


def test_a_failed_hop_says_why_and_links_to_what_it_answers() -> None:
    failed = parse(HOPS).events[-1]
    assert failed.type == "hop.failed"
    assert failed.references == (Reference("trace", "0af7651916cd43dd8448eb211c80319c"), Reference("trace", TRACE))
    assert failed.happened_at == datetime(2026, 1, 19, 14, 0, 4, tzinfo=UTC)
    assert failed.data["duration_ms"] == 3_000
    assert failed.data["exception"] == "TimeoutError: WMS did not answer within 3 s"
    assert failed.data["message"] == "WMS unavailable"


def span(**changes: Any) -> dict[str, Any]:
    fields = {
        "traceId": TRACE,
        "spanId": "00f067aa0ba902b7",
        "name": "x",
        "kind": 3,
        "startTimeUnixNano": "1768831200000000000",
        "endTimeUnixNano": "1768831200000000001",
    }
    return {**fields, **changes}


def request(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"kind": 2}, True),
        ({"kind": 1}, False),
        ({"kind": 0}, False),
        ({"kind": 1, "status": {"code": 2}}, True),
        ({"kind": 1, "attributes": [{"key": "order.reference", "value": {"stringValue": "S1"}}]}, True),
        ({"kind": 1, "attributes": [{"key": "other", "value": {"stringValue": "S1"}}]}, False),
    ],
)
def test_which_spans_are_kept(changes: dict[str, Any], kept: bool) -> None:
    assert bool(parse(request(span(**changes))).events) is kept


def test_only_services_asked_for() -> None:
    assert len(parse(HOPS, services=["shop-connector"]).events) == 2
    assert parse(HOPS, services=["other"]).events == ()


def test_a_span_that_links_many_traces_joins_none_of_them() -> None:
    links = [{"traceId": f"{n:032x}", "spanId": "00f067aa0ba902b7"} for n in range(1, 20)]
    [event] = parse(request(span(links=links))).events
    assert event.references == (Reference("trace", TRACE),)
    assert len(event.data["links"]) == 10


BAD = [
    {"traceId": ""},
    {"traceId": "0" * 32},
    {"traceId": "4bf9"},
    {"traceId": "zz" * 16},
    {"spanId": "0" * 16},
    {"endTimeUnixNano": "0"},
    {"endTimeUnixNano": "1768831199000000000"},
]


@given(st.lists(st.sampled_from([{}, *BAD]), max_size=12))
@hypothesis_settings(deadline=None)
def test_partial_success_counts_exactly(changes: list[dict[str, Any]]) -> None:
    body = request(*(span(**change) for change in changes))
    rejected = sum(1 for change in changes if change)
    result = parse(body)
    assert (len(result.events), len(result.issues)) == (len(changes) - rejected, rejected)
    reply = COLLECTOR.respond(delivery(body, otlp.JSON))
    assert reply is not None
    assert (reply.status, reply.content_type) == (200, otlp.JSON)
    answer = json.loads(reply.body)
    assert int(answer.get("partialSuccess", {}).get("rejectedSpans", 0)) == rejected
    if not changes or all(change in ({}, *BAD[4:]) for change in changes):
        reply = COLLECTOR.respond(delivery(as_protobuf(body), otlp.PROTOBUF))
        assert reply is not None
        decoded = ExportTraceServiceResponse.FromString(reply.body)
        assert decoded.partial_success.rejected_spans == rejected
        assert bool(decoded.partial_success.error_message) is bool(rejected)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\x0a\xff\xff\xff\xff", otlp.PROTOBUF),
        (b"not protobuf at all", otlp.PROTOBUF),
        (b"{", otlp.JSON),
        (b"[]", otlp.JSON),
        (b'{"resourceSpans": 7}', otlp.JSON),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}', otlp.JSON),
        (b'{"resourceLogs": 7}', otlp.JSON),
        (b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "soon"}]}]}]}', otlp.JSON),
        (b'{"resourceMetrics": []}', otlp.JSON),
    ],
)
def test_what_is_no_request_for_traces_or_logs_is_bad_and_says_so(body: bytes, content_type: str) -> None:
    with pytest.raises(ParseFailure) as failure:
        parse(body, content_type)
    reply = COLLECTOR.respond(delivery(body, content_type))
    assert reply is not None
    assert (reply.status, reply.content_type) == (400, content_type)
    if content_type == otlp.JSON:
        assert json.loads(reply.body) == {"code": 3, "message": failure.value.issue.sentence}
    else:
        assert reply.body[:2] == b"\x08\x03"
        assert reply.body[4:].decode() == failure.value.issue.sentence[:127]


def test_compressed_requests_are_answered_too() -> None:
    good = COLLECTOR.respond(RawDelivery(gzip.compress(HOPS), otlp.JSON, {"content-encoding": "gzip"}, NOW))
    bad = COLLECTOR.respond(RawDelivery(b"\x1f\x8bnothing", otlp.JSON, {"content-encoding": "gzip"}, NOW))
    assert good is not None
    assert json.loads(good.body)["partialSuccess"]["rejectedSpans"] == "2"
    assert bad is not None
    assert bad.status == 400


def test_examples_of_the_specification() -> None:
    if not EXAMPLES.exists():
        pytest.skip("needs shared/data/standards/otlp")
    [event] = parse((EXAMPLES / "trace.json").read_bytes()).events
    assert event.type == "hop.completed"
    assert event.references == (Reference("trace", "5b8efff798038103d269b633813fc60c"),)
    assert event.happened_at == datetime(2018, 12, 13, 14, 51, 1, tzinfo=UTC)
    assert event.data == {
        "service": "my.service",
        "operation": "I'm a server span",
        "kind": "server",
        "status": "unset",
        "duration_ms": 1000.0,
        "span_id": "eee19b7ec3c1b174",
        "parent_span_id": "eee19b7ec3c1b173",
    }
    text = (EXAMPLES / "metrics.json").read_bytes()
    with pytest.raises(ParseFailure, match="resourceMetrics"):
        parse(text)
    wire = ParseDict(json.loads(text), ExportMetricsServiceRequest(), ignore_unknown_fields=True).SerializeToString()
    with pytest.raises(ParseFailure, match=r"neither spans nor log records|no OTLP request for traces or logs"):
        parse(wire, otlp.PROTOBUF)
    reply = COLLECTOR.respond(delivery(wire, otlp.PROTOBUF))
    assert reply is not None
    assert reply.status == 400


@pytest.mark.parametrize("name", ["logs", "events"])
def test_log_examples_of_the_specification(name: str) -> None:
    if not EXAMPLES.exists():
        pytest.skip("needs shared/data/standards/otlp")
    text = (EXAMPLES / f"{name}.json").read_bytes()
    told = parse(text)
    assert [event.type for event in told.events] == ["log.summary"]
    assert told.issues == ()
    assert parse(as_protobuf(text), otlp.PROTOBUF) == told


@given(st.binary(max_size=400), st.sampled_from([otlp.JSON, otlp.PROTOBUF]))
@hypothesis_settings(max_examples=300, deadline=None)
def test_any_bytes_are_answered(body: bytes, content_type: str) -> None:
    reply = COLLECTOR.respond(delivery(body, content_type))
    assert reply is not None
    assert reply.status in (200, 400)


def test_spans_of_a_real_encoder() -> None:
    wire = ExportTraceServiceRequest()
    one = wire.resource_spans.add().scope_spans.add().spans.add()
    one.trace_id, one.span_id = bytes.fromhex(TRACE), bytes.fromhex("00f067aa0ba902b7")
    one.kind, one.name = Span.SPAN_KIND_CONSUMER, "orders \0 process"
    one.start_time_unix_nano, one.end_time_unix_nano = 1, 2**64 - 1
    attribute = one.attributes.add()
    attribute.key, attribute.value.double_value = "order.reference", 17.0
    [event] = parse(wire.SerializeToString(), otlp.PROTOBUF).events
    assert event.references[0] == Reference("sales_order", "17")
    assert "\0" not in event.data["operation"]
    assert event.happened_at.year == 2554


def test_the_form_names_what_it_wants() -> None:
    assert COLLECTOR.ConfigForm({"references": '{"acme.order": "sales_order"}', "services": '["a"]'}).is_valid()
    assert COLLECTOR.ConfigForm({}).is_valid()
    for wrong in (
        {"references": '{"a": "waybill"}'},
        {"references": "[]x"},
        {"services": '{"a": 1}'},
        {"services": "[1]"},
    ):
        assert not COLLECTOR.ConfigForm(wrong).is_valid()


# -- logs ---------------------------------------------------------------------------------------------------------------

LOGS = (FOLDER / "otlp" / "logs.json").read_bytes()
AT = "1768831200000000000"


def record(**changes: Any) -> dict[str, Any]:
    return {"timeUnixNano": AT, "severityNumber": 9, "body": {"stringValue": "x"}, **changes}


def logs_request(*records: dict[str, Any], service: str = "") -> bytes:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}).encode()


def test_logs_in_json_and_protobuf_tell_the_same() -> None:
    settings_: dict[str, Any] = {"references": {"shop.order": "channel_order"}}
    told = parse(LOGS, **settings_)
    assert told == parse(as_protobuf(LOGS), otlp.PROTOBUF, **settings_)
    assert [event.type for event in told.events] == ["hop.failed"] * 3 + ["log.summary"] * 2
    assert "somebody@example.com" not in str(told.events)


@pytest.mark.parametrize(
    ("changes", "type_", "severity"),
    [
        ({"severityNumber": 17}, "hop.failed", "error"),
        ({"severityNumber": 20}, "hop.failed", "error"),
        ({"severityNumber": 24}, "hop.failed", "fatal"),
        ({"severityNumber": 16}, "log.summary", "warn"),
        ({"severityNumber": 1}, "log.summary", "trace"),
        ({"severityNumber": 9, "severityText": "ERROR"}, "log.summary", "info"),
        ({"severityNumber": 0, "severityText": "Critical"}, "hop.failed", "error"),
        ({"severityNumber": 0, "severityText": "notice"}, "log.summary", "unspecified"),
        ({"severityNumber": 17, "traceId": "0" * 32}, "log.summary", "error"),
        ({"severityNumber": 17, "traceId": "4bf9"}, "log.summary", "error"),
    ],
)
def test_which_records_become_failed_hops(changes: dict[str, Any], type_: str, severity: str) -> None:
    [event] = parse(logs_request(record(**{"traceId": TRACE, **changes}))).events
    assert event.type == type_
    assert severity in (event.data.get("severity"), *event.data.get("counts", ()))


@given(st.lists(st.sampled_from([{}, {"timeUnixNano": "0"}, {"severityNumber": 17, "traceId": TRACE}]), max_size=12))
@hypothesis_settings(deadline=None)
def test_partial_success_of_logs_counts_exactly(changes: list[dict[str, Any]]) -> None:
    body = logs_request(*(record(**change) for change in changes))
    rejected = sum("timeUnixNano" in change for change in changes)
    failed = sum("traceId" in change for change in changes)
    result = parse(body)
    assert len(result.issues) == rejected
    assert {event.source_event_id for event in result.events if event.type == "hop.failed"} == {
        event.source_event_id
        for event in parse(logs_request(record(severityNumber=17, traceId=TRACE))).events
        if failed
    }
    counted = sum(n for event in result.events for n in event.data.get("counts", {}).values())
    assert counted == len(changes) - rejected - failed
    reply = COLLECTOR.respond(delivery(body, otlp.JSON))
    assert reply is not None
    assert int(json.loads(reply.body).get("partialSuccess", {}).get("rejectedLogRecords", 0)) == rejected
    reply = COLLECTOR.respond(delivery(as_protobuf(body), otlp.PROTOBUF))
    assert reply is not None
    assert reply.status == 200
    answer = ExportLogsServiceResponse.FromString(reply.body)
    assert answer.partial_success.rejected_log_records == rejected
    assert bool(answer.partial_success.error_message) is bool(rejected)


def test_counts_of_other_records_and_other_minutes_are_other_events() -> None:
    later = str(int(AT) + 60_000_000_000)
    both = logs_request(record(), record(timeUnixNano=later), service="a")
    summaries = parse(both).events
    assert [event.data["counts"] for event in summaries] == [{"info": 1}, {"info": 1}]
    assert parse(both).events == summaries
    other = parse(logs_request(record(body={"stringValue": "y"}), service="a")).events
    assert len({event.source_event_id for event in (*summaries, *other)}) == 3


def test_only_logs_of_services_asked_for() -> None:
    assert {event.data["service"] for event in parse(LOGS, services=["shop-connector"]).events} == {"shop-connector"}


def test_a_number_that_is_none_is_left_out() -> None:
    wire = ExportLogsServiceRequest()
    one = wire.resource_logs.add().scope_logs.add().log_records.add()
    one.observed_time_unix_nano, one.severity_number, one.trace_id = 1, 17, bytes.fromhex(TRACE)
    one.body.double_value = float("nan")
    attribute = one.attributes.add()
    attribute.key, attribute.value.double_value = "order.reference", float("inf")
    [event] = parse(wire.SerializeToString(), otlp.PROTOBUF).events
    assert event.references == (Reference("trace", TRACE),)
    assert "message" not in event.data
