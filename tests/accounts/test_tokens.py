"""Tokens of machines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts import tokens
from apps.accounts.models import ApiClient, AuditEntry, User

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
pytestmark = pytest.mark.django_db


@pytest.fixture
def mara() -> User:
    return User.objects.create(username="mara")


def test_a_token_works_and_is_kept_nowhere(mara: User) -> None:
    issued = tokens.issue("ERP bridge", ["flows:read", "receipts:write"], mara, NOW)
    assert issued.token.startswith("ct_")
    assert len(issued.token) >= 40
    client = tokens.verify(issued.token, NOW)
    assert client == issued.client
    assert client is not None
    assert client.scopes == ["flows:read", "receipts:write"]
    row = ApiClient.objects.values().get()
    assert issued.token not in str(row)
    assert issued.token.removeprefix("ct_")[:-4] not in str(row)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject) == (mara, "client.issued", f"client:{client.pk}")
    assert issued.token not in str(entry.after)


def test_two_tokens_differ(mara: User) -> None:
    assert tokens.issue("a", ["flows:read"], mara, NOW).token != tokens.issue("a", ["flows:read"], mara, NOW).token


@pytest.mark.parametrize(
    "change", [lambda t: "", lambda t: t[:-1], lambda t: t + "x", lambda t: t[3:], lambda t: t.upper()]
)
def test_anything_else_is_unknown(mara: User, change: Any) -> None:
    issued = tokens.issue("a", ["flows:read"], mara, NOW)
    assert tokens.verify(change(issued.token), NOW) is None


def test_revoked_at_once_and_once(mara: User) -> None:
    issued = tokens.issue("a", ["flows:read"], mara, NOW)
    assert tokens.revoke(issued.client.pk, mara, NOW) is True
    assert tokens.verify(issued.token, NOW) is None
    assert tokens.revoke(issued.client.pk, mara, NOW + DAY) is False
    assert ApiClient.objects.get().revoked_at == NOW
    assert AuditEntry.objects.filter(action="client.revoked").count() == 1


def test_expiry_is_exact(mara: User) -> None:
    issued = tokens.issue("a", ["flows:read"], mara, NOW, expires_at=NOW + DAY)
    assert tokens.verify(issued.token, NOW + DAY - timedelta(seconds=1)) is not None
    assert tokens.verify(issued.token, NOW + DAY) is None


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at", "says"),
    [
        (" ", ["flows:read"], None, "name"),
        ("a", [], None, "at least one"),
        ("a", ["flows:read", "everything"], None, "Unknown scopes: everything"),
        ("a", ["flows:read"], NOW, "expired already"),
    ],
)
def test_what_cannot_be_issued(mara: User, name: str, scopes: list[str], expires_at: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tokens.issue(name, scopes, mara, NOW, expires_at=expires_at)
    assert not ApiClient.objects.exists()


def test_use_is_noted_once_a_minute(mara: User) -> None:
    issued = tokens.issue("a", ["flows:read"], mara, NOW)
    tokens.verify(issued.token, NOW)
    with CaptureQueriesContext(connection) as queries:
        for second in range(59):
            tokens.verify(issued.token, NOW + timedelta(seconds=second))
    assert len(queries) == 59
    tokens.verify(issued.token, NOW + timedelta(minutes=1))
    assert ApiClient.objects.get().last_used_at == NOW + timedelta(minutes=1)
