"""From receipts to flows: everything counted, nothing lost, one bad receipt takes no other down."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, transaction

from apps.anomalies.models import FeedCount
from apps.collectors import processing, worklist
from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.collectors.processing import process
from apps.collectors.receiving import NewReceipt, store
from apps.flows import pipeline
from apps.flows.models import Event, Flow
from apps.flows.recording import IncomingEvent
from apps.integrations.models import Integration, SourceState
from tests.collectors.conftest import NOW, Probe
from tests.flows.builders import load_definitions

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(seconds=1)


def keep(integration: Integration, *documents: Any, door: str = "http", **changes: Any) -> list[int]:
    bodies = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in documents]
    common = {"content_type": "application/json", "headers": {}, "delivery_id": "", "received_at": NOW, **changes}
    return store([NewReceipt(integration_id=integration.pk, door=door, body=body, **common) for body in bodies])


def state(receipt_id: int) -> ReceiptState:
    return ReceiptState.objects.get(pk=receipt_id)


def codes(receipt_id: int) -> list[str]:
    return list(DeadLetter.objects.filter(receipt_id=receipt_id).order_by("id").values_list("code", flat=True))


def test_a_receipt_becomes_a_flow(integration: Integration) -> None:
    load_definitions()
    [receipt_id] = keep(integration, {"id": "1", "order": "SO1"})
    done = process(LATER)
    assert (done.receipts, done.events, done.dead) == (1, 1, 0)
    event = Event.objects.get()
    assert (event.receipt_id, event.position, event.received_at) == (receipt_id, "row 1", NOW)
    assert Flow.objects.get().label
    row = state(receipt_id)
    assert (row.status, row.events, row.duplicates, row.done_at, row.lease_until) == ("done", 1, 0, LATER, None)
    assert not process(LATER).moved


def test_counts_by_receipt(integration: Integration) -> None:
    one, two, three = keep(
        integration,
        [{"id": "1", "order": "SO1"}, {"id": "2", "order": "SO1"}],
        [{"id": "1", "order": "SO1"}, {"id": "3", "order": "SO1"}],
        {"id": "1", "order": "SO2"},
    )
    done = process(LATER)
    assert (done.receipts, done.events, done.duplicates, done.conflicts) == (3, 4, 1, 1)
    assert [(s.events, s.duplicates, s.conflicts) for s in map(state, (one, two, three))] == [
        (2, 0, 0),
        (1, 1, 0),
        (1, 0, 1),
    ]


def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(integration: Integration) -> None:
    bad, partly, good = keep(integration, b"{", [{"id": "1"}, {"id": "2", "order": "SO1"}], {"id": "3", "order": "SO1"})
    done = process(LATER)
    assert (done.events, done.dead, done.issues) == (2, 1, 2)
    assert (state(bad).status, state(partly).status, state(good).status) == ("dead", "done", "done")
    assert codes(bad) == ["collector.crashed"]
    letter = DeadLetter.objects.get(receipt_id=partly)
    assert (letter.code, letter.position, letter.severity, letter.state) == ("probe.no_order", "row 1", "error", "open")
    assert (letter.received_at, letter.created_at) == (NOW, LATER)


def test_issues_of_one_receipt_are_bounded(integration: Integration) -> None:
    [receipt_id] = keep(integration, [{"id": str(n)} for n in range(1_500)])
    process(LATER)
    assert DeadLetter.objects.filter(receipt_id=receipt_id).count() == 1_001
    assert "1,500 issues" in DeadLetter.objects.get(code="receipt.more_issues").sentence


def test_too_many_events_in_one_delivery(integration: Integration) -> None:
    rows = [{"id": str(n), "order": "SO1"} for n in range(10_001)]
    [receipt_id] = keep(integration, rows)
    process(LATER)
    assert codes(receipt_id) == ["receipt.too_many_events"]
    assert not Event.objects.exists()


def test_an_unknown_kind_keeps_the_receipt(integration: Integration) -> None:
    Integration.objects.update(kind="from-the-future")
    [receipt_id] = keep(integration, {"id": "1", "order": "SO1"})
    process(LATER)
    assert codes(receipt_id) == ["collector.unknown"]


def test_a_receipt_whose_partition_was_dropped(integration: Integration) -> None:
    ReceiptState.objects.create(receipt_id=1, received_at=NOW, integration=integration, next_at=NOW)
    process(LATER)
    assert (state(1).status, codes(1)) == ("dead", ["receipt.gone"])


# --- events the database could not hold


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"order": "x" * 201}, "event.reference_too_long"),
        ({"order": ""}, "event.empty_reference"),
        ({"order": "a\0b"}, "event.unreadable_reference"),
        ({"order": "\ud800"}, "event.unreadable_reference"),
        ({"order": "SO1", "at": "2026-03-02T07:00:00"}, "event.naive_time"),
        ({"order": "SO1", "at": "0001-01-01T00:00:00+14:00"}, "event.time_out_of_range"),
        ({"order": "SO1", "type": "t" * 65}, "event.too_long"),
        ({"order": "SO1", "id": "\0"}, "event.unreadable_name"),
        ({"order": "SO1", "type": "\udfff"}, "event.unreadable_name"),
        ({"order": 7}, "event.malformed"),
        ({"order": "SO1", "data": [1]}, "event.malformed"),
        ({"order": "SO1", "data": {"n": 2**13_000}}, "event.number_too_long"),
        ({"order": "SO1", "data": {"x": json.loads("[" * 300 + "]" * 300)}}, "event.too_deep"),
    ],
)
def test_events_no_database_takes_are_refused_alone(integration: Integration, row: dict[str, Any], code: str) -> None:
    [receipt_id] = keep(integration, [row, {"id": "good", "order": "SO9"}])
    process(LATER)
    assert codes(receipt_id) == [code]
    assert list(Event.objects.values_list("source_event_id", flat=True)) == ["good"]


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ({"a\0": "b\0c"}, {"a\\u0000": "b\\u0000c"}),
        ({"a": "\ud800"}, {"a": "\\ud800"}),
        ({"n": 2**63, "m": -(2**63) - 1, "z": None}, {"n": str(2**63), "m": str(-(2**63) - 1), "z": None}),
        ({"x": math.nan, "y": [math.inf, {"z": -math.inf}]}, {"x": "nan", "y": ["inf", {"z": "-inf"}]}),
    ],
)
def test_odd_values_are_kept_visibly_with_a_warning(integration: Integration, data: Any, kept: Any) -> None:
    [receipt_id] = keep(integration, {"order": "SO1", "data": data})
    process(LATER)
    assert Event.objects.get().data == kept
    letter = DeadLetter.objects.get(receipt_id=receipt_id)
    assert (letter.code, letter.severity, state(receipt_id).status) == ("event.adjusted", "warning", "done")


# --- batches


def test_a_batch_is_one_receipt_of_many_deliveries(integration: Integration) -> None:
    body = b'[{"id":"1","order":"A"}, {"id":"2"},\n {"id":"3","order":"B"}]'
    lines = b'{"id":"4","order":"A"}\r\n\nnot json\n{"id":"5","order":"B"}'
    one, two = keep(integration, body, lines, door="batch")
    done = process(LATER)
    assert done.events == 4
    assert sorted(Event.objects.values_list("position", flat=True)) == [
        "item 1, row 1",
        "item 3, row 1",
        "line 1, row 1",
        "line 4, row 1",
    ]
    assert DeadLetter.objects.get(receipt_id=one).position == "item 2, row 1"
    assert DeadLetter.objects.get(receipt_id=two).position == "line 3"


@pytest.mark.parametrize(
    ("body", "code", "events"),
    [
        (b"", "batch.empty", 0),
        (b"\xff", "batch.encoding", 0),
        (json.dumps([{"id": str(n), "order": "A"} for n in range(101)]).encode(), "batch.too_many_items", 0),
        (b'[{"id":"1","order":"A"}, {"id":"2", "or', "batch.broken", 1),
        (b'[{"id":"1","order":"A"} {"id":"2","order":"A"}]', "batch.broken", 1),
        (b'[{"id":"1","order":"A"}] trailing', "batch.trailing", 1),
        (b'[{"id":"1","order":"A"}, ' + b"[" * 100_000, "batch.broken", 1),
        (b'[{"id":"1","order":"A"}, ' + b"9" * 5_000 + b"]", "collector.crashed", 1),
    ],
    ids=["empty", "encoding", "too many", "cut", "no comma", "trailing", "deep", "long number"],
)
def test_broken_batches(integration: Integration, body: bytes, code: str, events: int) -> None:
    [receipt_id] = keep(integration, body, door="batch")
    process(LATER)
    assert codes(receipt_id) == [code]
    assert Event.objects.count() == events


# --- sources


def test_freshness_only_moves_forward(integration: Integration) -> None:
    keep(integration, {"id": "1", "order": "A", "at": "2026-03-02T06:00:00+00:00"})
    process(LATER)
    keep(integration, {"id": "2", "order": "A", "at": "2026-03-01T06:00:00Z"}, received_at=NOW - timedelta(hours=1))
    keep(integration, {"id": "3", "order": "A", "at": "2036-03-01T06:00:00Z"}, received_at=NOW - timedelta(hours=1))
    process(LATER)
    heard = SourceState.objects.get()
    assert (heard.last_received_at, heard.last_happened_at) == (NOW, NOW - timedelta(hours=2))


def test_unreadable_bytes_are_heard_all_the_same_and_history_is_not(integration: Integration) -> None:
    keep(integration, {"id": "1", "order": "A"}, backfill=True)
    process(LATER)
    assert not SourceState.objects.exists()
    assert Event.objects.get().backfill
    keep(integration, b"{")
    process(LATER)
    heard = SourceState.objects.get()
    assert (heard.last_received_at, heard.last_happened_at) == (NOW, None)


def test_feeds_count_each_event_once(integration: Integration) -> None:
    keep(integration, {"id": "1", "order": "A"}, {"id": "1", "order": "A"}, {"id": "2", "order": "A"})
    process(LATER)
    assert FeedCount.objects.get().n == 2


# --- failures below


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """The pipeline fails for batches that hold order BAD, with the exception in the list."""
    errors: list[Exception] = []
    real = pipeline.take

    def take(incoming: Sequence[IncomingEvent], now: datetime) -> pipeline.Taken:
        taken = real(incoming, now)
        if errors and any(one.event.references[0].value == "BAD" for one in incoming):
            raise errors[0]
        return taken

    monkeypatch.setattr(processing.pipeline, "take", take)
    return errors


def test_the_one_the_database_refuses_is_found_and_the_others_pass(
    integration: Integration, refusing: list[Exception]
) -> None:
    refusing.append(DataError("no"))
    ids = keep(integration, *({"id": str(n), "order": "BAD" if n == 5 else "A"} for n in range(16)))
    done = process(LATER)
    assert (done.receipts, done.events, done.dead) == (16, 15, 1)
    assert codes(ids[5]) == ["storage.refused"]
    assert state(ids[5]).status == "dead"
    assert Event.objects.count() == 15


def test_a_real_refusal_of_the_database(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pipeline.take

    def take(incoming: Sequence[IncomingEvent], now: datetime) -> pipeline.Taken:
        with connection.cursor() as cursor:
            for one in incoming:
                cursor.execute("SELECT %s::int", [one.event.references[0].value])
        return real(incoming, now)

    monkeypatch.setattr(processing.pipeline, "take", take)
    ids = keep(integration, {"id": "1", "order": "1"}, {"id": "2", "order": "no number"}, {"id": "3", "order": "3"})
    assert process(LATER).events == 2
    assert [state(one).status for one in ids] == ["done", "dead", "done"]


def test_a_defect_of_ours_is_tried_again_and_then_shown(integration: Integration, refusing: list[Exception]) -> None:
    refusing.append(KeyError("a defect"))
    bad, good = keep(integration, {"id": "1", "order": "BAD"}, {"id": "2", "order": "A"})
    now = LATER
    done = process(now)
    assert (done.receipts, done.deferred) == (1, 1)
    assert state(good).status == "done"
    assert state(bad).next_at == now + timedelta(seconds=5)
    assert not process(now + timedelta(seconds=4)).moved
    for _ in range(20):
        now += timedelta(hours=2)
        process(now)
    assert codes(bad) == ["processing.failed"]
    assert state(bad).attempts == processing.MOST_FAILURES


def test_an_outage_defers_and_never_condemns(integration: Integration, refusing: list[Exception]) -> None:
    refusing.append(OperationalError("deadlock detected"))
    bad, good = keep(integration, {"id": "1", "order": "BAD"}, {"id": "2", "order": "A"})
    now = LATER
    for _ in range(30):
        assert process(now).deferred == 2
        now += timedelta(hours=2)
    refusing.clear()
    assert process(now).events == 2
    assert [state(one).status for one in (bad, good)] == ["done", "done"]
    assert not DeadLetter.objects.exists()


# --- deaths


class Killed(BaseException):
    """Stands for kill -9: nothing of ours may run after it except the end of the transaction."""


def test_a_worker_that_dies_leaves_nothing_half_done(integration: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = keep(integration, *({"id": str(n), "order": f"A{n}"} for n in range(5)))
    real = processing.outcomes.record

    def die(*args: Any) -> None:
        real(*args)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(processing.outcomes, "record", die)
        with pytest.raises(Killed):
            process(LATER)
    assert not Event.objects.exists()
    assert not process(LATER).moved, "leased for a moment"
    after = LATER + worklist.LEASE
    done = process(after)
    assert (done.receipts, done.events) == (5, 5)
    assert {state(one).losses for one in ids} == {0}


def test_a_receipt_that_kills_workers_is_set_aside_and_blocks_nobody(
    integration: Integration, probe_kind: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    good_before, killer, good_after = keep(
        integration, {"id": "1", "order": "A"}, {"id": "kill", "order": "K"}, {"id": "2", "order": "B"}
    )
    real = Probe.parse

    def parse(self: Probe, delivery: Any, source: Any) -> Any:
        if b"kill" in delivery.body:
            raise Killed
        return real(self, delivery, source)

    monkeypatch.setattr(Probe, "parse", parse)
    now, deaths = LATER, 0
    for _ in range(20):
        try:
            process(now)
        except Killed:
            deaths += 1
        now += worklist.LEASE
    assert deaths == 1 + processing.MOST_LOSSES
    assert [state(one).status for one in (good_before, killer, good_after)] == ["done", "dead", "done"]
    assert codes(killer) == ["processing.killed"]


# --- many and large


def test_what_does_not_fit_in_one_transaction_waits_for_the_next(
    integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = keep(integration, *({"id": str(n), "order": "A", "data": {"pad": "x" * 1000}} for n in range(10)))
    monkeypatch.setattr(processing, "MOST_BYTES", 3_500)
    assert process(LATER).receipts == 3
    assert [state(one).attempts for one in ids] == [1] * 3 + [0] * 7
    monkeypatch.setattr(processing, "MOST_BYTES", 10**9)
    monkeypatch.setattr(processing, "MOST_EVENTS", 2)
    assert process(LATER).receipts == 2
    monkeypatch.setattr(processing, "MOST_EVENTS", 10**9)
    assert process(LATER).receipts == 5


def test_queries_do_not_grow_with_the_batch(integration: Integration, django_assert_max_num_queries: Any) -> None:
    load_definitions()
    keep(integration, *({"id": str(n), "order": f"A{n}"} for n in range(50)))
    with django_assert_max_num_queries(25):
        assert process(LATER).events == 50


def test_bytes_do_not_change(integration: Integration) -> None:
    body = b' { "order" : "A", "order":"B", "data": {"n": 1e2} } '
    [receipt_id] = keep(integration, body)
    process(LATER)
    assert bytes(Receipt.objects.get(pk=receipt_id).body) == body


@pytest.mark.django_db(transaction=True)
def test_two_workers_share_the_list(integration: Integration) -> None:
    ids = keep(integration, *({"id": str(n), "order": f"A{n}"} for n in range(10)))
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE controltower_app")
        held = worklist.claim(LATER, 4)
        assert [claim.receipt_id for claim in held] == ids[:4]
    done = process(LATER)
    assert done.receipts == 6, "leased rows are not taken"


def test_the_next_claim_holds_what_one_transaction_takes() -> None:
    """A worker that claims more than it can settle at once keeps the others idle until it is through."""
    assert processing.Processed().fitting == processing.BATCH
    assert processing.Processed(receipts=50, events=50).fitting == processing.BATCH
    assert processing.Processed(receipts=50, events=4_000, duplicates=1_000).fitting == 50
    assert processing.Processed(receipts=1, events=10_000).fitting == 1
