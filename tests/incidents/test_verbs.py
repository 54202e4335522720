"""What people do to incidents, and what they are told when it is not possible any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import ApiClient, Role, User
from apps.incidents import workflow
from apps.incidents.models import Incident, IncidentEvent
from apps.incidents.transitions import NEEDED_WHILE, PAGE_KINDS, TABLE, Verb, possible
from apps.incidents.workflow import NotPossible, raise_findings
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, person, team

pytestmark = pytest.mark.django_db


@pytest.fixture
def incident() -> Incident:
    raise_findings([draft(1)], NOW)
    return Incident.objects.get()


@pytest.fixture
def mara() -> User:
    return person("mara", last_name="Lind")


def last(incident: Incident) -> IncidentEvent:
    row = incident.timeline.order_by("id").last()
    assert row is not None
    return row


def test_acknowledge_takes_it_and_says_when_back(incident: Incident, mara: User) -> None:
    workflow.acknowledge(incident.pk, mara, NOW + MINUTE, back_at=NOW + HOUR, text=" on it ")
    incident.refresh_from_db()
    assert (incident.state, incident.acknowledged_by, incident.acknowledged_at, incident.back_at) == (
        "acknowledged",
        mara,
        NOW + MINUTE,
        NOW + HOUR,
    )
    row = last(incident)
    assert (row.kind, row.actor, row.actor_name, row.at, row.text, row.notify) == (
        "acknowledged",
        mara,
        "Mara Lind",
        NOW + MINUTE,
        "on it",
        True,
    )


def test_who_comes_second_is_told_who_was_first(incident: Incident, mara: User) -> None:
    workflow.acknowledge(incident.pk, mara, NOW + MINUTE)
    rows = IncidentEvent.objects.count()
    with pytest.raises(NotPossible, match=r"^Mara Lind already acknowledged this incident at 09:01 UTC\.$"):
        workflow.acknowledge(incident.pk, person("jon"), NOW + HOUR)
    with pytest.raises(NotPossible, match=r"^You already acknowledged"):
        workflow.acknowledge(incident.pk, mara, NOW + HOUR)
    with pytest.raises(NotPossible, match="at 2026-03-02 09:01 UTC"):
        workflow.acknowledge(incident.pk, person("kim"), NOW + 24 * HOUR)
    assert IncidentEvent.objects.count() == rows


def test_refusals_in_words(incident: Incident, mara: User) -> None:
    with pytest.raises(NotPossible, match="Nobody has acknowledged"):
        workflow.unacknowledge(incident.pk, mara, NOW)
    with pytest.raises(NotPossible, match="already open"):
        workflow.reopen(incident.pk, mara, NOW)
    workflow.clear_findings([draft(1).key], "came", NOW + MINUTE)
    with pytest.raises(NotPossible, match=r"This incident resolved by itself at 09:01 UTC\."):
        workflow.resolve(incident.pk, mara, NOW + HOUR, "fixed")
    with pytest.raises(Incident.DoesNotExist):
        workflow.acknowledge(incident.pk + 1, mara, NOW)


def test_unacknowledge_gives_it_back_and_calls_again(incident: Incident, mara: User) -> None:
    workflow.acknowledge(incident.pk, mara, NOW, back_at=NOW + HOUR)
    workflow.unacknowledge(incident.pk, mara, NOW + MINUTE)
    incident.refresh_from_db()
    assert (incident.state, incident.acknowledged_by, incident.back_at) == ("open", None, None)
    assert last(incident).notify


def test_assign_to_person_and_team(incident: Incident, mara: User) -> None:
    crew = team("returns")
    jon = person("jon")
    workflow.assign(incident.pk, mara, NOW, assignee=jon, team=crew)
    incident.refresh_from_db()
    assert (incident.assignee, incident.team, incident.state) == (jon, crew, "open")
    assert last(incident).data["to"] == "Jon and Returns"
    workflow.assign(incident.pk, mara, NOW)
    incident.refresh_from_db()
    assert (incident.assignee, incident.team) == (None, crew)


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": Role.PARTNER}])
def test_only_active_staff_can_be_assigned(incident: Incident, mara: User, change: dict[str, object]) -> None:
    with pytest.raises(NotPossible, match="cannot be assigned"):
        workflow.assign(incident.pk, mara, NOW, assignee=person("gone", **change))


def test_partners_cannot_work_incidents(incident: Incident) -> None:
    with pytest.raises(NotPossible, match="Partners cannot"):
        workflow.acknowledge(incident.pk, person("outside", role=Role.PARTNER), NOW)


def test_comment_needs_words(incident: Incident, mara: User) -> None:
    workflow.comment(incident.pk, mara, NOW, "Called the carrier: belt is down")
    assert (last(incident).kind, last(incident).text) == ("commented", "Called the carrier: belt is down")
    with pytest.raises(NotPossible, match="empty"):
        workflow.comment(incident.pk, mara, NOW, "  ")


def test_resolve_needs_a_reason_of_the_list(incident: Incident, mara: User) -> None:
    for wrong in ("", "done", "by itself"):
        with pytest.raises(NotPossible, match="Say how it was resolved: fixed, partner"):
            workflow.resolve(incident.pk, mara, NOW, wrong)
    workflow.resolve(incident.pk, mara, NOW, "partner", "They restarted the belt")
    incident.refresh_from_db()
    assert (incident.state, incident.resolution, incident.resolved_at) == ("resolved", "partner", NOW)


@pytest.mark.parametrize(
    "verb",
    [
        lambda pk, who, at: workflow.snooze(pk, who, NOW, until=at),
        lambda pk, who, at: workflow.acknowledge(pk, who, NOW, back_at=at),
    ],
)
def test_times_must_lie_ahead(
    incident: Incident, mara: User, verb: Callable[[int, User, datetime], IncidentEvent]
) -> None:
    with pytest.raises(NotPossible, match="has already passed"):
        verb(incident.pk, mara, NOW)


def test_a_snooze_ends_by_itself_once(incident: Incident, mara: User) -> None:
    workflow.acknowledge(incident.pk, mara, NOW)
    workflow.snooze(incident.pk, mara, NOW, until=NOW + HOUR)
    assert workflow.wake(NOW + HOUR - MINUTE) == 0
    assert workflow.wake(NOW + HOUR) == 1
    assert workflow.wake(NOW + HOUR) == 0
    incident.refresh_from_db()
    assert (incident.state, incident.back_at, incident.acknowledged_by) == ("open", None, None)
    assert (last(incident).kind, last(incident).notify, last(incident).actor_name) == ("woken", True, "")


def test_reopen_starts_over(incident: Incident, mara: User) -> None:
    workflow.resolve(incident.pk, mara, NOW, "fixed")
    workflow.reopen(incident.pk, mara, NOW + 100 * HOUR, "It is not")
    incident.refresh_from_db()
    assert (incident.state, incident.reopened, incident.resolution, incident.resolved_at) == ("open", 1, "", None)


def test_reopen_gives_way_to_a_newer_incident_of_the_cause(incident: Incident, mara: User) -> None:
    workflow.resolve(incident.pk, mara, NOW, "fixed")
    raise_findings([draft(2)], NOW + 5 * HOUR)
    other = Incident.objects.unresolved().get()
    with pytest.raises(NotPossible, match=f"Incident #{other.pk} of the same cause is already open"):
        workflow.reopen(incident.pk, mara, NOW + 6 * HOUR)


def test_a_machine_acts_under_its_own_name(incident: Incident) -> None:
    robot = ApiClient.objects.create(name="Pager bridge", token_hash="0" * 64, token_hint="0000")
    workflow.acknowledge(incident.pk, robot, NOW)
    incident.refresh_from_db()
    assert (incident.state, incident.acknowledged_by, last(incident).actor_name) == (
        "acknowledged",
        None,
        "Pager bridge",
    )
    with pytest.raises(NotPossible, match="Pager bridge already acknowledged"):
        workflow.acknowledge(incident.pk, person("mara"), NOW)


def test_a_verb_is_a_few_statements(incident: Incident, mara: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        workflow.acknowledge(incident.pk, mara, NOW)
    assert len(queries) <= 4  # savepoint, swap, timeline row, release


def test_the_timeline_row_and_the_change_stand_or_fall_together(
    incident: Incident, mara: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(IncidentEvent, "save", broken)
    with pytest.raises(RuntimeError):
        workflow.acknowledge(incident.pk, mara, NOW)
    incident.refresh_from_db()
    assert incident.state == "open"


def test_the_table_is_whole() -> None:
    """Every kind of timeline row has its verb, and every message knows when it is no longer needed."""
    written = {step.kind for step in TABLE.values()}
    assert set(IncidentEvent.Kind) - written == {IncidentEvent.Kind.NOTIFIED}
    for verb, step in TABLE.items():
        assert step.moves or verb is Verb.OPEN
        assert bool(step.needed_while) == step.notify
    same_kind = {(step.kind, step.needed_while) for step in TABLE.values() if step.notify}
    assert len(same_kind) == len(NEEDED_WHILE), "verbs that write the same kind of row need the message equally long"
    assert set(NEEDED_WHILE) >= PAGE_KINDS


def test_buttons_by_state() -> None:
    always = [Verb.RELATE, Verb.UNRELATE, Verb.LABEL, Verb.ASK]
    live = [Verb.RATE, Verb.ESCALATE_NOW, *always, Verb.MERGE, Verb.SPLIT]
    work = [Verb.ASSIGN, Verb.COMMENT, Verb.SNOOZE, Verb.RESOLVE, *live]
    assert possible("open") == [Verb.ACKNOWLEDGE, *work]
    assert possible("acknowledged") == [Verb.UNACKNOWLEDGE, *work]
    assert possible("snoozed") == [Verb.ACKNOWLEDGE, *(verb for verb in work if verb is not Verb.SNOOZE)]
    assert possible("resolved") == [Verb.COMMENT, Verb.REOPEN, *always, Verb.UNMERGE, Verb.SPLIT]
