"""How each sender proves who it is, written as its makers describe it and not by the code of the doors. Pure.

ShipEngine signs with RSA: the pretend platform's key is made from its name, the same each time and worth nothing. Its
public half stands in the demo's configuration.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
    rsa_crt_iqmp,
)

Headers = dict[str, str]
Signer = Callable[[str, bytes, datetime], Headers]
KEY_ID = "demo-2026"
_EXPONENT = 65537
_SMALL = [number for number in range(3, 2000, 2) if all(number % other for other in range(3, int(number**0.5) + 1, 2))]


def _hex(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def _base64(secret: str, body: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def _shippo(secret: str, body: bytes, now: datetime) -> Headers:
    seconds = str(int(now.timestamp()))
    signature = _hex(secret.encode(), seconds.encode() + b"." + body)
    return {"shippo-auth-signature": f"t={seconds},v1={signature}"}


def _easypost(secret: str, body: bytes, now: datetime) -> Headers:
    key = unicodedata.normalize("NFKD", secret).encode()
    return {"x-hmac-signature": f"hmac-sha256-hex={_hex(key, body)}"}


def _seventeentrack(secret: str, body: bytes, now: datetime) -> Headers:
    return {"sign": hashlib.sha256(body + f"/{secret}".encode()).hexdigest()}


def _shipengine(secret: str, body: bytes, now: datetime) -> Headers:
    written = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    signature = platform_key().sign(written.encode() + b"." + body, padding.PKCS1v15(), hashes.SHA256())
    return {
        "x-shipengine-rsa-sha256-key-id": KEY_ID,
        "x-shipengine-timestamp": written,
        "x-shipengine-rsa-sha256-signature": base64.b64encode(signature).decode(),
    }


def _basic(secret: str, body: bytes, now: datetime) -> Headers:
    return {"authorization": "Basic " + base64.b64encode(f"sns:{secret}".encode()).decode()}


#: scheme -> the headers a sender adds; the secret is the live one of its integration
SIGNERS: Mapping[str, Signer] = {
    "easypost": _easypost,
    "aftership": lambda secret, body, now: {"aftership-hmac-sha256": _base64(secret, body)},
    "shipengine": _shipengine,
    "shippo": _shippo,
    "sendcloud": lambda secret, body, now: {"sendcloud-signature": _hex(secret.encode(), body)},
    "17track": _seventeentrack,
    "karrio": lambda secret, body, now: {"x-event-id": secret},
    "fedex": lambda secret, body, now: {"fdx-signature": _base64(secret, body)},
    "ups": lambda secret, body, now: {"credential": secret},
    "shopify": lambda secret, body, now: {"x-shopify-hmac-sha256": _base64(secret, body)},
    "woocommerce": lambda secret, body, now: {"x-wc-webhook-signature": _base64(secret, body)},
    "dcsa": lambda secret, body, now: {"notification-signature": f"sha256={_hex(secret.encode(), body)}"},
    "basic": _basic,
    "bearer": lambda secret, body, now: {"authorization": f"Bearer {secret}"},
}


@lru_cache(maxsize=1)
def platform_key() -> RSAPrivateKey:
    """RSA, 2048 bits. Found once in a process, in about a second."""
    chance = random.Random("the pretend platform's key")
    p, q = _prime(chance), _prime(chance)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    public = RSAPublicNumbers(_EXPONENT, p * q)
    return RSAPrivateNumbers(p, q, d, rsa_crt_dmp1(d, p), rsa_crt_dmq1(d, q), rsa_crt_iqmp(p, q), public).private_key()


def _prime(chance: random.Random) -> int:
    while True:
        number = chance.getrandbits(1024) | 3 << 1022 | 1
        if number % _EXPONENT == 1 or any(number % small == 0 for small in _SMALL):
            continue
        if all(pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7)):
            return number


def public_keys() -> dict[str, Any]:
    """The key set the demo's configuration holds (RFC 7517)."""
    numbers = platform_key().public_key().public_numbers()
    return {
        "keys": [
            {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": _url(numbers.n), "e": _url(numbers.e)}
        ]
    }


def _url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
