"""The daily upkeep: month partitions ahead of time, ended sessions cleared."""

from __future__ import annotations

from datetime import datetime

from django.contrib.sessions.models import Session
from django.db import connection

PARTITIONED = ["flows_event", "collectors_receipt"]
#: this month and so many after it; the default partition catches what lies outside
MONTHS_AHEAD = 3


def run(now: datetime) -> dict[str, int]:
    """Makes what is missing; returns {"partitions": made, "sessions": cleared}. Doing it twice changes nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tower_ensure_partitions(%s::text[], %s::date, %s)", [PARTITIONED, now.date(), MONTHS_AHEAD + 1]
        )
        partitions = cursor.fetchone()[0]
    sessions, _ = Session.objects.filter(expire_date__lt=now).delete()
    return {"partitions": partitions, "sessions": sessions}
