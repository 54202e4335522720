"""Which system tells what: a parcel, an order or an arrival is told by exactly one, chosen by its number. Pure.

So the truth stays as simple as it was: whoever tells a step, it happened once and is told in one place.
"""

from __future__ import annotations

import zlib

#: who else tells Swift Parcel's parcels, each in its own format, beside `SWIFT`
PARCEL_FEEDS = (
    "easypost-tracking",
    "aftership-tracking",
    "shipengine-tracking",
    "shippo-tracking",
    "sendcloud-tracking",
    "seventeentrack-tracking",
    "karrio-tracking",
    "fedex-tracking",
    "ups-tracking",
    "dhl-tracking",
)
SWIFT = "swift-tracking"
#: percent of Swift Parcel's parcels each of them tells
PARCEL_SHARE = 2
SHOP = "bright-shop-orders"
#: the other shops, who numbers their orders, and the percent of orders each of them takes
SHOPS = (
    ("shopify-outlet", "bright-shop", 4),
    ("woocommerce-trade", "bright-shop", 4),
    ("amazon-orders", "river-market", 4),
)
#: percent of the arrivals at the warehouse North that its scanners tell by EPCIS: JSON, XML
ARRIVALS = (("north-epcis", 15), ("north-epcis-xml", 15))
NORTH = "north-wms"


def bucket(number: str) -> int:
    """0 to 99, the same for the same number."""
    return zlib.crc32(number.encode()) % 100


def parcel_feed(tracking_number: str) -> str:
    place = bucket(tracking_number) // PARCEL_SHARE
    return PARCEL_FEEDS[place] if place < len(PARCEL_FEEDS) else SWIFT


def shop_of(stem: str) -> tuple[str, str]:
    """(integration, issuer of its order numbers) for an order."""
    place = bucket(f"shop {stem}")
    for shop, issuer, share in SHOPS:
        if place < share:
            return shop, issuer
        place -= share
    return SHOP, "bright-shop"


def arrival_feed(advice: str) -> str:
    place = bucket(f"arrival {advice}")
    for feed, share in ARRIVALS:
        if place < share:
            return feed
        place -= share
    return NORTH


def channel_number(stem: str, shop: str) -> str:
    """What the shop calls the order: its own number, or one of a marketplace (three groups of 3, 7 and 7 digits)."""
    if shop != "amazon-orders":
        return f"BS-{stem}"
    return f"305-{int(stem[:6]):07d}-{int(stem[6:]):07d}"
