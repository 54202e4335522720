"""Settings of access-log integrations. Pure."""

from __future__ import annotations

from django import forms

from apps.collectors.gateway.lines import PLACES
from apps.collectors.receiving import is_secret


class GatewayForm(forms.Form):
    """What people say about their gateway's log; all of it may stay empty."""

    routes = forms.JSONField(
        required=False, help_text='Routes with ids that are not recognised, e.g. ["/shops/{shop}/orders"]'
    )
    consumers = forms.JSONField(
        required=False, help_text='What a consumer is called instead, e.g. {"app-7f3": "nordlager"}'
    )
    places = forms.JSONField(
        required=False,
        label="Places in JSON lines",
        help_text='Where your own log format holds what, e.g. {"consumer": "http_x_client", "seconds": "took"}',
    )
    by_address = forms.BooleanField(
        required=False, label="Unknown callers by address", help_text="Else they are counted together as anonymous"
    )

    def clean_routes(self) -> list[str]:
        value = self.cleaned_data.get("routes") or []
        if not isinstance(value, list) or not all(isinstance(one, str) and one.startswith("/") for one in value):
            raise forms.ValidationError('Give a list of paths, e.g. ["/shops/{shop}/orders"].')
        return value

    def clean_consumers(self) -> dict[str, str]:
        value = self.cleaned_data.get("consumers") or {}
        if not isinstance(value, dict) or not all(isinstance(one, str) and one for one in value.values()):
            raise forms.ValidationError('Give names of consumers, e.g. {"app-7f3": "nordlager"}.')
        return value

    def clean_places(self) -> dict[str, str]:
        value = self.cleaned_data.get("places") or {}
        if not isinstance(value, dict) or not all(isinstance(one, str) and one for one in value.values()):
            raise forms.ValidationError('Give names of fields, e.g. {"consumer": "http_x_client"}.')
        if unknown := sorted(set(value) - set(PLACES)):
            raise forms.ValidationError(f"{unknown[0]} is none of: {', '.join(PLACES)}.")
        if secret := [one for one in value.values() if is_secret(one.lower().replace("_", "-"))]:
            raise forms.ValidationError(
                f"{secret[0]} looks like a secret; name a field that says who calls, not the key."
            )
        return value
