"""The settings of an Odoo integration: the form people fill in and the checked values the collector works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError

from apps.core.outbound import Network

#: what is followed, in the order it is read within a round
MODELS = ("sale.order", "purchase.order", "stock.picking", "stock.move", "account.move")
#: what is read besides where the user may and the module is there
EXTRAS = {
    "delivery.carrier": "Carriers (master data)",
    "res.partner": "Companies (master data)",
    "sale.order.line": "Lines of sales orders",
    "purchase.order.line": "Lines of purchase orders",
    "stock.move.line": "Packages and lots of transfers",
    "stock.quant": "Stock levels",
    "mail.tracking.value": "History of states",
    "edi.exchange.record": "EDI exchanges (OCA edi)",
    "queue.job": "Jobs that failed or wait (OCA queue_job)",
}
PROTOCOLS = {"auto": "Choose by version", "json2": "JSON-2 (19 and later)", "jsonrpc": "JSON-RPC", "xmlrpc": "XML-RPC"}
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OdooSettings:
    """Checked settings. overlap in seconds, reply_limit in bytes, timeout in seconds for one whole request."""

    base_url: str
    database: str = ""
    login: str = ""
    protocol: str = "auto"
    models: tuple[str, ...] = MODELS
    extras: tuple[str, ...] = tuple(EXTRAS)
    #: chosen by hand: what cannot be read of them is told
    extras_chosen: bool = False
    stock_events: bool = False
    job_minutes: int = 30
    key_name: str = ""
    key_expires_on: date | None = None
    company_ids: tuple[int, ...] = ()
    overlap: int = 120
    page_size: int = 200
    history_days: int = 90
    reconcile_hours: int = 6
    lang: str = "en_US"
    channel_orders: bool = False
    channel_issuer: str = ""
    reply_limit: int = 8 * MIB
    timeout: float = 10.0
    allow: tuple[Network, ...] = ()
    accept_mass_deletion: bool = False

    @property
    def context(self) -> dict[str, Any]:
        """Pinned for every call: labels in one language, the same companies whoever's defaults change, archived too."""
        found: dict[str, Any] = {"lang": self.lang, "active_test": False}
        if self.company_ids:
            found["allowed_company_ids"] = list(self.company_ids)
        return found

    @property
    def telling(self) -> dict[str, Any]:
        """The settings that telling events needs, as the integration stores them."""
        return {
            "base_url": self.base_url,
            "channel_orders": self.channel_orders,
            "channel_issuer": self.channel_issuer,
            "stock_events": self.stock_events,
        }


class ListField(forms.CharField):
    """Several values: a list (configuration files) or text separated by commas, blanks or lines (the form)."""

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        if value in self.empty_values:
            return []
        if isinstance(value, str):
            value = value.replace(",", " ").split()
        return [str(one).strip() for one in value]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else value

    def run_validators(self, value: Any) -> None:
        for one in value:
            super().run_validators(one)


class OdooForm(forms.Form):
    """`Integration.settings` of kind ``odoo``. The API key is no setting: it is stored as a credential."""

    base_url = forms.CharField(label="Base address", help_text="https://odoo.example.com, without a path")
    database = forms.CharField(required=False, help_text="Needed when the server has several, and for 18 and earlier")
    login = forms.CharField(required=False, help_text="The user the key belongs to; needed for 18 and earlier")
    protocol = forms.ChoiceField(choices=list(PROTOCOLS.items()), initial="auto", required=False)
    models = forms.MultipleChoiceField(
        choices=[(name, name) for name in MODELS],
        initial=list(MODELS),
        required=False,
        help_text="What is read; nothing chosen means all",
    )
    extras = forms.MultipleChoiceField(
        choices=list(EXTRAS.items()),
        required=False,
        label="Read besides",
        help_text="Nothing chosen: whatever the user may read. What is chosen and cannot be read is reported",
    )
    stock_events = forms.BooleanField(
        required=False, help_text="Tell every change of a stock level as an event; many, and of no order"
    )
    job_minutes = forms.IntegerField(
        min_value=1,
        max_value=10080,
        initial=30,
        required=False,
        label="Jobs wait at most (min)",
        help_text="A queue job that waits or runs longer counts as a failed hop",
    )
    key_name = forms.CharField(
        required=False, max_length=100, help_text="The API key's description in Odoo, if its user has several"
    )
    key_expires_on = forms.DateField(
        required=False, help_text="The last day of the API key, where Odoo does not tell it (17)"
    )
    company_ids = ListField(required=False, label="Company ids", help_text="Only these companies; empty means all")
    poll_seconds = forms.IntegerField(min_value=10, max_value=3600, initial=60, required=False, label="Read every (s)")
    overlap_seconds = forms.IntegerField(
        min_value=60,
        max_value=86400,
        initial=120,
        required=False,
        label="Overlap (s)",
        help_text="Longer than Odoo's longest transaction: what is committed late is found within it",
    )
    page_size = forms.IntegerField(min_value=1, max_value=1000, initial=200, required=False)
    history_days = forms.IntegerField(
        min_value=0, max_value=3650, initial=90, required=False, help_text="How far back the first load reads"
    )
    reconcile_hours = forms.IntegerField(
        min_value=1, max_value=168, initial=6, required=False, help_text="How often all ids are compared"
    )
    accept_mass_deletion = forms.BooleanField(
        required=False, help_text="Believe it when more than half of the known records are gone"
    )
    lang = forms.CharField(initial="en_US", required=False, label="Language of labels")
    channel_orders = forms.BooleanField(
        required=False,
        help_text="Customer references are order numbers of a shop or marketplace: unique, and they join its messages",
    )
    channel_issuer = forms.CharField(required=False, max_length=64, help_text="Who issues them, e.g. the shop's slug")
    reply_limit_mib = forms.IntegerField(
        min_value=1, max_value=64, initial=8, required=False, label="Largest reply (MiB)"
    )
    allow_networks = ListField(
        required=False, label="Internal networks", help_text="Networks (CIDR) that may be reached though not public"
    )

    def clean_base_url(self) -> str:
        value = str(self.cleaned_data["base_url"]).strip().rstrip("/")
        parts = urlsplit(value)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.path
            or parts.query
            or "@" in parts.netloc
        ):
            raise ValidationError(
                "Give the address as https://host or https://host:port, without path, user or password."
            )
        return value

    def clean_company_ids(self) -> list[int]:
        try:
            return [int(one) for one in self.cleaned_data["company_ids"]]
        except ValueError:
            raise ValidationError("Company ids are whole numbers.") from None

    def clean_allow_networks(self) -> list[str]:
        try:
            return [str(ip_network(one)) for one in self.cleaned_data["allow_networks"]]
        except ValueError as error:
            raise ValidationError(f"{error} (write networks like 10.1.0.0/16).") from None


def read_settings(raw: Mapping[str, Any]) -> OdooSettings:
    """Checked values of raw settings; what is missing takes its default. Raises ValueError with a sentence."""
    form = OdooForm(data=dict(raw))
    if not form.is_valid():
        name, errors = next(iter(form.errors.items()))
        raise ValueError(f"The setting '{name}' is not usable: {' '.join(str(one) for one in _texts(errors))}")
    clean = {name: value for name, value in form.cleaned_data.items() if value not in (None, "", [])}
    models = clean.get("models") or MODELS
    return OdooSettings(
        base_url=clean["base_url"],
        database=clean.get("database", ""),
        login=clean.get("login", ""),
        protocol=clean.get("protocol", "auto"),
        models=tuple(name for name in MODELS if name in models),
        extras=tuple(name for name in EXTRAS if name in clean.get("extras", EXTRAS)),
        extras_chosen="extras" in clean,
        stock_events=clean.get("stock_events", False),
        job_minutes=clean.get("job_minutes", 30),
        key_name=clean.get("key_name", ""),
        key_expires_on=clean.get("key_expires_on"),
        company_ids=tuple(clean.get("company_ids", ())),
        overlap=clean.get("overlap_seconds", 120),
        page_size=clean.get("page_size", 200),
        history_days=clean.get("history_days", 90),
        reconcile_hours=clean.get("reconcile_hours", 6),
        lang=clean.get("lang", "en_US"),
        channel_orders=clean.get("channel_orders", False),
        channel_issuer=clean.get("channel_issuer", ""),
        reply_limit=clean.get("reply_limit_mib", 8) * MIB,
        allow=tuple(ip_network(one) for one in clean.get("allow_networks", ())),
        accept_mass_deletion=clean.get("accept_mass_deletion", False),
    )


def _texts(errors: Any) -> Sequence[str]:
    return list(errors)
