"""Doors that are wrong on purpose, to see that the fault tests notice. For tests only; nothing of the tower uses this.

Started in place of ``controltower.wsgi:application``.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from controltower.wsgi import application as sound

# isort: split
# the applications are loaded now
from apps.collectors import doors
from apps.collectors.groupcommit import GROUP, Unavailable
from apps.collectors.receiving import NewReceipt
from apps.collectors.waking import send_wake_up


class _Hasty:
    """Acknowledges first and commits a moment later."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def submit(self, receipt: NewReceipt) -> int:
        threading.Thread(target=self._keep, args=[receipt], daemon=True).start()
        return next(self._numbers)

    def _keep(self, receipt: NewReceipt) -> None:
        time.sleep(0.3)
        try:
            GROUP.submit(receipt)
        except Unavailable:
            return  # nobody is told


def hasty(environ: dict[str, Any], start_response: Any) -> Any:
    doors.GROUP = _HASTY  # type: ignore[assignment]
    return sound(environ, start_response)


class _Insistent:
    """Wakes the worker within the request, so that the request fails with the broker."""

    def wake(self) -> None:
        send_wake_up()


def insistent(environ: dict[str, Any], start_response: Any) -> Any:
    doors.WAKER = _INSISTENT  # type: ignore[assignment]
    return sound(environ, start_response)


_HASTY = _Hasty()
_INSISTENT = _Insistent()
