"""Signature schemes of webhooks: is a delivery from whom it says, unchanged and fresh? Pure; the time is passed in.

Every scheme signs the raw bytes of the body. Signatures are compared as text, in constant time, against every live
secret, so that keys can be rotated with an overlap; a spelling other than the canonical one is no signature.

Sources: Standard Webhooks 1.0.0 (specification); the vendors' own pages for the rest. Shopify, WooCommerce, AfterShip
and FedEx: base64 HMAC-SHA256; Sendcloud: hex; EasyPost: hex with a prefix, secret in Unicode form NFKD; Shippo:
``t=..,v1=..`` over ``t.body``; 17TRACK v2: SHA-256 over ``body/key``; ShipEngine: RSA-SHA256 over ``time.body``, with
public keys as a JWKS. UPS, DHL and Karrio sign nothing and send a secret agreed upon.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.collectors.authentication import Verdict, any_equal, bearer
from apps.collectors.jwks import keys_of, verified

#: how far a signed time may lie from now, both ways, in seconds; never optional
TOLERANCE = 300
_WHSEC = "whsec_"
_SECONDS = re.compile(r"[0-9]{1,12}")
_MESSAGE_ID = re.compile(r"[!-\-/-~]{1,256}")
_SHIPPO = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
_MOST_SIGNATURES = 16
_ISO_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII)
#: base64 of an RSA signature of 2048 to 8192 bits
_RSA_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{340,1368}={0,2}")
_KEY_ID = re.compile(r"[!-~]{1,256}")

Headers = Mapping[str, str]
Check = Callable[[Headers, bytes, Sequence[str], datetime, Mapping[str, Any]], Verdict]


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way of signing. header: where its signature stands ('' if the integration's settings say so).

    public: the setting that can hold the sender's public keys; then no secret is needed.
    """

    label: str
    check: Check
    header: str = ""
    public: str = ""


def sign_standard(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` of a delivery by Standard Webhooks: ``v1,`` + base64 HMAC of ``id.timestamp.body``."""
    return "v1," + _base64_hmac(_standard_key(secret), b"%s.%d.%s" % (message_id.encode(), timestamp, body))


def verify(
    scheme: str, headers: Headers, body: bytes, secrets: Sequence[str], now: datetime, settings: Mapping[str, Any]
) -> Verdict:
    """Whether a delivery is authentic by that scheme. Header names are lower case; unknown schemes accept nothing."""
    found = SCHEMES.get(scheme)
    usable = [secret for secret in secrets if secret]
    if found is None or not (usable or (found.public and settings.get(found.public))):
        return Verdict(False, reason="unknown scheme" if found is None else "no live secret")
    return found.check(headers, body, usable, now, settings)


def _standard_key(secret: str) -> bytes:
    """The key of a serialized secret; one that is no base64 is its own key."""
    text = secret.removeprefix(_WHSEC)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()


def _hmac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)


def _base64_hmac(key: bytes, content: bytes) -> str:
    return base64.b64encode(_hmac(key, content)).decode()


def _is_fresh(written: str, now: datetime) -> bool:
    return bool(_SECONDS.fullmatch(written)) and abs(int(now.timestamp()) - int(written)) <= TOLERANCE


def _equal(given: str, computed: Sequence[str]) -> bool:
    return any_equal(given.encode("utf-8", "surrogateescape"), [one.encode() for one in computed])


def _standard(
    headers: Headers, body: bytes, secrets: Sequence[str], now: datetime, settings: Mapping[str, Any]
) -> Verdict:
    """Standard Webhooks. A dot in the id could shift bytes between id, time and body: such ids are refused."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").split(" ")[:_MOST_SIGNATURES]
    if not _MESSAGE_ID.fullmatch(message_id):
        return Verdict(False, reason="no usable webhook-id")
    if not _is_fresh(timestamp, now):
        return Verdict(False, reason="webhook-timestamp missing or more than five minutes off")
    content = b"%s.%s.%s" % (message_id.encode(), timestamp.encode(), body)
    computed = ["v1," + _base64_hmac(key, content) for secret in secrets if (key := _standard_key(secret))]
    matches = [_equal(one, computed) for one in given]
    if any(matches):
        return Verdict(True, delivery_id=message_id)
    return Verdict(False, reason="no matching signature")


def _plain(compute: Callable[[str, bytes], str], header: str = "", delivery: str = "", prefix: str = "") -> Check:
    """A scheme that signs only the body: `compute` over secret and body stands in one header."""

    def check(
        headers: Headers, body: bytes, secrets: Sequence[str], now: datetime, settings: Mapping[str, Any]
    ) -> Verdict:
        name = header or str(settings.get("signature_header", "")).lower()
        given = headers.get(name, "") if name else ""
        if not given:
            return Verdict(False, reason="no signature")
        if not _equal(given, [prefix + compute(secret, body) for secret in secrets]):
            return Verdict(False, reason="no matching signature")
        return Verdict(True, delivery_id=_delivery_id(headers, delivery, settings))

    return check


def _delivery_id(headers: Headers, header: str, settings: Mapping[str, Any]) -> str:
    name = header or str(settings.get("id_header", "")).lower()
    return headers.get(name, "")[:256] if name else ""


def _shippo(
    headers: Headers, body: bytes, secrets: Sequence[str], now: datetime, settings: Mapping[str, Any]
) -> Verdict:
    match = _SHIPPO.fullmatch(headers.get("shippo-auth-signature", ""))
    if not match or not _is_fresh(match[1], now):
        return Verdict(False, reason="no signature, or more than five minutes off")
    content = match[1].encode() + b"." + body
    if not _equal(match[2], [_hmac(secret.encode(), content).hex() for secret in secrets]):
        return Verdict(False, reason="no matching signature")
    return Verdict(True, delivery_id=_delivery_id(headers, "", settings))


def _shipengine(
    headers: Headers, body: bytes, secrets: Sequence[str], now: datetime, settings: Mapping[str, Any]
) -> Verdict:
    """RSASSA-PKCS1-v1_5 with SHA-256 over ``timestamp.body``; every key of that id in the setting and the secrets."""
    kid = headers.get("x-shipengine-rsa-sha256-key-id", "")
    written = headers.get("x-shipengine-timestamp", "")
    given = headers.get("x-shipengine-rsa-sha256-signature", "")
    if not _KEY_ID.fullmatch(kid) or not _RSA_SIGNATURE.fullmatch(given):
        return Verdict(False, reason="no signature")
    if not _is_fresh_iso(written, now):
        return Verdict(False, reason="timestamp missing or more than five minutes off")
    try:
        signature = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return Verdict(False, reason="no signature")
    # another spelling of the same bytes is no signature
    if not _equal(given, [base64.b64encode(signature).decode()]):
        return Verdict(False, reason="no signature")
    sets = [str(settings.get("jwks") or ""), *secrets]
    keys = tuple(key for text in sets if text for key in keys_of(text))
    if not verified(keys, kid, signature, written.encode() + b"." + body):
        return Verdict(False, reason="no matching signature")
    return Verdict(True, delivery_id=_delivery_id(headers, "", settings))


def _is_fresh_iso(written: str, now: datetime) -> bool:
    if not _ISO_TIME.fullmatch(written):
        return False
    try:
        return abs((now - datetime.fromisoformat(written)).total_seconds()) <= TOLERANCE
    except ValueError:
        return False


def _bearer(
    headers: Headers, body: bytes, secrets: Sequence[str], now: datetime, settings: Mapping[str, Any]
) -> Verdict:
    return bearer(headers, secrets)


def _token(usual: str = "", or_bearer: bool = False) -> Check:
    """The secret itself in a header agreed upon: proves the sender, not the body.

    usual: the header unless the settings name one; or_bearer: a bearer token is taken where that header is missing.
    """

    def check(
        headers: Headers, body: bytes, secrets: Sequence[str], now: datetime, settings: Mapping[str, Any]
    ) -> Verdict:
        name = str(settings.get("token_header") or usual).lower()
        given = headers.get(name, "") if name else ""
        if not given and or_bearer and "authorization" in headers:
            return bearer(headers, secrets)
        if not given or not _equal(given, secrets):
            return Verdict(False, reason="no token or an unknown one")
        return Verdict(True, delivery_id=_delivery_id(headers, "", settings))

    return check


def _as_base64(secret: str, body: bytes) -> str:
    return _base64_hmac(secret.encode(), body)


def _as_hex(secret: str, body: bytes) -> str:
    return _hmac(secret.encode(), body).hex()


def _as_easypost(secret: str, body: bytes) -> str:
    return _hmac(unicodedata.normalize("NFKD", secret).encode(), body).hex()


def _as_17track(secret: str, body: bytes) -> str:
    return hashlib.sha256(body + b"/" + secret.encode()).hexdigest()


SCHEMES: dict[str, Scheme] = {
    "standard": Scheme("Standard Webhooks", _standard, "webhook-signature"),
    "hmac_sha256_base64": Scheme("HMAC-SHA256, base64, header of your choice", _plain(_as_base64)),
    "hmac_sha256_hex": Scheme("HMAC-SHA256, hex, header of your choice", _plain(_as_hex)),
    "shopify": Scheme(
        "Shopify", _plain(_as_base64, "x-shopify-hmac-sha256", "x-shopify-webhook-id"), "x-shopify-hmac-sha256"
    ),
    "woocommerce": Scheme(
        "WooCommerce",
        _plain(_as_base64, "x-wc-webhook-signature", "x-wc-webhook-delivery-id"),
        "x-wc-webhook-signature",
    ),
    "aftership": Scheme("AfterShip", _plain(_as_base64, "aftership-hmac-sha256"), "aftership-hmac-sha256"),
    "fedex": Scheme("FedEx Advanced Integrated Visibility", _plain(_as_base64, "fdx-signature"), "fdx-signature"),
    "sendcloud": Scheme("Sendcloud", _plain(_as_hex, "sendcloud-signature"), "sendcloud-signature"),
    "easypost": Scheme(
        "EasyPost", _plain(_as_easypost, "x-hmac-signature", prefix="hmac-sha256-hex="), "x-hmac-signature"
    ),
    "shippo": Scheme("Shippo", _shippo, "shippo-auth-signature"),
    "17track": Scheme("17TRACK v2", _plain(_as_17track, "sign"), "sign"),
    "bearer": Scheme("Bearer token", _bearer, "authorization"),
    "header_token": Scheme("Token in a header of your choice", _token()),
    "shipengine": Scheme(
        "ShipEngine / ShipStation (RSA, public keys as JWKS)", _shipengine, "x-shipengine-rsa-sha256-signature", "jwks"
    ),
    "ups": Scheme("UPS Track Alert (credential of the subscription)", _token("credential", or_bearer=True)),
    "dhl": Scheme("DHL Unified Push (token of the subscription)", _token(or_bearer=True)),
    "karrio": Scheme("Karrio (secret in X-Event-Id)", _token("x-event-id")),
}
