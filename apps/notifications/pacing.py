"""How often one person may be disturbed over one channel: once at once, then at most once per PACE. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

#: at most one message per recipient and channel in this time
PACE = timedelta(minutes=2)


def free_at(now: datetime, last_sent_at: datetime | None, under_way_until: datetime | None) -> datetime:
    """When the next message may go: PACE after the last one, and not while one is under way (its lease); else now."""
    times = [now]
    if last_sent_at is not None:
        times.append(last_sent_at + PACE)
    if under_way_until is not None:
        times.append(under_way_until)
    return max(times)
