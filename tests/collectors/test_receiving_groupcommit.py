"""Group commit: many threads, few commits; one bad row fails alone; death, fork, outage and overload are answered."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.db import connection
from hypothesis import assume, given
from hypothesis import strategies as st
from psycopg.adapt import PyFormat
from psycopg.types.numeric import Int8

from apps.collectors import groupcommit, wire
from apps.collectors.groupcommit import GroupCommit, Unavailable
from apps.collectors.models import Receipt, ReceiptState
from apps.collectors.receiving import NewReceipt
from tests.collectors.conftest import NOW

pytestmark = pytest.mark.django_db(transaction=True)


def receipt(body: bytes, **changes: Any) -> NewReceipt:
    values: dict[str, Any] = {
        "integration_id": 1,
        "door": "http",
        "content_type": "",
        "headers": {},
        "delivery_id": "",
    }
    return NewReceipt(body=body, received_at=NOW, **(values | changes))


@pytest.fixture
def group() -> Iterator[GroupCommit]:
    made = GroupCommit(patience=5.0)
    yield made
    made.stop()


class Gate:
    """Holds the flusher before its next write until it is opened."""

    def __init__(self, group: GroupCommit, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.batches: list[int] = []
        real = group._write

        def write(receipts: Any) -> list[int]:
            self.batches.append(len(receipts))
            self.reached.set()
            assert self.open.wait(5)
            return real(receipts)

        monkeypatch.setattr(group, "_write", write)


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.005)


def test_every_request_gets_its_own_committed_receipt(group: GroupCommit) -> None:
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda n: group.submit(receipt(b"%d" % n)), range(400)))
    assert len(set(ids)) == 400
    kept = {row.pk: bytes(row.body) for row in Receipt.objects.all()}
    assert [kept[receipt_id] for receipt_id in ids] == [b"%d" % n for n in range(400)]
    assert ReceiptState.objects.filter(status="waiting").count() == 400


def test_what_arrives_during_a_commit_shares_the_next(group: GroupCommit, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(group, monkeypatch)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group.submit, receipt(b"first"))
        assert gate.reached.wait(5)
        others = [pool.submit(group.submit, receipt(b"other")) for _ in range(8)]
        wait_until(lambda: group._queue.qsize() == 8)
        gate.open.set()
        assert len({first.result(5), *(one.result(5) for one in others)}) == 9
    assert gate.batches == [1, 8]


def test_the_session_is_durable_and_has_the_applications_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "assume_role", "controltower_app")
    session = groupcommit.connect()
    try:
        row = session.connection.execute("SELECT current_user, current_setting('synchronous_commit')").fetchone()
        assert row == ("controltower_app", "on")
    finally:
        session.close()


def test_one_bad_row_fails_only_its_own_request(group: GroupCommit, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(group, monkeypatch)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(group.submit, receipt(b"first"))
        assert gate.reached.wait(5)
        bad = [
            pool.submit(group.submit, receipt(b"bad", integration_id=2**63)),
            pool.submit(group.submit, receipt(b"bad", content_type=None)),
        ]
        good = pool.submit(group.submit, receipt(b"good"))
        wait_until(lambda: group._queue.qsize() == 3)
        gate.open.set()
        assert first.result(5)
        assert good.result(5)
        for one in bad:
            with pytest.raises(Unavailable):
                one.result(5)
    assert sorted(bytes(row.body) for row in Receipt.objects.all()) == [b"first", b"good"]


def test_a_full_queue_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    group = GroupCommit(limit=2, patience=5.0)
    gate = Gate(group, monkeypatch)
    try:
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(group.submit, receipt(b"1"))]
            assert gate.reached.wait(5)
            waiting += [pool.submit(group.submit, receipt(b"2")) for _ in range(2)]
            wait_until(lambda: group._queue.qsize() == 2)
            started = time.monotonic()
            with pytest.raises(Unavailable, match="too many"):
                group.submit(receipt(b"4"))
            assert time.monotonic() - started < 1
            gate.open.set()
            assert all(one.result(5) for one in waiting)
    finally:
        gate.open.set()
        group.stop()


def test_the_database_away_fails_all_who_wait_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    away = True

    def connect() -> Any:
        if away:
            raise psycopg.OperationalError("connection refused")
        return groupcommit.connect()

    group = GroupCommit(connect, patience=5.0)
    try:
        with ThreadPoolExecutor(4) as pool:
            for one in [pool.submit(group.submit, receipt(b"x")) for _ in range(4)]:
                with pytest.raises(Unavailable, match="database"):
                    one.result(5)
        away = False
        assert group.submit(receipt(b"back"))
    finally:
        group.stop()


def test_a_session_that_died_while_idle_costs_no_request(group: GroupCommit) -> None:
    group.submit(receipt(b"1"))
    assert group._session is not None
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [group._session.connection.info.backend_pid])
    assert group.submit(receipt(b"2"))
    assert Receipt.objects.count() == 2


def test_a_commit_that_takes_too_long_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    group = GroupCommit(patience=0.5)
    gate = Gate(group, monkeypatch)
    try:
        with pytest.raises(Unavailable, match="in time"):
            group.submit(receipt(b"slow"))
    finally:
        gate.open.set()
        group.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_flusher_that_dies_fails_its_batch_and_is_started_again(
    group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths: list[int] = []
    real = group._write

    def die(receipts: Any) -> list[int]:
        if not deaths:
            deaths.append(1)
            raise SystemExit
        return real(receipts)

    monkeypatch.setattr(group, "_write", die)
    with pytest.raises(Unavailable):
        group.submit(receipt(b"1"))
    wait_until(lambda: group._thread is None or not group._thread.is_alive())
    assert group.submit(receipt(b"2"))


def test_one_waiting_when_the_flusher_dies_is_served_by_the_next(
    group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = group._gather

    def gather() -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise SystemExit
        return real()

    monkeypatch.setattr(group, "_gather", gather)
    assert group.submit(receipt(b"1"))
    assert len(calls) >= 2


def backend(group: GroupCommit) -> int:
    assert group._session is not None
    return group._session.connection.info.backend_pid


def test_a_child_after_fork_starts_its_own() -> None:
    group = groupcommit.GROUP
    try:
        parents = group.submit(receipt(b"parent"))
        session = backend(group)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if group.submit(receipt(b"child")) > parents and backend(group) != session else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert group.submit(receipt(b"parent again"))
        assert backend(group) == session
        assert Receipt.objects.count() == 3
    finally:
        group.stop()


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/New_York")])),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.binary(),
    st.booleans(),
)
def test_hand_packed_arrays_are_those_of_psycopg(number: int, at: datetime, text: str, data: bytes, flag: bool) -> None:
    assume(at.astimezone(UTC).year < 9999)
    dumped = psycopg.adapt.Transformer()
    for oid, value, same in (
        (wire.INT8, number, Int8(number)),
        (wire.TIMESTAMPTZ, at, at),
        (wire.TEXT, text, text),
        (wire.BYTEA, data, data),
        (wire.BOOL, flag, flag),
    ):
        [array] = dumped.dump_sequence([[same, same]], [PyFormat.BINARY])
        assert wire.arrays([[value], [value]], [oid])[0] == bytes(array or b"")
