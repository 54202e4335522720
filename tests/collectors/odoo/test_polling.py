"""Leases, pace and commits of polling, with a poller that does as it is told."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from apps.collectors import polling
from apps.collectors.contract import COLLECTORS, Collector, Polled, PollFailed, RawDelivery, SourceContext
from apps.collectors.models import OdooRecord, Receipt, ReceiptState
from apps.collectors.odoo.memory import Mark, Memory
from apps.collectors.polling import poll_due, poll_one
from apps.core.secrets import encrypt
from apps.flows.canonical import ParseResult
from apps.incidents.models import Finding
from apps.integrations.models import Credential, Integration, SourceState
from apps.sla.sources import listen
from tests.collectors.odoo.conftest import START, Clock, Tower
from tests.collectors.odoo.test_following import order

MINUTE = timedelta(minutes=1)


class Pretender(Collector):
    """Yields what ``script`` holds: a Polled, or an exception to raise."""

    kind = "pretender"
    label = "Pretender"
    polls = True

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.calls: list[tuple[str, list[str], dict[str, Any]]] = []
        self.closed = 0

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        return ParseResult()

    def poll(
        self, source: SourceContext, secrets: Sequence[str], cursor: Mapping[str, Any], now: Any
    ) -> Iterator[Polled]:
        self.calls.append((source.integration, list(secrets), dict(cursor)))
        try:
            for one in list(self.script):
                if isinstance(one, Exception):
                    raise one
                yield one() if callable(one) else one
        finally:
            self.closed += 1


@pytest.fixture
def pretender(monkeypatch: pytest.MonkeyPatch) -> Pretender:
    found = Pretender()
    monkeypatch.setitem(COLLECTORS.plugins, "pretender", found)
    return found


def integration(slug: str, **values: Any) -> Integration:
    return Integration.objects.create(slug=slug, name=slug, **{"kind": "pretender", **values})


def batch(number: int, **more: Any) -> Polled:
    return Polled(b"batch %d" % number, "text/plain", {"at": number}, **more)


def state(slug: str) -> SourceState:
    return SourceState.objects.get(integration__slug=slug)


@pytest.mark.django_db
def test_batches_become_receipts_with_their_cursor(pretender: Pretender) -> None:
    one = integration("one", settings={"poll_seconds": 30})
    Credential.objects.create(integration=one, ciphertext=encrypt("old"), created_at=START - MINUTE)
    Credential.objects.create(integration=one, ciphertext=encrypt("new"), created_at=START)
    Credential.objects.create(integration=one, ciphertext=encrypt("gone"), created_at=START, expires_at=START)
    pretender.script = [batch(1), batch(2, backfill=True), Polled(b"", "", {"at": 3})]
    (summary,) = poll_due(START)
    assert (summary.slug, summary.batches, summary.receipts, summary.error) == ("one", 3, 2, "")
    assert [(bytes(r.body), r.door, r.received_at) for r in Receipt.objects.order_by("id")] == [
        (b"batch 1", "poll", START),
        (b"batch 2", "poll", START),
    ]
    assert list(ReceiptState.objects.order_by("receipt_id").values_list("backfill", flat=True)) == [False, True]
    found = state("one")
    assert (found.cursor, found.poll_lease_until, found.last_success_at) == ({"at": 3}, None, START)
    assert found.next_poll_at == START + timedelta(seconds=30)
    assert pretender.calls == [("one", ["new", "old"], {})]
    assert poll_due(START + timedelta(seconds=29)) == []
    pretender.script = []
    assert len(poll_due(START + timedelta(seconds=30))) == 1
    assert pretender.calls[-1][2] == {"at": 3}


@pytest.mark.django_db
def test_who_is_polled(pretender: Pretender) -> None:
    integration("live")
    integration("off", enabled=False)
    integration("planned", lifecycle=Integration.Lifecycle.PLANNED)
    integration("retired", lifecycle=Integration.Lifecycle.RETIRED)
    integration("pushed", kind="webhook")
    assert [one.slug for one in poll_due(START)] == ["live"]
    assert poll_one("off", START) is None


@pytest.mark.django_db
def test_a_leased_source_is_left_alone_until_the_lease_ends(pretender: Pretender) -> None:
    one = integration("one")
    SourceState.objects.create(integration=one, poll_lease_until=START + MINUTE)
    assert poll_due(START) == []
    assert poll_one("one", START) is None
    assert [each.slug for each in poll_due(START + MINUTE)] == ["one"]


@pytest.mark.django_db
def test_a_lost_lease_keeps_nothing_more(pretender: Pretender) -> None:
    integration("one")

    def overtaken() -> Polled:
        SourceState.objects.update(poll_lease_until=START + timedelta(hours=1), cursor={"at": 9})
        return batch(2)

    pretender.script = [batch(1), overtaken, batch(3)]
    (summary,) = poll_due(START)
    assert "took this source over" in summary.error
    assert [bytes(one.body) for one in Receipt.objects.all()] == [b"batch 1"]
    found = state("one")
    assert (found.cursor, found.poll_lease_until) == ({"at": 9}, START + timedelta(hours=1))
    assert pretender.closed == 1


@pytest.mark.django_db
def test_failures_keep_what_came_and_slow_down(pretender: Pretender) -> None:
    integration("one")
    pretender.script = [batch(1), PollFailed("The source is away.")]
    poll_due(START)
    found = state("one")
    assert Receipt.objects.count() == 1
    assert (found.cursor, found.failures, found.last_error) == ({"at": 1}, 1, "The source is away.")
    assert (found.stale_since, Finding.objects.count()) == (None, 0), "once is nothing yet"
    assert found.next_poll_at == START + MINUTE
    pretender.script = [PollFailed("The key is refused.", permanent=True)]
    poll_due(START + MINUTE)
    found = state("one")
    assert (found.failures, found.stale_reason) == (2, "The key is refused.")
    assert found.stale_since == START + MINUTE, "nothing was ever processed from it"
    assert Finding.objects.get().kind == "source.stale"
    assert found.next_poll_at == START + MINUTE + polling.LAST_PAUSE
    pretender.script = []
    back = START + timedelta(hours=1)
    poll_due(back)
    found = state("one")
    assert (found.failures, found.last_error, found.last_success_at) == (0, "", back)
    listen(back + MINUTE)
    assert state("one").stale_since is None
    assert Finding.objects.get().cleared_at is not None


@pytest.mark.django_db
def test_a_source_that_fails_three_times_counts_as_unheard_since_its_last_word(pretender: Pretender) -> None:
    integration("one")
    poll_due(START)
    pretender.script = [PollFailed("The source is away.")]
    for minutes in (1, 2, 4):
        assert state("one").stale_since is None
        poll_due(START + minutes * MINUTE)
    assert state("one").stale_since == START
    finding = Finding.objects.get()
    assert (finding.kind, finding.integration.slug) == ("source.stale", "one")
    poll_due(START + timedelta(hours=2))
    assert Finding.objects.count() == 1


@pytest.mark.django_db
def test_a_defect_of_the_collector_is_no_reason_to_stop_the_others(pretender: Pretender) -> None:
    integration("one")
    integration("two")
    pretender.script = [ZeroDivisionError("secret in a message")]
    summaries = poll_due(START)
    assert [one.slug for one in summaries] == ["one", "two"]
    assert all("ZeroDivisionError" in one.error and "secret" not in one.error for one in summaries)


@pytest.mark.django_db
def test_a_long_round_makes_room_and_is_due_again_at_once(pretender: Pretender) -> None:
    integration("one")
    pretender.script = [batch(1), batch(2), batch(3)]
    summary = poll_one("one", START, round_seconds=0)
    assert summary is not None
    assert (summary.receipts, summary.more) == (1, True)
    assert state("one").next_poll_at == START
    assert pretender.closed == 1


@pytest.mark.django_db(transaction=True)
def test_receipt_cursor_and_memory_are_one_commit(pretender: Pretender) -> None:
    """What fails last takes everything with it: no receipt without its cursor, no cursor without its receipt."""
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE controltower_app")
    one = integration("one")
    mark = Mark(1, uuid.UUID(int=1), START, {})

    def remember() -> None:
        Memory(one.pk, START).keep("sale.order", [mark])

    pretender.script = [batch(1, remember=remember)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polling, "store", failing)
        poll_due(START)
    assert (Receipt.objects.count(), OdooRecord.objects.count(), state("one").cursor) == (0, 0, {})
    poll_due(START + timedelta(hours=1))
    assert (Receipt.objects.count(), OdooRecord.objects.count(), state("one").cursor) == (1, 1, {"at": 1})


@pytest.mark.django_db(transaction=True)
def test_a_row_another_worker_is_claiming_is_skipped(pretender: Pretender) -> None:
    one, two = integration("one"), integration("two")
    for each in (one, two):
        SourceState.objects.create(integration=each)
    other = connections.create_connection("default")
    try:
        other.connect()
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM integrations_sourcestate WHERE integration_id = %s FOR UPDATE", [one.pk])
        assert [each.slug for each in poll_due(START)] == ["two"]
    finally:
        other.rollback()
        other.close()
    assert [each.slug for each in poll_due(START)] == ["one"]


@pytest.mark.django_db
def test_collect_reads_and_processes(tower: Tower, store: Any, clock: Clock) -> None:
    order(store)
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("collect", tower.integration.slug, "--once", stdout=out, stderr=err)
    assert left.value.code == 0
    assert "1 receipts" in out.getvalue()
    assert ReceiptState.objects.get().status == ReceiptState.Status.DONE
    store.keys.clear()
    with pytest.raises(SystemExit) as left:
        call_command("collect", tower.integration.slug, "--once", stdout=out, stderr=err)
    assert left.value.code == 1
    assert "refused the key" in err.getvalue()


@pytest.mark.django_db
def test_collect_names_what_it_cannot_do(pretender: Pretender) -> None:
    with pytest.raises(CommandError, match="no integration 'none'"):
        call_command("collect", "none")
    integration("pushed", kind="webhook")
    with pytest.raises(CommandError, match="sends by itself"):
        call_command("collect", "pushed")
    integration("off", enabled=False)
    with pytest.raises(CommandError, match="disabled"):
        call_command("collect", "off")


def failing(receipts: Any) -> list[int]:
    assert transaction.get_connection().in_atomic_block
    raise RuntimeError("the database went away")
