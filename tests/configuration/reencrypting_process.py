"""A run of `reencrypt_secrets` in a process of its own that kills itself (SIGKILL) before it writes the n-th secret.

Arguments: n, and how many secrets are written in one transaction. Database and keys come from the environment
(TOWER_TEST_DATABASE, TOWER_TEST_KEYS, separated by commas). Run by test_reencrypting_killed.py, never by the tower.
"""

from __future__ import annotations

import os
import signal
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection

settings.DATABASES["default"]["NAME"] = os.environ["TOWER_TEST_DATABASE"]
settings.SECRETS_KEYS = os.environ["TOWER_TEST_KEYS"].split(",")
django.setup()

from apps.core import secrets  # noqa: E402


def main(until: int, batch: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE controltower_app")
    real, seen = secrets.reencrypt, 0

    def killed(ciphertext: bytes) -> bytes:
        nonlocal seen
        seen += 1
        if seen == until:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(ciphertext)

    secrets.reencrypt = killed
    call_command("reencrypt_secrets", "--batch", str(batch))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
