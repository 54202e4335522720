"""Merging, taking a merge back and splitting: findings move, what a cause brings later follows, numbers stay true."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from apps.incidents import workflow
from apps.incidents.merging import merge, split, unmerge
from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.incidents.workflow import NotPossible, clear_findings, raise_findings
from tests.incidents.builders import HOUR, MINUTE, NOW, at_once, consistent, draft, person, uid

pytestmark = pytest.mark.django_db


def incident(cause: str, *keys: object, **changes: object) -> Incident:
    raise_findings([draft(key, cause, **changes) for key in keys or (cause,)], NOW)
    return Incident.objects.get(fingerprint=uid("cause", cause))


def test_merged_findings_move_and_the_cause_follows() -> None:
    mara, a, b = person("mara"), incident("a", 1, 2), incident("b", 3, severity="critical")
    merge([b.pk], a.pk, mara, NOW + MINUTE)
    a.refresh_from_db()
    b.refresh_from_db()
    assert (a.state, a.severity, a.open_findings, a.total_findings) == ("open", "critical", 3, 3)
    assert (b.state, b.resolution, b.merged_into, b.open_findings) == ("resolved", "merged", a, 0)
    assert [row.kind for row in a.timeline.all()] == ["opened", "absorbed", "severity"]
    raise_findings([draft(4, "b"), draft(5, "a")], NOW + HOUR)
    a.refresh_from_db()
    assert (a.open_findings, Incident.objects.unresolved().count()) == (5, 1), "both causes go to one incident"
    assert a.timeline.filter(kind="joined").count() == 1, "one line for both causes"
    consistent()


def test_a_cause_merged_into_what_ended_reopens_that_or_starts_anew() -> None:
    mara, a, b = person("mara"), incident("a", 1), incident("b", 2)
    merge([b.pk], a.pk, mara, NOW)
    clear_findings([uid("key", 1), uid("key", 2)], "came", NOW + MINUTE)
    raise_findings([draft(3, "b")], NOW + HOUR)
    a.refresh_from_db()
    assert (a.state, a.reopened, a.open_findings) == ("open", 1, 1)
    clear_findings([uid("key", 3)], "came", NOW + HOUR)
    raise_findings([draft(4, "b")], NOW + 30 * HOUR)
    fresh = Incident.objects.unresolved().get()
    assert fresh.pk not in (a.pk, b.pk)
    assert fresh.fingerprint == uid("cause", "b")
    consistent()


def test_a_chain_of_merges_and_back() -> None:
    mara = person("mara")
    a, b, c = incident("a", 1), incident("b", 2), incident("c", 3)
    merge([a.pk], b.pk, mara, NOW)
    merge([b.pk], c.pk, mara, NOW)
    raise_findings([draft(4, "a")], NOW + MINUTE)
    c.refresh_from_db()
    assert c.open_findings == 4
    unmerge(b.pk, mara, NOW + MINUTE)
    numbers = dict(Incident.objects.values_list("pk", "open_findings"))
    assert numbers == {a.pk: 0, b.pk: 3, c.pk: 1}, "what was merged into it goes with it"
    b.refresh_from_db()
    assert (b.state, b.acknowledged_by, b.merged_into) == ("acknowledged", mara, None)
    raise_findings([draft(5, "a")], NOW + HOUR)
    b.refresh_from_db()
    assert b.open_findings == 4
    consistent()


def test_a_merge_without_open_findings_is_over_when_taken_back() -> None:
    mara, a, b = person("mara"), incident("a", 1), incident("b", 2)
    merge([b.pk], a.pk, mara, NOW)
    clear_findings([uid("key", 2)], "came", NOW + MINUTE)
    unmerge(b.pk, mara, NOW + HOUR)
    b.refresh_from_db()
    assert (b.state, b.resolution, b.total_findings) == ("resolved", "by itself", 1)
    consistent()


@pytest.mark.parametrize("which", ["itself", "resolved", "missing", "partner"])
def test_what_cannot_be_merged(which: str) -> None:
    mara, a, b = person("mara"), incident("a", 1), incident("b", 2)
    actor, sources = mara, [b.pk]
    if which == "itself":
        sources = [a.pk]
    elif which == "resolved":
        workflow.resolve(b.pk, mara, NOW, "fixed")
    elif which == "missing":
        sources = [999_999]
    else:
        actor = person("acme", role="partner")
    before = IncidentEvent.objects.count()
    with pytest.raises(Incident.DoesNotExist if which == "missing" else NotPossible):
        merge(sources, a.pk, actor, NOW)
    assert IncidentEvent.objects.count() == before
    consistent()


def test_a_merged_incident_points_to_its_target_when_it_is_reopened() -> None:
    mara, a, b = person("mara"), incident("a", 1), incident("b", 2)
    merge([b.pk], a.pk, mara, NOW)
    with pytest.raises(NotPossible, match=f"merged into #{a.pk}"):
        workflow.reopen(b.pk, mara, NOW)
    unmerge(b.pk, mara, NOW)
    with pytest.raises(NotPossible, match="undone already"):
        unmerge(b.pk, mara, NOW)


def test_split_leaves_the_cause_behind() -> None:
    mara, a = person("mara"), incident("a", 1, 2, 3)
    two = list(Finding.objects.filter(incident=a).order_by("key")[:2].values_list("pk", flat=True))
    new = split(a.pk, two, mara, NOW + MINUTE, "Only the customs ones")
    a.refresh_from_db()
    assert (a.open_findings, new.open_findings, new.state, new.acknowledged_by) == (1, 2, "acknowledged", mara)
    assert not IncidentEvent.objects.filter(incident=new, notify=True).exists(), "nobody is called"
    raise_findings([draft(4, "a")], NOW + HOUR)
    a.refresh_from_db()
    assert a.open_findings == 2
    with pytest.raises(NotPossible, match="all its open findings"):
        split(a.pk, list(a.findings.values_list("pk", flat=True)), mara, NOW)
    with pytest.raises(NotPossible, match="None of these"):
        split(a.pk, two, mara, NOW)
    merge([new.pk], a.pk, mara, NOW + HOUR)
    a.refresh_from_db()
    assert a.open_findings == 4
    consistent()


@pytest.mark.django_db(transaction=True)
def test_twenty_people_merge_and_raise_at_once() -> None:
    """One merge wins; what workers raise meanwhile ends in the target or in an incident of its own, and none is lost."""
    a, b = incident("a", "a0"), incident("b", "b0")
    people = [person(f"p{n}") for n in range(10)]
    works = [partial(merge, [b.pk], a.pk, who, NOW + MINUTE) for who in people]
    works += [partial(raise_findings, [draft((n, "late"), "b")], NOW + MINUTE) for n in range(10)]
    results = at_once(works)
    won = [one for one in results[:10] if isinstance(one, IncidentEvent)]
    assert len(won) == 1, results[:10]
    assert all(isinstance(one, NotPossible) for one in results[:10] if one is not won[0])
    assert all(isinstance(one, list) for one in results[10:]), results[10:]
    assert Finding.objects.filter(cleared_at=None).count() == 12
    assert Incident.objects.unresolved().get().open_findings == 12
    consistent()


def test_an_acknowledged_breach_does_not_call_again_in_four_months() -> None:
    """The same promise, broken at the same time, said and unsaid every day: whoever has it is not called again."""
    mara, due = person("mara"), NOW - HOUR
    a = incident("a", 1, due_at=due)
    workflow.acknowledge(a.pk, mara, NOW + MINUTE)
    for day in range(1, 120, 3):
        at = NOW + timedelta(days=day)
        raise_findings([draft(1, "a", due_at=due)], at)
        if day % 2 == 0:
            clear_findings([uid("key", 1)], "The source cannot be heard", at)
            raise_findings([draft(1, "a", due_at=due)], at + HOUR)
        if day % 7 == 0:
            clear_findings([uid("key", 1)], "The source cannot be heard", at + 2 * HOUR)
            raise_findings([draft(1, "a", due_at=due)], at + 12 * HOUR)
    [only] = Incident.objects.all()
    assert (only.state, only.acknowledged_by) == ("acknowledged", mara)
    calls = IncidentEvent.objects.filter(notify=True).exclude(kind__in=["resolved", "acknowledged"])
    assert [row.kind for row in calls] == ["opened"]
    consistent()


@pytest.mark.parametrize("why", ["another due time", "worse", "given back", "never acknowledged", "not a breach"])
def test_what_calls_again(why: str) -> None:
    mara = person("mara")
    due = None if why == "not a breach" else NOW - HOUR
    a = incident("a", 1, due_at=due)
    if why != "never acknowledged":
        workflow.acknowledge(a.pk, mara, NOW + MINUTE)
    if why == "given back":
        workflow.unacknowledge(a.pk, mara, NOW + 2 * MINUTE)
    clear_findings([uid("key", 1)], "came", NOW + HOUR)
    again = {"due_at": due + MINUTE if why == "another due time" and due else due}
    raise_findings([draft(1, "a", **again, severity="critical" if why == "worse" else "normal")], NOW + 2 * HOUR)
    a.refresh_from_db()
    assert a.state == "open"
    assert a.timeline.filter(kind="reopened", notify=True).count() == 1
    consistent()
