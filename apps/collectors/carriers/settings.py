"""What an integration of a carrier's kind can be told: how codes, order numbers and carriers of the sender are meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms

from apps.collectors.carriers.model import VOCABULARY
from apps.flows.catalogue import REFERENCE_KINDS

IGNORE = "ignore"


def pairs(value: Any) -> dict[str, str]:
    """``name = value`` lines, or an object, as a dict. Lines that are none of these are left out."""
    if isinstance(value, Mapping):
        return {str(name).strip(): str(one).strip() for name, one in value.items() if isinstance(one, str)}
    found: dict[str, str] = {}
    for line in str(value or "").splitlines():
        left, sign, right = line.partition("=")
        if sign and left.strip():
            found[left.strip()] = right.strip()
    return found


@dataclass(frozen=True, slots=True)
class Meant:
    """The settings, read. status_codes: code in lower case -> event type ('' to ignore it)."""

    status_codes: Mapping[str, str]
    references: Mapping[str, str]
    carriers: Mapping[str, str]

    @classmethod
    def of(cls, settings: Mapping[str, Any], references: Mapping[str, str]) -> Meant:
        """references: field -> kind as the carrier's kind has them; the integration's own add to them and replace."""
        codes = {code.lower(): event for code, event in pairs(settings.get("status_codes")).items()}
        known = {**references, **pairs(settings.get("references"))}
        return cls(
            status_codes={code: "" if event == IGNORE else event for code, event in codes.items()},
            references={field: kind for field, kind in known.items() if kind in REFERENCE_KINDS},
            carriers={code.lower(): slug for code, slug in pairs(settings.get("carriers")).items()},
        )


class CarrierForm(forms.Form):
    """Settings of every carrier's kind. The integration's time zone is that of times without an offset."""

    status_codes = forms.CharField(
        required=False,
        widget=forms.Textarea,
        label="Status codes that are not in our table",
        help_text="One a line: code = event type (WH7 = transport.in_transit), or code = ignore. They win over ours.",
    )
    references = forms.CharField(
        required=False,
        widget=forms.Textarea,
        label="Fields that hold our own keys",
        help_text="One a line: field = kind of business key (order_number = sales_order, external_reference = picking), "
        "or field = ignore.",
    )
    carriers = forms.CharField(
        required=False,
        widget=forms.Textarea,
        label="Carriers",
        help_text="One a line: the sender's name of the carrier = slug of our partner (fedex = fedex-de).",
    )

    def clean_status_codes(self) -> str:
        return self._checked("status_codes", VOCABULARY, "event type of the tracking vocabulary")

    def clean_references(self) -> str:
        return self._checked("references", frozenset(REFERENCE_KINDS), "kind of business key")

    def clean_carriers(self) -> str:
        return self._checked("carriers", None, "")

    def _checked(self, name: str, known: frozenset[str] | None, what: str) -> str:
        text = str(self.cleaned_data.get(name) or "")
        for line in filter(str.strip, text.splitlines()):
            left, sign, right = line.partition("=")
            if not (sign and left.strip() and right.strip()):
                raise forms.ValidationError(f"Write each line as 'name = value'; this one is not: {line[:60]}")
            if known is not None and right.strip() not in known and right.strip() != IGNORE:
                raise forms.ValidationError(f"{left.strip()}: there is no {what} {right.strip()!r}.")
        return text
