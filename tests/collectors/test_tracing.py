"""W3C trace context: what links events and hops."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apps.collectors.tracing import trace_id_of, traced
from apps.flows.canonical import CanonicalEvent, ParseResult, Reference

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
EVENT = CanonicalEvent("order.placed", datetime(2026, 1, 1, tzinfo=UTC), (Reference("sales_order", "S1"),))


@pytest.mark.parametrize(
    ("text", "trace"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("4BF92F3577B34DA6A3CE929D0E0E4736", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""),
        ("4bf92f35", ""),
        ("", ""),
    ],
)
def test_trace_ids(text: str, trace: str) -> None:
    assert trace_id_of(text) == trace


def test_the_trace_of_a_request_links_its_only_event() -> None:
    [event] = traced(ParseResult((EVENT,)), HEADERS).events
    assert event.trace_id == TRACE
    assert event.references == (Reference("sales_order", "S1"), Reference("trace", TRACE))


def test_the_trace_of_a_batch_links_nothing() -> None:
    """Many events of one request belong to many flows; a shared key would make one flow of them."""
    result = traced(ParseResult((EVENT, EVENT)), HEADERS)
    assert all(event.trace_id == TRACE and event.references == EVENT.references for event in result.events)


def test_an_event_keeps_its_own_trace() -> None:
    own = CanonicalEvent("order.placed", EVENT.happened_at, EVENT.references, trace_id="a" * 32)
    assert traced(ParseResult((own,)), HEADERS).events == (own,)
    assert traced(ParseResult((EVENT,)), {}).events == (EVENT,)
