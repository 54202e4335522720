"""The worker's processes. Where the broker has no event loop (the filesystem one) they share one queue and its lock.

A process that is killed while it waits for work takes that lock with it, and no other would ever get work again. So the
worker ends too, and whoever watches it (the launcher, a service manager) starts another. Nothing is lost: work is rows.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

import structlog
from billiard.pool import Pool
from billiard.process import BaseProcess
from celery.concurrency.prefork import TaskPool as CeleryTaskPool

logger = structlog.get_logger("tower.worker")


class SharedQueuePool(Pool):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, on_process_down=self._end_with, **kwargs)

    def _end_with(self, process: BaseProcess) -> None:
        """Called for every process that has ended; a negative exit code is the signal it was killed by."""
        if (process.exitcode or 0) >= 0:
            return
        logger.error("worker_ends", because="one of its processes was killed", signal=-process.exitcode)
        for other in self._pool:
            with suppress(ProcessLookupError):
                os.kill(other.pid, signal.SIGKILL)
        os._exit(1)


class TaskPool(CeleryTaskPool):
    BlockingPool = SharedQueuePool
