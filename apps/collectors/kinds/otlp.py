"""Message traces and logs: OTLP/HTTP, protobuf and JSON (OpenTelemetry Protocol 1.x). They become hops of a flow's messages.

Kept are the spans at the border of a service (SERVER, CLIENT, PRODUCER, CONSUMER), and inner ones only when they
failed or carry a business key: what a flow needs to know is where its message is, not how a program is built. Of logs,
the errors that belong to something (`apps.collectors.otlp.logs`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django import forms
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from apps.collectors import encoding, jsonbody
from apps.collectors.contract import Collector, RawDelivery, Reply, SourceContext
from apps.collectors.mapping_rules import plain
from apps.collectors.otlp import keys, logs
from apps.collectors.otlp.requests import JSON, PROTOBUF, Request, read_request, value_of
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference
from apps.flows.catalogue import REFERENCE_KINDS

KINDS = {
    Span.SPAN_KIND_INTERNAL: "internal",
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_PRODUCER: "producer",
    Span.SPAN_KIND_CONSUMER: "consumer",
}
_AT_THE_BORDER = frozenset(KINDS) - {Span.SPAN_KIND_INTERNAL}
_MOST_LINKS = 10
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_INVALID_ARGUMENT = 3


class OtlpForm(forms.Form):
    references = forms.JSONField(
        required=False, help_text='Attribute -> kind of business key, e.g. {"acme.order": "sales_order"}'
    )
    services = forms.JSONField(required=False, help_text="Only spans and logs of these services; empty: of all")

    def clean_references(self) -> dict[str, str]:
        value = self.cleaned_data.get("references") or {}
        if not isinstance(value, dict) or not all(kind in REFERENCE_KINDS for kind in value.values()):
            raise forms.ValidationError(f"Give attribute names with one of: {', '.join(REFERENCE_KINDS)}.")
        return value

    def clean_services(self) -> list[str]:
        value = self.cleaned_data.get("services") or []
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise forms.ValidationError('Give a list of service names, e.g. ["wms-gateway"].')
        return value


@dataclass(frozen=True, slots=True)
class Found:
    """A span, where it stood, and the service it is of."""

    span: Span
    service: str
    position: str


class Otlp(Collector):
    kind = "otlp"
    label = "Message traces and logs (OTLP)"
    max_body = 4 * 1024 * 1024
    ConfigForm = OtlpForm
    door_paths = ("v1/traces", "v1/logs", "v1/metrics")
    content_types: ClassVar[Mapping[str, str]] = {".json": JSON, ".pb": PROTOBUF, ".binpb": PROTOBUF}

    def respond(self, delivery: RawDelivery) -> Reply:
        """As the protocol demands: 200 with the exact number of rejected records, or 400, which is not sent again."""
        is_json = _is_json(delivery)
        try:
            request = read_request(_expanded(delivery), is_json)
        except ParseFailure as failure:
            return _bad_request(failure.issue.sentence, is_json)
        reasons = [reason for reason, _, _ in _refused(request)]
        if not reasons:
            return Reply(200, JSON, b"{}") if is_json else Reply(200, PROTOBUF, b"")
        return _partial(isinstance(request, ExportLogsServiceRequest), reasons, is_json)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        kinds = {**keys.REFERENCES, **source.settings.get("references", {})}
        services = frozenset(source.settings.get("services", ()))
        request = read_request(delivery.body, _is_json(delivery))
        code = "otlp.log" if isinstance(request, ExportLogsServiceRequest) else "otlp.span"
        issues = [
            ParseIssue(code, f"{what} was not taken because {reason}.", position)
            for reason, what, position in _refused(request)
        ]
        if isinstance(request, ExportLogsServiceRequest):
            sound = (one for one in logs.records_of(request) if not logs.refusal(one))
            wanted = (one for one in sound if not services or one.service in services)
            return ParseResult(tuple(logs.events_of(wanted, kinds, source.partner)), tuple(issues))
        events = [
            event
            for one in spans_of(request)
            if not refusal(one.span) and (not services or one.service in services)
            if (event := _hop(one, kinds, source.partner)) is not None
        ]
        return ParseResult(tuple(events), tuple(issues))


def _refused(request: Request) -> Iterator[tuple[str, str, str]]:
    """(reason, what it is about, position) of every span or log record that cannot be taken."""
    if isinstance(request, ExportLogsServiceRequest):
        for record in logs.records_of(request):
            if reason := logs.refusal(record):
                yield (
                    reason,
                    f"The log record of {jsonbody.excerpt(record.service or 'no service', 80)}",
                    record.position,
                )
        return
    for one in spans_of(request):
        if reason := refusal(one.span):
            yield reason, f"The span {jsonbody.excerpt(one.span.name, 80)}", one.position


def _partial(of_logs: bool, reasons: list[str], is_json: bool) -> Reply:
    """Partial success: how many were not taken, and why, in the words of the signal."""
    what, name = ("log records", "rejectedLogRecords") if of_logs else ("spans", "rejectedSpans")
    message = f"{len(reasons)} {what} were not taken, the first one because {reasons[0]}."
    if is_json:
        partial = {name: str(len(reasons)), "errorMessage": message}
        return Reply(200, JSON, json.dumps({"partialSuccess": partial}).encode())
    answer: ExportLogsServiceResponse | ExportTraceServiceResponse
    if of_logs:
        answer = ExportLogsServiceResponse()
        answer.partial_success.rejected_log_records = len(reasons)
    else:
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = len(reasons)
    answer.partial_success.error_message = message
    return Reply(200, PROTOBUF, answer.SerializeToString())


def spans_of(request: ExportTraceServiceRequest) -> Iterator[Found]:
    for number, resource in enumerate(request.resource_spans):
        service = plain(value_of(resource.resource.attributes, "service.name")) or ""
        for place, scope in enumerate(resource.scope_spans):
            for index, span in enumerate(scope.spans):
                yield Found(span, service, f"$.resourceSpans[{number}].scopeSpans[{place}].spans[{index}]")


def refusal(span: Span) -> str:
    """Why a span is not valid ('' if it is); continues the words 'because'."""
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "its trace id is not 16 bytes, or all zero"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "its span id is not 8 bytes, or all zero"
    if not span.end_time_unix_nano or not span.start_time_unix_nano:
        return "it has no start or no end"
    if span.end_time_unix_nano < span.start_time_unix_nano:
        return "it ends before it starts"
    return ""


def _hop(one: Found, kinds: Mapping[str, str], partner: str) -> CanonicalEvent | None:
    span = one.span
    attributes = keys.attributes_of(span)
    found = keys.references(attributes, kinds, partner)
    failed = span.status.code == Status.STATUS_CODE_ERROR
    if span.kind not in _AT_THE_BORDER and not failed and not found:
        return None
    trace_id = span.trace_id.hex()
    linked = list(dict.fromkeys(link.trace_id.hex() for link in span.links if len(link.trace_id) == 16))
    linked = [other for other in linked if other != trace_id]
    references = [*found, Reference("trace", trace_id)]
    if len(linked) == 1:
        # a batch that links many traces belongs to many flows: a shared key would join them
        references.append(Reference("trace", linked[0]))
    data: dict[str, Any] = {
        "service": one.service,
        "operation": jsonbody.excerpt(span.name, keys.TEXT),
        "kind": KINDS.get(span.kind, "unspecified"),
        "status": "error" if failed else "ok" if span.status.code == Status.STATUS_CODE_OK else "unset",
        "duration_ms": round((span.end_time_unix_nano - span.start_time_unix_nano) / 1e6, 3),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "message": jsonbody.excerpt(span.status.message, keys.TEXT),
        "exception": _exception(span),
        "links": linked[:_MOST_LINKS],
        "attributes": keys.kept(attributes),
    }
    return CanonicalEvent(
        type="hop.failed" if failed else "hop.completed",
        happened_at=_ZERO + timedelta(microseconds=span.end_time_unix_nano // 1_000),
        references=tuple(dict.fromkeys(references)),
        source_event_id=f"{trace_id}:{span.span_id.hex()}",
        data={name: value for name, value in data.items() if value not in ("", [], {}, None)},
        position=one.position,
        trace_id=trace_id,
    )


def _exception(span: Span) -> str:
    """Type and message of the last exception the span recorded (semantic conventions for exceptions)."""
    for event in reversed(span.events):
        if event.name == "exception":
            return keys.exception(event.attributes)
    return ""


def _is_json(delivery: RawDelivery) -> bool:
    return delivery.content_type.partition(";")[0].strip().lower() == JSON


def _expanded(delivery: RawDelivery) -> bytes:
    coding = delivery.headers.get("content-encoding", "")
    try:
        return encoding.expand(delivery.body, coding, Otlp.max_body) if coding else delivery.body
    except ValueError as error:
        raise ParseFailure("encoding.unreadable", f"The body cannot be expanded: {error}.") from None


def _bad_request(message: str, is_json: bool) -> Reply:
    """A google.rpc.Status, as OTLP asks for: field 1 the code, field 2 the message."""
    if is_json:
        return Reply(400, JSON, json.dumps({"code": _INVALID_ARGUMENT, "message": message}).encode())
    text = message.encode()[:127]
    return Reply(400, PROTOBUF, bytes([0x08, _INVALID_ARGUMENT, 0x12, len(text)]) + text)
