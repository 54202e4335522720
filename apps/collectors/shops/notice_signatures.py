"""How e-mail and SMS providers prove who they are. Pure; the time is passed in.

Sources: the providers' own pages. SendGrid: ECDSA (P-256, SHA-256) over timestamp and body, the credential is the public
key (base64 of its DER form). Mailgun: hex HMAC-SHA256 of ``timestamp + token``, inside the body, which it does not cover.
Twilio: base64 HMAC-SHA1 of the callback address followed by the sorted parameters. Postmark and Amazon SNS sign nothing
we could check without asking elsewhere: they are given a key in the address (HTTP Basic).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from apps.collectors import jsonbody
from apps.collectors.authentication import Verdict, any_equal
from apps.collectors.shops.notices import form_of
from apps.collectors.shops.reading import record, text
from apps.collectors.shops.senders import known_sender
from apps.flows.canonical import ParseFailure

#: seconds a signed time may lie ahead of now, and behind it: the providers repeat a delivery for a day under the first
#: signature, and a repeated event is only a duplicate
AHEAD, BEHIND = 300, 25 * 3600
_SECONDS = re.compile(r"[0-9]{1,12}")
_PEM = re.compile(r"-----[A-Z ]+-----|\s")


def verify_provider(
    provider: str,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: datetime,
    settings: Mapping[str, Any],
) -> Verdict:
    """Whether a delivery is the provider's. Without a scheme of its own a key must be shown (`senders`)."""
    usable = [secret for secret in secrets if secret]
    if not usable:
        return Verdict(False, reason="no live secret")
    if provider == "sendgrid":
        return _sendgrid(headers, body, usable, now)
    if provider == "mailgun":
        return _mailgun(body, usable, now)
    if provider == "twilio":
        return _twilio(headers, body, usable, text(settings.get("callback_url")))
    return known_sender(headers, usable, settings)


def sign_mailgun(key: str, timestamp: str, token: str) -> str:
    return hmac.digest(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hex()


def sign_twilio(key: str, url: str, parameters: Mapping[str, Any]) -> str:
    content = url + "".join(f"{name}{parameters[name]}" for name in sorted(parameters))
    return base64.b64encode(hmac.digest(key.encode(), content.encode(), hashlib.sha1)).decode()


def _fresh(written: str, now: datetime) -> bool:
    return bool(_SECONDS.fullmatch(written)) and -AHEAD <= int(now.timestamp()) - int(written) <= BEHIND


def _sendgrid(headers: Mapping[str, str], body: bytes, keys: Sequence[str], now: datetime) -> Verdict:
    timestamp = headers.get("x-twilio-email-event-webhook-timestamp", "")
    if not _fresh(timestamp, now):
        return Verdict(False, reason="timestamp missing or too far from now")
    try:
        given = headers.get("x-twilio-email-event-webhook-signature", "").encode("ascii")
        signature = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return Verdict(False, reason="no signature")
    content = timestamp.encode() + body
    if signature and any(_signed(key, signature, content) for key in keys):
        return Verdict(True)
    return Verdict(False, reason="no matching signature")


def _signed(key: str, signature: bytes, content: bytes) -> bool:
    try:
        public = load_der_public_key(base64.b64decode(_PEM.sub("", key), validate=True))
        if not isinstance(public, EllipticCurvePublicKey):
            return False
        public.verify(signature, content, ECDSA(SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, binascii.Error, ValueError, TypeError):
        return False
    return True


def _mailgun(body: bytes, keys: Sequence[str], now: datetime) -> Verdict:
    try:
        said = record(record(jsonbody.read(body).value).get("signature"))
    except ParseFailure:
        return Verdict(False, reason="no signature in the body")
    timestamp, token = text(said.get("timestamp")), text(said.get("token"))
    given = text(said.get("signature")).encode("utf-8", "surrogateescape")
    if not _fresh(timestamp, now):
        return Verdict(False, reason="timestamp missing or too far from now")
    if not token or not any_equal(given, [sign_mailgun(key, timestamp, token).encode() for key in keys]):
        return Verdict(False, reason="no matching signature")
    return Verdict(True)


def _twilio(headers: Mapping[str, str], body: bytes, keys: Sequence[str], url: str) -> Verdict:
    given = headers.get("x-twilio-signature", "").encode("utf-8", "surrogateescape")
    if not url:
        return Verdict(False, reason="the setting callback_url is missing")
    try:
        parameters = form_of(body)
        computed = [sign_twilio(key, url, parameters).encode() for key in keys]
    except (ParseFailure, UnicodeEncodeError):
        return Verdict(False, reason="no form")
    if not given or not any_equal(given, computed):
        return Verdict(False, reason="no matching signature")
    return Verdict(True, delivery_id=headers.get("i-twilio-idempotency-token", "")[:256])
