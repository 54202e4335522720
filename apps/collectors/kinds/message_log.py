"""Message logs of middleware and integration platforms (n8n, MuleSoft, Logic Apps, Camel and the like), as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django import forms

from apps.collectors import jsonbody, mapping
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.gateway.reading import lines_of
from apps.collectors.messages.fields import BETWEEN, COMPLETED, FAILED
from apps.collectors.messages.reading import read_lines
from apps.collectors.paths import Scope
from apps.flows.canonical import ParseFailure, ParseIssue, ParseResult
from apps.flows.catalogue import REFERENCE_KINDS


class MessageLogForm(forms.Form):
    references = forms.JSONField(
        required=False, help_text='Field -> kind of business key, e.g. {"orderNo": "sales_order"}'
    )
    words = forms.JSONField(
        required=False, help_text='What words for an outcome mean, e.g. {"GREEN": "completed", "RED": "failed"}'
    )

    def clean_references(self) -> dict[str, str]:
        value = self.cleaned_data.get("references") or {}
        if not isinstance(value, dict) or not all(kind in REFERENCE_KINDS for kind in value.values()):
            raise forms.ValidationError(f"Give names of fields with one of: {', '.join(REFERENCE_KINDS)}.")
        return value

    def clean_words(self) -> dict[str, str]:
        value = self.cleaned_data.get("words") or {}
        if not isinstance(value, dict) or not all(one in (COMPLETED, FAILED, BETWEEN) for one in value.values()):
            raise forms.ValidationError("Give words with completed, failed or between.")
        return value


class MessageLog(Collector):
    """JSON lines, or a JSON array, in each delivery: by the mapping, or by known fields (docs/collectors/message_log.md)."""

    kind = "message_log"
    label = "Message log (JSON lines)"
    max_body = 10 * 1024 * 1024
    ConfigForm = MessageLogForm
    takes_mapping = True
    content_types: ClassVar[Mapping[str, str]] = {
        ".jsonl": "application/x-ndjson",
        ".ndjson": "application/x-ndjson",
        ".log": "application/x-ndjson",
        ".json": "application/json",
    }

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        return read_mapped(delivery, source) if source.mapping else read_lines(delivery, source)


def read_mapped(delivery: RawDelivery, source: SourceContext) -> ParseResult:
    """Each line as a document of the mapping; a line that is none costs only itself."""
    rules = mapping.compiled(source.mapping)
    scopes: list[Scope] = []
    issues: list[ParseIssue] = []
    for position, line in lines_of(delivery.body):
        try:
            document = jsonbody.read(line)
        except ParseFailure as failure:
            sentence = f"The line is no JSON document: {failure.issue.sentence}"
            issues.append(ParseIssue("message_log.json", sentence, position, failure.issue.fragment))
        else:
            issues += document.warnings
            scopes.append(Scope((document.value,), (position,)))
    if not scopes and not issues:
        issues.append(ParseIssue("message_log.empty", "The delivery holds no line.", severity="warning"))
    result = mapping.apply(rules, scopes, mapping.Context(source.partner, source.zone))
    return ParseResult(result.events, (*issues, *result.issues))
