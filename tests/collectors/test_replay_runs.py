"""Replays of many: what each would do, who may, progress, what they reached; everything twice changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings

from apps.accounts.models import AuditEntry, User
from apps.collectors import processing, replay_runs, replay_verdicts
from apps.collectors.models import DeadLetter, ReceiptState, ReplayItem, ReplayRun
from apps.collectors.replay_runs import NotAllowed
from apps.collectors.tasks import replay_runs as task
from apps.flows.models import Event, EventKey, Milestone
from apps.flows.rebuilding import digest
from apps.integrations.models import Integration, Mapping
from tests.dashboard.network import HOUR, NOW, definitions, integration, person, told

pytestmark = pytest.mark.django_db
LATER = NOW + HOUR


def said(step: str, order: str, at: Any, number: str) -> dict[str, Any]:
    return {"step": step, "order": order, "at": at.isoformat(), "id": number}


def mapping(**codes: str) -> dict[str, Any]:
    reads = {"type": {"path": "$.step", "values": codes}, "happened_at": "$.at", "id": "$.id"}
    return {"events": [{**reads, "references": [{"kind": "sales_order", "path": "$.order"}]}]}


def reads_by(source: Integration, **codes: str) -> None:
    source.mapping = Mapping.objects.create(slug="m", version=Mapping.objects.count() + 1, spec=mapping(**codes))
    source.save()


@pytest.fixture
def source() -> Integration:
    definitions()
    found = integration()
    reads_by(found, NEW="order.placed")
    return found


@pytest.fixture
def olga() -> User:
    return person("operations")


@pytest.fixture
def omar() -> User:
    return person("on_call")


def run_of(ids: list[int], actor: User) -> ReplayRun:
    """A run, tried to its end."""
    run = replay_runs.ask(ids, "all of it", actor, LATER)
    while replay_runs.advance(LATER):
        pass
    run.refresh_from_db()
    return run


def finish(run: ReplayRun) -> ReplayRun:
    while replay_runs.advance(LATER):
        pass
    run.refresh_from_db()
    return run


def verdicts(run: ReplayRun) -> dict[int, str]:
    return dict(ReplayItem.objects.filter(run=run).values_list("receipt_id", "verdict"))


def test_each_message_gets_its_verdict_and_nothing_is_written(source: Integration, olga: User) -> None:
    placed, early, late, later_fact, other, broken = told(
        source,
        [
            said("NEW", "SO-1", NOW - 5 * HOUR, "1"),
            said("SHIP", "SO-1", NOW - 3 * HOUR, "2"),
            said("SHIP2", "SO-2", NOW - 1 * HOUR, "3"),
            said("NEW", "SO-1", NOW - 4 * HOUR, "4"),
            said("SHIP", "SO-9", NOW - 3 * HOUR, "5"),
            b"{",
        ],
    )
    reads_by(source, NEW="order.placed", SHIP="shipment.dispatched")
    before = (digest(), Event.objects.count(), DeadLetter.objects.count())
    run = run_of([placed, early, late, later_fact, other, broken, 10**15], olga)
    assert (digest(), Event.objects.count(), DeadLetter.objects.count()) == before
    assert run.state == "tried"
    found = verdicts(run)
    assert found == {
        placed: "applied",
        early: "safe",
        late: "fails",
        later_fact: "applied",
        other: "safe",
        broken: "fails",
        10**15: "gone",
    }
    words = dict(ReplayItem.objects.filter(run=run).values_list("receipt_id", "sentence"))
    assert words[early] == "Reaches “shipped” of SO-1."
    assert words[other] == "1 event will wait for its flow."
    assert run.counts == {"applied": 2, "safe": 2, "fails": 2, "gone": 1}


def test_what_would_say_otherwise_and_what_was_overtaken(source: Integration, olga: User) -> None:
    reads_by(source, NEW="order.placed", SHIP="shipment.dispatched")
    ids = told(
        source,
        [
            said("NEW", "SO-1", NOW - 5 * HOUR, "1"),
            said("SHIP", "SO-1", NOW - 3 * HOUR, "2"),
            said("FIRST", "SO-1", NOW - 4 * HOUR, "3"),
            said("LAST", "SO-1", NOW - 2 * HOUR, "4"),
        ],
    )
    reads_by(
        source, NEW="order.placed", SHIP="shipment.dispatched", FIRST="shipment.dispatched", LAST="shipment.dispatched"
    )
    before = Milestone.objects.get(name="shipped").actual_at
    run = run_of(ids, olga)
    found = verdicts(run)
    assert Milestone.objects.get(name="shipped").actual_at == before
    assert sorted([found[ids[2]], found[ids[3]]]) == ["changes", "superseded"], found
    reads_by(source, NEW="order.placed", SHIP="order.cancelled")
    assert verdicts(run_of(ids[:2], olga))[ids[1]] == "changes", "the same id tells something else"


def test_a_run_does_what_it_said_and_tells_what_it_reached(source: Integration, olga: User) -> None:
    told(source, [said("NEW", f"SO-{n}", NOW - 5 * HOUR, f"n{n}") for n in range(3)])
    ids = told(source, [said("SHIP", f"SO-{n}", NOW - 2 * HOUR, f"s{n}") for n in range(3)])
    reads_by(source, NEW="order.placed", SHIP="shipment.dispatched")
    run = run_of(ids, olga)
    assert run.counts == {"safe": 3}
    with pytest.raises(NotAllowed, match="tried"):
        replay_runs.approve(run.pk, olga, LATER)
    replay_runs.start(run.pk, olga, LATER)
    run = finish(run)
    assert (run.state, run.done, run.events, run.failed) == ("done", 3, 3, 0)
    assert run.closed["names"] == {"shipped": 3}
    assert sorted(row[1:] for row in run.closed["first"]) == [[f"SO-{n}", "shipped"] for n in range(3)]
    assert Milestone.objects.filter(name="shipped", actual_at__isnull=False).count() == 3
    assert set(DeadLetter.objects.values_list("state", flat=True)) == {"replayed"}
    actions = set(AuditEntry.objects.filter(subject=f"replay:{run.pk}").values_list("action", flat=True))
    assert actions == {"replay.asked", "replay.started", "replay.done"}


def test_replaying_everything_twice_changes_nothing(source: Integration, olga: User) -> None:
    bodies = [said("NEW" if n % 3 else "SHIP", f"SO-{n % 7}", NOW - n * HOUR / 4, f"x{n}") for n in range(40)]
    reads_by(source, NEW="order.placed", SHIP="shipment.dispatched")
    ids = told(source, [*bodies, *bodies[:5], b"{", b"[]"])
    first = (digest(), Event.objects.count(), EventKey.objects.count())
    for _ in range(2):
        run = run_of(ids, olga)
        assert set(run.counts) == {"applied", "fails"}
        replay_runs.start(run.pk, olga, LATER)
        assert finish(run).events == 0
        assert (digest(), Event.objects.count(), EventKey.objects.count()) == first


@override_settings(REPLAY_APPROVAL_ABOVE=2)
def test_above_the_threshold_a_second_person_must_agree(source: Integration, olga: User, omar: User) -> None:
    ids = told(source, [said("NEW", f"SO-{n}", NOW, f"{n}") for n in range(3)])
    run = run_of(ids, olga)
    assert replay_runs.start(run.pk, olga, LATER, "the mapping was wrong").state == "asked"
    assert not replay_runs.advance(LATER), "nothing happens before the yes"
    with pytest.raises(NotAllowed, match="somebody other"):
        replay_runs.approve(run.pk, olga, LATER)
    assert replay_runs.approve(run.pk, omar, LATER).state == "running"
    run = finish(run)
    assert (run.state, run.asked_by, run.approved_by, run.reason) == ("done", olga, omar, "the mapping was wrong")
    with pytest.raises(NotAllowed, match="done"):
        replay_runs.cancel(run.pk, olga, LATER)
    small = run_of(ids[:2], olga)
    assert replay_runs.start(small.pk, olga, LATER).state == "running"


def test_a_cancelled_run_stops(source: Integration, olga: User) -> None:
    run = run_of(told(source, [said("NEW", "SO-1", NOW, "1")]), olga)
    replay_runs.cancel(run.pk, olga, LATER)
    with pytest.raises(NotAllowed):
        replay_runs.start(run.pk, olga, LATER)
    assert not replay_runs.advance(LATER)
    assert not ReceiptState.objects.filter(status="waiting").exists()


def test_a_dead_worker_only_delays(source: Integration, olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies in the midst of a step: the lease runs out, the step is done again, and nothing is doubled."""
    ids = told(source, [said("NEW", f"SO-{n}", NOW, f"{n}") for n in range(4)])
    run = run_of(ids, olga)
    replay_runs.start(run.pk, olga, LATER)
    ReplayRun.objects.filter(pk=run.pk).update(lease_until=LATER + timedelta(minutes=1))
    replay_runs.replay.replay(ids, olga, LATER)
    assert not replay_runs.advance(LATER), "another has it"
    assert replay_runs.advance(LATER + timedelta(minutes=2))
    processing.process(LATER)
    run.refresh_from_db()
    assert (run.state, run.done) == ("done", 4)
    assert Event.objects.count() == 4


def test_what_no_try_survives_is_set_apart(source: Integration, olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = told(source, [said("NEW", f"SO-{n}", NOW, f"{n}") for n in range(5)])
    real = replay_verdicts.judge

    def judge(some: Any, now: Any) -> Any:
        if ids[3] in some:
            raise ValueError("a defect")
        return real(some, now)

    monkeypatch.setattr(replay_verdicts, "judge", judge)
    run = run_of(ids, olga)
    assert run.counts == {"applied": 4, "fails": 1}
    assert verdicts(run)[ids[3]] == "fails"


def test_the_task_goes_on_until_nothing_is_left(
    source: Integration, olga: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_runs, "TRY_STEP", 2)
    ids = told(source, [said("NEW", f"SO-{n}", NOW, f"{n}") for n in range(5)])
    run = replay_runs.ask(ids, "five", olga, LATER)
    task()
    run.refresh_from_db()
    assert (run.state, run.tried) == ("tried", 5)
    with pytest.raises(NotAllowed, match="nothing"):
        replay_runs.ask([], "none", olga, LATER)
