"""The settings of shops: the forms people fill in, and the checked values the comparison works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError

from apps.core.outbound import Network

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """Checked settings of a comparison. base_url: '' when the shop is not compared; topics: webhooks that must come.

    overlap: how far each reading goes back behind the last one; settle: how long a webhook may take before its absence
    counts; history: what the first reading loads.
    """

    base_url: str
    topics: frozenset[str]
    version: str = ""
    overlap: timedelta = timedelta(minutes=10)
    settle: timedelta = timedelta(minutes=5)
    history: timedelta = timedelta(days=30)
    page_size: int = 100
    timeout: float = 15.0
    #: with what is noted beside the orders it must still fit the reader's 16 MiB
    reply_limit: int = 12 * MIB
    allow: tuple[Network, ...] = ()


class WordsField(forms.CharField):
    """Several words: a list (configuration files) or text separated by commas, blanks or lines (the form)."""

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        if value in self.empty_values:
            return []
        if isinstance(value, str):
            value = value.replace(",", " ").split()
        return [str(one).strip() for one in value] if isinstance(value, list | tuple) else [str(value)]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else value

    def run_validators(self, value: Any) -> None:
        for one in value:
            super().run_validators(one)


class ShopForm(forms.Form):
    """What shops have in common. Secrets are no settings: they are stored as credentials."""

    issuer = forms.CharField(
        required=False, max_length=64, help_text="Who issues the order numbers; empty means the partner"
    )
    promised_attribute = forms.CharField(
        required=False, max_length=100, help_text="Field of the order that holds the promised delivery date"
    )
    base_url = forms.CharField(required=False, label="Base address", help_text="https://shop.example.com")
    polling_only = forms.BooleanField(required=False, help_text="No webhooks are set up: nothing counts as missed")
    topics = WordsField(required=False, label="Webhooks that must come", help_text="Empty means the usual ones")
    poll_seconds = forms.IntegerField(min_value=30, max_value=86400, required=False, label="Compare every (s)")
    overlap_seconds = forms.IntegerField(min_value=0, max_value=7 * 86400, required=False, label="Overlap (s)")
    settle_seconds = forms.IntegerField(
        min_value=0, max_value=86400, required=False, help_text="How long a webhook may take (300)"
    )
    history_days = forms.IntegerField(
        min_value=0, max_value=3650, required=False, help_text="How far back the first reading goes (30)"
    )
    page_size = forms.IntegerField(min_value=1, max_value=250, required=False)
    allow_networks = WordsField(
        required=False, label="Internal networks", help_text="Networks (CIDR) that may be reached though not public"
    )

    def clean_base_url(self) -> str:
        value = str(self.cleaned_data["base_url"]).strip().rstrip("/")
        parts = urlsplit(value)
        if value and (
            parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc
        ):
            raise ValidationError("Give the address as https://host or https://host/path, without user or password.")
        return value

    def clean_allow_networks(self) -> list[str]:
        try:
            return [str(ip_network(one)) for one in self.cleaned_data["allow_networks"]]
        except ValueError as error:
            raise ValidationError(f"{error} (write networks like 10.1.0.0/16).") from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        # a key sent without TLS is a key given away; on a network of one's own that is one's own decision
        if str(cleaned.get("base_url", "")).startswith("http://") and not cleaned.get("allow_networks"):
            self.add_error("base_url", "Use https: the key of the shop would be sent in the clear.")
        return cleaned


class ShopifyForm(ShopForm):
    """`Integration.settings` of kind ``shopify``."""

    shop = forms.RegexField(
        r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$",
        required=False,
        help_text="name.myshopify.com; only its webhooks are taken, and its orders are compared",
    )
    order_number = forms.ChoiceField(
        choices=[("", "name (#1001)"), ("number", "number (1001)"), ("id", "id")],
        required=False,
        help_text="What Odoo has as the customer reference of the shop's orders",
    )
    api_version = forms.RegexField(r"^[0-9]{4}-[0-9]{2}$", required=False, help_text="Of the Admin API, e.g. 2026-07")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("shop") and not cleaned.get("base_url"):
            cleaned["base_url"] = f"https://{cleaned['shop']}"
        return cleaned


class WooCommerceForm(ShopForm):
    """`Integration.settings` of kind ``woocommerce``."""

    statuses = WordsField(
        required=False,
        help_text="Own order statuses and their event types: shipped=shipment.dispatched; nothing after = for none",
    )

    def clean_statuses(self) -> list[str]:
        for one in self.cleaned_data["statuses"]:
            if not one.partition("=")[0] or "=" not in one:
                raise ValidationError("Write own statuses like shipped=shipment.dispatched.")
        return list(self.cleaned_data["statuses"])


def read_settings(
    form_class: type[ShopForm], raw: Mapping[str, Any], topics: frozenset[str], version: str = ""
) -> ShopSettings:
    """Checked values of raw settings. topics, version: what counts when they say nothing. Raises ValueError."""
    form = form_class(data=dict(raw))
    if not form.is_valid():
        name, errors = next(iter(form.errors.items()))
        raise ValueError(f"The setting '{name}' is not usable: {' '.join(str(one) for one in errors)}")
    clean = {name: value for name, value in form.cleaned_data.items() if value not in (None, "", [])}
    given = frozenset(clean.get("topics", ())) or topics
    default = ShopSettings("", topics)
    return ShopSettings(
        base_url=clean.get("base_url", ""),
        topics=frozenset() if clean.get("polling_only") else given,
        version=clean.get("api_version", version),
        overlap=_seconds(clean.get("overlap_seconds"), default.overlap),
        settle=_seconds(clean.get("settle_seconds"), default.settle),
        history=timedelta(days=clean["history_days"]) if "history_days" in clean else default.history,
        page_size=min(clean.get("page_size", default.page_size), 250),
        allow=tuple(ip_network(one) for one in clean.get("allow_networks", ())),
    )


def _seconds(value: int | None, default: timedelta) -> timedelta:
    return default if value is None else timedelta(seconds=value)
