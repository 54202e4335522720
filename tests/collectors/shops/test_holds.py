"""A shop puts an order on hold and lets it go on: the promise stands still meanwhile, from the signed webhook to its row."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.sla.models import Expectation
from tests.collectors.shops.conftest import START, Tower
from tests.collectors.shops.servers import shopify_order, woo_order

HOUR = timedelta(hours=1)
ORDER = 5_000_000_001


@pytest.fixture
def rules(db: None) -> None:
    call_command("load_config", str(Path(settings.BASE_DIR) / "apps/flows/definition_files"), verbosity=0)


def promise() -> Expectation:
    return Expectation.objects.get(rule__slug="order-shipped")


def stood_still() -> list[tuple[datetime, datetime | None]]:
    """The spans that do not count, of the order's promise to be sent."""
    return list(promise().pauses.order_by("begin").values_list("begin", "until"))


def fulfillment_order(status: str, *holds: dict[str, str], **changes: Any) -> dict[str, Any]:
    one = {"id": f"gid://shopify/FulfillmentOrder/{ORDER + 9}", "order_id": ORDER, "status": status}
    return {"fulfillment_order": {**one, "fulfillment_holds": list(holds), **changes}}


def test_shopify_holds_stop_the_promise_until_the_last_is_gone(rules: None, shopify: Tower) -> None:
    paid = shopify_order(1, START - 3 * HOUR, financial_status="paid")
    assert shopify.webhook("orders/create", paid) == 202
    assert shopify.webhook("orders/paid", paid) == 202
    shopify.read(START)
    running = promise()
    assert (running.state, running.paused) == ("PENDING", "")
    hold = {"reason": "inventory_out_of_stock", "reason_notes": "until Tuesday"}
    held = fulfillment_order("on_hold", hold, updated_at=(START - 2 * HOUR).isoformat())
    assert shopify.webhook("fulfillment_orders/placed_on_hold", held) == 202
    shopify.read(START)
    still = promise()
    assert (still.state, still.paused) == ("SUSPENDED", "On hold")
    # one of two holds gone: the other still holds
    one_less = fulfillment_order("on_hold", hold, updated_at=(START - 90 * HOUR / 60).isoformat())
    assert shopify.webhook("fulfillment_orders/hold_released", one_less) == 202
    shopify.read(START)
    assert promise().state == "SUSPENDED"
    released = fulfillment_order("open", updated_at=(START - HOUR).isoformat())
    assert shopify.webhook("fulfillment_orders/hold_released", released) == 202
    shopify.read(START)
    resumed = promise()
    assert (resumed.state, resumed.paused) == ("PENDING", "")
    assert stood_still() == [(START - 2 * HOUR, START - HOUR)]


def test_woocommerce_holds_stop_the_promise_in_any_order(rules: None, woo: Tower) -> None:
    def at(hours: float) -> str:
        return (START + hours * HOUR).strftime("%Y-%m-%dT%H:%M:%S")

    placed = woo_order(7, START - 4 * HOUR)
    paid = {**placed, "status": "processing", "date_paid_gmt": at(-3), "date_modified_gmt": at(-3)}
    held = {**paid, "status": "on-hold", "date_modified_gmt": at(-2)}
    going_on = {**paid, "date_modified_gmt": at(-1)}
    assert woo.webhook("order.created", placed) == 202
    assert woo.webhook("order.updated", paid) == 202
    woo.read(START)
    assert promise().state == "PENDING"
    # what ends the hold overtakes what began it
    assert woo.webhook("order.updated", going_on) == 202
    woo.read(START)
    assert stood_still() == []
    assert woo.webhook("order.updated", held) == 202
    woo.read(START)
    assert (promise().state, promise().paused) == ("PENDING", "")
    assert stood_still() == [(START - 2 * HOUR, START - HOUR)]


def test_a_hold_that_is_gone_already_is_told_with_its_reason() -> None:
    """Since 2024-10 the hold that was made stands beside the fulfilment order, which may hold none any more."""
    body = fulfillment_order("on_hold") | {"created_fulfillment_hold": {"reason": "high_risk_of_fraud"}}
    headers = {"x-shopify-topic": "fulfillment_orders/placed_on_hold", "x-shopify-triggered-at": START.isoformat()}
    source = SourceContext("shop", "fjordlicht", "Europe/Oslo", {}, {})
    raw = json.dumps(body).encode()
    [event] = COLLECTORS.get("shopify").parse(RawDelivery(raw, "application/json", headers, START), source).events
    assert (event.type, event.data["reason"]) == ("order.held", "high_risk_of_fraud")
