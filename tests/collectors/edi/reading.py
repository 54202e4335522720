"""Helpers of the EDI tests: parse as the pipeline does, and results as plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from apps.collectors.contract import RawDelivery, SourceContext
from apps.collectors.kinds.edi import EdiCollector
from apps.flows.canonical import ParseResult

RECEIVED = datetime(2026, 4, 3, 12, 0, tzinfo=UTC)


def parse(body: bytes, zone: str = "America/New_York", partner: str = "nordwind", **settings: Any) -> ParseResult:
    """The collector's own parse, with a source of partner ``nordwind`` in New York."""
    source = SourceContext(integration="nordwind-edi", partner=partner, zone=zone, settings=settings)
    return EdiCollector().parse(RawDelivery(body, "application/edi", {}, RECEIVED), source)


def references(event: Any) -> set[tuple[str, str, str]]:
    return {(one.kind, one.value, one.issuer) for one in event.references}
