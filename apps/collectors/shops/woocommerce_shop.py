"""One WooCommerce shop as the comparison reads it: its REST API's orders, by time of change. Pure but for requests."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from apps.collectors.shops.client import ShopClient, ShopError, orders_in
from apps.collectors.shops.comparing import Order
from apps.collectors.shops.reading import text
from apps.collectors.shops.senders import api_keys
from apps.collectors.times import ISO, TimeError, read_time, zone_of

#: webhooks that should tell of every order, unless the settings name others
TOPICS = frozenset({"order.created", "order.updated"})
API_KEY = re.compile(r"(?<!\S)(ck_[0-9A-Za-z]+)[:\s]+(cs_[0-9A-Za-z]+)(?!\S)")
_OVER = frozenset({"completed", "cancelled", "refunded", "failed", "trash"})
_SECOND = timedelta(seconds=1)
#: the REST API gives at most so many orders a page
_MOST = 100


def keys_of(secrets: Sequence[str]) -> list[dict[str, str]]:
    """Headers for every pair of consumer key and secret (``ck_..:cs_..``) among the secrets."""
    found = []
    for match in api_keys(secrets, API_KEY):
        pair = base64.b64encode(f"{match[1]}:{match[2]}".encode()).decode()
        found.append({"authorization": f"Basic {pair}"})
    return found


def pages(client: ShopClient, start: datetime, end: datetime) -> Iterator[list[Order]]:
    """Orders changed from start to end, in order of change; each state once. Raises `ShopError`.

    Pages by number shift when an order changes meanwhile and so leaves the span; therefore each question begins a second
    before the last answer ended, and only a second with more orders than a page holds is read by number.
    """
    size = min(client.settings.page_size, _MOST)
    after, page = start - _SECOND, 1
    seen: set[tuple[str, str]] = set()
    again = 0  # rows in a row that were seen before
    while True:
        query = {
            "modified_after": _wall(after),
            "modified_before": _wall(end + _SECOND),
            "dates_are_gmt": "true",
            "orderby": "modified",
            "order": "asc",
            "status": "any",
            "per_page": str(size),
            "page": str(page),
        }
        try:
            rows = orders_in(client.get("/wp-json/wc/v3/orders", query)[0], client.name)
        except ShopError as error:
            if not error.large or size == 1:
                raise
            size, page = max(1, size // 4), 1
            continue
        fresh = [row for row in rows if _state(row) not in seen]
        again = 0 if fresh else again + len(rows)
        seen |= {_state(row) for row in fresh}
        if fresh:
            yield fresh
        if len(rows) < size:
            return
        last = changed_at(rows[-1])
        if last is None:
            raise ShopError(
                f"{client.name} gave an order without date_modified_gmt, so reading cannot go on behind it."
            )
        if last - _SECOND > after:
            after, page = last - _SECOND, 1
        elif again <= len(seen):
            page += 1
        else:
            raise ShopError(f"{client.name} gave the same page twice while paging; it is read again later.")


def _wall(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _state(order: Mapping[str, Any]) -> tuple[str, str]:
    return text(order.get("id")), text(order.get("date_modified_gmt"))


def changed_at(order: Mapping[str, Any]) -> datetime | None:
    try:
        return read_time(order.get("date_modified_gmt"), ISO, zone_of("UTC"))
    except TimeError:
        return None


def is_open(order: Mapping[str, Any]) -> bool:
    """Whether something is still to come."""
    return text(order.get("status")) not in _OVER
