"""Public RSA keys as JSON Web Key Sets (RFC 7517), for senders that sign with a key of their own. Pure; no network.

The set is pasted into a setting or kept as a secret of the integration; keys that are rotated stand in it side by side.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from apps.collectors import jsonbody
from apps.flows.canonical import ParseFailure

_SMALLEST, _LARGEST = 2048, 8192
_MOST_KEYS = 16
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
Keys = tuple[tuple[str, RSAPublicKey], ...]


@lru_cache(maxsize=64)
def keys_of(text: str) -> Keys:
    """(kid, key) of a key set or of a single key: RSA, for RS256 signatures, 2048 bits or more. Others are left out."""
    try:
        document = jsonbody.read(text.encode("utf-8", "surrogateescape"), 256 * 1024).value
    except ParseFailure:
        return ()
    listed = document.get("keys", [document]) if isinstance(document, dict) else document
    found = [key for one in (listed if isinstance(listed, list) else [])[:_MOST_KEYS] if (key := _key(one))]
    return tuple(found)


def verified(keys: Keys, kid: str, signature: bytes, content: bytes) -> bool:
    """Whether one of the keys of that id made this RSASSA-PKCS1-v1_5 signature with SHA-256 (RFC 8017)."""
    matches = False
    for name, key in keys:
        if name != kid or len(signature) * 8 != (key.key_size + 7) // 8 * 8:
            continue
        try:
            key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
            matches = True
        except InvalidSignature:
            continue
    return matches


def _key(jwk: Any) -> tuple[str, RSAPublicKey] | None:
    if not isinstance(jwk, dict) or jwk.get("kty") != "RSA":
        return None
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", "RS256") != "RS256":
        return None
    kid = jwk.get("kid")
    modulus, exponent = _number(jwk.get("n")), _number(jwk.get("e"))
    if not isinstance(kid, str) or not kid or not _SMALLEST <= modulus.bit_length() <= _LARGEST:
        return None
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 64:
        return None
    try:
        return kid, RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None


def _number(text: Any) -> int:
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        return 0
    try:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    except (binascii.Error, ValueError):
        return 0
