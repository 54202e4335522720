"""Webhooks: signed JSON over HTTP, read by a mapping, or in our own form without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody, mapping, plain
from apps.collectors.authentication import Verdict
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.paths import Scope
from apps.collectors.signatures import SCHEMES, verify
from apps.collectors.tracing import traced
from apps.flows.canonical import ParseIssue, ParseResult

DEFAULT_SCHEME = "standard"
_HEADER = r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$"


def _schemes() -> list[tuple[str, str]]:
    return [(name, scheme.label) for name, scheme in SCHEMES.items()]


class WebhookForm(forms.Form):
    """How the sender proves who it is."""

    default_scheme: ClassVar[str] = DEFAULT_SCHEME

    scheme = forms.ChoiceField(choices=_schemes, required=False, label="Signature")
    signature_header = forms.RegexField(
        _HEADER,
        required=False,
        help_text="Header that carries the signature (HMAC schemes with a header of your choice)",
    )
    token_header = forms.RegexField(_HEADER, required=False, help_text="Header that carries the token")
    id_header = forms.RegexField(_HEADER, required=False, help_text="Header that carries the sender's delivery id")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        cleaned["scheme"] = cleaned.get("scheme") or self.default_scheme
        needed = {
            "hmac_sha256_base64": "signature_header",
            "hmac_sha256_hex": "signature_header",
            "header_token": "token_header",
        }.get(cleaned["scheme"])
        if needed and not cleaned.get(needed):
            self.add_error(needed, "This scheme needs to know the header.")
        return cleaned


class Webhook(Collector):
    """One JSON document, or a list of them, in each delivery."""

    kind = "webhook"
    label = "Webhook (JSON)"
    takes_mapping = True
    ConfigForm = WebhookForm
    content_types: ClassVar[Mapping[str, str]] = {".json": "application/json"}

    def authenticate(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        now: datetime,
        settings: Mapping[str, Any],
    ) -> Verdict:
        return verify(settings.get("scheme") or DEFAULT_SCHEME, headers, body, secrets, now, settings)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        document = jsonbody.read(delivery.body)
        if document.value == []:
            issue = ParseIssue(
                "delivery.empty", "The delivery is an empty list: it holds no event.", "$", "[]", "warning"
            )
            return ParseResult((), (issue,))
        if source.mapping:
            result = read_mapped(document.value, source)
        else:
            result = plain.read_events(document.value, source.partner, source.zone)
        return traced(ParseResult(result.events, (*document.warnings, *result.issues)), delivery.headers)


def read_mapped(value: Any, source: SourceContext) -> ParseResult:
    """A document, or each of a list of them, by the integration's mapping. Raises `ParseFailure` if that is wrong."""
    rules = mapping.compiled(source.mapping)
    scopes = [Scope((value,))]
    if isinstance(value, list):
        scopes = [Scope((one,), (f"$[{index}]",)) for index, one in enumerate(value)]
    return mapping.apply(rules, scopes, mapping.Context(source.partner, source.zone))
