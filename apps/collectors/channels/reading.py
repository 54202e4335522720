"""What the messages of a channel say: each is read like a delivery of its own, and a poisoned one costs only itself. Pure.

A message is a CloudEvent (structured, or binary by its headers), or a document for the integration's mapping, or our own
JSON form. The bindings write the attributes of binary CloudEvents as headers ``ce_type`` (Kafka 1.0.2), ``cloudEvents:type``
or ``cloudEvents_type`` (AMQP 1.0.2), ``ce-type`` (HTTP); all are taken from everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from billiard.exceptions import SoftTimeLimitExceeded

from apps.collectors import encoding, jsonbody
from apps.collectors.channels.envelope import Message, read
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.kinds.cloudevents import CloudEvents
from apps.collectors.kinds.webhook import Webhook
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult

AUTO, JSON, CLOUDEVENTS = "auto", "json", "cloudevents"
#: bytes of one message after decompression
MOST_BYTES = 16 * 1024 * 1024
_ATTRIBUTE = re.compile(r"(?:cloudevents[:_]|ce[-_])([a-z0-9]+)")
_CLOUDEVENTS, _DOCUMENTS = CloudEvents(), Webhook()


def read_messages(delivery: RawDelivery, source: SourceContext) -> ParseResult:
    """The events and issues of a receipt of messages, in their order."""
    events: list[CanonicalEvent] = []
    issues: list[ParseIssue] = []
    for position, found in read(delivery.body):
        if isinstance(found, ParseFailure):
            issues.append(_inside(found.issue, position))
        elif found.gone:
            told = jsonbody.excerpt(found.gone, 500)
            issues.append(ParseIssue("channel.gone", told if told.endswith(".") else f"{told}.", position))
        elif not found.body and not _is_binary(found.headers):
            sentence = "The message has no body (in a compacted topic: a deletion); it says nothing."
            issues.append(ParseIssue("channel.empty", sentence, position, severity="warning"))
        else:
            result = _read(found, delivery, source, position)
            events += [replace(one, position=f"{position}, {one.position}") for one in result.events]
            issues += [_inside(issue, position) for issue in result.issues]
    return ParseResult(tuple(events), tuple(issues))


def _read(message: Message, delivery: RawDelivery, source: SourceContext, position: str) -> ParseResult:
    try:
        raw = _delivery(message, delivery)
        return _collector(raw, str(source.settings.get("format") or AUTO)).parse(raw, source)
    except ParseFailure as failure:
        return ParseResult((), (failure.issue,))
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:  # one message must not take the others down, whatever it is
        sentence = (
            f"The collector stumbled over this message ({type(error).__name__}). Its bytes are kept: "
            "correct the mapping or update the collector, then replay it."
        )
        return ParseResult((), (ParseIssue("collector.crashed", sentence, "", jsonbody.excerpt(str(error))),))


def _delivery(message: Message, delivery: RawDelivery) -> RawDelivery:
    headers = {}
    for name, value in message.headers.items():
        attribute = _ATTRIBUTE.fullmatch(name)
        # the HTTP binding writes values percent-encoded; the others do not
        headers[f"ce-{attribute[1]}" if attribute else name] = (
            quote(value, safe=" !#$&'()*+,/:;=?@[]") if attribute else value
        )
    coding = headers.pop("content-encoding", "").strip().lower()
    body = message.body
    if coding and coding not in ("identity", "utf-8", "utf8", "binary"):  # Celery and others put the charset there
        try:
            body = encoding.expand(body, coding, MOST_BYTES)
        except ValueError as error:
            raise ParseFailure("encoding.unreadable", f"The message cannot be expanded: {error}.") from None
    content_type = message.content_type or headers.get("content-type", "") or headers.get("ce-datacontenttype", "")
    return RawDelivery(body, content_type, headers, delivery.received_at)


def _collector(raw: RawDelivery, form: str) -> Collector:
    if form == JSON:
        return _DOCUMENTS
    if (
        form == CLOUDEVENTS
        or raw.content_type.strip().lower().startswith("application/cloudevents")
        or _is_binary(raw.headers)
    ):
        return _CLOUDEVENTS
    if b'"specversion"' in raw.body:
        document = jsonbody.read(raw.body).value
        return _CLOUDEVENTS if isinstance(document, dict) and "specversion" in document else _DOCUMENTS
    return _DOCUMENTS


def _is_binary(headers: Mapping[str, str]) -> bool:
    return any((match := _ATTRIBUTE.fullmatch(name)) and match[1] == "specversion" for name in headers)


def _inside(issue: ParseIssue, position: str) -> ParseIssue:
    if issue.code == "event.bad_type" and issue.fragment:
        # on a channel of somebody else's events the usual reason is a type nobody has mapped yet: name it
        sentence = f"The event type {jsonbody.excerpt(issue.fragment, 80)} is unknown: translate it by a mapping, or leave it out at the source."
        issue = replace(issue, sentence=sentence)
    return replace(issue, position=f"{position}, {issue.position}" if issue.position else position)
