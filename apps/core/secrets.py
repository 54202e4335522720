"""Secrets at rest: MultiFernet over `settings.SECRETS_KEYS`, newest key first, older ones still decrypt."""

from __future__ import annotations

import secrets
from base64 import b64encode
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class SecretUnreadable(RuntimeError):
    """No key of SECRETS_KEYS opens this secret: it was written with a key that is gone."""


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("SECRETS_KEYS is empty: set at least one Fernet key (32 bytes, urlsafe base64)")
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> bytes:
    """Ciphertext of a secret under the newest key."""
    return _box(tuple(settings.SECRETS_KEYS)).encrypt(text.encode())


def decrypt(ciphertext: bytes | memoryview) -> str:
    """The secret; `SecretUnreadable` when no key fits."""
    try:
        return _box(tuple(settings.SECRETS_KEYS)).decrypt(bytes(ciphertext)).decode()
    except InvalidToken:
        raise SecretUnreadable("no key of SECRETS_KEYS opens this secret") from None


def reencrypt(ciphertext: bytes | memoryview) -> bytes:
    """The same secret under the newest key; `SecretUnreadable` when no key fits."""
    try:
        return _box(tuple(settings.SECRETS_KEYS)).rotate(bytes(ciphertext))
    except InvalidToken:
        raise SecretUnreadable("no key of SECRETS_KEYS opens this secret") from None


def is_newest(ciphertext: bytes | memoryview) -> bool:
    """Whether the newest key opens it, so that it outlives the older ones."""
    try:
        _box(tuple(settings.SECRETS_KEYS[:1])).decrypt(bytes(ciphertext))
    except InvalidToken:
        return False
    return True


def new_secret() -> str:
    """32 random bytes in the form of Standard Webhooks (``whsec_`` + base64)."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()
