"""Tells a worker that there is work. The broker is a wake-up only: without it the rows wait for the next beat."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import structlog
from celery import current_app

log = structlog.get_logger(__name__)

#: seconds between two wake-ups of a process, and the pause after one that failed
INTERVAL = 0.2
PAUSE = 5.0
#: a wake-up older than this many seconds says nothing any more
EXPIRES = 60


def send_wake_up() -> None:
    current_app.send_task("collectors.process", retry=False, expires=EXPIRES, ignore_result=True)


def send_replay() -> None:
    current_app.send_task("collectors.replay", retry=False, expires=EXPIRES, ignore_result=True)


class Waker:
    """Sends wake-ups from a thread of its own, so that a slow or absent broker touches no request."""

    def __init__(
        self, send: Callable[[], None] = send_wake_up, interval: float = INTERVAL, pause: float = PAUSE
    ) -> None:
        self._send = send
        self._interval = interval
        self._pause = pause
        self._reset()

    def _reset(self) -> None:
        """As new; a child after fork has none of the parent's threads."""
        self._asked = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Asks for a wake-up: at once if none went out lately, else as soon as the interval is over."""
        if not self._asked.is_set():
            self._asked.set()
        thread = self._thread
        if thread is None or not thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        failing = False
        while True:
            self._asked.wait()
            self._asked.clear()
            try:
                self._send()
            except Exception as error:
                if not failing:
                    log.warning("broker_away", error=type(error).__name__)
                failing = True
                self._asked.set()
                time.sleep(self._pause)
            else:
                if failing:
                    log.info("broker_back")
                failing = False
                time.sleep(self._interval)


#: the waker of this process
WAKER = Waker()
#: wakes who goes on with replays
REPLAYER = Waker(send_replay)
os.register_at_fork(after_in_child=WAKER._reset)
os.register_at_fork(after_in_child=REPLAYER._reset)
