"""Orders as Shopify, WooCommerce and Amazon tell them, and what the mail service says of mails about them.

Shopify and WooCommerce carry the promised delivery date in a field of the shop's own; they have none for the day of
dispatch, which Odoo promises for them. Amazon tells both. Sources: Shopify REST Admin API, "Order"; WooCommerce REST API
v3, "Orders"; Selling Partner API, "ORDER_CHANGE"; Amazon SES event publishing by way of SNS.
"""

from __future__ import annotations

import json
import uuid
import zlib
from datetime import UTC, date, datetime, time
from typing import Any

from apps.simulator.faults import BERLIN
from apps.simulator.formats.model import Format, local
from apps.simulator.world import Message

SHOP_DOMAIN = "bright-outlet.myshopify.com"
TRADE_SHOP = "https://trade.brightshop.example/"
SPACE = uuid.UUID("6d1f5c5e-0a77-4c0e-8a54-3f1f6a0c2b11")


def number_of(words: str) -> int:
    """A long number that is the same for the same words, as shops and platforms give their resources."""
    return 5_000_000_000 + zlib.crc32(words.encode())


def id_of(*words: str) -> str:
    return str(uuid.uuid5(SPACE, "/".join(words)))


def millis(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def end_of(day: str) -> str:
    """The last second of a day in Berlin."""
    return datetime.combine(date.fromisoformat(day), time(23, 59, 59), tzinfo=BERLIN).astimezone(UTC).isoformat()


def shopify(message: Message) -> dict[str, Any]:
    f = message.facts
    own = number_of(f["channel"])
    return {
        "id": own,
        "admin_graphql_api_id": f"gid://shopify/Order/{own}",
        "name": f["channel"],
        "order_number": own % 100_000,
        "confirmed": True,
        "cancelled_at": None,
        "closed_at": None,
        "created_at": _shop_time(message.at),
        "processed_at": _shop_time(message.at),
        "updated_at": _shop_time(message.at),
        "currency": "EUR",
        "total_price": f"{f['value']:.2f}",
        "current_total_price": f"{f['value']:.2f}",
        "financial_status": "pending",
        "fulfillment_status": None,
        "source_name": "web",
        "test": False,
        "note_attributes": [{"name": "delivery_date", "value": f["promise"]}],
        "line_items": [
            {"id": own + place, "sku": f"HP-{own % 900 + place:04d}", "quantity": 1} for place in range(f["lines"])
        ],
        "shipping_lines": [{"id": own, "title": f["service"], "code": f["service"]}],
        "shipping_address": {"country_code": f["country"]},
        "fulfillments": [],
        "refunds": [],
    }


def _shop_time(when: datetime) -> str:
    return when.astimezone(BERLIN).isoformat(timespec="milliseconds")


def _shopify_headers(message: Message) -> dict[str, str]:
    return {
        "x-shopify-topic": "orders/create",
        "x-shopify-shop-domain": SHOP_DOMAIN,
        "x-shopify-webhook-id": id_of(message.facts["channel"], "orders/create"),
        "x-shopify-triggered-at": millis(message.sent_at),
        "x-shopify-api-version": "2026-01",
    }


def woocommerce(message: Message) -> dict[str, Any]:
    f = message.facts
    own = number_of(f["channel"]) % 1_000_000
    there, gmt = message.at.astimezone(BERLIN), message.at.astimezone(UTC)
    return {
        "id": own,
        "parent_id": 0,
        "number": f["channel"],
        "order_key": f"wc_order_{own}",
        "created_via": "checkout",
        "version": "9.4.1",
        "status": "pending",
        "currency": "EUR",
        "date_created": f"{there:%Y-%m-%dT%H:%M:%S}",
        "date_created_gmt": f"{gmt:%Y-%m-%dT%H:%M:%S}",
        "date_modified": f"{there:%Y-%m-%dT%H:%M:%S}",
        "date_modified_gmt": f"{gmt:%Y-%m-%dT%H:%M:%S}",
        "total": f"{f['value']:.2f}",
        "payment_method": "bacs",
        "date_paid": None,
        "date_paid_gmt": None,
        "date_completed": None,
        "date_completed_gmt": None,
        "shipping": {"country": f["country"]},
        "meta_data": [{"id": own, "key": "_delivery_date", "value": f["promise"]}],
        "line_items": [{"id": own + place, "sku": f"HP-{own % 900:04d}", "quantity": 1} for place in range(f["lines"])],
        "shipping_lines": [{"id": own, "method_title": f["service"]}],
        "refunds": [],
        "_links": {"self": [{"href": f"{TRADE_SHOP}wp-json/wc/v3/orders/{own}"}]},
    }


def _woocommerce_headers(message: Message) -> dict[str, str]:
    return {
        "x-wc-webhook-topic": "order.created",
        "x-wc-webhook-resource": "order",
        "x-wc-webhook-event": "created",
        "x-wc-webhook-id": "142",
        "x-wc-webhook-delivery-id": id_of(message.facts["channel"], "order.created"),
        "x-wc-webhook-source": TRADE_SHOP,
    }


def amazon(message: Message) -> dict[str, Any]:
    f = message.facts
    return {
        "NotificationVersion": "1.0",
        "NotificationType": "ORDER_CHANGE",
        "PayloadVersion": "1.0",
        "EventTime": millis(message.at),
        "Payload": {
            "OrderChangeNotification": {
                "NotificationLevel": "OrderLevel",
                "SellerId": "A1HARBORPINE",
                "AmazonOrderId": f["channel"],
                "OrderChangeType": "OrderStatusChange",
                "OrderChangeTrigger": {"TimeOfOrderChange": millis(message.at), "ChangeReason": "Order placed"},
                "Summary": {
                    "MarketplaceId": "A1RIVERMARKET",
                    "OrderStatus": "Unshipped",
                    "PurchaseDate": millis(message.at),
                    "FulfillmentType": "MFN",
                    "OrderType": "StandardOrder",
                    "LatestShipDate": end_of(f["ship_by"]),
                    "LatestDeliveryDate": end_of(f["promise"]),
                    "OrderItems": [
                        {"OrderItemId": str(place + 1), "SellerSKU": f"HP-{place:04d}", "Quantity": 1}
                        for place in range(f["lines"])
                    ],
                },
            }
        },
        "NotificationMetadata": {
            "ApplicationId": "amzn1.sp.solution.harborpine",
            "SubscriptionId": id_of("order-change"),
            "PublishTime": millis(message.sent_at),
            "NotificationId": id_of(f["channel"], "placed"),
        },
    }


def mail(message: Message) -> dict[str, Any]:
    """What SES publishes to a topic of SNS: that it took the mail, or that the recipient's server did."""
    f, at = message.facts, millis(message.at)
    delivered = message.what == "mail_delivered"
    event: dict[str, Any] = {
        "eventType": "Delivery" if delivered else "Send",
        "mail": {
            "timestamp": millis(f["mailed_at"]),
            "messageId": id_of(f["order"], "mail"),
            "destination": ["customer@brightshop.example"],
            "tags": {"order_number": [f["order"]], "template": ["shipped"], "ses:configuration-set": ["shop"]},
        },
    }
    if delivered:
        recipients = ["customer@brightshop.example"]
        event["delivery"] = {"timestamp": at, "recipients": recipients, "smtpResponse": "250 OK"}
    else:
        event["send"] = {}
    return {
        "Type": "Notification",
        "MessageId": id_of(f["order"], message.what),
        "TopicArn": "arn:aws:sns:eu-central-1:000000000000:shop-mail",
        "Timestamp": local(message.sent_at),
        "Message": json.dumps(event),
    }


FORMATS = {
    "shopify-outlet": Format(shopify, "shopify", headers=_shopify_headers),
    "woocommerce-trade": Format(woocommerce, "woocommerce", headers=_woocommerce_headers),
    "amazon-orders": Format(amazon, "bearer"),
    "customer-mail": Format(mail, "basic"),
}
