"""Webhooks of Odoo's automation rules, as hints: the tower reads the named record again and believes only that."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody
from apps.collectors.authentication import Verdict, any_equal, bearer
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.odoo.hints import hint_of
from apps.flows.canonical import ParseIssue, ParseResult


class OdooHookForm(forms.Form):
    """`Integration.settings` of kind ``odoo_hook``."""

    source = forms.SlugField(label="Odoo integration", help_text="Slug of the Odoo integration that reads the record")
    token_header = forms.RegexField(
        r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$",
        required=False,
        help_text="A header that carries the secret, if something before the tower adds one",
    )


class OdooHook(Collector):
    """Gives no events: what is posted here only says where to look. The secret stands in the address."""

    kind = "odoo_hook"
    label = "Odoo webhook (hint)"
    ConfigForm = OdooHookForm
    max_body = 256 * 1024
    content_types: ClassVar[Mapping[str, str]] = {".json": "application/json"}
    hints_for: ClassVar[str] = "odoo"

    def authenticate(
        self,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Sequence[str],
        now: datetime,
        settings: Mapping[str, Any],
    ) -> Verdict:
        """Odoo can set no header. What its address says before an @ it sends as HTTP Basic (RFC 7617): the password
        counts. A bearer token and a header of one's choice are taken too."""
        usable = [secret for secret in secrets if secret]
        name = str(settings.get("token_header") or "").lower()
        given = _password(headers.get("authorization", "")) or (headers.get(name, "") if name else "")
        if given and any_equal(given.encode("utf-8", "surrogateescape"), [secret.encode() for secret in usable]):
            return Verdict(True)
        return bearer(headers, usable)

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        document = jsonbody.read(delivery.body)
        many = isinstance(document.value, list)
        posts = document.value if many else [document.value]
        found = [hint_of(one, f"$[{place}]" if many else "$") for place, one in enumerate(posts)]
        issues = tuple(one for one in found if isinstance(one, ParseIssue))
        return ParseResult((), (*document.warnings, *issues))


def _password(header: str) -> str:
    """The password of HTTP Basic, '' for anything else."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        text = base64.b64decode(token.strip().encode("ascii", "replace"), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]
