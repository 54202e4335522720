"""OTLP/HTTP export requests of traces and of logs, protobuf and JSON, as protobuf messages. Pure.

The door's path (``v1/traces``, ``v1/logs``) is not kept with a delivery, so what a request holds is told from its bytes:
in JSON by its name, in protobuf by the wire types of its records' fields, which differ between the signals.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.json_format import ParseError as JsonShapeError
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from apps.collectors import jsonbody
from apps.flows.canonical import ParseFailure

PROTOBUF, JSON = "application/x-protobuf", "application/json"
Request = ExportTraceServiceRequest | ExportLogsServiceRequest

NOT_READ = "Send traces or logs; metrics and profiles are not read here."
_MOST_VALUES = 100


def read_request(body: bytes, is_json: bool) -> Request:
    """The request in a body. Raises `ParseFailure` (``otlp.syntax``, ``otlp.not_read``), also for metrics."""
    return _read_json(body) if is_json else _read_protobuf(body)


def _read_protobuf(body: bytes) -> Request:
    """Both signals have the same outer fields; only their records differ."""
    traces = _decoded(ExportTraceServiceRequest, body)
    spans = list(_spans(traces)) if traces is not None else []
    if traces is not None and (not spans or any(map(_is_span, spans))):
        return traces
    logs = _decoded(ExportLogsServiceRequest, body)
    if logs is not None and all(map(_is_record, _records(logs))):
        return logs
    if traces is None and logs is None:
        raise ParseFailure("otlp.syntax", "The body is no OTLP request for traces or logs in protobuf.")
    raise ParseFailure("otlp.not_read", f"These are neither spans nor log records. {NOT_READ}")


def _decoded(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError:
        return None


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    return (span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans)


def _records(request: ExportLogsServiceRequest) -> Iterator[LogRecord]:
    return (one for resource in request.resource_logs for scope in resource.scope_logs for one in scope.log_records)


def _is_span(span: Span) -> bool:
    """A log record read as a span never has these: they are of other wire types there."""
    return len(span.trace_id) == 16 or bool(span.start_time_unix_nano)


def _is_record(record: LogRecord) -> bool:
    """A span or a metric read as a log record leaves its first fields (ids, names: texts or bytes) over."""
    return all(one.field_number > 12 for one in UnknownFieldSet(record))


def _read_json(body: bytes) -> Request:
    document = jsonbody.read(body).value
    if not isinstance(document, dict):
        raise ParseFailure("otlp.syntax", "An OTLP request must be a JSON object.", "$", jsonbody.excerpt(document))
    if "resourceSpans" not in document:
        for name in ("resourceMetrics", "resourceProfiles"):
            if name in document:
                raise ParseFailure("otlp.not_read", f"The request holds {name}. {NOT_READ}", f"$.{name}")
    is_logs = "resourceLogs" in document and "resourceSpans" not in document
    message = ExportLogsServiceRequest() if is_logs else ExportTraceServiceRequest()
    try:
        _hex_to_base64(document, *(("Logs", "logRecords") if is_logs else ("Spans", "spans")))
        return ParseDict(document, message, ignore_unknown_fields=True, max_recursion_depth=64)
    except (JsonShapeError, TypeError, ValueError, AttributeError) as error:
        what = "log" if is_logs else "trace"
        sentence = f"The JSON has not the shape of an OTLP {what} request."
        raise ParseFailure("otlp.syntax", sentence, "$", jsonbody.excerpt(str(error))) from None


def _hex_to_base64(document: dict[str, Any], signal: str, records: str) -> None:
    """OTLP/JSON writes ids in hexadecimal, protobuf's own JSON reader expects base64: translated in place."""
    for resource in _objects(document, f"resource{signal}"):
        for scope in _objects(resource, f"scope{signal}"):
            for record in _objects(scope, records):
                for holder in (record, *_objects(record, "links")):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = _as_base64(holder[name])


def _objects(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = holder.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _as_base64(value: Any) -> str:
    """An id that is no hexadecimal becomes no id: that record is judged without it, the request is not refused."""
    try:
        return base64.b64encode(binascii.unhexlify(value)).decode()
    except (binascii.Error, ValueError, TypeError):
        return ""


def value_of(attributes: Any, key: str) -> Any:
    """The value of the first attribute of that name; None without one."""
    each: KeyValue
    for each in attributes:
        if each.key == key:
            return plain_value(each.value)
    return None


def plain_value(value: AnyValue) -> Any:
    """Texts, numbers and booleans, and lists of them; objects and bytes are not looked into."""
    which = value.WhichOneof("value")
    if which == "array_value":
        items = value.array_value.values[:_MOST_VALUES]
        return [plain_value(one) for one in items if one.WhichOneof("value") != "array_value"]
    if which in ("string_value", "bool_value", "int_value", "double_value"):
        found = getattr(value, which)
        return None if isinstance(found, float) and not math.isfinite(found) else found
    return None
