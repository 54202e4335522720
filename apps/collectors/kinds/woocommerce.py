"""WooCommerce: signed webhooks, and a comparison that finds what they did not tell (docs/collectors/woocommerce.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from apps.collectors import jsonbody
from apps.collectors.authentication import Verdict
from apps.collectors.contract import Collector, Polled, PollFailed, RawDelivery, SourceContext
from apps.collectors.shops import woocommerce_shop
from apps.collectors.shops.client import ShopClient, ShopError
from apps.collectors.shops.comparing import CONTENT_TYPE, Ledger, Order, Shop, compare
from apps.collectors.shops.found import read_found
from apps.collectors.shops.reading import Fact, Reader, text
from apps.collectors.shops.senders import signing_secrets
from apps.collectors.shops.settings import WooCommerceForm, read_settings
from apps.collectors.shops.woocommerce_orders import own_statuses, read_note, read_order
from apps.collectors.signatures import verify
from apps.core.outbound import request
from apps.flows.canonical import ParseIssue, ParseResult

TOPICS = ("order.created", "order.updated", "order.deleted", "order.restored")
NOTES = ("order_note.created", "order_note.updated")


class WooCommerce(Collector):
    """One shop. Credentials: the webhooks' secret and, to compare, a REST API key that may read (``ck_..:cs_..``)."""

    kind = "woocommerce"
    label = "WooCommerce"
    ConfigForm = WooCommerceForm
    polls = True
    poll_needs = ("base_url",)
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
        return verify("woocommerce", headers, body, signing_secrets(secrets, woocommerce_shop.API_KEY), now, settings)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        document = jsonbody.read(delivery.body)
        r = _reader(source, delivery.received_at)
        if delivery.content_type == CONTENT_TYPE:
            return read_found(r, document.value, partial(_read_order, source=source))
        topic = delivery.headers.get("x-wc-webhook-topic", "").strip().lower()
        several = isinstance(document.value, list)
        for index, one in enumerate(document.value if several else [document.value]):
            at = f"$[{index}]" if several else "$"
            if isinstance(one, dict):
                _read(r, one, at, topic, source)
            else:
                r.error("not_an_object", "A resource of WooCommerce must be a JSON object.", at, one)
        if several and not document.value:
            r.issues.append(ParseIssue("delivery.empty", "The delivery is an empty list.", "$", "[]", "warning"))
        found = r.result()
        return ParseResult(found.events, (*document.warnings, *found.issues))

    def poll(
        self, source: SourceContext, secrets: Sequence[str], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Polled]:
        try:
            settings = read_settings(WooCommerceForm, source.settings, woocommerce_shop.TOPICS)
        except ValueError as error:
            raise PollFailed(str(error), permanent=True) from None
        if not settings.base_url:
            return
        client = ShopClient("WooCommerce", settings, woocommerce_shop.keys_of(secrets), request)

        def facts(order: Order) -> list[Fact]:
            r = _reader(source, now)
            _read_order(r, order, "$", source)
            return r.facts

        shop = Shop(
            partial(woocommerce_shop.pages, client), facts, woocommerce_shop.changed_at, woocommerce_shop.is_open
        )
        try:
            yield from compare(shop, settings, Ledger(source.integration), cursor, now)
        except ShopError as error:
            raise PollFailed(str(error), permanent=error.permanent) from None


def _read(r: Reader, value: dict[str, Any], at: str, topic: str, source: SourceContext) -> None:
    if topic in NOTES or (not topic and "customer_note" in value and "note" in value):
        read_note(r, value, at)
    elif topic in TOPICS or (not topic and {"status", "date_created", "date_created_gmt"} & set(value)):
        _read_order(r, value, at, source, topic)
    elif topic.partition(".")[0] in ("action", "product", "customer", "coupon"):
        sentence = f"Webhooks of the topic “{topic[:80]}” are not of interest here: delete this one in the shop."
        r.warn("ignored_topic", sentence, at, topic)
    elif topic:
        sentence = f"The topic “{topic[:80]}” is not mapped; the delivery is kept and gave no event."
        r.warn("unmapped_topic", sentence, at, topic)
    else:
        r.error("unknown_resource", "This is no order and no order note of WooCommerce.", at, value)


def _read_order(r: Reader, value: dict[str, Any], at: str, source: SourceContext, topic: str = "") -> None:
    statuses = own_statuses(source.settings.get("statuses"))
    read_order(r, value, at, topic, statuses, text(source.settings.get("promised_attribute")))


def _reader(source: SourceContext, received_at: datetime) -> Reader:
    issuer = text(source.settings.get("issuer")) or source.partner or source.integration
    return Reader("woocommerce", issuer, source.zone, received_at)
