"""Amazon Selling Partner API: notifications from SQS, EventBridge, SNS or by HTTP (docs/collectors/amazon_sp.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody
from apps.collectors.authentication import Verdict
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.shops.amazon import read_notification
from apps.collectors.shops.envelopes import unwrap
from apps.collectors.shops.reading import Reader, text
from apps.collectors.shops.senders import known_sender
from apps.flows.canonical import ParseResult

#: what a seller's own fulfilment order id may be
ORDER_KINDS = ("warehouse_order", "sales_order", "channel_order", "picking")


class AmazonForm(forms.Form):
    """`Integration.settings` of kind ``amazon_sp``."""

    issuer = forms.CharField(
        required=False, max_length=64, help_text="Who issues the order numbers; empty means the partner"
    )
    token_header = forms.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$",
        required=False,
        help_text="Header that carries the key; empty means Authorization (Bearer, or Basic with the key as password)",
    )
    fulfillment_orders = forms.ChoiceField(
        choices=[(kind, kind) for kind in ORDER_KINDS],
        required=False,
        help_text="What the seller's own fulfilment order ids are (multi-channel fulfilment)",
    )


class AmazonSellingPartner(Collector):
    """One seller account. Amazon signs nothing here: what forwards the queue to the door shows a key."""

    kind = "amazon_sp"
    label = "Amazon Selling Partner API"
    ConfigForm = AmazonForm
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
        return known_sender(headers, secrets, settings)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        document = jsonbody.read(delivery.body)
        issuer = text(source.settings.get("issuer")) or source.partner or source.integration
        r = Reader("amazon", issuer, source.zone, delivery.received_at)
        r.issues += document.warnings
        chosen = text(source.settings.get("fulfillment_orders"))
        order_kind = chosen if chosen in ORDER_KINDS else ORDER_KINDS[0]
        ignored: Counter[str] = Counter()
        for at, one in unwrap(r, document.value):
            ignored[read_notification(r, one, at, order_kind)] += 1
        del ignored[""]
        if ignored:
            told = ", ".join(f"{name} ({count})" for name, count in sorted(ignored.items()))
            sentence = (
                f"Left out, because they tell nothing about the way of an order: {told}. End these subscriptions."
            )
            r.warn("ignored_types", sentence, "$", told)
        return r.result()
