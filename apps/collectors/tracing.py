"""W3C Trace Context: the trace id that links business events with the hops of their messages. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from apps.flows.canonical import CanonicalEvent, ParseResult, Reference

_TRACEPARENT = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?)?")


def trace_id_of(text: str) -> str:
    """The trace id in a traceparent (``00-<trace id>-<span id>-<flags>``), or of 32 hexadecimal digits; '' if none."""
    match = _TRACEPARENT.fullmatch(text.strip().lower())
    return match[1] if match and match[1] != "0" * 32 else ""


def traced(result: ParseResult, headers: Mapping[str, str]) -> ParseResult:
    """The events with the trace of the request that brought them, unless they name their own.

    Only the one event of a request gets the trace as a reference: a batch belongs to many flows, which a shared key
    would join.
    """
    trace_id = trace_id_of(headers.get("traceparent", ""))
    if not trace_id or not result.events:
        return result
    alone = len(result.events) == 1
    return replace(result, events=tuple(_with_trace(event, trace_id, alone) for event in result.events))


def _with_trace(event: CanonicalEvent, trace_id: str, alone: bool) -> CanonicalEvent:
    if event.trace_id:
        return event
    references = event.references
    if alone and not any(one.kind == "trace" for one in references):
        references = (*references, Reference("trace", trace_id))
    return replace(event, trace_id=trace_id, references=references)
