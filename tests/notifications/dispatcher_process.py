"""A dispatcher in a process of its own that dies at a named point. Run by test_kills.py, never by the tower.

Arguments: the moment (ISO) and the point: "claimed" (claim committed, nothing sent), "sent" (sent, not marked) or
"planned" (deliveries written, the transaction that plans not committed). Database and mail port come from the
environment (TOWER_TEST_DATABASE, TOWER_TEST_MAIL_PORT).
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Any

import django
from django.conf import settings
from django.db import connection

settings.DATABASES["default"]["NAME"] = os.environ["TOWER_TEST_DATABASE"]
settings.EMAIL_BACKEND = "apps.core.mail.EmailBackend"
settings.EMAIL_HOST = "127.0.0.1"
settings.EMAIL_PORT = int(os.environ["TOWER_TEST_MAIL_PORT"])
settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
django.setup()

from apps.incidents.models import IncidentEvent  # noqa: E402
from apps.notifications import dispatch  # noqa: E402


def die(*args: Any, **kwargs: Any) -> Any:
    os._exit(137)


def main(moment: str, point: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE controltower_app")
    if point == "claimed":
        dispatch.send = die
    elif point == "sent":
        dispatch.mark_sent = die
    elif point == "planned":
        IncidentEvent.objects.bulk_create = die  # type: ignore[method-assign]
    dispatch.run(datetime.fromisoformat(moment))


if __name__ == "__main__":
    main(*sys.argv[1:])
