"""Many workers and many people at one moment, on real connections."""

from __future__ import annotations

import itertools
import random
from functools import partial

import pytest

from apps.incidents import raising, workflow
from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.incidents.workflow import NotPossible, clear_findings, raise_findings
from tests.incidents.builders import HOUR, MINUTE, NOW, at_once, consistent, draft, person, uid

pytestmark = pytest.mark.django_db(transaction=True)


def test_twenty_people_press_acknowledge_and_one_wins() -> None:
    raise_findings([draft(1)], NOW)
    incident = Incident.objects.get()
    people = [person(f"p{n}") for n in range(20)]
    results = at_once([partial(workflow.acknowledge, incident.pk, who, NOW + MINUTE) for who in people])
    won = [result for result in results if isinstance(result, IncidentEvent)]
    assert len(won) == 1
    refused = [result for result in results if isinstance(result, NotPossible)]
    assert len(refused) == 19
    assert {str(refusal) for refusal in refused} == {
        f"{won[0].actor_name} already acknowledged this incident at 09:01 UTC."
    }
    assert incident.timeline.filter(kind="acknowledged").count() == 1
    incident.refresh_from_db()
    assert incident.acknowledged_by == won[0].actor


@pytest.mark.parametrize("queued", [True, False], ids=["in the queue", "the constraint alone decides"])
def test_workers_raise_the_same_causes_at_once(queued: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the advisory locks the partial unique index still leaves one incident per cause and loses no finding."""
    if not queued:
        monkeypatch.setattr(raising, "queue_for", lambda causes: None)
    workers = 8
    for turn in range(5):
        batches = [[draft((turn, worker, n), cause=(turn, n % 3)) for n in range(30)] for worker in range(workers)]
        results = at_once([partial(raise_findings, batch, NOW) for batch in batches])
        assert [len(result) for result in results] == [30] * workers, results
    assert Incident.objects.count() == 15
    assert Finding.objects.count() == 5 * workers * 30
    assert IncidentEvent.objects.filter(kind="opened").count() == 15
    consistent()


def test_workers_raise_the_same_findings_at_once() -> None:
    batch = [draft(n, cause=n % 3) for n in range(30)]
    results = at_once([partial(raise_findings, batch, NOW)] * 6)
    assert len({finding.pk for result in results for finding in result}) == 30
    assert Finding.objects.count() == 30
    assert IncidentEvent.objects.filter(kind="joined").count() == 0
    consistent()


def test_workers_reopen_the_same_incident_at_once() -> None:
    raise_findings([draft(0)], NOW)
    clear_findings([uid("key", 0)], "came", NOW)
    at_once([partial(raise_findings, [draft(n)], NOW + MINUTE) for n in range(1, 7)])
    incident = Incident.objects.get()
    assert (incident.state, incident.reopened, incident.open_findings) == ("open", 1, 6)
    assert incident.timeline.filter(kind="reopened").count() == 1
    consistent()


def test_raising_clearing_and_people_in_any_order_never_deadlock() -> None:
    """Every worker touches the same dozen causes in its own order; locks are taken in one order, so all get through."""
    luck = random.Random(7)
    causes = range(12)
    raise_findings([draft((cause, 0), cause=cause) for cause in causes], NOW)
    mara = person("mara")
    ids = list(Incident.objects.values_list("pk", flat=True))

    def worker(place: int) -> None:
        for turn in range(12):
            mine = luck.sample(causes, 8)
            raise_findings([draft((cause, place, turn), cause=cause) for cause in mine], NOW + turn * MINUTE)
            luck.shuffle(mine)
            clear_findings([uid("key", (cause, place, turn)) for cause in mine], "came", NOW + turn * MINUTE)

    def presser() -> None:
        for turn, pk in itertools.product(range(6), ids):
            for verb in (
                partial(workflow.acknowledge, pk, mara, NOW),
                partial(workflow.unacknowledge, pk, mara, NOW),
                partial(workflow.resolve, pk, mara, NOW + turn * MINUTE, "fixed"),
                partial(workflow.reopen, pk, mara, NOW),
            ):
                try:
                    verb()
                except NotPossible:
                    continue

    results = at_once([*(partial(worker, place) for place in range(5)), presser])
    assert results == [None] * 6
    consistent()
    assert Incident.objects.count() == 12


def test_a_finding_joins_while_the_last_one_is_cleared() -> None:
    """Either it joins first and the incident goes on, or it comes after and reopens it; never a silent half."""
    for turn in range(25):
        raise_findings([draft((turn, 0), cause=turn)], NOW)
        at_once(
            [
                partial(clear_findings, [uid("key", (turn, 0))], "came", NOW + MINUTE),
                partial(raise_findings, [draft((turn, 1), cause=turn)], NOW + MINUTE),
            ]
        )
    assert set(Incident.objects.values_list("state", "open_findings")) == {("open", 1)}
    consistent()


def test_wakers_do_not_wake_twice() -> None:
    mara = person("mara")
    raise_findings([draft(n, cause=n) for n in range(10)], NOW)
    for pk in Incident.objects.values_list("pk", flat=True):
        workflow.snooze(pk, mara, NOW, NOW + HOUR)
    assert sum(at_once([partial(workflow.wake, NOW + HOUR)] * 4)) == 10
    assert IncidentEvent.objects.filter(kind="woken").count() == 10
