"""Access logs of API gateways, read from the file they are written to. What is kept has no query strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors.contract import Collector, Polled, RawDelivery, SourceContext
from apps.collectors.folder_settings import relative_path
from apps.collectors.gateway.reading import read_calls, reading_of
from apps.collectors.gateway.settings import GatewayForm
from apps.collectors.gateway.tail import tail
from apps.flows.canonical import ParseResult


class GatewayTailForm(GatewayForm):
    file = forms.CharField(
        max_length=300, label="Log file", help_text="Below the tower's drop root, such as gateway/access.log"
    )
    poll_seconds = forms.IntegerField(min_value=5, max_value=3600, initial=60, required=False, label="Read every (s)")

    def clean_file(self) -> str:
        name = str(self.cleaned_data["file"]).strip()
        try:
            relative_path(name)
        except ValueError as error:
            raise forms.ValidationError(str(error).replace("A watched folder", "The file")) from None
        return name


class GatewayTail(Collector):
    """Follows one file over its rotations (docs/collectors/gateway_log.md)."""

    kind = "gateway_tail"
    label = "API gateway access log (file)"
    max_body = 10 * 1024 * 1024
    ConfigForm = GatewayTailForm
    has_door = False
    polls = True
    content_types: ClassVar[Mapping[str, str]] = {".log": "text/plain", ".jsonl": "application/x-ndjson"}

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        return read_calls(delivery, source)

    def poll(
        self, source: SourceContext, secrets: Sequence[str], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Polled]:
        told = source.settings
        yield from tail(str(told.get("file") or ""), reading_of(told, source.zone), told.get("routes") or (), cursor)
