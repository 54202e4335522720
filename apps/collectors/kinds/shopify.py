"""Shopify: signed webhooks, and a comparison that finds what they did not tell (docs/collectors/shopify.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from apps.collectors import jsonbody
from apps.collectors.authentication import Verdict
from apps.collectors.contract import Collector, Polled, PollFailed, RawDelivery, SourceContext
from apps.collectors.shops import shopify_shop
from apps.collectors.shops.client import ShopClient, ShopError
from apps.collectors.shops.comparing import CONTENT_TYPE, Ledger, Order, Shop, compare
from apps.collectors.shops.found import read_found
from apps.collectors.shops.reading import Fact, Reader, text
from apps.collectors.shops.senders import signing_secrets
from apps.collectors.shops.settings import ShopifyForm, read_settings
from apps.collectors.shops.shopify_orders import STATE, read_order
from apps.collectors.shops.shopify_topics import read_resource, read_topic
from apps.collectors.signatures import verify
from apps.core.outbound import request
from apps.flows.canonical import ParseFailure, ParseIssue, ParseResult


class Shopify(Collector):
    """One shop. Credential: what signs its webhooks and, to compare, an Admin API token that may read orders."""

    kind = "shopify"
    label = "Shopify"
    ConfigForm = ShopifyForm
    polls = True
    poll_needs = ("base_url", "shop")
    max_body = 4 * 1024 * 1024
    content_types: ClassVar[Mapping[str, str]] = {".json": "application/json"}

    def authenticate(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        now: datetime,
        settings: Mapping[str, Any],
    ) -> Verdict:
        return verify("shopify", headers, body, signing_secrets(secrets, shopify_shop.API_KEY), now, settings)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        document = jsonbody.read(delivery.body)
        promised = text(source.settings.get("promised_attribute"))
        if delivery.content_type == CONTENT_TYPE:
            read = partial(read_order, wanted=STATE, promised=promised)
            return read_found(_reader(source, delivery.received_at), document.value, read)
        domain = delivery.headers.get("x-shopify-shop-domain", "").lower()
        shop = text(source.settings.get("shop")).lower()
        if domain and shop and domain != shop:
            sentence = (
                f"This is a webhook of the shop “{jsonbody.excerpt(domain, 60)}”, the integration is of “{shop}”. "
                "Give every shop an integration of its own."
            )
            raise ParseFailure("shopify.other_shop", sentence)
        r = _reader(source, delivery.received_at)
        r.triggered_at = r.moment(delivery.headers.get("x-shopify-triggered-at"), "header X-Shopify-Triggered-At")
        topic = delivery.headers.get("x-shopify-topic", "").strip().lower()
        several = isinstance(document.value, list)
        for index, one in enumerate(document.value if several else [document.value]):
            at = f"$[{index}]" if several else "$"
            if not isinstance(one, dict):
                r.error("not_an_object", "A resource of Shopify must be a JSON object.", at, one)
            elif topic:
                read_topic(r, topic, one, at, promised)
            else:
                read_resource(r, one, at, promised)
        if several and not document.value:
            r.issues.append(ParseIssue("delivery.empty", "The delivery is an empty list.", "$", "[]", "warning"))
        found = r.result()
        return ParseResult(found.events, (*document.warnings, *found.issues))

    def poll(
        self, source: SourceContext, secrets: Sequence[str], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Polled]:
        try:
            settings = read_settings(ShopifyForm, source.settings, shopify_shop.TOPICS, shopify_shop.VERSION)
        except ValueError as error:
            raise PollFailed(str(error), permanent=True) from None
        if not settings.base_url:
            return
        client = ShopClient("Shopify", settings, shopify_shop.keys_of(secrets), request)
        promised = text(source.settings.get("promised_attribute"))

        def facts(order: Order) -> list[Fact]:
            r = _reader(source, now)
            read_order(r, order, "$", STATE, promised)
            return r.facts

        shop = Shop(partial(shopify_shop.pages, client), facts, shopify_shop.changed_at, shopify_shop.is_open)
        try:
            yield from compare(shop, settings, Ledger(source.integration), cursor, now)
        except ShopError as error:
            raise PollFailed(str(error), permanent=error.permanent) from None


def _reader(source: SourceContext, received_at: datetime) -> Reader:
    issuer = text(source.settings.get("issuer")) or source.partner or source.integration
    reader = Reader("shopify", issuer, source.zone, received_at)
    reader.order_by = text(source.settings.get("order_number")) or reader.order_by
    return reader
