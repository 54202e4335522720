"""Notices to customers: what e-mail and SMS providers say became of them (docs/collectors/notifications.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody
from apps.collectors.authentication import Verdict
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.shops.envelopes import unwrap
from apps.collectors.shops.notice_signatures import verify_provider
from apps.collectors.shops.notices import Notices, form_of, read_notices
from apps.collectors.shops.reading import Reader, text
from apps.flows.canonical import ParseResult

PROVIDERS = {
    "sendgrid": "SendGrid",
    "mailgun": "Mailgun",
    "postmark": "Postmark",
    "ses": "Amazon SES",
    "twilio": "Twilio (status callbacks)",
}
ORDER_KINDS = ("sales_order", "channel_order")
_FORM = "application/x-www-form-urlencoded"


class NotificationsForm(forms.Form):
    """`Integration.settings` of kind ``notifications``."""

    provider = forms.ChoiceField(
        choices=[("", "Any, with a key"), *PROVIDERS.items()],
        required=False,
        help_text="Decides how a delivery is proved to be the provider's",
    )
    orders = forms.ChoiceField(
        choices=[(kind, kind) for kind in ORDER_KINDS],
        required=False,
        help_text="What an attached order number is: Odoo's, or the shop's",
    )
    issuer = forms.CharField(
        required=False, max_length=64, help_text="Who issues the shop's order numbers; empty means the partner"
    )
    callback_url = forms.CharField(
        required=False, max_length=500, help_text="Twilio: the callback address exactly as it is set there"
    )
    token_header = forms.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$",
        required=False,
        help_text="Header that carries the key, if not Authorization",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("provider") == "twilio" and not cleaned.get("callback_url"):
            self.add_error("callback_url", "Twilio signs the address of the callback: give it as it is set there.")
        return cleaned


class Notifications(Collector):
    """One provider account. The credential is what the provider proves itself with."""

    kind = "notifications"
    label = "Notices to customers (e-mail, SMS)"
    ConfigForm = NotificationsForm
    max_body = 4 * 1024 * 1024
    content_types: ClassVar[Mapping[str, str]] = {".json": "application/json", ".form": _FORM}

    def authenticate(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        now: datetime,
        settings: Mapping[str, Any],
    ) -> Verdict:
        return verify_provider(text(settings.get("provider")), headers, body, secrets, now, settings)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        issuer = text(source.settings.get("issuer")) or source.partner or source.integration
        r = Reader("notifications", issuer, source.zone, delivery.received_at)
        chosen, provider = text(source.settings.get("orders")), text(source.settings.get("provider"))
        notices = Notices(r, chosen if chosen in ORDER_KINDS else ORDER_KINDS[0])
        if delivery.content_type.partition(";")[0].strip().lower() == _FORM:
            read_notices(notices, provider, form_of(delivery.body), "$")
            return r.result()
        document = jsonbody.read(delivery.body)
        r.issues += document.warnings
        for at, one in unwrap(r, document.value):
            read_notices(notices, provider, one, at)
        notices.close()
        return r.result()
