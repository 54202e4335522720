"""Form fields that several channels need, and the checks behind them. No request is sent to check anything."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from apps.core import outbound

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


def clean_phone(text: str) -> str:
    """``+491701234567`` (ITU-T E.164) from any usual spelling with a country code."""
    bare = re.sub(r"[\s().\-/]", "", text)
    bare = "+" + bare[2:] if bare.startswith("00") else bare
    if not _PHONE.fullmatch(bare):
        raise ValidationError("Write the number with its country, like +49 170 1234567.")
    return bare


class PhoneField(forms.CharField):
    def clean(self, value: Any) -> str:
        text = super().clean(value)
        return clean_phone(text) if text else ""


class AddressField(forms.CharField):
    """An http(s) address the outbound door could reach. Names are looked up when something is sent, not here."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 2000, "widget": forms.URLInput(attrs={"placeholder": "https://"}), **options})

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        if text:
            try:
                outbound.check(text)
            except outbound.OutboundRefused as refused:
                raise ValidationError(str(refused)) from None
        return text


class NetworksField(forms.CharField):
    """Networks like 10.20.0.0/16, apart by blanks or commas; kept as a list of texts."""

    def __init__(self, **options: Any) -> None:
        words = {
            "required": False,
            "label": "Internal networks",
            "help_text": "Only if the receiver stands inside, like 10.20.0.0/16. Empty: public addresses only",
            "max_length": 500,
        }
        super().__init__(**{**words, **options})

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:  # type: ignore[override]
        found = []
        for text in re.split(r"[\s,;]+", super().clean(value).strip()):
            if not text:
                continue
            try:
                found.append(str(ip_network(text)))
            except ValueError:
                raise ValidationError(f"{text} is no network; write it like 10.20.0.0/16.") from None
        return found


class HttpForm(forms.Form):
    """Settings every channel over HTTP has; `allow_networks` is shown to administrators only."""

    allow_networks = NetworksField()
