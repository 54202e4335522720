"""Who sent it, for senders without a signature we can check, and the two secrets a shop needs. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from apps.collectors.authentication import Verdict, any_equal, bearer


def known_sender(headers: Mapping[str, str], secrets: Sequence[str], settings: Mapping[str, Any]) -> Verdict:
    """``Authorization: Bearer <key>``, ``Authorization: Basic <user:key>``, or the key in the header the settings name.

    Proves the sender, not the body.
    """
    usable = [secret for secret in secrets if secret]
    if not usable:
        return Verdict(False, reason="no live secret")
    name = str(settings.get("token_header") or "").lower()
    if name:
        given = headers.get(name, "").encode("utf-8", "surrogateescape")
        accepted = bool(given) and any_equal(given, [secret.encode() for secret in usable])
        return Verdict(accepted, reason="" if accepted else "no token or an unknown one")
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return _basic(token, usable) if scheme.lower() == "basic" else bearer(headers, usable)


def _basic(token: str, secrets: Sequence[str]) -> Verdict:
    """RFC 7617: the password is the key; the user name is free. A secret written ``user:key`` wants both."""
    try:
        pair = base64.b64decode(token.strip().encode("utf-8", "surrogateescape"), validate=True)
    except (binascii.Error, ValueError):
        return Verdict(False, reason="no basic credentials")
    password = pair.partition(b":")[2]
    keys = [secret.encode() for secret in secrets]
    whole = any_equal(pair, [key for key in keys if b":" in key])
    alone = any_equal(password, [key for key in keys if b":" not in key])
    return Verdict(True) if whole or alone else Verdict(False, reason="unknown basic credentials")


def signing_secrets(secrets: Sequence[str], api_key: re.Pattern[str]) -> list[str]:
    """What signs webhooks. A credential may hold an API key beside it (``secret key``): one rotation for both."""
    found = []
    for secret in secrets:
        rest = api_key.sub("", secret).strip() if api_key.search(secret) else secret
        found += [one for one in dict.fromkeys((rest, secret)) if one]
    return found


def api_keys(secrets: Sequence[str], api_key: re.Pattern[str]) -> list[re.Match[str]]:
    """What opens the API, in the order of the credentials, wherever it stands in them."""
    return [match for secret in secrets if (match := api_key.search(secret))]
