"""Sweeps and pipelines at the same time: nothing doubled, nothing lost, nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from apps.incidents.models import Finding, Incident
from apps.sla import sweep, tally
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, ExpectationTally
from tests.sla.builders import HOUR, T0, World, reached

pytestmark = pytest.mark.django_db(transaction=True)
DUE = T0 + 4 * HOUR


def at_once(*jobs: Callable[[], Any]) -> None:
    """Runs jobs in threads that start together; raises what any of them raised."""
    barrier = threading.Barrier(len(jobs))
    errors: list[BaseException] = []

    def run(job: Callable[[], Any]) -> None:
        try:
            barrier.wait(10)
            job()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def test_two_sweeps_tell_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "CLAIM", 20)
    world = World(stale_after=HOUR)
    world.rule({"due": {"after": {"milestone": "sent", "duration": "PT4H"}}}, milestone="received")
    world.heard(T0)
    refresh([world.flow(f"PO-{n}", reached("sent", T0)) for n in range(200)], T0)
    at_once(*[lambda: sweep.run(DUE + HOUR)] * 3)
    sweep.run(DUE + HOUR)
    assert Expectation.objects.filter(state="BREACHED").count() == 200
    assert Finding.objects.filter(kind="sla.breach").count() == 200
    assert Finding.objects.filter(kind="source.stale").count() == 1
    assert Incident.objects.count() == 2
    assert Expectation.objects.filter(finding=None).count() == 0


def test_what_comes_while_it_is_judged_ends_well() -> None:
    """Events and the sweep race for the same rows: in the end nothing is late and no finding is left open."""
    world = World()
    world.rule()
    labels = [f"PO-{n:03d}" for n in range(120)]
    refresh([world.flow(label, reached("sent", T0)) for label in labels], T0)
    came = [world.flow(label, reached("sent", T0), reached("asn", DUE)) for label in labels]

    def pipeline(part: int) -> None:
        for n in range(part, len(came), 3):
            with transaction.atomic():
                refresh(came[n : n + 10][:: -1 if part else 1], DUE + HOUR)

    at_once(
        lambda: pipeline(0),
        lambda: pipeline(1),
        lambda: pipeline(2),
        lambda: [sweep.run(DUE + HOUR) for _ in range(3)],
    )
    assert set(Expectation.objects.values_list("state", flat=True)) == {"MET"}
    assert Finding.objects.filter(cleared_at=None).count() == 0
    assert not Incident.objects.exclude(state="resolved").exists()
    tally.compact()
    assert not ExpectationTally.objects.exists()


def test_compaction_beside_writers_loses_no_count() -> None:
    world = World()
    world.rule()
    states = [world.flow(f"PO-{n}", reached("sent", T0)) for n in range(60)]

    def write(part: int) -> None:
        for state in states[part::2]:
            refresh([state], T0)

    at_once(lambda: write(0), lambda: write(1), lambda: [tally.compact() for _ in range(30)])
    assert sum(ExpectationTally.objects.values_list("n", flat=True)) == 60
