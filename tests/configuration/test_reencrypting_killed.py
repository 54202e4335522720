"""kill -9 in the middle of writing secrets anew: every secret opens by one of the keys at any moment, the audit log says
what was written, and the next run finishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from apps.accounts.models import AuditEntry
from apps.core import secrets
from apps.integrations import credentials
from apps.integrations.models import Credential
from tests.incidents.builders import NOW, integration

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]
MANY, BATCH = 7, 2


def killed(before: int, keys: list[str]) -> None:
    environment = os.environ | {
        "TOWER_TEST_DATABASE": str(connection.settings_dict["NAME"]),
        "TOWER_TEST_KEYS": ",".join(keys),
        "DJANGO_SETTINGS_MODULE": "controltower.settings.test",
    }
    command = [sys.executable, "-m", "tests.configuration.reencrypting_process", str(before), str(BATCH)]
    done = subprocess.run(command, env=environment, cwd=settings.BASE_DIR, timeout=60, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def written() -> int:
    return sum(secrets.is_newest(bytes(row.ciphertext)) for row in Credential.objects.all())


def audited() -> int:
    return sum(row.after["renewed"] for row in AuditEntry.objects.filter(action="keys.renewed"))


def plain() -> list[str]:
    return sorted(secrets.decrypt(bytes(row.ciphertext)) for row in Credential.objects.all())


def test_killed_again_and_again(transactional_db: None, settings: Any) -> None:
    [old] = settings.SECRETS_KEYS
    feed = integration("feed")
    for number in range(MANY):
        credentials.issue(feed, NOW, None, secret=f"credential-secret-{number}")
    before = plain()
    settings.SECRETS_KEYS = [Fernet.generate_key().decode(), old]
    for point, kept in ((1, 0), (2, 0), (4, 2), (5, 6)):
        killed(point, settings.SECRETS_KEYS)
        assert (written(), audited(), plain()) == (kept, kept, before), point
    call_command("reencrypt_secrets", "--batch", str(BATCH))
    assert (written(), audited()) == (MANY, MANY)
    settings.SECRETS_KEYS = settings.SECRETS_KEYS[:1]
    assert plain() == before
