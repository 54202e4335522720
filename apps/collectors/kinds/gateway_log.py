"""Access logs of API gateways, sent over HTTP: nginx, Envoy, Kong, Traefik. Counted by consumer, route and minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.gateway.reading import read_calls, without_queries
from apps.collectors.gateway.settings import GatewayForm
from apps.flows.canonical import ParseResult


class GatewayLog(Collector):
    """Lines of text or JSON, or a JSON array of them, in each delivery (docs/collectors/gateway_log.md)."""

    kind = "gateway_log"
    label = "API gateway access log"
    max_body = 10 * 1024 * 1024
    ConfigForm = GatewayForm
    content_types: ClassVar[Mapping[str, str]] = {
        ".log": "text/plain",
        ".jsonl": "application/x-ndjson",
        ".json": "application/json",
    }

    def shown(self, text: str) -> str:
        """Query strings may hold tokens and names of people."""
        return without_queries(text)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        return read_calls(delivery, source)
