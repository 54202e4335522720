"""Pretend shops on the loopback interface: their REST APIs as Shopify and WooCommerce answer, page by page."""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "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"
WOO_KEY, WOO_SECRET = "ck_0011223344556677", "cs_8899aabbccddeeff"
Order = dict[str, Any]


@dataclass(frozen=True)
class Canned:
    """A reply given once instead of the true one."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"


class ShopServer(ThreadingHTTPServer):
    """Answers GETs from `orders`. requests: (path, query, headers) of each; before: called ahead of every answer."""

    daemon_threads = True
    handler: type[BaseHTTPRequestHandler]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.handler)
        self.orders: dict[int, Order] = {}
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.canned: deque[Canned] = deque()
        self.before: Callable[[int], None] | None = None
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, *orders: Order) -> None:
        self.orders |= {one["id"]: one for one in orders}

    def __enter__(self) -> ShopServer:
        self.thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((parts.path, query, headers))
        if self.server.before is not None:
            self.server.before(len(self.server.requests))
        if self.server.canned:
            one = self.server.canned.popleft()
            self.answer(one.status, one.body, one.headers, one.content_type)
        else:
            self.respond(parts.path, query, headers)

    def respond(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        raise AssertionError("a shop answers")

    def answer(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json; charset=utf-8",
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _ShopifyHandler(_Handler):
    def respond(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        if headers.get("x-shopify-access-token") != TOKEN:
            return self.answer(401, b'{"errors": "[API] Invalid API key or access token"}')
        if not (path.startswith("/admin/api/") and path.endswith("/orders.json")):
            return self.answer(404, b'{"errors": "Not Found"}')
        if "page_info" in query:
            if set(query) - {"page_info", "limit", "fields"}:
                return self.answer(400, b'{"errors": "page_info with filters"}')
            span = json.loads(base64.urlsafe_b64decode(query["page_info"]))
        else:
            span = {"min": query["updated_at_min"], "max": query["updated_at_max"], "after": ["", 0]}
        rows = sorted(
            ([one["updated_at"], one["id"]], one)
            for one in self.server.orders.values()
            if moment(span["min"]) <= moment(one["updated_at"]) <= moment(span["max"])
            and [moment(one["updated_at"]).isoformat(), one["id"]] > span["after"]
        )
        rows.sort(key=lambda row: (moment(row[0][0]), row[0][1]))
        limit = int(query.get("limit", 50))
        page, rest = [one for _, one in rows[:limit]], rows[limit:]
        link = {}
        if rest:
            last = page[-1]
            after = span | {"after": [moment(last["updated_at"]).isoformat(), last["id"]]}
            token = base64.urlsafe_b64encode(json.dumps(after).encode()).decode()
            # the address points elsewhere on purpose: only its page_info may be used
            link = {"Link": f'<https://elsewhere.example{path}?limit={limit}&page_info={token}>; rel="next"'}
        return self.answer(200, json.dumps({"orders": page}).encode(), link)


class _WooHandler(_Handler):
    def respond(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        wanted = base64.b64encode(f"{WOO_KEY}:{WOO_SECRET}".encode()).decode()
        if headers.get("authorization") != f"Basic {wanted}":
            return self.answer(401, b'{"code": "woocommerce_rest_cannot_view", "data": {"status": 401}}')
        if path != "/wp-json/wc/v3/orders":
            return self.answer(404, b'{"code": "rest_no_route"}')
        after, before = moment(query["modified_after"] + "Z"), moment(query["modified_before"] + "Z")
        assert (query["dates_are_gmt"], query["order"], query["orderby"]) == ("true", "asc", "modified")
        rows = [one for one in self.server.orders.values() if after < moment(one["date_modified_gmt"] + "Z") < before]
        rows.sort(key=lambda one: (one["date_modified_gmt"], one["id"]))
        size, page = int(query["per_page"]), int(query["page"])
        found = rows[(page - 1) * size : page * size]
        pages = {"X-WP-Total": str(len(rows)), "X-WP-TotalPages": str(-(-len(rows) // size))}
        return self.answer(200, json.dumps(found).encode(), pages)


class ShopifyServer(ShopServer):
    handler = _ShopifyHandler


class WooServer(ShopServer):
    handler = _WooHandler


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def shopify_order(number: int, at: datetime, **changes: Any) -> Order:
    """An order of a pretend shop, placed and last changed at a time."""
    return {
        "id": 5_000_000_000 + number,
        "admin_graphql_api_id": f"gid://shopify/Order/{5_000_000_000 + number}",
        "name": f"#F{number}",
        "order_number": number,
        "created_at": at.isoformat(),
        "updated_at": at.isoformat(),
        "processed_at": at.isoformat(),
        "cancelled_at": None,
        "closed_at": None,
        "currency": "NOK",
        "total_price": "199.00",
        "financial_status": "pending",
        "fulfillment_status": None,
        "line_items": [{"id": 1, "sku": "LAMP-7", "quantity": 1}],
        "fulfillments": [],
        "refunds": [],
        **changes,
    }


def woo_order(number: int, at: datetime, **changes: Any) -> Order:
    """An order of a pretend shop, placed and last changed at a time."""
    wall = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {
        "id": number,
        "number": f"PL-{number}",
        "status": "pending",
        "currency": "EUR",
        "total": "84.90",
        "date_created_gmt": wall,
        "date_modified_gmt": wall,
        "date_paid_gmt": None,
        "date_completed_gmt": None,
        "line_items": [{"id": 1, "sku": "LATERNE-3", "quantity": 3}],
        "meta_data": [],
        "refunds": [],
        **changes,
    }
