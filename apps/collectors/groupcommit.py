"""Group commit: requests share commits. One flusher thread a process writes everything that waits in one statement.

No timer: a batch is what arrived during the last commit, so a lone request never waits for company. A request is
answered after the commit that holds its receipt. ADR: docs/adr/ 'Doors commit in groups'.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import psycopg
import structlog
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from apps.collectors import wire
from apps.collectors.receiving import COLUMNS, INSERT, NewReceipt, rows_of

log = structlog.get_logger(__name__)

#: requests that may wait at once in a process; the next one is told to come back
QUEUE_LIMIT = 512
#: rows and bytes of one statement
BATCH_ROWS = 256
BATCH_BYTES = 16 * 1024 * 1024
#: seconds a request waits for its commit before it is told to come back
PATIENCE = 10.0

#: errors of the database or the way to it, which concern all; whatever else fails may be the fault of one row
OUTAGES = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)

_NAME = b"keep_receipts"
_STATEMENT = INSERT.replace("%b", "${}").format(*range(1, len(COLUMNS) + 1)).encode()


class Unavailable(Exception):
    """Nothing was committed for this request as far as we know; the sender should come back."""


class _Waiting:
    """One request that waits for its commit. The gate is a held lock the flusher releases: cheaper than an Event."""

    __slots__ = ("error", "gate", "receipt", "receipt_id", "settled")

    def __init__(self, receipt: NewReceipt) -> None:
        self.receipt = receipt
        self.receipt_id = 0
        self.error = ""
        self.settled = False
        self.gate = threading.Lock()
        self.gate.acquire()

    def settle(self, receipt_id: int = 0, error: str = "") -> None:
        if not self.settled:
            self.settled = True
            self.receipt_id, self.error = receipt_id, error
            self.gate.release()


class Session:
    """A connection that stores receipts with one prepared statement."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._prepared = False

    def insert(self, receipts: Sequence[NewReceipt]) -> list[int]:
        """The ids of the receipts, committed. Waits for the database without holding up other threads."""
        parameters = wire.arrays(rows_of(receipts), COLUMNS)
        link = self.connection.pgconn
        if not self._prepared:
            _check(link, link.prepare(_NAME, _STATEMENT), ExecStatus.COMMAND_OK)
            self._prepared = True
        result = link.exec_prepared(_NAME, parameters, [1] * len(parameters), 1)
        _check(link, result, ExecStatus.TUPLES_OK)
        return [int.from_bytes(result.get_value(row, 0) or b"", "big") for row in range(result.ntuples)]

    def close(self) -> None:
        self.connection.close()


def _check(link: PGconn, result: PGresult, expected: int) -> None:
    if result.status == expected:
        return
    if link.status != ConnStatus.OK:
        raise psycopg.OperationalError("the connection was lost")
    raise psycopg.errors.error_from_result(result)


def connect() -> Session:
    """A session of the flusher's own, made from Django's parameters, in the application's role, durable at commit."""
    wrapper = connections[DEFAULT_DB_ALIAS]
    params = dict(wrapper.get_connection_params())
    params.pop("cursor_factory", None)
    params.setdefault("connect_timeout", 3)
    params.setdefault("tcp_user_timeout", 10_000)
    session = psycopg.connect(**params, autocommit=True)
    role = wrapper.settings_dict["OPTIONS"].get("assume_role")
    if role:
        session.execute(psycopg.sql.SQL("SET ROLE {}").format(psycopg.sql.Identifier(role)))
    session.execute("SET statement_timeout = '10s'")
    session.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    )
    return Session(session)


class GroupCommit:
    """Collects receipts of many threads and commits them together. One per process; starts with its first receipt."""

    def __init__(
        self, connect: Callable[[], Session] = connect, limit: int = QUEUE_LIMIT, patience: float = PATIENCE
    ) -> None:
        self._connect = connect
        self._limit = limit
        self._patience = patience
        self._reset()

    def _reset(self) -> None:
        """As new. After a fork the parent's thread, queue, lock and session are not the child's."""
        self._starting = threading.Lock()
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._away = False

    def submit(self, receipt: NewReceipt) -> int:
        """The receipt's id, once it is committed. Raises `Unavailable` when it could not be, or not in time."""
        self._ensure_running()
        if self._queue.qsize() >= self._limit:
            raise Unavailable("too many deliveries wait")
        waiting = _Waiting(receipt)
        self._queue.put(waiting)
        deadline = time.monotonic() + self._patience
        while not waiting.gate.acquire(timeout=1.0):
            if time.monotonic() >= deadline:
                raise Unavailable("the commit did not come in time")
            self._ensure_running()
        if waiting.error:
            raise Unavailable(waiting.error)
        return waiting.receipt_id

    def stop(self) -> None:
        """Ends the flusher and its session; the next receipt starts another one."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(self._patience)
        self._reset()

    def _ensure_running(self) -> None:
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        batch: list[_Waiting] = []
        try:
            while True:
                batch = self._gather()
                if not batch:
                    return
                self._flush(batch)
        except BaseException:
            log.exception("group_commit_died")
        finally:
            for waiting in batch:
                waiting.settle(error="the commit failed")
            self._drop()

    def _gather(self) -> list[_Waiting]:
        """Waits for one receipt and takes what else has come meanwhile. Empty: asked to stop."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        size = len(first.receipt.body)
        while len(batch) < BATCH_ROWS and size < BATCH_BYTES:
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            batch.append(following)
            size += len(following.receipt.body)
        return batch

    def _flush(self, batch: Sequence[_Waiting]) -> None:
        """Commits a batch and lets its requests go. Nothing escapes except what must end the thread."""
        try:
            ids = self._write([waiting.receipt for waiting in batch])
        except OUTAGES as error:
            if not self._away:
                log.warning("deliveries_not_committed", error=type(error).__name__, requests=len(batch))
            self._away = True
            self._drop()
            for waiting in batch:
                waiting.settle(error="the database is not available")
        except Exception as error:
            if len(batch) == 1:
                log.error("delivery_not_storable", error=type(error).__name__)
                self._drop()  # should it be the session's fault after all (a lost statement), the next one is fresh
                batch[0].settle(error="this delivery cannot be stored")
                return
            for waiting in batch:
                self._flush([waiting])
        else:
            if self._away:
                log.info("deliveries_committed_again")
            self._away = False
            for waiting, receipt_id in zip(batch, ids, strict=True):
                waiting.settle(receipt_id)

    def _write(self, receipts: Sequence[NewReceipt]) -> list[int]:
        reused = self._session is not None
        try:
            return self._insert(receipts)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self._drop()
            if not reused:
                raise
        # a session that was open before may have died of old age: one try with a new one
        return self._insert(receipts)

    def _insert(self, receipts: Sequence[NewReceipt]) -> list[int]:
        if self._session is None:
            self._session = self._connect()
        return self._session.insert(receipts)

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except Exception:  # a session that cannot even be closed is gone
                log.debug("session_not_closed")


#: the group commit of this process
GROUP = GroupCommit()
os.register_at_fork(after_in_child=GROUP._reset)
