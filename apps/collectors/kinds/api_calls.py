"""A log of the calls we make to rate, label and manifest APIs: JSON lines, or a JSON list (docs/collectors/api_calls.md).

Count, latency and errors of a service are in its hops' data: service, operation, status, duration_ms, error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody
from apps.collectors.carriers.calls import EVENTS, OTHERS, Call, NoCall, duplicates, events_of, read_call
from apps.collectors.carriers.settings import pairs
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.times import TimeError, zone_of
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult

LINES, JSON = "application/x-ndjson", "application/json"

#: names operations often go by -> what they are for
OPERATIONS = {
    **dict.fromkeys(
        ("label", "labels", "create_label", "buy", "buy_label", "purchase", "ship", "send_shipping"), "label"
    ),
    **dict.fromkeys(("void", "void_label", "cancel_label", "cancel_shipment", "refund_label"), "void"),
    **dict.fromkeys(("manifest", "manifests", "create_manifest", "scan_form", "close_out"), "manifest"),
    **dict.fromkeys(("rate", "rates", "get_rates", "rate_shipment", "quote"), "rate"),
    **dict.fromkeys(("track", "tracking", "get_tracking"), "track"),
    **dict.fromkeys(("address", "validate_address"), "address"),
    **dict.fromkeys(("pickup", "schedule_pickup"), "pickup"),
}


class ApiCallsForm(forms.Form):
    operations = forms.CharField(
        required=False,
        widget=forms.Textarea,
        label="Names of operations",
        help_text=f"One a line: their name = {', '.join((*EVENTS, *OTHERS))}. They add to ours.",
    )

    def clean_operations(self) -> str:
        text = str(self.cleaned_data.get("operations") or "")
        for name, purpose in pairs(text).items():
            if purpose not in EVENTS and purpose not in OTHERS:
                raise forms.ValidationError(f"{name}: {purpose!r} is none of {', '.join((*EVENTS, *OTHERS))}.")
        return text


class ApiCalls(Collector):
    """One call a line. A line that is none costs only itself."""

    kind = "api_calls"
    label = "API-call log (rates, labels, manifests)"
    max_body = 10 * 1024 * 1024
    ConfigForm = ApiCallsForm
    content_types: ClassVar[Mapping[str, str]] = {".jsonl": LINES, ".ndjson": LINES, ".log": LINES, ".json": JSON}

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        own = {name.lower(): purpose for name, purpose in pairs(source.settings.get("operations")).items()}
        try:
            zone_of(source.zone)
        except TimeError as error:
            raise ParseFailure("api_calls.zone", f"The integration's time zone {error}.") from None
        issues: list[ParseIssue] = []
        calls: list[Call] = []
        for row, position in _rows(delivery.body, issues):
            try:
                calls.append(read_call(row, position, source.partner, source.zone, {**OPERATIONS, **own}, issues))
            except NoCall as problem:
                issues.append(problem.issue)
        events: list[CanonicalEvent] = [event for call in calls for event in events_of(call)]
        issues += duplicates(calls)
        if not events and not issues:
            raise ParseFailure("api_calls.empty", "The delivery holds no call.")
        return ParseResult(tuple(events), tuple(issues))


def _rows(body: bytes, issues: list[ParseIssue]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each object with its place. Raises `ParseFailure` for a list that is broken."""
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"[" or (start == b"{" and _is_one_document(body)):
        document = jsonbody.read(body)
        issues += document.warnings
        many = isinstance(document.value, list)
        for index, value in enumerate(document.value if many else [document.value]):
            yield from _row(value, f"$[{index}]" if many else "$", issues)
        return
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            document = jsonbody.read(line)
        except ParseFailure as failure:
            sentence = f"The line is no JSON: {failure.issue.sentence}"
            issues.append(ParseIssue("api_calls.bad_line", sentence, f"line {number}", jsonbody.excerpt(line)))
            continue
        issues += document.warnings
        yield from _row(document.value, f"line {number}", issues)


def _row(value: Any, position: str, issues: list[ParseIssue]) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(value, dict):
        yield value, position
    else:
        sentence = "A call must be a JSON object."
        issues.append(ParseIssue("api_calls.bad_line", sentence, position, jsonbody.excerpt(value)))


def _is_one_document(body: bytes) -> bool:
    """A single object over several lines, as people paste it: its first line is none by itself, but the whole is."""
    lines = body.strip().split(b"\n", 1)
    for part in (lines[0], body):
        try:
            jsonbody.read(part)
        except ParseFailure:
            continue
        return part is body or len(lines) == 1
    return False
