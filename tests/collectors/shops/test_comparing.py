"""The comparison with pretend shops over HTTP: what webhooks did not tell is found, what they told is not told again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.collectors.models import Receipt, ReceiptState
from apps.collectors.polling import poll_one
from apps.flows.models import Event
from apps.incidents.models import Finding
from apps.integrations import credentials
from tests.collectors.shops.conftest import SIGNING, START, Make, Tower
from tests.collectors.shops.servers import (
    TOKEN,
    WOO_KEY,
    WOO_SECRET,
    Canned,
    ShopifyServer,
    WooServer,
    shopify_order,
    woo_order,
)

MINUTE = timedelta(minutes=1)


def later(minutes: float) -> Any:
    return START + minutes * MINUTE


def test_what_the_webhooks_told_is_left_and_what_they_missed_is_found_and_counted(shopify: Tower) -> None:
    shopify.connect(START)
    orders = [shopify_order(number, later(number)) for number in range(1, 7)]
    shopify.server.put(*orders)
    for order in orders[:3]:
        assert shopify.webhook("orders/create", order) == 202
    shopify.read(later(7))
    assert shopify.events == ["order.placed"] * 3

    shopify.poll(later(20))
    assert shopify.events == ["order.placed"] * 6
    assert len(shopify.missed) == 3
    assert {letter.severity for letter in shopify.missed} == {"warning"}
    for order, letter in zip(orders[3:], shopify.missed, strict=True):
        assert f"“{order['name']}”" in letter.sentence
        assert "3 such in this reading" in letter.sentence
        assert "orders/create" in letter.sentence
    # three letters of one cause: a list grouped by cause says 3
    assert len({letter.cause for letter in shopify.missed}) == 1
    assert [(one.events, one.duplicates, one.status) for one in shopify.readings] == [(3, 0, "done")]

    # the overlap shows the same orders again: nothing is kept of them
    shopify.poll(later(21))
    assert len(shopify.readings) == 1
    assert len(shopify.missed) == 3


def test_a_shop_whose_webhooks_all_came_leaves_no_receipt(shopify: Tower) -> None:
    shopify.connect(START)
    order = shopify_order(1, later(1))
    paid = shopify_order(1, later(1), financial_status="paid", updated_at=later(2).isoformat())
    shopify.webhook("orders/create", order)
    shopify.webhook("orders/paid", paid)
    shopify.read(later(3))
    shopify.server.put(paid)
    assert shopify.poll(later(20)).receipts == 0
    assert shopify.events == ["order.placed", "order.released"]
    assert shopify.missed == []


def test_a_webhook_that_comes_after_the_comparison_is_a_duplicate(shopify: Tower) -> None:
    shopify.connect(START)
    fulfillment = {
        "id": 77,
        "order_id": 5_000_000_001,
        "status": "success",
        "created_at": later(3).isoformat(),
        "updated_at": later(3).isoformat(),
        "tracking_company": "Nordpost",
        "tracking_numbers": ["NP1", "NP2"],
    }
    refund = {"id": 88, "order_id": 5_000_000_001, "created_at": later(4).isoformat(), "transactions": []}
    order = shopify_order(
        1,
        later(1),
        financial_status="paid",
        cancelled_at=later(5).isoformat(),
        updated_at=later(5).isoformat(),
        fulfillments=[fulfillment],
        refunds=[refund],
    )
    shopify.server.put(order)
    shopify.poll(later(20))
    told = ["order.placed", "order.released", "order.cancelled", "shipment.announced", "refund.posted"]
    assert shopify.events == told
    assert (
        "orders/create, orders/paid, orders/cancelled, fulfillments/create, refunds/create"
        in shopify.missed[0].sentence
    )

    for topic, body in (
        ("orders/create", order),
        ("orders/paid", order),
        ("orders/cancelled", order),
        ("fulfillments/create", fulfillment),
        ("refunds/create", refund),
    ):
        assert shopify.webhook(topic, body) == 202
    shopify.read(later(21))
    assert shopify.events == told
    webhooks = ReceiptState.objects.exclude(receipt_id__in=[one.receipt_id for one in shopify.readings])
    assert [(one.events, one.duplicates, one.conflicts) for one in webhooks] == [(0, 1, 0)] * 5


def test_webhooks_may_still_be_on_their_way(shopify: Tower) -> None:
    shopify.connect(START)
    shopify.server.put(shopify_order(1, later(10)))
    shopify.poll(later(14))
    assert shopify.events == []
    shopify.poll(later(16))
    assert shopify.events == ["order.placed"]
    assert len(shopify.missed) == 1


def test_webhooks_not_yet_read_are_not_called_missed(shopify: Tower) -> None:
    shopify.connect(START)
    order = shopify_order(1, later(1))
    shopify.server.put(order)
    shopify.webhook("orders/create", order)
    shopify.poll(later(20), read=False)
    shopify.read(later(21))
    assert shopify.events == ["order.placed"]
    assert shopify.missed == []
    assert [(one.events, one.duplicates) for one in shopify.readings] == [(0, 1)]


def test_the_first_reading_is_history_and_blames_nobody(shopify: Tower) -> None:
    done = shopify_order(1, later(-3000), fulfillment_status="fulfilled")
    shopify.server.put(done, shopify_order(2, later(-60)))
    shopify.poll(START)
    assert shopify.missed == []
    assert sorted((one.backfill, one.events) for one in shopify.readings) == [(False, 1), (True, 1)]
    # an old order that changes now: what happened before the connection was nobody's webhook
    shopify.server.put(
        shopify_order(3, later(-100_000), financial_status="paid", updated_at=later(30).isoformat()),
    )
    shopify.poll(later(60))
    assert shopify.events == ["order.placed"] * 3 + ["order.released"]
    assert ["order released" in one.sentence for one in shopify.missed] == [True]
    assert "order placed" not in shopify.missed[0].sentence


def test_settings_say_which_webhooks_must_come(shopify: Tower) -> None:
    shopify.connect(START)
    shopify.set(topics=["orders/paid"])
    shopify.server.put(shopify_order(1, later(1)))
    shopify.poll(later(20))
    shopify.set(topics=[], polling_only=True)
    shopify.server.put(shopify_order(2, later(20)))
    shopify.poll(later(40))
    assert shopify.events == ["order.placed"] * 2
    assert shopify.missed == []


def test_all_pages_are_read_and_only_the_shop_is_asked(shopify: Tower) -> None:
    shopify.connect(START)
    shopify.set(page_size=3)
    shopify.server.put(*(shopify_order(number, later(1 + number / 100)) for number in range(10)))
    assert shopify.poll(later(30)).error == ""
    assert len(shopify.events) == 10
    assert len(shopify.readings) == 4
    # the Link header named another host; every page was asked of the shop all the same
    assert len(shopify.server.requests) == 4
    assert {headers["x-shopify-access-token"] for _, _, headers in shopify.server.requests} == {TOKEN}


def test_an_order_committed_late_is_found_within_the_overlap(shopify: Tower) -> None:
    shopify.connect(START)
    shopify.poll(later(20))
    shopify.server.put(shopify_order(1, later(9)))
    shopify.poll(later(21))
    assert shopify.events == ["order.placed"]
    asked = shopify.server.requests[-1][1]
    assert asked["updated_at_min"] == "2026-03-02T08:05:00Z"
    assert asked["updated_at_max"] == "2026-03-02T08:16:00Z"


def test_a_pause_the_shop_asks_for_is_kept(shopify: Tower) -> None:
    shopify.connect(START)
    shopify.server.put(shopify_order(1, later(1)))
    shopify.server.canned.append(Canned(429, b'{"errors": "slow down"}', {"Retry-After": "0.2"}))
    assert shopify.poll(later(20)).error == ""
    assert shopify.events == ["order.placed"]
    # a long one is not waited for here, and nothing is lost by it
    shopify.server.put(shopify_order(2, later(21)))
    shopify.server.canned.append(Canned(429, b"{}", {"Retry-After": "120"}))
    summary = shopify.poll(later(40))
    assert "pause of 120 s" in summary.error
    assert shopify.poll(later(41)).error == ""
    assert shopify.events == ["order.placed"] * 2


def test_what_was_read_before_a_trouble_stays_and_the_rest_follows(shopify: Tower) -> None:
    shopify.connect(START)
    shopify.set(page_size=2)
    shopify.server.put(*(shopify_order(number, later(number)) for number in range(1, 6)))

    def fail_second(count: int) -> None:
        if count == 2:
            shopify.server.canned.append(Canned(500, b"oops", content_type="text/html"))

    shopify.server.before = fail_second
    assert "failed on the question (500)" in shopify.poll(later(20)).error
    assert len(shopify.events) == 2
    shopify.server.before = None
    assert shopify.poll(later(21)).error == ""
    assert len(shopify.events) == 5
    assert len(shopify.missed) == 5


def test_the_secret_that_signs_webhooks_never_leaves(make: Make) -> None:
    tower = make("shopify", ShopifyServer, ("shpat_revoked", TOKEN))
    tower.connect(START)
    tower.server.requests.clear()
    assert tower.poll(later(10)).error == ""
    sent = [headers.get("x-shopify-access-token") for _, _, headers in tower.server.requests]
    assert SIGNING not in str(tower.server.requests)
    assert sent[-1] == TOKEN
    assert set(sent) <= {TOKEN, "shpat_revoked"}


@pytest.mark.parametrize(
    ("kind", "server", "key", "topic", "order"),
    [
        ("shopify", ShopifyServer, TOKEN, "orders/create", shopify_order),
        ("woocommerce", WooServer, f"{WOO_KEY}:{WOO_SECRET}", "order.created", woo_order),
    ],
)
def test_one_credential_may_hold_both_secrets(
    make: Make, kind: str, server: Any, key: str, topic: str, order: Any
) -> None:
    """The page stores one secret at a time, and each ends the one before."""
    tower = make(kind, server, ())
    signing = "a secret; with [blanks] in it"
    credentials.issue(tower.integration, START, None, secret=f"{signing} {key}")
    tower.connect(START)
    assert tower.webhook(topic, order(1, later(1)), secret=signing) == 202
    assert tower.webhook(topic, order(1, later(1)), secret=key) == 401
    tower.server.put(order(2, later(2)))
    assert tower.poll(later(20)).error == ""
    assert tower.events == ["order.placed"] * 2
    assert "blanks" not in str(tower.server.requests)


@pytest.mark.parametrize(
    ("canned", "words"),
    [
        (Canned(401), "refused the key"),
        (Canned(403), "refused the key"),
        (Canned(404), "check the base address"),
        (Canned(302, b"", {"Location": "https://elsewhere.example/"}), "redirect"),
        (Canned(200, b"<html>", content_type="text/html"), "text/html where JSON was expected"),
        (Canned(200, b'{"orders": [1'), "cannot be read"),
        (Canned(200, b'{"orders": {"a": 1}}'), "something else"),
        (Canned(200, b"[" * 5000), "nested deeper"),
        (Canned(502, b"bad gateway", content_type="text/html"), "asked again later"),
    ],
)
def test_answers_that_are_none_are_said_in_words(shopify: Tower, canned: Canned, words: str) -> None:
    shopify.connect(START)
    shopify.server.put(shopify_order(1, later(1)))
    cursor = shopify.state.cursor
    shopify.server.canned.append(canned)
    error = shopify.poll(later(20)).error
    assert words in error
    assert TOKEN not in error
    assert shopify.state.cursor == cursor
    shopify.poll(later(40))
    assert shopify.events == ["order.placed"]


def test_without_a_key_a_finding_says_what_to_do(make: Make) -> None:
    tower = make("shopify", ShopifyServer, ())
    assert "No key for the API of Shopify" in tower.poll(START).error
    assert tower.server.requests == []
    assert Finding.objects.filter(kind="source.stale").count() == 1


def test_a_shop_without_an_address_is_not_compared(make: Make) -> None:
    tower = make("shopify", ShopifyServer, (), base_url="")
    assert poll_one(tower.integration.slug, START) is None
    assert tower.server.requests == []
    assert tower.state.cursor == {}
    assert tower.state.last_success_at is None


def test_a_reading_read_twice_changes_nothing(shopify: Tower) -> None:
    shopify.connect(START)
    shopify.server.put(shopify_order(1, later(1)), shopify_order(2, later(2)))
    shopify.poll(later(20))
    [reading] = shopify.readings
    before = list(Event.objects.order_by("id").values_list("id", "content_key"))
    ReceiptState.objects.filter(pk=reading.pk).update(status="waiting", next_at=later(20))
    shopify.read(later(21))
    assert list(Event.objects.order_by("id").values_list("id", "content_key")) == before
    assert Receipt.objects.get(pk=reading.pk).content_type.startswith("application/vnd.control-tower")


# -- WooCommerce -----------------------------------------------------------------------------------------------------


def test_woocommerce_missed_and_told(woo: Tower) -> None:
    woo.connect(START)
    told, silent = woo_order(1, later(1)), woo_order(2, later(2))
    paid = woo_order(
        3, later(3), status="processing", date_paid_gmt="2026-03-02T08:04:00", date_modified_gmt="2026-03-02T08:04:01"
    )
    woo.server.put(told, silent, paid)
    assert woo.webhook("order.created", told) == 202
    assert woo.webhook("order.created", woo_order(3, later(3))) == 202
    assert woo.webhook("order.created", told, secret="another") == 401
    woo.read(later(5))
    woo.poll(later(20))
    assert sorted(woo.events) == ["order.placed"] * 3 + ["order.released"]
    sentences = [one.sentence for one in woo.missed]
    assert len(sentences) == 2
    assert ["“PL-2”" in sentences[0], "order.created" in sentences[0]] == [True, True]
    assert ["“PL-3”" in sentences[1], "order.updated" in sentences[1]] == [True, True]
    # the late webhook is a duplicate
    woo.webhook("order.created", silent)
    woo.read(later(21))
    assert len(woo.events) == 4


def test_woocommerce_orders_that_change_while_pages_are_read_are_not_lost(woo: Tower) -> None:
    """Pages by number shift when an order leaves the span; so an order after it would fall between two pages."""
    woo.connect(START)
    woo.set(page_size=4)
    woo.server.put(*(woo_order(number, later(number / 10)) for number in range(1, 13)))

    def touch(count: int) -> None:
        if count == 2:  # the first orders are changed: they leave the span that is being read
            for number in (1, 2, 3):
                woo.server.put(woo_order(number, later(number / 10), date_modified_gmt="2026-03-02T08:19:59"))

    woo.server.before = touch
    assert woo.poll(later(20)).error == ""
    assert len(woo.events) == 12
    assert woo.poll(later(30)).error == ""
    assert len(woo.events) == 12


def test_woocommerce_more_orders_in_one_second_than_a_page_holds(woo: Tower) -> None:
    woo.connect(START)
    woo.set(page_size=5)
    woo.server.put(*(woo_order(number, later(2)) for number in range(1, 24)))
    woo.server.put(*(woo_order(number, later(3)) for number in range(30, 33)))
    assert woo.poll(later(20)).error == ""
    assert len(woo.events) == 26


def test_woocommerce_keys(make: Make) -> None:
    tower = make("woocommerce", WooServer, ("ck_wrong:cs_wrong", f"{WOO_KEY}:{WOO_SECRET}"))
    tower.server.put(woo_order(1, later(-60)))
    assert tower.poll(START).error == ""
    assert tower.events == ["order.placed"]
    assert SIGNING not in str(tower.server.requests)


def test_a_key_is_not_sent_in_the_clear(make: Make) -> None:
    tower = make("woocommerce", WooServer, (f"{WOO_KEY}:{WOO_SECRET}",), allow_networks=[])
    assert "Use https" in tower.poll(START).error
    assert tower.server.requests == []
