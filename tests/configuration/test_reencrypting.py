"""Secrets under the newest key: all of them, also after a run that was killed, and nothing else changes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from apps.accounts.models import AuditEntry
from apps.configuration import reencrypting
from apps.core import secrets
from apps.integrations import credentials
from apps.integrations.models import Credential
from apps.notifications import keeping
from apps.notifications.models import Channel
from tests.incidents.builders import NOW, integration

pytestmark = pytest.mark.django_db
NEW, STRANGE = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def old(settings: Any) -> str:
    """Five credentials and two channels (one without a secret) under the only key; then a new one stands in front."""
    [key] = settings.SECRETS_KEYS
    feed = integration("feed")
    for number in range(5):
        credentials.issue(feed, NOW, None, secret=f"credential-secret-{number}")
    pager = Channel(slug="pager", name="Pager", kind="pagerduty")
    keeping.save(pager, {"routing_key": "pager-routing-key"}, None, NOW)
    keeping.save(Channel(slug="mail", name="Mail", kind="email"), {}, None, NOW)
    settings.SECRETS_KEYS = [NEW, key]
    return str(key)


def run(*options: str) -> str:
    out = io.StringIO()
    call_command("reencrypt_secrets", *options, stdout=out)
    return out.getvalue()


def plain() -> list[Any]:
    found: list[Any] = sorted(secrets.decrypt(row.ciphertext) for row in Credential.objects.all())
    return [*found, keeping.kept_secrets(Channel.objects.get(slug="pager"))]


def audited() -> list[int]:
    """How many secrets each line of the audit log says were written."""
    rows = AuditEntry.objects.filter(action="keys.renewed").order_by("id")
    return [row.after["renewed"] for row in rows]


def test_every_secret_is_written_anew_and_the_old_key_can_go(old: str, settings: Any) -> None:
    before = plain()
    assert "6 would be written anew, 0 under the newest" in run("--dry-run")
    assert not AuditEntry.objects.filter(action="keys.renewed").exists()
    settings.SECRETS_KEYS = [NEW]
    with pytest.raises(secrets.SecretUnreadable):
        plain()
    settings.SECRETS_KEYS = [NEW, old]
    assert "6 written anew, 0 under the newest" in run("--batch", "2")
    assert "0 written anew, 6 under the newest" in run()
    assert audited() == [2, 2, 1, 1]
    settings.SECRETS_KEYS = [NEW]
    assert plain() == before


def test_a_run_that_is_killed_is_run_again(old: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = plain(), 0
    real = secrets.reencrypt

    def killed(ciphertext: bytes) -> bytes:
        nonlocal seen
        seen += 1
        if seen == 4:
            raise KeyboardInterrupt
        return real(ciphertext)

    monkeypatch.setattr(secrets, "reencrypt", killed)
    with pytest.raises(KeyboardInterrupt):
        run("--batch", "2")
    assert plain() == before
    done = sum(secrets.is_newest(row.ciphertext) for row in Credential.objects.all())
    assert done == 2, "the batch that was committed stays, the one under way does not"
    assert audited() == [2], "and stands in the audit log, whatever became of the run"
    assert "4 written anew, 2 under the newest" in run("--batch", "2")
    settings.SECRETS_KEYS = [NEW]
    assert plain() == before


def test_what_no_key_opens_is_named_and_left(old: str, settings: Any) -> None:
    lost = Credential.objects.order_by("pk")[1]
    strange = Fernet(STRANGE).encrypt(b"lost")
    Credential.objects.filter(pk=lost.pk).update(ciphertext=strange)
    with pytest.raises(CommandError, match=r"(?s)1 that no key.*credential.*feed"):
        run()
    lost.refresh_from_db()
    assert bytes(lost.ciphertext) == strange
    assert sum(secrets.is_newest(row.ciphertext) for row in Credential.objects.all()) == 4


def test_every_place_that_keeps_a_secret_is_known() -> None:
    assert {model._meta.label for model in reencrypting.holders()} >= {
        "integrations.Credential",
        "notifications.Channel",
    }


def test_no_batch_of_nothing() -> None:
    with pytest.raises(CommandError, match="at least 1"):
        run("--batch", "0")
