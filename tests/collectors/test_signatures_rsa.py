"""ShipEngine's RSA signatures: keys as a JWKS in a setting or as secrets, rotated with an overlap, and fresh."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from apps.collectors.jwks import keys_of
from apps.collectors.kinds.shipengine import ShipEngineForm
from apps.collectors.signatures import verify

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
BODY = b'{"resource_type":"API_TRACK"}'


@cache
def private(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def jwk(name: str, kid: str = "", **changes: Any) -> dict[str, Any]:
    numbers = private(name).public_key().public_numbers()
    found = {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": kid or name,
        "n": number(numbers.n),
        "e": number(numbers.e),
    }
    return {**found, **changes}


def jwks(*keys: Mapping[str, Any]) -> str:
    return json.dumps({"keys": keys})


def signed(name: str, body: bytes = BODY, at: datetime = NOW, kid: str = "") -> dict[str, str]:
    written = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = private(name).sign(written.encode() + b"." + body, padding.PKCS1v15(), hashes.SHA256())
    return {
        "x-shipengine-timestamp": written,
        "x-shipengine-rsa-sha256-key-id": kid or name,
        "x-shipengine-rsa-sha256-signature": base64.b64encode(signature).decode(),
    }


def accepted(headers: Mapping[str, str], secrets: list[str], body: bytes = BODY, **settings: Any) -> bool:
    return verify("shipengine", headers, body, secrets, NOW, settings).accepted


def test_keys_stand_in_a_setting_or_as_a_secret() -> None:
    assert accepted(signed("a"), [jwks(jwk("a"))])
    assert accepted(signed("a"), [json.dumps(jwk("a"))])
    assert accepted(signed("a"), [], jwks=jwks(jwk("a")))
    assert not accepted(signed("a"), [])
    assert not accepted(signed("a"), [""], jwks="")
    assert not accepted(signed("a"), ["a shared secret", "[]", "{", "null", jwks()])


def test_keys_rotate_with_an_overlap() -> None:
    both = jwks(jwk("a"), jwk("b"))
    assert accepted(signed("a"), [both])
    assert accepted(signed("b"), [both])
    assert accepted(signed("b"), [jwks(jwk("a")), jwks(jwk("b"))])
    assert accepted(signed("b"), [jwks(jwk("a"))], jwks=jwks(jwk("b")))
    assert accepted(signed("b", kid="k"), [jwks(jwk("a", kid="k")), jwks(jwk("b", kid="k"))]), "one id, two keys"
    assert not accepted(signed("b"), [jwks(jwk("a"))])
    assert not accepted(signed("b", kid="a"), [both]), "the key of that id did not sign it"


@pytest.mark.parametrize(("seconds", "fresh"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_five_minutes_both_ways(seconds: int, fresh: bool) -> None:
    assert accepted(signed("a", at=NOW + timedelta(seconds=seconds)), [jwks(jwk("a"))]) is fresh


@pytest.mark.parametrize(
    "written",
    ["", "now", "1768910400", "2026-01-20T12:00:00", "2026-01-20", "2026-01-20T12:00:00Z ", "2026-13-40T12:00:00Z"],
)
def test_a_time_that_is_none_is_not_fresh(written: str) -> None:
    headers = signed("a")
    signature = private("a").sign(written.encode() + b"." + BODY, padding.PKCS1v15(), hashes.SHA256())
    headers["x-shipengine-rsa-sha256-signature"] = base64.b64encode(signature).decode()
    assert not accepted({**headers, "x-shipengine-timestamp": written}, [jwks(jwk("a"))])


def test_nothing_signed_can_be_changed() -> None:
    headers, keys = signed("a"), [jwks(jwk("a"))]
    assert not accepted(headers, keys, BODY + b" ")
    assert not accepted(headers, keys, BODY.replace(b"TRACK", b"TRACE"))
    for name in headers:
        assert not accepted({other: value for other, value in headers.items() if other != name}, keys)
    given = headers["x-shipengine-rsa-sha256-signature"]
    for other in (
        given.rstrip("="),
        given + "=",
        given + "\n",
        " " + given,
        given[:-3] + "B==",
        given.swapcase(),
        given * 2,
    ):
        assert not accepted({**headers, "x-shipengine-rsa-sha256-signature": other}, keys), other
    later = {**headers, "x-shipengine-timestamp": "2026-01-20T12:00:01Z"}
    assert not accepted(later, keys)


def test_another_spelling_of_the_same_signature_is_none() -> None:
    """The last letter of this base64 has four bits that mean nothing: sixteen spellings, one of them canonical."""
    headers = signed("a")
    given = headers["x-shipengine-rsa-sha256-signature"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = given[:-3] + letters[letters.index(given[-3]) ^ 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(given)
    assert not accepted({**headers, "x-shipengine-rsa-sha256-signature": other}, [jwks(jwk("a"))])


def test_other_paddings_and_hashes_are_no_signature() -> None:
    headers = signed("a")
    content = headers["x-shipengine-timestamp"].encode() + b"." + BODY
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    for made in (
        private("a").sign(content, pss, hashes.SHA256()),
        private("a").sign(content, padding.PKCS1v15(), hashes.SHA1()),
        private("a").sign(content, padding.PKCS1v15(), hashes.SHA512()),
    ):
        given = base64.b64encode(made).decode()
        assert not accepted({**headers, "x-shipengine-rsa-sha256-signature": given}, [jwks(jwk("a"))])


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "EC"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"use": "enc"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"kid": ""},
        {"kid": 7},
        {"e": "AQ"},
        {"e": "Ag"},
        {"n": "AQAB"},
        {"n": None},
        {"n": "not base64!"},
    ],
)
def test_unfit_keys_are_left_out(changes: dict[str, Any]) -> None:
    unfit = jwks({**jwk("a"), **changes})
    assert keys_of(unfit) == ()
    assert not accepted(signed("a"), [unfit])
    assert not ShipEngineForm({"jwks": unfit}).is_valid()


def test_short_keys_are_left_out() -> None:
    numbers = private("short", 1024).public_key().public_numbers()
    assert keys_of(jwks(jwk("a", n=number(numbers.n)))) == ()
    assert len(keys_of(jwks(jwk("a"), jwk("b")))) == 2
    assert ShipEngineForm({"jwks": jwks(jwk("a"))}).is_valid()
    assert ShipEngineForm({}).is_valid()
