"""Compares a shop with what its webhooks told: delivery of webhooks is not guaranteed, so the orders are read as well.

Each round reads the orders changed since the last one, a little more (the overlap) and none of the last minutes (a
webhook may still be on its way). An order whose changes are all recorded already is left; of the others one receipt a
page is kept, with the orders as the shop gave them and which of their changes nobody had told. A change that a webhook
should have told counts as missed, unless webhooks of this shop are waiting to be read or it is older than the connection.

The only module of the shops that asks the database: what was told is the table of event keys, no memory of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from apps.collectors.contract import Polled
from apps.collectors.models import ReceiptState
from apps.collectors.shops.reading import Fact, stamp
from apps.collectors.shops.settings import ShopSettings
from apps.flows.canonical import hash_of
from apps.flows.models import EventKey
from apps.integrations.models import Integration

#: content type of a reading, so that it is never taken for a webhook
CONTENT_TYPE = "application/vnd.control-tower.shop-orders+json"

Order = dict[str, Any]
#: orders changed from the first time (inclusive) to the second, in order of change, page by page
Pages = Callable[[datetime, datetime], Iterator[list[Order]]]


@dataclass(frozen=True, slots=True)
class Shop:
    """How to read one shop. facts: what an order says; changed_at: when it last changed; is_open: whether to await more."""

    pages: Pages
    facts: Callable[[Order], Sequence[Fact]]
    changed_at: Callable[[Order], datetime | None]
    is_open: Callable[[Order], bool]


class Ledger:
    """What has been recorded of one integration."""

    def __init__(self, slug: str) -> None:
        self.integration_id: int = Integration.objects.values_list("id", flat=True).get(slug=slug)

    def told(self, identities: Iterable[str]) -> set[str]:
        """Those of these event identities that are recorded."""
        keys = {uuid.UUID(bytes=bytes(hash_of(str(self.integration_id), one))): one for one in identities}
        found = EventKey.objects.filter(key__in=list(keys)).values_list("key", flat=True)
        return {keys[key] for key in found}

    def is_behind(self) -> bool:
        """Whether messages of this integration wait to be read: then nobody can say what they do not tell."""
        waiting = ReceiptState.objects.filter(integration_id=self.integration_id, status=ReceiptState.Status.WAITING)
        return waiting.exists()


def compare(
    shop: Shop, settings: ShopSettings, ledger: Ledger, cursor: Mapping[str, Any], now: datetime
) -> Iterator[Polled]:
    """Reads what changed and yields it as batches. Cursor: ``upto``, how far was read, and ``connected``, since when
    webhooks must have come. Raises `ShopError`; what was yielded before stays, and the next round goes on behind it."""
    end = now - settings.settle
    upto, connected = _time(cursor.get("upto")), _time(cursor.get("connected")) or end
    first = upto is None or bool(cursor.get("first"))
    start = upto - settings.overlap if upto else end - settings.history
    reached = upto or start
    if end <= reached:
        return
    since = None if first or ledger.is_behind() else connected
    for page in shop.pages(start, end):
        before = {"connected": stamp(connected), "upto": stamp(reached)} | ({"first": True} if first else {})
        times = [at for at in map(shop.changed_at, page) if at is not None]
        reached = max(reached, *(min(at, end) for at in times)) if times else reached
        after = before | {"upto": stamp(reached)}
        entries = _entries(shop, page, settings.topics, ledger, since)
        if first:
            # what is over pages nobody; what is still to come is awaited like anything else
            over = [entry for entry in entries if not shop.is_open(entry["order"])]
            entries = [entry for entry in entries if shop.is_open(entry["order"])]
            if over:
                yield _batch(over, start, end, before, backfill=True)
        yield _batch(entries, start, end, after)
    yield Polled(b"", CONTENT_TYPE, {"connected": stamp(connected), "upto": stamp(end)})


def _entries(
    shop: Shop, page: Sequence[Order], topics: frozenset[str], ledger: Ledger, since: datetime | None
) -> list[dict[str, Any]]:
    """Orders of which something is not recorded, with which, and which of it a webhook should have told."""
    facts = [shop.facts(order) for order in page]
    told = ledger.told(fact.event.source_event_id for one in facts for fact in one)
    entries = []
    for order, found in zip(page, facts, strict=True):
        new = [fact for fact in found if fact.event.source_event_id not in told]
        missed = [f for f in new if since is not None and f.topic in topics and f.event.happened_at >= since]
        if new:
            entries.append(
                {
                    "order": order,
                    "new": [fact.event.source_event_id for fact in new],
                    "missed": [fact.event.source_event_id for fact in missed],
                }
            )
    return entries


def _batch(
    entries: Sequence[dict[str, Any]],
    start: datetime,
    end: datetime,
    cursor: Mapping[str, Any],
    backfill: bool = False,
) -> Polled:
    document = {"compared": {"from": stamp(start), "to": stamp(end)}, "orders": list(entries)}
    return Polled(orjson.dumps(document) if entries else b"", CONTENT_TYPE, cursor, backfill=backfill)


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
