"""When a message that could not be delivered is tried again. No clock, no database, no dice."""

from __future__ import annotations

import hashlib
from datetime import timedelta

SECONDS = [5, 30, 2 * 60, 10 * 60]
HOURS = [1, 2, 4, 10, 14, 20, 24]
#: pauses after the first, second, ... failure: 75 h in all, then it is given up
PAUSES = [timedelta(seconds=n) for n in SECONDS] + [timedelta(hours=n) for n in HOURS]
#: a pause is up to this share longer or shorter, so that what failed together does not come back together
JITTER = 0.1


def pause(failures: int, message_id: str) -> timedelta | None:
    """Time to wait after this many failures (1 or more); None: give up. The same arguments give the same pause."""
    if failures > len(PAUSES):
        return None
    digest = hashlib.sha256(f"{message_id} {failures}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return PAUSES[failures - 1] * (1 - JITTER + 2 * JITTER * share)
