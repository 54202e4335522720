"""Replay: after a mend, the same bytes once more; nothing doubles; a dry run writes nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.accounts.models import AuditEntry, User
from apps.collectors import deadletters, replay_runs
from apps.collectors.models import DeadLetter, ReceiptState, ReplayRun
from apps.collectors.processing import process
from apps.collectors.replay import receipts_of, replay
from apps.flows.models import Event, EventKey
from apps.integrations.models import Integration
from tests.collectors.conftest import NOW, Probe
from tests.collectors.test_processing import LATER, codes, keep, state

pytestmark = pytest.mark.django_db
REPLAY = NOW + timedelta(minutes=5)


@pytest.fixture
def actor() -> User:
    return User.objects.create(username="ops", first_name="Olga", last_name="Ops")


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it: from then on the parser takes ``po`` for ``order``."""
    real = Probe.parse

    def parse(self: Probe, delivery: Any, source: Any) -> Any:
        return real(self, type(delivery)(delivery.body.replace(b'"po"', b'"order"'), "", {}, NOW), source)

    return lambda: monkeypatch.setattr(Probe, "parse", parse)


def tables() -> list[int]:
    with connection.cursor() as cursor:
        counts = []
        for table in ("flows_event", "flows_eventkey", "flows_flow", "collectors_deadletter", "accounts_auditentry"):
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts.append(cursor.fetchone()[0])
    return counts


def test_replay_after_a_mend(integration: Integration, actor: User, mended: Any) -> None:
    [receipt_id] = keep(integration, [{"id": "1", "po": "A"}, {"id": "2", "order": "B"}])
    process(LATER)
    assert (state(receipt_id).events, codes(receipt_id)) == (1, ["probe.no_order"])
    mended()
    done = replay([receipt_id], actor, REPLAY)
    assert done.receipts == (receipt_id,)
    assert (state(receipt_id).status, state(receipt_id).attempts) == ("waiting", 0)
    letter = DeadLetter.objects.get()
    assert (letter.state, letter.resolved_at, letter.resolved_by) == ("replayed", REPLAY, actor)
    process(REPLAY)
    row = state(receipt_id)
    assert (row.status, row.events, row.duplicates, row.issues) == ("done", 2, 0, 0)
    assert Event.objects.count() == EventKey.objects.count() == 2
    audit = AuditEntry.objects.get(action="receipts.replayed")
    assert (audit.actor_name, audit.after) == ("Olga Ops", {"receipts": [receipt_id]})


def test_what_is_still_bad_is_a_new_dead_letter(integration: Integration) -> None:
    [receipt_id] = keep(integration, b"{")
    process(LATER)
    replay([receipt_id], None, REPLAY)
    process(REPLAY)
    assert list(DeadLetter.objects.order_by("id").values_list("state", flat=True)) == ["replayed", "open"]


def test_replaying_everything_again_and_again_doubles_nothing(integration: Integration) -> None:
    ids = keep(integration, *({"id": str(n % 4), "order": "A"} for n in range(6)))
    process(LATER)
    before = [(state(one).events, state(one).duplicates) for one in ids]
    for _ in range(3):
        replay(ids, None, REPLAY)
        process(REPLAY)
    assert [(state(one).events, state(one).duplicates) for one in ids] == before
    assert Event.objects.count() == 4


def test_what_waits_or_is_missing_is_left_alone(integration: Integration) -> None:
    [receipt_id] = keep(integration, {"id": "1", "order": "A"})
    assert replay([receipt_id, 10**15], None, REPLAY).receipts == ()
    assert not AuditEntry.objects.filter(action="receipts.replayed").exists()


def test_a_dry_run_says_what_would_come_and_writes_nothing(integration: Integration, actor: User, mended: Any) -> None:
    ids = keep(integration, {"id": "1", "po": "A"}, b"{", {"id": "1", "order": "A"}, [{"id": "2", "po": "B"}])
    process(LATER)
    mended()
    before, rows = tables(), list(ReceiptState.objects.order_by("receipt_id").values())
    done = replay(ids, actor, REPLAY, dry_run=True)
    assert (done.receipts, done.dry_run, done.events, done.duplicates) == (tuple(ids), True, 1, 1)
    assert (done.failing, done.codes) == ((ids[1],), {"collector.crashed": 1})
    assert tables() == before
    assert list(ReceiptState.objects.order_by("receipt_id").values()) == rows


def test_search_and_dismiss(integration: Integration, actor: User) -> None:
    one, two = keep(integration, [{"id": "1", "note": "needle"}], b"{")
    process(LATER)
    assert [letter.receipt_id for letter in deadletters.search("NEEDLE")] == [one]
    assert [letter.receipt_id for letter in deadletters.search(str(two))] == [two]
    assert [letter.receipt_id for letter in deadletters.search(code="collector.crashed")] == [two]
    assert not deadletters.search("needle", integration="other")
    assert deadletters.search("\0\0").count() == 2
    assert deadletters.search("9" * 400).count() == 0
    letters = list(deadletters.search())
    assert receipts_of(letters) == [one, two]
    assert deadletters.dismiss([letter.pk for letter in letters], actor, REPLAY) == 2
    assert deadletters.dismiss([letter.pk for letter in letters], actor, REPLAY) == 0
    assert not deadletters.search()
    assert AuditEntry.objects.filter(action="dead_letters.dismissed").count() == 1


def test_the_command(integration: Integration, mended: Any) -> None:
    [receipt_id] = keep(integration, {"id": "1", "po": "A"})
    process(LATER)
    mended()
    out = StringIO()
    call_command("replay", integration="acme-feed", dry_run=True, json=True, stdout=out)
    assert json.loads(out.getvalue())["events"] == 1
    out = StringIO()
    call_command("replay", receipt_id, stdout=out)
    assert "1 receipts replayed" in out.getvalue()
    assert state(receipt_id).events == 1
    with pytest.raises(CommandError, match="Name receipts"):
        call_command("replay")


def test_the_command_asks_a_second_person_above_the_threshold(
    integration: Integration, mended: Any, actor: User, settings: Any
) -> None:
    settings.REPLAY_APPROVAL_ABOVE = 1
    ids = keep(integration, {"id": "1", "po": "A"}, {"id": "2", "po": "B"})
    process(LATER)
    mended()
    out = StringIO()
    call_command("replay", *ids, reason="The mapping was mended", stdout=out)
    run = ReplayRun.objects.get()
    assert (run.state, run.asked_by, run.reason) == ("asked", None, "The mapping was mended")
    assert f"/replays/{run.pk}/" in out.getvalue()
    assert "Nothing was replayed yet" in out.getvalue()
    assert [state(receipt_id).events for receipt_id in ids] == [0, 0]
    replay_runs.approve(run.pk, actor, REPLAY)
    while replay_runs.advance(REPLAY, only=run.pk):
        continue
    assert [state(receipt_id).events for receipt_id in ids] == [1, 1]
    out = StringIO()
    call_command("replay", *ids, dry_run=True, stdout=out)
    assert "2 receipts would give" in out.getvalue(), "a dry run needs nobody"
