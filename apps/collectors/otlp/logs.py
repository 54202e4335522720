"""OTLP log records: errors that belong to something become failed hops, all others are counted. Pure.

A record is an error from severity ERROR on (SeverityNumber 17, OpenTelemetry logs data model), or by its SeverityText
when it has no number. It belongs to something when it carries a trace id or a business key. What is only counted becomes
one ``log.summary`` for each service and minute of a request; the sums of several requests add up.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from apps.collectors import jsonbody
from apps.collectors.mapping_rules import plain
from apps.collectors.otlp import keys
from apps.collectors.otlp.requests import plain_value, value_of
from apps.flows.canonical import CanonicalEvent, Reference

ERROR = 17
#: first SeverityNumber of each range -> its short name (logs data model, "Displaying Severity")
SEVERITIES = {1: "trace", 5: "debug", 9: "info", 13: "warn", 17: "error", 21: "fatal"}
#: texts of common loggers that mean an error, for records without a number
ERROR_TEXTS = frozenset({"ERROR", "ERR", "SEVERE", "CRITICAL", "CRIT", "FATAL", "ALERT", "EMERGENCY", "EMERG"})
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Logged:
    """A log record, where it stood, the service and the logger (scope) it is of."""

    record: LogRecord
    service: str
    scope: str
    position: str

    @property
    def nanoseconds(self) -> int:
        """When it happened; if that is not known when it was observed, as the data model asks."""
        return self.record.time_unix_nano or self.record.observed_time_unix_nano

    @property
    def trace_id(self) -> str:
        """Ids of another length, or all zero, are no ids (logs.proto)."""
        raw = self.record.trace_id
        return raw.hex() if len(raw) == 16 and any(raw) else ""

    @property
    def severity(self) -> str:
        number = self.record.severity_number
        if 0 < number <= 24:
            return SEVERITIES[(number - 1) // 4 * 4 + 1]
        return "error" if self.record.severity_text.strip().upper() in ERROR_TEXTS else "unspecified"

    @property
    def is_error(self) -> bool:
        return self.severity in ("error", "fatal")

    def identity(self) -> bytes:
        """The same record sent again has the same one."""
        head = f"{self.service}\0{self.scope}\0".encode("utf-8", "replace")
        return hashlib.sha256(head + self.record.SerializeToString(deterministic=True)).digest()


@dataclass(slots=True)
class _Cell:
    position: str
    counts: Counter[str] = field(default_factory=Counter)
    identities: list[bytes] = field(default_factory=list)


def records_of(request: ExportLogsServiceRequest) -> Iterator[Logged]:
    for number, resource in enumerate(request.resource_logs):
        service = plain(value_of(resource.resource.attributes, "service.name")) or ""
        for place, scope in enumerate(resource.scope_logs):
            for index, record in enumerate(scope.log_records):
                position = f"$.resourceLogs[{number}].scopeLogs[{place}].logRecords[{index}]"
                yield Logged(record, service, scope.scope.name, position)


def refusal(one: Logged) -> str:
    """Why a record cannot be taken ('' if it can); continues the words 'because'."""
    return "" if one.nanoseconds else "it has neither a time nor an observed time"


def events_of(records: Iterable[Logged], kinds: Mapping[str, str], partner: str) -> Iterator[CanonicalEvent]:
    """Failed hops in the order of their records, then the counts."""
    cells: dict[tuple[str, int], _Cell] = {}
    for one in records:
        hop = _hop(one, kinds, partner) if one.is_error else None
        if hop is not None:
            yield hop
            continue
        cell = cells.setdefault((one.service, one.nanoseconds // 60_000_000_000), _Cell(one.position))
        cell.counts[one.severity] += 1
        cell.identities.append(one.identity())
    for (service, minute), cell in cells.items():
        digest = hashlib.sha256(b"".join(sorted(cell.identities))).hexdigest()[:32]
        yield CanonicalEvent(
            type="log.summary",
            happened_at=_ZERO + timedelta(minutes=minute),
            references=(),
            source_event_id=f"logs:{digest}",
            data={"service": jsonbody.excerpt(service), "seconds": 60, "counts": dict(sorted(cell.counts.items()))},
            position=cell.position,
        )


def _hop(one: Logged, kinds: Mapping[str, str], partner: str) -> CanonicalEvent | None:
    record = one.record
    attributes = keys.attributes_of(record)
    found = keys.references(attributes, kinds, partner)
    if one.trace_id:
        found.append(Reference("trace", one.trace_id))
    if not found:
        return None
    body = plain_value(record.body)
    data: dict[str, Any] = {
        "service": jsonbody.excerpt(one.service),
        "operation": jsonbody.excerpt(record.event_name or one.scope, keys.TEXT),
        "kind": "log",
        "status": "error",
        "severity": one.severity,
        "message": jsonbody.excerpt(body, keys.TEXT) if body is not None else "",
        "exception": keys.exception(record.attributes),
        "span_id": record.span_id.hex() if len(record.span_id) == 8 else "",
        "attributes": keys.kept(attributes),
    }
    return CanonicalEvent(
        type="hop.failed",
        happened_at=_ZERO + timedelta(microseconds=one.nanoseconds // 1_000),
        references=tuple(dict.fromkeys(found)),
        source_event_id=f"log:{one.identity().hex()[:32]}",
        data={name: value for name, value in data.items() if value not in ("", {}, None)},
        position=one.position,
        trace_id=one.trace_id,
    )
