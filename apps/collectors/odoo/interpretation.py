"""A batch of Odoo records as canonical events: pure, so that a stored batch can be parsed again with the same result.

A batch is the JSON document the poller keeps as a receipt:

    {"odoo": "19.0", "model": "stock.picking", "server_time": "2026-11-23 06:45:08",
     "records": [..],             as Odoo gave them, moves attached to their pickings
     "previous": {"56": {..}},    what the tower knew of each record before; null for one it had not seen
     "deleted": [{"id": 68, "known": {..}}],
     "labels": {"state": {"assigned": "Ready"}}, "roles": {"19": "pick"}, "names": {"purchase.order": {"14": "P00014"}},
     "history": {"56": [["assigned", "2026-11-23 06:45:01"], ..]},   states entered, the oldest first
     "companies": {"9": {"vat": "..", "gln": ".."}}}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import orjson

from apps.collectors.odoo.exchanges import read_exchange, read_job
from apps.collectors.odoo.invoices import read_invoice
from apps.collectors.odoo.levels import read_level
from apps.collectors.odoo.orders import read_purchase, read_sale
from apps.collectors.odoo.pickings import read_picking
from apps.collectors.odoo.rows import BadRow, Row, time_of
from apps.collectors.odoo.story import Facts, Lens, Reading
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference

Reader = Callable[[Row, Facts | None, Lens, str], Reading]
READERS: dict[str, Reader] = {
    "sale.order": read_sale,
    "purchase.order": read_purchase,
    "stock.picking": read_picking,
    "account.move": read_invoice,
    "stock.quant": read_level,
    "edi.exchange.record": read_exchange,
    "queue.job": read_job,
}
#: model -> (event that tells of a deletion, word for people). Odoo itself cancels a transfer's moves when it deletes
#: it; of an order we only know that it is gone (or hidden from us), which is no cancellation
DELETED = {
    "sale.order": ("order.changed", "order"),
    "purchase.order": ("purchase_order.changed", "purchase order"),
    "stock.picking": ("picking.cancelled", "transfer"),
    "account.move": ("order.changed", "invoice"),
}
_ID = re.compile(r"[0-9]{1,18}")
#: what Odoo deletes by itself, or what stands for nothing of its own: forgotten without a word
FORGOTTEN = frozenset({"stock.quant", "queue.job", "edi.exchange.record"})
CHANGED = {
    "sale.order": "order.changed",
    "purchase.order": "purchase_order.changed",
    "stock.picking": "picking.changed",
    "account.move": "order.changed",
}


def parse_batch(body: bytes, settings: Mapping[str, Any]) -> ParseResult:
    """Events and issues of a stored batch; settings: of the integration. Raises `ParseFailure` when it is no batch."""
    try:
        document = orjson.loads(body.replace(b"\\u0000", b"\\ufffd"))
    except orjson.JSONDecodeError as error:
        raise ParseFailure("odoo.unreadable", "The batch is no valid JSON.", f"byte {error.pos}") from None
    if not isinstance(document, dict) or str(document.get("model")) not in READERS:
        raise ParseFailure("odoo.unreadable", "The batch does not say which Odoo model it holds.", "$.model")
    records, previous = document.get("records", []), document.get("previous", {})
    deleted = document.get("deleted", [])
    if not isinstance(records, list) or not isinstance(previous, dict) or not isinstance(deleted, list):
        raise ParseFailure("odoo.unreadable", "The batch holds no list of records.", "$.records")
    lens = lens_of(document, settings)
    events: list[CanonicalEvent] = []
    issues: list[ParseIssue] = []
    for number, record in enumerate(records):
        position = f"$.records[{number}]"
        known = previous.get(str(record.get("id"))) if isinstance(record, dict) else None
        known = known if isinstance(known, dict) else None
        reading = read(document["model"], record, known, lens, position)
        events += reading.events
        issues += reading.issues
    for number, gone in enumerate(deleted):
        reading = read_deletion(document["model"], gone, document.get("server_time"), f"$.deleted[{number}]")
        events += reading.events
        issues += reading.issues
    return ParseResult(tuple(events), tuple(issues))


def lens_of(document: Mapping[str, Any], settings: Mapping[str, Any]) -> Lens:
    """The reading aids of a batch; keys that are numbers became text in JSON."""
    issuer = str(settings.get("channel_issuer") or "")
    return Lens(
        base_url=str(settings.get("base_url") or "").rstrip("/"),
        channel_orders=bool(settings.get("channel_orders") or issuer),
        channel_issuer=issuer,
        labels=_mapping(document.get("labels")),
        roles=_by_id(document.get("roles")),
        names={model: _by_id(of_model) for model, of_model in _mapping(document.get("names")).items()},
        history=_history(document.get("history")),
        companies={id_: _mapping(one) for id_, one in _ids(document.get("companies")).items()},
        stock_events=bool(settings.get("stock_events")),
    )


def read(model: str, record: Any, previous: Facts | None, lens: Lens, position: str = "") -> Reading:
    """What one record says. A record that cannot be read gives an issue, and keeps what was known of it."""
    if not isinstance(record, dict):
        return Reading(previous or {}, [], [_unreadable(model, "?", "It is no record.", position)])
    try:
        reading = READERS[model](Row(record), previous, lens, position)
        if previous and previous.get("deleted") and not reading.events and model in CHANGED:
            reading.events += _restored(model, record, reading, position)
    except BadRow as bad:
        return Reading(previous or {}, [], [_unreadable(model, record.get("id"), str(bad), position)])
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        why = "What the batch says beside the record (known facts, labels, names) is damaged."
        return Reading({}, [], [_unreadable(model, record.get("id"), why, position)])
    return reading


def read_deletion(model: str, gone: Any, server_time: Any, position: str = "") -> Reading:
    """A record that Odoo no longer shows: an event by its last known references, and a warning."""
    try:
        id_, known = int(gone["id"]), _mapping(gone["known"])
        noticed = time_of("server_time", str(server_time))
        references = tuple(Reference(str(k), str(v), str(i)) for k, v, i in known.get("references") or () if v)
    except (TypeError, ValueError, KeyError):
        return Reading({}, [], [_unreadable(model, "?", "The note of its deletion is damaged.", position)])
    if model in FORGOTTEN:
        return Reading({**known, "deleted": True})
    type_, word = DELETED[model]
    name = str(known.get("name") or id_)
    issue = ParseIssue(
        "odoo.record_deleted",
        f"The {word} {name} is no longer in Odoo: it was deleted, or the tower's user lost the right to see it.",
        position,
        f"{model} {id_}",
        severity="warning",
    )
    events = []
    if references and not (model == "stock.picking" and known.get("state") in ("done", "cancel")):
        data = {"deleted": True, "state": known.get("state"), "odoo_model": model, "odoo_id": id_}
        events.append(_note(model, id_, type_, "deleted", noticed, references, data, position))
    return Reading({**known, "deleted": True}, events, [issue])


def _restored(model: str, record: Mapping[str, Any], reading: Reading, position: str) -> list[CanonicalEvent]:
    written = time_of("write_date", str(record.get("write_date")))
    references = tuple(Reference(*one) for one in reading.facts["references"])
    if not references:
        return []
    data = {"restored": True, "odoo_model": model, "odoo_id": record["id"]}
    return [_note(model, record["id"], CHANGED[model], "restored", written, references, data, position)]


def _note(
    model: str,
    id_: int,
    type_: str,
    step: str,
    at: datetime,
    references: tuple[Reference, ...],
    data: dict[str, Any],
    position: str,
) -> CanonicalEvent:
    return CanonicalEvent(
        type=type_,
        happened_at=at,
        references=references,
        source_event_id=f"{model}:{id_}:{step}@{at:%Y-%m-%d %H:%M:%S}",
        booked_at=at if step == "restored" else None,
        data=data,
        position=position,
    )


def _unreadable(model: str, id_: Any, why: str, position: str) -> ParseIssue:
    return ParseIssue(
        "odoo.unreadable_record", f"The record {model} {str(id_)[:40]} could not be read. {why}", position
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _ids(value: Any) -> dict[int, Any]:
    """A mapping whose keys are ids; they became text in JSON."""
    return {int(key): one for key, one in _mapping(value).items() if _ID.fullmatch(str(key))}


def _by_id(value: Any) -> dict[int, str]:
    return {key: str(one) for key, one in _ids(value).items()}


def _history(value: Any) -> dict[int, list[tuple[str, datetime]]]:
    found: dict[int, list[tuple[str, datetime]]] = {}
    for id_, entries in _ids(value).items():
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, list) and len(entry) == 2:
                with suppress(BadRow):
                    found.setdefault(id_, []).append((str(entry[0]), time_of("history", str(entry[1]))))
    return found
