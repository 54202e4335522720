"""Message traces: OTLP/HTTP, protobuf and JSON (OpenTelemetry Protocol 1.x). Spans become hops of a flow's messages.

Kept are the spans at the border of a service (SERVER, CLIENT, PRODUCER, CONSUMER), and inner ones only when they
failed or carry a business key: what a flow needs to know is where its message is, not how a program is built.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django import forms
from google.protobuf.json_format import ParseDict
from google.protobuf.json_format import ParseError as JsonShapeError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from apps.collectors import encoding, jsonbody
from apps.collectors.contract import Collector, RawDelivery, Reply, SourceContext
from apps.collectors.mapping_rules import plain
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference
from apps.flows.catalogue import REFERENCE_KINDS

PROTOBUF, JSON = "application/x-protobuf", "application/json"

#: span attribute -> kind of the business key it holds; `Integration.settings["references"]` adds and replaces
REFERENCES = {
    "order.reference": "sales_order",
    "purchase_order.reference": "purchase_order",
    "picking.reference": "picking",
    "shipment.tracking_number": "tracking_number",
    "messaging.message.conversation_id": "control_number",
}
#: attributes worth keeping beside the hop (OpenTelemetry semantic conventions)
KEPT = (
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "server.address",
    "rpc.method",
    "messaging.system",
    "messaging.destination.name",
    "messaging.message.id",
    "error.type",
)
KINDS = {
    Span.SPAN_KIND_INTERNAL: "internal",
    Span.SPAN_KIND_SERVER: "server",
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_PRODUCER: "producer",
    Span.SPAN_KIND_CONSUMER: "consumer",
}
_AT_THE_BORDER = frozenset(KINDS) - {Span.SPAN_KIND_INTERNAL}
_MOST_LINKS = 10
_TEXT = 300
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
_INVALID_ARGUMENT = 3


class OtlpForm(forms.Form):
    references = forms.JSONField(
        required=False, help_text='Span attribute -> kind of business key, e.g. {"acme.order": "sales_order"}'
    )
    services = forms.JSONField(required=False, help_text="Only spans of these services; empty: of all")

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
    label = "Message traces (OTLP)"
    max_body = 4 * 1024 * 1024
    ConfigForm = OtlpForm
    door_paths = ("v1/traces", "v1/logs", "v1/metrics")
    content_types: ClassVar[Mapping[str, str]] = {".json": JSON, ".pb": PROTOBUF, ".binpb": PROTOBUF}

    def respond(self, delivery: RawDelivery) -> Reply:
        """As the protocol demands: 200 with the exact number of rejected spans, or 400, which is not sent again."""
        is_json = _is_json(delivery)
        try:
            body = _expanded(delivery)
            reasons = [reason for one in spans_of(read_request(body, is_json)) if (reason := refusal(one.span))]
        except ParseFailure as failure:
            return _bad_request(failure.issue.sentence, is_json)
        answer = ExportTraceServiceResponse()
        if not reasons:
            return Reply(200, JSON, b"{}") if is_json else Reply(200, PROTOBUF, b"")
        message = f"{len(reasons)} spans were not taken, the first one because {reasons[0]}."
        if is_json:
            partial = {"rejectedSpans": str(len(reasons)), "errorMessage": message}
            return Reply(200, JSON, json.dumps({"partialSuccess": partial}).encode())
        answer.partial_success.rejected_spans = len(reasons)
        answer.partial_success.error_message = message
        return Reply(200, PROTOBUF, answer.SerializeToString())

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        attributes = {**REFERENCES, **source.settings.get("references", {})}
        services = frozenset(source.settings.get("services", ()))
        events: list[CanonicalEvent] = []
        issues: list[ParseIssue] = []
        for one in spans_of(read_request(delivery.body, _is_json(delivery))):
            reason = refusal(one.span)
            if reason:
                sentence = f"The span {jsonbody.excerpt(one.span.name, 80)} was not taken because {reason}."
                issues.append(ParseIssue("otlp.span", sentence, one.position))
            elif not services or one.service in services:
                event = _hop(one, attributes, source.partner)
                if event is not None:
                    events.append(event)
        return ParseResult(tuple(events), tuple(issues))


def read_request(body: bytes, is_json: bool) -> ExportTraceServiceRequest:
    """The request in a body. Raises `ParseFailure`, also for logs and metrics, which are not read."""
    if is_json:
        return _read_json(body)
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise ParseFailure("otlp.syntax", "The body is no OTLP trace request in protobuf.") from None
    # logs and metrics have the same outer fields: their records then look like spans without any of a span's fields
    found = list(spans_of(request))
    if found and not any(len(one.span.trace_id) == 16 or one.span.start_time_unix_nano for one in found):
        raise ParseFailure("otlp.not_traces", "These are no spans. Logs and metrics are not read here; send traces.")
    return request


def _read_json(body: bytes) -> ExportTraceServiceRequest:
    document = jsonbody.read(body).value
    if not isinstance(document, dict):
        raise ParseFailure("otlp.syntax", "An OTLP request must be a JSON object.", "$", jsonbody.excerpt(document))
    for name in ("resourceLogs", "resourceMetrics", "resourceProfiles"):
        if name in document and "resourceSpans" not in document:
            sentence = f"The request holds {name}; only traces (resourceSpans) are read here."
            raise ParseFailure("otlp.not_traces", sentence, f"$.{name}")
    try:
        _hex_to_base64(document)
        return ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True, max_recursion_depth=64)
    except (JsonShapeError, TypeError, ValueError, AttributeError) as error:
        raise ParseFailure(
            "otlp.syntax", "The JSON has not the shape of an OTLP trace request.", "$", jsonbody.excerpt(str(error))
        ) from None


def _hex_to_base64(document: dict[str, Any]) -> None:
    """OTLP/JSON writes ids in hexadecimal, protobuf's own JSON reader expects base64: translated in place."""
    for resource in _objects(document, "resourceSpans"):
        for scope in _objects(resource, "scopeSpans"):
            for span in _objects(scope, "spans"):
                for holder in (span, *_objects(span, "links")):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = _as_base64(holder[name])


def _objects(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = holder.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _as_base64(value: Any) -> str:
    """An id that is no hexadecimal becomes no id: that span is refused, not the request."""
    try:
        return base64.b64encode(binascii.unhexlify(value)).decode()
    except (binascii.Error, ValueError, TypeError):
        return ""


def spans_of(request: ExportTraceServiceRequest) -> Iterator[Found]:
    for number, resource in enumerate(request.resource_spans):
        service = plain(_value_of(resource.resource.attributes, "service.name")) or ""
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
    attributes = {each.key: _plain_value(each.value) for each in span.attributes}
    keys = _references(attributes, kinds, partner)
    failed = span.status.code == Status.STATUS_CODE_ERROR
    if span.kind not in _AT_THE_BORDER and not failed and not keys:
        return None
    trace_id = span.trace_id.hex()
    linked = list(dict.fromkeys(link.trace_id.hex() for link in span.links if len(link.trace_id) == 16))
    linked = [other for other in linked if other != trace_id]
    references = [*keys, Reference("trace", trace_id)]
    if len(linked) == 1:
        # a batch that links many traces belongs to many flows: a shared key would join them
        references.append(Reference("trace", linked[0]))
    data: dict[str, Any] = {
        "service": one.service,
        "operation": jsonbody.excerpt(span.name, _TEXT),
        "kind": KINDS.get(span.kind, "unspecified"),
        "status": "error" if failed else "ok" if span.status.code == Status.STATUS_CODE_OK else "unset",
        "duration_ms": round((span.end_time_unix_nano - span.start_time_unix_nano) / 1e6, 3),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "message": jsonbody.excerpt(span.status.message, _TEXT),
        "exception": _exception(span),
        "links": linked[:_MOST_LINKS],
        "attributes": {name: attributes[name] for name in KEPT if attributes.get(name) is not None},
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


def _references(attributes: Mapping[str, Any], kinds: Mapping[str, str], partner: str) -> list[Reference]:
    found = []
    for name, kind in kinds.items():
        value = attributes.get(name)
        for text in map(plain, value if isinstance(value, list) else [value]):
            if text and "\0" not in text and len(text) <= 200:
                found.append(Reference(kind, text, partner if REFERENCE_KINDS.get(kind, ("", False))[1] else ""))
    return found


def _exception(span: Span) -> str:
    """Type and message of the last exception the span recorded (semantic conventions for exceptions)."""
    for event in reversed(span.events):
        if event.name == "exception":
            parts = [plain(_value_of(event.attributes, f"exception.{name}")) for name in ("type", "message")]
            return jsonbody.excerpt(": ".join(part for part in parts if part), _TEXT)
    return ""


def _value_of(attributes: Any, key: str) -> Any:
    each: KeyValue
    for each in attributes:
        if each.key == key:
            return _plain_value(each.value)
    return None


def _plain_value(value: AnyValue) -> Any:
    """Texts, numbers and booleans, and lists of them; objects and bytes are not looked into."""
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_plain_value(one) for one in value.array_value.values[:100] if one.WhichOneof("value") != "array_value"]
    if which in ("string_value", "bool_value", "int_value", "double_value"):
        return getattr(value, which)
    return None


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
