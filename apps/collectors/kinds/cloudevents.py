"""CloudEvents 1.0 over HTTP: structured, batched and binary mode (CloudEvents JSON format and HTTP binding 1.0.2).

The event's type is either one of our catalogue, with references, dates, parties and data inside the event's data, or
is translated by the integration's mapping, whose document is the event: its attributes and, below ``data``, its data.
Attributes are read here and not by the SDK: that gives an event without a time the present one, which nobody said.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import unquote

from django import forms

from apps.collectors import jsonbody, mapping, plain
from apps.collectors.authentication import Verdict
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.kinds.webhook import WebhookForm
from apps.collectors.mapping_rules import Rules
from apps.collectors.paths import Scope
from apps.collectors.signatures import verify
from apps.collectors.tracing import trace_id_of, traced
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference
from apps.flows.catalogue import REFERENCE_KINDS

DEFAULT_SCHEME = "bearer"
STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
_REQUIRED = ("id", "source", "type")


class CloudEventsForm(WebhookForm):
    """As for webhooks; and what an event's subject is."""

    default_scheme = DEFAULT_SCHEME
    subject_kind = forms.ChoiceField(
        choices=lambda: [("", "nothing"), *((kind, label) for kind, (label, _) in REFERENCE_KINDS.items())],
        required=False,
        label="The subject is a",
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """One CloudEvent: attributes that are set, its data, its place in the delivery."""

    attributes: Mapping[str, Any]
    data: Any
    position: str

    @property
    def identity(self) -> str:
        """Source and id together are unique (CloudEvents 1.0.2, section 'id')."""
        return f"{self.attributes['source']} {self.attributes['id']}"


class CloudEvents(Collector):
    kind = "cloudevents"
    label = "CloudEvents"
    takes_mapping = True
    ConfigForm = CloudEventsForm
    content_types: ClassVar[Mapping[str, str]] = {".json": "application/json"}

    def authenticate(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        now: datetime,
        settings: Mapping[str, Any],
    ) -> Verdict:
        return verify(settings.get("scheme") or DEFAULT_SCHEME, headers, body, secrets, now, settings)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        issues: list[ParseIssue] = []
        envelopes = list(_envelopes(delivery, issues))
        rules = mapping.compiled(source.mapping) if source.mapping else None
        events: list[CanonicalEvent] = []
        for envelope in envelopes:
            result = _mapped(envelope, rules, source) if rules else _own(envelope, source)
            events += result.events
            issues += result.issues
        return traced(ParseResult(tuple(events), tuple(issues)), delivery.headers)


def _envelopes(delivery: RawDelivery, issues: list[ParseIssue]) -> Iterator[Envelope]:
    media_type = delivery.content_type.partition(";")[0].strip().lower()
    if media_type.startswith("application/cloudevents") and media_type not in (STRUCTURED, BATCHED):
        raise ParseFailure(
            "cloudevents.format",
            f"The format {jsonbody.excerpt(media_type, 60)} is not read; send JSON ({STRUCTURED}).",
        )
    if "ce-specversion" in delivery.headers and media_type not in (STRUCTURED, BATCHED):
        yield from _binary(delivery, issues)
        return
    document = jsonbody.read(delivery.body)
    issues += document.warnings
    if isinstance(document.value, list):
        if not document.value:
            sentence = "The batch is empty: it holds no event."
            issues.append(ParseIssue("delivery.empty", sentence, "$", "[]", "warning"))
        if len(document.value) > jsonbody.MAX_EVENTS:
            sentence = f"The batch holds more than {jsonbody.MAX_EVENTS:,} events; send it in smaller parts."
            raise ParseFailure("receipt.too_many_events", sentence)
        items = [(item, f"$[{index}]") for index, item in enumerate(document.value)]
    else:
        items = [(document.value, "$")]
    for item, position in items:
        envelope = _structured(item, position, issues)
        if envelope is not None:
            yield envelope


def _structured(item: Any, position: str, issues: list[ParseIssue]) -> Envelope | None:
    if not isinstance(item, dict):
        sentence = "A CloudEvent must be a JSON object."
        issues.append(ParseIssue("cloudevents.not_an_event", sentence, position, jsonbody.excerpt(item)))
        return None
    attributes = {
        name: value for name, value in item.items() if value is not None and name not in ("data", "data_base64")
    }
    if not _sound(attributes, position, issues):
        return None
    data = item.get("data")
    encoded = item.get("data_base64")
    if encoded is not None:
        data = _decoded(encoded, attributes, f"{position}.data_base64", issues)
    return Envelope(attributes, data, position)


def _binary(delivery: RawDelivery, issues: list[ParseIssue]) -> Iterator[Envelope]:
    """Attributes from ``ce-`` headers, percent-decoded; the body is the data."""
    attributes: dict[str, Any] = {}
    for name, value in delivery.headers.items():
        if name.startswith("ce-") and value:
            # servers hand header bytes over as Latin-1
            raw = value.encode("latin-1", "ignore").decode("utf-8", "replace")
            attributes[name.removeprefix("ce-")] = unquote(raw.strip().strip('"'))
    if delivery.content_type:
        attributes["datacontenttype"] = delivery.content_type
    if _sound(attributes, "$", issues):
        data = _read_data(delivery.body, attributes, "$.data", issues) if delivery.body else None
        yield Envelope(attributes, data, "$")


def _sound(attributes: Mapping[str, Any], position: str, issues: list[ParseIssue]) -> bool:
    version = attributes.get("specversion")
    if version != "1.0":
        what = "no specversion" if version is None else f"the specversion {jsonbody.excerpt(version, 20)}"
        sentence = f"It has {what}; CloudEvents 1.0 is read."
        issues.append(ParseIssue("cloudevents.specversion", sentence, f"{position}.specversion", _short(attributes)))
        return False
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            sentence = f"The attribute {name} is missing or no text; CloudEvents demands it."
            issues.append(ParseIssue("cloudevents.attribute", sentence, f"{position}.{name}", _short(attributes)))
            return False
    return True


def _short(attributes: Mapping[str, Any]) -> str:
    return jsonbody.excerpt(dict(attributes))


def _decoded(encoded: Any, attributes: Mapping[str, Any], position: str, issues: list[ParseIssue]) -> Any:
    try:
        raw = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else None
    except (binascii.Error, ValueError):
        raw = None
    if raw is None:
        sentence = "The data_base64 is no base64; the event was read without its data."
        issues.append(ParseIssue("cloudevents.data", sentence, position, jsonbody.excerpt(encoded), "warning"))
        return None
    return _read_data(raw, attributes, position, issues)


def _read_data(raw: bytes, attributes: Mapping[str, Any], position: str, issues: list[ParseIssue]) -> Any:
    """JSON as values, text as text, anything else not at all. Without a content type data is JSON."""
    content_type = str(attributes.get("datacontenttype") or "application/json")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.endswith(("/json", "+json")):
        try:
            document = jsonbody.read(raw)
        except ParseFailure as failure:
            issue = failure.issue
            sentence = f"The data cannot be read: {issue.sentence} The event was read without it."
            issues.append(ParseIssue(issue.code, sentence, f"{position} {issue.position}", issue.fragment, "warning"))
            return None
        issues += document.warnings
        return document.value
    try:
        return raw.decode() if media_type.startswith("text/") or media_type.endswith("xml") else None
    except UnicodeDecodeError:
        return None


def _mapped(envelope: Envelope, rules: Rules, source: SourceContext) -> ParseResult:
    document = {**envelope.attributes, "data": envelope.data}
    context = mapping.Context(source.partner, source.zone)
    result = mapping.apply(rules, [Scope((document,), (envelope.position,))], context)
    trace_id = _trace(envelope)
    events = []
    for number, event in enumerate(result.events, 1):
        identity = envelope.identity if len(result.events) == 1 else f"{envelope.identity} {number}"
        changed = replace(event, source_event_id=event.source_event_id or identity)
        if trace_id and not event.trace_id:
            references = dict.fromkeys((*event.references, Reference("trace", trace_id)))
            changed = replace(changed, trace_id=trace_id, references=tuple(references))
        events.append(changed)
    return ParseResult(tuple(events), result.issues)


def _own(envelope: Envelope, source: SourceContext) -> ParseResult:
    """An event of our catalogue: what the attributes do not say stands in its data, in our own form."""
    attributes, data = envelope.attributes, envelope.data
    item: dict[str, Any] = {"happened_at": attributes.get("time"), **(data if isinstance(data, dict) else {})}
    item |= {"id": envelope.identity, "type": attributes["type"]}
    subject, kind = attributes.get("subject"), source.settings.get("subject_kind")
    if subject and kind and isinstance(item.get("references", []), list):
        item["references"] = [*item.get("references", []), {"kind": kind, "value": subject}]
    item.setdefault("traceparent", attributes.get("traceparent"))
    issues: list[ParseIssue] = []
    try:
        event = plain.read_event(item, envelope.position, source.partner, source.zone, issues)
    except plain.Unreadable as problem:
        return ParseResult((), (*issues, problem.issue))
    return ParseResult((event,), tuple(issues))


def _trace(envelope: Envelope) -> str:
    value = envelope.attributes.get("traceparent")
    return trace_id_of(value) if isinstance(value, str) else ""
