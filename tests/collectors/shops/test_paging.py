"""Pages of a shop whose orders are large, or that goes round in circles."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from apps.collectors.shops import shopify_shop, woocommerce_shop
from apps.collectors.shops.client import WAIT_SECONDS, ShopClient, ShopError
from apps.collectors.shops.settings import ShopSettings
from apps.core.outbound import ReplyTooLarge, Response, request
from tests.collectors.shops.conftest import START
from tests.collectors.shops.servers import (
    TOKEN,
    WOO_KEY,
    WOO_SECRET,
    ShopifyServer,
    WooServer,
    shopify_order,
    woo_order,
)


def later(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def sending(server: Any, most: int) -> Any:
    """The outbound door with a shop that has orders of a megabyte: more than `most` of them are too large a reply."""

    def send(method: str, url: str, **rest: Any) -> Response:
        reply = request(method, url, **rest)
        found = json.loads(reply.body)
        if len(found["orders"] if isinstance(found, dict) else found) > most:
            raise ReplyTooLarge("The reply is larger than 12 bytes.", permanent=True)
        return reply

    return send


@pytest.mark.parametrize("most", [0, 1, 2, 50])
def test_pages_become_smaller_when_orders_are_large(most: int) -> None:
    options: dict[str, Any] = {"page_size": 50, "allow": (ip_network("127.0.0.0/8"),), "version": "2026-07"}
    with ShopifyServer() as shop, WooServer() as woo:
        shop.put(*(shopify_order(number, later(1)) for number in range(7)))
        woo.put(*(woo_order(number, later(1)) for number in range(7)))
        readers: list[tuple[Any, Any, Any]] = [
            (shop, shopify_shop, shopify_shop.keys_of([TOKEN])),
            (woo, woocommerce_shop, woocommerce_shop.keys_of([f"{WOO_KEY}:{WOO_SECRET}"])),
        ]
        for server, module, keys in readers:
            settings = ShopSettings(server.url, frozenset(), **options)
            client = ShopClient("The shop", settings, keys, sending(server, most))
            if not most:
                with pytest.raises(ShopError, match="larger than") as failure:
                    list(module.pages(client, START, later(5)))
                assert failure.value.permanent
                continue
            found = [one["id"] for page in module.pages(client, START, later(5)) for one in page]
            assert sorted(found) == sorted(server.orders)


def test_a_shop_that_gives_the_same_page_for_ever_is_left() -> None:
    def send(method: str, url: str, **rest: Any) -> Response:
        body = json.dumps([woo_order(1, later(1)), woo_order(2, later(1))]).encode()
        return Response(200, {"content-type": "application/json"}, body)

    settings = ShopSettings("https://shop.example", frozenset(), page_size=2)
    client = ShopClient("The shop", settings, [{"authorization": "Basic x"}], send)
    with pytest.raises(ShopError, match="same page twice"):
        list(woocommerce_shop.pages(client, START, later(5)))


@pytest.mark.parametrize("asked", ["0", "-1", "nan", "0.5", "soon", ""])
def test_a_shop_that_never_stops_asking_for_pauses_is_left(asked: str) -> None:
    slept: list[float] = []

    def send(method: str, url: str, **rest: Any) -> Response:
        return Response(429, {"retry-after": asked} if asked else {}, b"{}")

    settings = ShopSettings("https://shop.example", frozenset())
    client = ShopClient("The shop", settings, [{}], send, sleep=slept.append)
    with pytest.raises(ShopError, match="asked again later") as failure:
        client.get("/orders", {})
    assert not failure.value.permanent
    assert 0 < sum(slept) <= WAIT_SECONDS + 0.01
    assert all(seconds >= 0.1 for seconds in slept)


def test_a_slow_shop_holds_no_worker_for_long() -> None:
    now = [0.0]

    def send(method: str, url: str, *, timeout: float, **rest: Any) -> Response:
        now[0] += timeout
        return Response(200, {"content-type": "application/json"}, b"[]")

    settings = ShopSettings("https://shop.example", frozenset(), timeout=25.0)
    client = ShopClient("The shop", settings, [{}], send, clock=lambda: now[0])
    for _ in range(3):
        client.get("/orders", {})
    assert now[0] == 60
    with pytest.raises(ShopError, match="longer than 60 s"):
        client.get("/orders", {})
