"""What the pages of shops and marketplaces show works as shown."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from apps.collectors import mapping
from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.shops import amazon, shopify_shop, woocommerce_shop
from apps.flows.canonical import ParseResult, Reference
from apps.flows.catalogue import EVENT_TYPES

PAGES = Path(settings.BASE_DIR) / "docs" / "collectors"
OURS = ("shopify", "woocommerce", "amazon_sp", "notifications", "marketplaces")
CODES = re.compile(r"`((?:shopify|woocommerce|amazon|notifications)\.[a-z_]+)`")


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", page("marketplaces"), re.DOTALL)
    return str(found)


def read(value: Any) -> ParseResult:
    rules = yaml.safe_load(block("yaml"))
    assert mapping.remarks(rules) == []
    delivery = RawDelivery(json.dumps(value).encode(), "application/json", {}, datetime(2026, 2, 20, tzinfo=UTC))
    return COLLECTORS.get("webhook").parse(delivery, SourceContext("bazar", "bazar", "Europe/Berlin", {}, rules))


def test_the_example_of_a_marketplace() -> None:
    value = json.loads(block("json"))
    result = read(value)
    assert result.issues == ()
    [shipped] = result.events
    assert (shipped.type, shipped.source_event_id) == ("shipment.announced", "0b1f-77")
    assert shipped.happened_at == datetime(2026, 2, 10, 8, tzinfo=UTC)
    assert shipped.references == (
        Reference("channel_order", "BZ-2026-004711", "bazar"),
        Reference("tracking_number", "00340434161094015902"),
        Reference("tracking_number", "00340434161094015919"),
    )
    assert shipped.dates == {
        "ship_by": datetime(2026, 2, 10, 17, tzinfo=UTC),
        "promised_delivery": datetime(2026, 2, 11, 23, tzinfo=UTC),
    }
    assert (shipped.data["value"], shipped.data["currency"]) == ("129.90", "EUR")


def test_other_messages_of_the_example() -> None:
    value = json.loads(block("json"))
    value["order"]["state"] = "TELEPORTED"
    assert [issue.code for issue in read(value).issues] == ["mapping.unknown_code"]
    value["order"]["state"] = "RATED"
    assert read(value).events == ()
    value["event"] = "parcel.scanned"
    value["order"]["parcels"][0]["scans"] = [{"code": "DELIVERED", "at": "2026-02-12T11:00:00+01:00"}]
    [scan] = read(value).events
    assert scan.type == "delivery.completed"
    assert scan.references[0] == Reference("tracking_number", "00340434161094015902")


@pytest.mark.parametrize("name", OURS)
def test_pages_name_only_what_exists(name: str) -> None:
    """Event types and issue codes of a page exist; every code of its collector stands on it."""
    text = page(name)
    named = {word for word in re.findall(r"`([a-z_]+\.[a-z_]+)`", text) if word.partition(".")[0] in _PREFIXES}
    assert named <= set(EVENT_TYPES), named - set(EVENT_TYPES)
    source = "".join(path.read_text() for path in (Path(settings.BASE_DIR) / "apps/collectors/shops").glob("*.py"))
    source += "".join(path.read_text() for path in (Path(settings.BASE_DIR) / "apps/collectors/kinds").glob("*.py"))
    for code in CODES.findall(text):
        assert f'"{code.partition(".")[2]}"' in source or f'{code}"' in source, code


_PREFIXES = {kind.partition(".")[0] for kind in EVENT_TYPES}


def test_pages_name_the_defaults() -> None:
    shopify, woo, selling = page("shopify"), page("woocommerce"), page("amazon_sp")
    assert all(topic in shopify for topic in shopify_shop.TOPICS)
    assert f"`api_version` ({shopify_shop.VERSION})" in shopify
    assert all(topic in woo for topic in woocommerce_shop.TOPICS)
    assert all(f"`{kind}`" in selling for kind in amazon._READERS)


def test_the_list_of_kinds_names_the_pages() -> None:
    assert all(f"({name}.md)" in page("README") for name in OURS)
