"""Is a delivery from whom it says? Pure checks, constant-time comparisons, every live secret tried."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a delivery is authentic. ``delivery_id`` is the sender's idempotency key ('' if none)."""

    accepted: bool
    delivery_id: str = ""
    reason: str = ""


def any_equal(candidate: bytes, expected: Sequence[bytes]) -> bool:
    """True if candidate equals one of expected; looks at all of them, so that timing tells nothing."""
    found = False
    for one in expected:
        found |= hmac.compare_digest(candidate, one)
    return found


def bearer(headers: Mapping[str, str], secrets: Sequence[str]) -> Verdict:
    """``Authorization: Bearer <secret>`` (RFC 6750) or HTTP Basic is not taken; header names are lower case."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return Verdict(False, reason="no bearer token")
    candidate = token.strip().encode("utf-8", "surrogateescape")
    if any_equal(candidate, [secret.encode() for secret in secrets]):
        return Verdict(True, delivery_id=headers.get("idempotency-key", ""))
    return Verdict(False, reason="unknown bearer token")
