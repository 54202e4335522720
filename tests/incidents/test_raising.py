"""Findings become incidents: one per cause, whatever the number, and end with their last finding."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.incidents.workflow import acknowledge, clear_findings, look_ahead, raise_findings, resolve, snooze
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, flow, integration, partner, person, team, uid

pytestmark = pytest.mark.django_db


def kinds(incident: Incident) -> list[str]:
    return [row.kind for row in incident.timeline.all()]


def test_first_finding_opens_an_incident_that_must_be_told() -> None:
    case = flow("1Z0001")
    source = integration()
    crew = team()
    due = NOW - HOUR
    [finding] = raise_findings(
        [draft(1, flow_id=case.id, integration_id=source.id, team_id=crew.id, severity="high", due_at=due)], NOW
    )
    incident = Incident.objects.get()
    assert finding.incident_id == incident.pk
    assert finding.evidence == {"rule": "scan v2", "at": "2026-03-02T09:00:00Z"}
    assert (incident.state, incident.severity, incident.title) == ("open", "high", "No scans from carrier")
    assert (incident.integration, incident.team) == (source, crew)
    assert (incident.open_findings, incident.total_findings) == (1, 1)
    assert (incident.first_breach_at, incident.next_breach_at) == (due, None)
    [row] = incident.timeline.all()
    assert (row.kind, row.notify, row.actor, row.actor_name, row.at) == ("opened", True, None, "", NOW)


def test_ten_thousand_findings_of_fifty_causes_in_few_statements() -> None:
    drafts = [draft(n, cause=n % 50, severity="high" if n == 7 else "normal") for n in range(10_000)]
    with CaptureQueriesContext(
        connection,
    ) as few:
        raise_findings(drafts[:100], NOW)
    with CaptureQueriesContext(connection) as many:
        findings = raise_findings(drafts, NOW + MINUTE)
    assert len(many) <= len(few) + 1, [query["sql"][:80] for query in many]
    assert Incident.objects.count() == 50
    assert len(findings) == 10_000
    assert [finding.key for finding in findings[:3]] == [draft.key for draft in drafts[:3]]
    assert Finding.objects.filter(cleared_at=None).count() == 10_000
    for incident in Incident.objects.all():
        assert incident.open_findings == incident.total_findings == incident.findings.count() == 200
        assert kinds(incident) == ["opened", "joined"]
    assert Incident.objects.filter(severity="high").count() == 1


def test_an_open_finding_is_not_raised_twice() -> None:
    [first] = raise_findings([draft(1)], NOW)
    [again] = raise_findings([draft(1, sentence="Something else")], NOW + HOUR)
    assert again == first
    assert again.sentence == first.sentence
    incident = Incident.objects.get()
    assert (incident.open_findings, kinds(incident)) == (1, ["opened"])
    # not even under another cause, and no empty incident stays behind
    raise_findings([draft(1, cause="other")], NOW + HOUR)
    assert Incident.objects.count() == 1


def test_the_same_key_twice_in_one_call_is_one_finding() -> None:
    findings = raise_findings([draft(1), draft(1)], NOW)
    assert len(findings) == 2
    assert findings[0] == findings[1]
    assert Incident.objects.get().total_findings == 1


def test_joining_is_one_silent_row_per_batch() -> None:
    raise_findings([draft(1)], NOW)
    raise_findings([draft(n) for n in range(2, 6)], NOW + MINUTE)
    incident = Incident.objects.get()
    row = incident.timeline.last()
    assert row is not None
    assert (row.kind, row.notify, row.data["findings"], row.text) == ("joined", False, 4, "4 findings joined")
    assert (incident.open_findings, incident.last_finding_at) == (5, NOW + MINUTE)


def test_severity_is_the_worst_and_a_rise_is_told() -> None:
    raise_findings([draft(1, severity="low")], NOW)
    raise_findings([draft(2, severity="critical"), draft(3, severity="normal")], NOW + MINUTE)
    incident = Incident.objects.get()
    assert incident.severity == "critical"
    assert kinds(incident) == ["opened", "joined", "severity"]
    row = incident.timeline.get(kind="severity")
    assert (row.notify, row.text) == (True, "From low to critical")
    raise_findings([draft(4, severity="high")], NOW + HOUR)
    incident.refresh_from_db()
    assert incident.severity == "critical"


def test_a_snooze_ends_when_it_gets_worse_but_not_when_more_of_the_same_joins() -> None:
    raise_findings([draft(1)], NOW)
    incident = Incident.objects.get()
    snooze(incident.pk, person("mara"), NOW, NOW + 8 * HOUR)
    raise_findings([draft(2)], NOW + MINUTE)
    incident.refresh_from_db()
    assert (incident.state, incident.back_at) == ("snoozed", NOW + 8 * HOUR)
    raise_findings([draft(3, severity="critical")], NOW + 2 * MINUTE)
    incident.refresh_from_db()
    assert (incident.state, incident.back_at) == ("open", None)


def test_an_acknowledged_incident_stays_so_when_it_gets_worse() -> None:
    raise_findings([draft(1)], NOW)
    incident = Incident.objects.get()
    mara = person("mara")
    acknowledge(incident.pk, mara, NOW, back_at=NOW + HOUR)
    raise_findings([draft(2, severity="critical")], NOW + MINUTE)
    incident.refresh_from_db()
    assert (incident.state, incident.acknowledged_by, incident.back_at) == ("acknowledged", mara, NOW + HOUR)


def test_countdown_follows_what_is_ahead() -> None:
    raise_findings([draft(1, due_at=NOW - HOUR), draft(2, due_at=NOW + 2 * HOUR), draft(3, due_at=NOW + HOUR)], NOW)
    incident = Incident.objects.get()
    assert (incident.first_breach_at, incident.next_breach_at) == (NOW - HOUR, NOW + HOUR)
    clear_findings([uid("key", 3)], "came", NOW)
    incident.refresh_from_db()
    assert (incident.first_breach_at, incident.next_breach_at) == (NOW - HOUR, NOW + 2 * HOUR)


def test_countdown_follows_what_the_cause_will_make_late_next() -> None:
    raise_findings([draft(1, due_at=NOW - HOUR), draft(2, due_at=NOW + 2 * HOUR)], NOW)
    raise_findings([draft(3, cause="other")], NOW)
    cause = uid("cause", "carrier")
    incident = Incident.objects.get(fingerprint=cause)

    def countdown() -> object:
        incident.refresh_from_db()
        return incident.next_breach_at

    with CaptureQueriesContext(connection) as queries:
        assert look_ahead({cause: NOW + HOUR, uid("cause", "unknown"): NOW + MINUTE}, NOW) == 1
    assert len(queries) <= 4
    assert countdown() == NOW + HOUR
    clear_findings([uid("key", 2)], "came", NOW)
    assert countdown() == NOW + HOUR
    raise_findings([draft(4, due_at=NOW + 30 * MINUTE)], NOW)
    assert countdown() == NOW + 30 * MINUTE
    look_ahead({cause: None}, NOW + 45 * MINUTE)
    assert countdown() is None
    assert Incident.objects.get(fingerprint=uid("cause", "other")).next_breach_at is None


def test_facts_the_findings_do_not_share_stay_empty() -> None:
    one, other = partner("one"), partner("other")
    crew = team()
    raise_findings([draft(1, partner_id=one.pk, team_id=crew.pk), draft(2, partner_id=other.pk, team_id=crew.pk)], NOW)
    incident = Incident.objects.get()
    assert (incident.partner, incident.team) == (None, crew)


def test_the_last_clearing_resolves_it_by_itself() -> None:
    raise_findings([draft(1), draft(2)], NOW)
    assert clear_findings([uid("key", 1)], "The scan came, 2 h late", NOW + HOUR) == 1
    incident = Incident.objects.get()
    assert (incident.state, incident.open_findings) == ("open", 1)
    assert clear_findings([uid("key", 2)], "The scan came, 2 h late", NOW + 2 * HOUR) == 1
    incident.refresh_from_db()
    assert (incident.state, incident.resolution, incident.resolved_at) == ("resolved", "by itself", NOW + 2 * HOUR)
    assert (incident.open_findings, incident.total_findings) == (0, 2)
    assert kinds(incident) == ["opened", "cleared", "cleared", "resolved"]
    row = incident.timeline.get(kind="resolved")
    assert (row.actor, row.actor_name, row.notify) == (None, "", True)
    finding = Finding.objects.get(key=uid("key", 1))
    assert (finding.cleared_at, finding.cleared_because) == (NOW + HOUR, "The scan came, 2 h late")


def test_clearing_twice_or_nothing_does_nothing() -> None:
    raise_findings([draft(1)], NOW)
    clear_findings([uid("key", 1)], "came", NOW)
    rows = IncidentEvent.objects.count()
    assert clear_findings([uid("key", 1)], "came", NOW) == 0
    assert clear_findings([uid("key", "unknown")], "came", NOW) == 0
    assert clear_findings([], "came", NOW) == 0
    assert IncidentEvent.objects.count() == rows


def test_clearing_many_takes_few_statements() -> None:
    raise_findings([draft(n, cause=n % 20) for n in range(2_000)], NOW)
    with CaptureQueriesContext(connection) as queries:
        assert clear_findings([uid("key", n) for n in range(2_000)], "came", NOW) == 2_000
    assert len(queries) <= 8
    assert Incident.objects.filter(state="resolved", open_findings=0).count() == 20


@pytest.mark.parametrize(
    ("after", "incidents"), [(settings.INCIDENT_REOPEN_WINDOW - MINUTE, 1), (settings.INCIDENT_REOPEN_WINDOW, 2)]
)
def test_a_cause_that_comes_back_soon_reopens_its_incident(after: timedelta, incidents: int) -> None:
    raise_findings([draft(1)], NOW)
    first = Incident.objects.get()
    acknowledge(first.pk, person("mara"), NOW)
    clear_findings([uid("key", 1)], "came", NOW)
    raise_findings([draft(2), draft(1)], NOW + after)
    assert Incident.objects.count() == incidents
    assert Incident.objects.unresolved().count() == 1
    first.refresh_from_db()
    if incidents == 1:
        assert (first.state, first.reopened, first.open_findings, first.total_findings) == ("open", 1, 2, 3)
        assert (first.acknowledged_by, first.resolved_at, first.resolution) == (None, None, "")
        row = first.timeline.last()
        assert row is not None
        assert (row.kind, row.notify, row.actor_name) == ("reopened", True, "")
    else:
        assert first.state == "resolved"


def test_of_several_earlier_incidents_the_latest_is_reopened() -> None:
    raise_findings([draft(1)], NOW)
    clear_findings([uid("key", 1)], "came", NOW)
    later = NOW + settings.INCIDENT_REOPEN_WINDOW + HOUR
    raise_findings([draft(1)], later)
    clear_findings([uid("key", 1)], "came", later)
    second = Incident.objects.order_by("id").last()
    raise_findings([draft(1)], later + MINUTE)
    assert Incident.objects.unresolved().get() == second


def test_what_a_person_resolved_is_not_raised_again_while_it_lasts() -> None:
    raise_findings([draft(1)], NOW)
    incident = Incident.objects.get()
    resolve(incident.pk, person("mara"), NOW, "no action")
    raise_findings([draft(1)], NOW + MINUTE)
    incident.refresh_from_db()
    assert (incident.state, incident.open_findings) == ("resolved", 1)
    # its end is noted, the resolution stays the person's
    clear_findings([uid("key", 1)], "came", NOW + HOUR)
    incident.refresh_from_db()
    assert (incident.resolution, incident.resolved_at, incident.open_findings) == ("no action", NOW, 0)
    assert kinds(incident) == ["opened", "resolved", "cleared"]


def test_an_unknown_severity_is_refused_before_anything_is_written() -> None:
    with pytest.raises(ValueError, match="'urgent' is no severity"):
        raise_findings([draft(1), draft(2, severity="urgent")], NOW)
    assert not Incident.objects.exists()


def test_long_titles_are_cut() -> None:
    raise_findings([draft(1, incident_title="x" * 1000)], NOW)
    assert len(Incident.objects.get().title) == 300
