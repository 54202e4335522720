"""Signatures: published vectors pass, nothing that was changed does, and no secret is compared in the open."""

from __future__ import annotations

import ast
import base64
import hmac
import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from apps.collectors.signatures import SCHEMES, sign_standard, verify

WEBHOOKS = django_settings.BASE_DIR.parent / "shared" / "data" / "webhooks"
NAMES = {
    "17track-v2": "17track",
    "fedex-aiv": "fedex",
    "standard-webhooks": "standard",
    "shipengine-rsa": "shipengine",
}
NOW = datetime(2025, 6, 15, 15, 6, 42, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(b"control tower test key, 32 bytes").decode()
OTHER = "whsec_" + base64.b64encode(b"another key of our test, 32 byte").decode()
BODY = b'{"type":"pick.completed"}'


def vectors() -> list[Any]:
    path = WEBHOOKS / "signature_vectors.json"
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs shared/data/webhooks/signature_vectors.json"))]
    known = json.loads(path.read_text())
    return [
        pytest.param(one, id=f"{one['scheme']}-{number}")
        for number, one in enumerate(known["official"] + known["computed"])
    ]


def secret_of(vector: dict[str, Any]) -> str:
    """What is kept as the integration's secret: a shared one, or the sender's public keys."""
    return str(vector["secret"]) if "secret" in vector else json.dumps(vector["jwks"])


def spoiled(vector: dict[str, Any]) -> str:
    """A secret that is nearly the right one."""
    if "secret" in vector:
        return str(vector["secret"]) + "x"
    jwks = json.loads(json.dumps(vector["jwks"]))
    jwks["keys"][0]["n"] = jwks["keys"][0]["n"][:-2] + "Qw"
    return json.dumps(jwks)


def body_of(vector: dict[str, Any]) -> bytes:
    if "exact_body_base64" in vector:
        return base64.b64decode(vector["exact_body_base64"])
    if "body_base64" in vector:
        return base64.b64decode(vector["body_base64"])
    return str(vector["body"]).encode()


def clock_of(headers: dict[str, str]) -> datetime:
    if "x-shipengine-timestamp" in headers:
        return datetime.fromisoformat(headers["x-shipengine-timestamp"])
    written = headers.get("webhook-timestamp") or re.findall(r"t=(\d+)", headers.get("shippo-auth-signature", "t=0"))[0]
    return datetime.fromtimestamp(int(written), UTC)


@pytest.mark.parametrize("vector", vectors())
def test_published_vectors_pass_and_fail_when_touched(vector: dict[str, Any]) -> None:
    scheme = NAMES.get(vector["scheme"], vector["scheme"])
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    body, now, secret = body_of(vector), clock_of(headers), secret_of(vector)
    assert verify(scheme, headers, body, [secret], now, {}).accepted
    assert verify(scheme, headers, body, ["another", secret], now, {}).accepted
    assert not verify(scheme, headers, body + b" ", [secret], now, {}).accepted
    assert not verify(scheme, headers, body, [spoiled(vector)], now, {}).accepted
    assert not verify(scheme, headers, body, [], now, {}).accepted
    assert not verify(scheme, headers, body, [""], now, {}).accepted
    header = SCHEMES[scheme].header
    for changed in ("", headers[header] + "A", headers[header][:-1], headers[header].swapcase()):
        assert not verify(scheme, {**headers, header: changed}, body, [secret], now, {}).accepted
    generic = {"sendcloud": "hmac_sha256_hex", "shopify": "hmac_sha256_base64", "woocommerce": "hmac_sha256_base64"}
    if scheme in generic:
        assert verify(generic[scheme], headers, body, [secret], now, {"signature_header": header.title()}).accepted
        assert not verify(generic[scheme], headers, body, [secret], now, {}).accepted


def test_delivery_ids_are_the_senders() -> None:
    headers = signed(BODY, NOW)
    assert verify("standard", headers, BODY, [SECRET], NOW, {}).delivery_id == "msg_1"
    for scheme, signature, name in [
        ("shopify", "x-shopify-hmac-sha256", "x-shopify-webhook-id"),
        ("woocommerce", "x-wc-webhook-signature", "x-wc-webhook-delivery-id"),
    ]:
        given_headers = {signature: base64.b64encode(hmac.digest(b"k", BODY, "sha256")).decode(), name: "b54"}
        assert verify(scheme, given_headers, BODY, ["k"], NOW, {}).delivery_id == "b54"


def signed(body: bytes, at: datetime, *secrets: str, message_id: str = "msg_1") -> dict[str, str]:
    timestamp = int(at.timestamp())
    signatures = [sign_standard(secret, message_id, timestamp, body) for secret in secrets or (SECRET,)]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


@given(st.binary(max_size=200).map(lambda raw: raw.decode("latin-1").encode()), st.integers(0, 2**33))
@settings(deadline=None)
def test_signs_as_the_reference_library_does(body: bytes, timestamp: int) -> None:
    theirs = Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(timestamp, UTC), body.decode())
    assert sign_standard(SECRET, "msg_1", timestamp, body) == theirs


@pytest.mark.parametrize(("offset", "accepted"), [(300, True), (-300, True), (301, False), (-301, False), (0, True)])
def test_five_minutes_both_ways(offset: int, accepted: bool) -> None:
    headers = signed(BODY, NOW + timedelta(seconds=offset))
    assert verify("standard", headers, BODY, [SECRET], NOW, {}).accepted is accepted
    shippo_time = int(NOW.timestamp()) + offset
    shippo = {"shippo-auth-signature": f"t={shippo_time},v1={_shippo_hex(shippo_time)}"}
    assert verify("shippo", shippo, BODY, ["k"], NOW, {}).accepted is accepted


def _shippo_hex(timestamp: int) -> str:
    return hmac.digest(b"k", b"%d.%s" % (timestamp, BODY), "sha256").hex()


def test_keys_rotate_with_an_overlap() -> None:
    assert verify("standard", signed(BODY, NOW, SECRET, OTHER), BODY, [OTHER], NOW, {}).accepted
    assert verify("standard", signed(BODY, NOW, OTHER), BODY, [SECRET, OTHER], NOW, {}).accepted
    assert not verify("standard", signed(BODY, NOW, SECRET), BODY, [OTHER], NOW, {}).accepted
    mixed = signed(BODY, NOW)
    mixed["webhook-signature"] = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B " + mixed["webhook-signature"]
    assert verify("standard", mixed, BODY, [SECRET], NOW, {}).accepted
    assert not verify("standard", {**mixed, "webhook-signature": "v1a," + "A" * 88}, BODY, [SECRET], NOW, {}).accepted


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_nothing_signed_is_optional(missing: str) -> None:
    headers = signed(BODY, NOW)
    del headers[missing]
    assert not verify("standard", headers, BODY, [SECRET], NOW, {}).accepted


def test_bytes_cannot_move_between_id_time_and_body() -> None:
    body = b"%d.{}" % int(NOW.timestamp())
    headers = signed(body, NOW, message_id="a")
    timestamp = headers["webhook-timestamp"]
    shifted = {**headers, "webhook-id": f"a.{timestamp}"}
    assert verify("standard", headers, body, [SECRET], NOW, {}).accepted
    assert not verify("standard", shifted, b"{}", [SECRET], NOW, {}).accepted
    for written in (f"{timestamp}.0", f" {timestamp}", f"+{timestamp}", "١" * 10, ""):
        assert not verify("standard", {**headers, "webhook-timestamp": written}, body, [SECRET], NOW, {}).accepted


def mutated(text: str, draw: st.DrawFn) -> str:
    at = draw(st.integers(0, max(0, len(text) - 1)))
    kind = draw(st.sampled_from(["replace", "insert", "delete", "swap"]))
    letter = draw(st.characters(min_codepoint=33, max_codepoint=126))
    if kind == "replace":
        return text[:at] + letter + text[at + 1 :]
    if kind == "insert":
        return text[:at] + letter + text[at:]
    if kind == "delete":
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at : at + 2][::-1] + text[at + 2 :]


@st.composite
def forgeries(draw: st.DrawFn) -> tuple[dict[str, str], bytes]:
    headers, body = signed(BODY, NOW), BODY
    part = draw(st.sampled_from(["body", "webhook-id", "webhook-timestamp", "webhook-signature"]))
    if part == "body":
        body = mutated(body.decode("latin-1"), draw).encode("latin-1")
    else:
        headers[part] = mutated(headers[part], draw)
    return headers, body


@given(forgeries())
@settings(max_examples=5_000, deadline=None)
def test_no_mutation_is_accepted(forgery: tuple[dict[str, str], bytes]) -> None:
    headers, body = forgery
    unchanged = (headers, body) == (signed(BODY, NOW), BODY)
    assert verify("standard", headers, body, [SECRET], NOW, {}).accepted is unchanged


@pytest.mark.parametrize("vector", vectors())
def test_no_mutation_of_a_published_vector_is_accepted(vector: dict[str, Any]) -> None:
    """Every scheme: 400 changes of the body or of a signed header, the same ones on every run."""
    scheme = NAMES.get(vector["scheme"], vector["scheme"])
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    body, now, secret = body_of(vector), clock_of(headers), secret_of(vector)
    signed_by = [name for name in headers if name in SIGNED_HEADERS]
    assert signed_by
    chance = random.Random(vector["scheme"])
    for _ in range(400):
        changed, other = dict(headers), body
        if chance.random() < 0.4:
            at = chance.randrange(len(body))
            other = body[:at] + bytes([body[at] ^ (1 << chance.randrange(8))]) + body[at + 1 :]
        else:
            name = chance.choice(signed_by)
            changed[name] = _changed(headers[name], chance)
        same = (changed, other) == (headers, body)
        assert verify(scheme, changed, other, [secret], now, {}).accepted is same, (changed, other)


SIGNED_HEADERS = {scheme.header for scheme in SCHEMES.values() if scheme.header} | {
    "webhook-id",
    "webhook-timestamp",
    "x-shipengine-timestamp",
    "x-shipengine-rsa-sha256-key-id",
}


def _changed(text: str, chance: random.Random) -> str:
    at, letter = chance.randrange(len(text)), chr(chance.randrange(33, 127))
    ways = (text[:at] + letter + text[at + 1 :], text[:at] + letter + text[at:], text[:at] + text[at + 1 :], text[::-1])
    return chance.choice(ways)


def test_tokens() -> None:
    settings_ = {"token_header": "X-Event-Id"}
    assert verify("header_token", {"x-event-id": "t0ken"}, b"", ["old", "t0ken"], NOW, settings_).accepted
    assert not verify("header_token", {"x-event-id": "T0ken"}, b"", ["t0ken"], NOW, settings_).accepted
    assert not verify("header_token", {"x-event-id": ""}, b"", [""], NOW, settings_).accepted
    assert not verify("header_token", {"": "t0ken"}, b"", ["t0ken"], NOW, {}).accepted
    assert verify("bearer", {"authorization": "Bearer t0ken"}, b"", ["t0ken"], NOW, {}).accepted
    assert not verify("bearer", {"authorization": "Basic t0ken"}, b"", ["t0ken"], NOW, {}).accepted
    assert verify("ups", {"credential": "t0ken"}, b"", ["t0ken"], NOW, {}).accepted
    assert verify("ups", {"authorization": "Bearer t0ken"}, b"", ["t0ken"], NOW, {}).accepted
    assert not verify("ups", {"credential": "x", "authorization": "Bearer t0ken"}, b"", ["t0ken"], NOW, {}).accepted
    assert not verify("ups", {"user-agent": "UPSPubSubTrackingService"}, b"", ["t0ken"], NOW, {}).accepted
    assert verify("karrio", {"x-event-id": "whsec_1"}, b"", ["whsec_0", "whsec_1"], NOW, {}).accepted
    assert not verify("karrio", {"authorization": "Bearer whsec_1"}, b"", ["whsec_1"], NOW, {}).accepted
    assert verify("dhl", {"x-hook": "t0ken"}, b"", ["t0ken"], NOW, {"token_header": "X-Hook"}).accepted
    assert verify("dhl", {"authorization": "Bearer t0ken"}, b"", ["t0ken"], NOW, {}).accepted
    assert not verify("dhl", {"x-hook": "t0ken"}, b"", ["t0ken"], NOW, {}).accepted
    assert not verify("made-up", {"authorization": "Bearer t0ken"}, b"", ["t0ken"], NOW, {}).accepted


SECRET_NAMES = re.compile(r"(^|_)(secret|signature|signed|token|mac|password|given|computed|candidate)s?($|_)")
#: names that say so but hold no secret
HARMLESS = re.compile(r"(^|_)(header|headers|kind|name|names|url|count|field|scheme|algorithm)($|_)")


def open_comparisons(source: str) -> list[int]:
    """Lines that compare something named like a secret by ``==``, ``!=`` or ``in`` with anything but a constant."""

    def secret(node: ast.expr) -> bool:
        names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
        names += [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)]
        return any(SECRET_NAMES.search(name.lower()) and not HARMLESS.search(name.lower()) for name in names)

    def constant(node: ast.expr) -> bool:
        return isinstance(node, ast.Constant) or (isinstance(node, ast.Call) and ast.unparse(node.func) == "len")

    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            risky = any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops)
            if risky and any(map(secret, sides)) and not any(map(constant, sides)):
                found.append(node.lineno)
    return found


def test_secrets_are_compared_only_in_constant_time() -> None:
    root = Path(django_settings.BASE_DIR) / "apps"
    files = [root / "collectors" / "authentication.py", root / "collectors" / "signatures.py"]
    files += [*sorted((root / "collectors" / "kinds").glob("*.py")), root / "core" / "secrets.py"]
    assert {str(path): lines for path in files if (lines := open_comparisons(path.read_text()))} == {}
    assert "hmac.compare_digest" in files[0].read_text()


def test_the_rule_about_comparisons_can_fail() -> None:
    assert open_comparisons("ok = given == computed[0]") == [1]
    assert open_comparisons("ok = headers['x'] in secrets") == [1]
    assert open_comparisons("ok = len(given) == 3 or given == ''") == []
