"""A poller in a process of its own that dies at a named point. Run by test_channels.py, never by the tower.

Arguments: slug, the moment (ISO) and the point: "read" (messages in hand, nothing committed), "committed" (the receipt is
committed, the broker was not told), "confirmed" (both done, the round not ended). Database: TOWER_TEST_DATABASE.
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
django.setup()

from apps.collectors import polling  # noqa: E402
from apps.collectors.channels import rounds  # noqa: E402


def die(*args: Any, **kwargs: Any) -> Any:
    os._exit(137)


def main(slug: str, moment: str, point: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE controltower_app")
    if point == "read":
        polling.store = die
    elif point == "committed":
        rounds._Confirmation.tell = die  # type: ignore[method-assign]
    elif point == "confirmed":
        tell = rounds._Confirmation.tell
        rounds._Confirmation.tell = lambda self: (tell(self), die())  # type: ignore
    polling.poll_one(slug, datetime.fromisoformat(moment))


if __name__ == "__main__":
    main(*sys.argv[1:])
