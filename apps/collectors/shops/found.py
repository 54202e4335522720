"""What a comparison kept, read again: the changes nobody had told, and which of them a webhook should have. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.collectors.jsonbody import excerpt
from apps.collectors.shops.reading import Reader, record, records
from apps.flows.canonical import ParseFailure, ParseResult
from apps.flows.catalogue import label_of_event


def read_found(r: Reader, document: Any, read_order: Callable[[Reader, dict[str, Any], str], None]) -> ParseResult:
    """Events of a reading (`comparing`): those noted as new. Every order with a missed webhook is a warning."""
    entries = list(records(record(document).get("orders"), "$.orders"))
    if not entries:
        raise ParseFailure(f"{r.prefix}.not_a_reading", "This is no reading of orders by the comparison.", "$")
    missed = [one for _, one in entries if one.get("missed")]
    for at, one in entries:
        inner = Reader(r.prefix, r.issuer, r.zone, r.received_at)
        read_order(inner, record(one.get("order")), f"{at}.order")
        new, late = _names(one.get("new")), _names(one.get("missed"))
        r.facts += [fact for fact in inner.facts if fact.event.source_event_id in new]
        r.issues += inner.issues
        told = [fact for fact in inner.facts if fact.event.source_event_id in late]
        if told:
            labels = ", ".join(dict.fromkeys(label_of_event(fact.event.type).lower() for fact in told))
            topics = ", ".join(dict.fromkeys(fact.topic for fact in told))
            name = next((ref.value for ref in told[0].event.references), "")
            sentence = (
                f"Order “{excerpt(name, 60)}” was found by comparison only ({len(missed)} such in this reading): the "
                f"webhook for “{labels}” never came, or could not be read. Check the shop's subscription to {topics}."
            )
            r.warn("webhook_missed", sentence, f"{at}.order", name)
    return r.result()


def _names(value: Any) -> set[str]:
    return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()
