"""Counts what the doors turned away. Strangers leave a number per hour and reason, never bytes on our disk."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime

import structlog
from django.db import Error

from apps.flows.sets import columns, raw_cursor

log = structlog.get_logger(__name__)

#: seconds between two writes of a process
INTERVAL = 5.0
#: counters held at most between two writes; the rest is counted without its integration
MOST = 1_000

Cell = tuple[datetime, int | None, str]

_ADD = """
INSERT INTO collectors_doorrefusal (hour, integration_id, reason, count)
SELECT * FROM unnest(%b::timestamptz[], %b::bigint[], %b::text[], %b::bigint[])
ON CONFLICT (hour, integration_id, reason) DO UPDATE SET count = collectors_doorrefusal.count + EXCLUDED.count
"""


class Refusals:
    """Counters of one process, added to the table every few seconds by whichever request comes next."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._counts: Counter[Cell] = Counter()
        self._next = 0.0

    def count(self, integration_id: int | None, reason: str, now: datetime) -> None:
        """One more refusal; integration_id is None for an address nobody has."""
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        with self._lock:
            cell = (hour, integration_id, reason)
            if cell not in self._counts and len(self._counts) >= MOST:
                cell = (hour, None, reason)
            self._counts[cell] += 1

    def due(self) -> bool:
        return bool(self._counts) and time.monotonic() >= self._next

    def write(self) -> None:
        """Adds the counters to the table, in key order so that processes do not deadlock. Keeps them if that fails."""
        with self._lock:
            self._next = time.monotonic() + self._interval
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        rows = sorted(
            ((hour, integration_id, reason, n) for (hour, integration_id, reason), n in counts.items()),
            key=lambda row: (row[0], row[1] or 0, row[2]),
        )
        try:
            with raw_cursor() as cursor:
                cursor.execute(_ADD, columns(rows, 4), binary=True)
        except Error as error:
            log.warning("refusals_not_written", error=type(error).__name__)
            with self._lock:
                self._counts.update(counts)


#: the refusals of this process
REFUSALS = Refusals()
