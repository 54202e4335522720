"""One Shopify shop as the comparison reads it: the Admin API's list of orders, by time of change. Pure but for requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from apps.collectors.shops.client import ShopClient, ShopError, orders_in
from apps.collectors.shops.comparing import Order
from apps.collectors.shops.reading import record, stamp, text
from apps.collectors.shops.senders import api_keys
from apps.collectors.times import ISO, TimeError, read_time, zone_of

#: webhooks that should tell of every order, unless the settings name others
TOPICS = frozenset({"orders/create", "orders/paid", "orders/cancelled", "fulfillments/create", "refunds/create"})
#: of the Admin API; Shopify answers a version it no longer knows in its oldest one
VERSION = "2026-07"
#: secrets that open the API; the one that signs webhooks (shpss_) is never sent
API_KEY = re.compile(r"(?<!\S)shp(at|ca|pa|ua|tka)_[A-Za-z0-9_-]+(?!\S)")
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')
_OVER = ("fulfilled", "restocked")


def keys_of(secrets: Sequence[str]) -> list[dict[str, str]]:
    """Headers for every Admin API token among the secrets."""
    return [{"x-shopify-access-token": match[0]} for match in api_keys(secrets, API_KEY)]


def pages(client: ShopClient, start: datetime, end: datetime) -> Iterator[list[Order]]:
    """Orders changed from start to end, in order of change. Raises `ShopError`."""
    path = f"/admin/api/{client.settings.version}/orders.json"
    size = client.settings.page_size
    span = {"updated_at_min": stamp(start), "updated_at_max": stamp(end)}
    query: Mapping[str, str] = {"status": "any", "order": "updated_at asc", **span}
    seen: set[str] = set()
    while True:
        try:
            value, headers = client.get(path, {**query, "limit": str(size)})
        except ShopError as error:
            if not error.large or size == 1:
                raise
            size = max(1, size // 4)
            continue
        yield orders_in(record(value).get("orders"), client.name)
        token = _next(headers)
        if not token:
            return
        if token in seen:
            raise ShopError(f"{client.name} gave the same page twice while paging; it is read again later.")
        seen.add(token)
        query = {"page_info": token}


def _next(headers: Mapping[str, str]) -> str:
    """The token of the next page; nothing else of the address is used, wherever it points."""
    match = _NEXT.search(headers.get("link", ""))
    if not match:
        return ""
    try:
        return parse_qs(urlsplit(match[1]).query).get("page_info", [""])[0]
    except ValueError:
        return ""


def changed_at(order: Mapping[str, Any]) -> datetime | None:
    try:
        return read_time(order.get("updated_at"), ISO, zone_of("UTC"))
    except TimeError:
        return None


def is_open(order: Mapping[str, Any]) -> bool:
    """Whether something is still to come: neither cancelled nor sent in full."""
    return not order.get("cancelled_at") and text(order.get("fulfillment_status")) not in _OVER
