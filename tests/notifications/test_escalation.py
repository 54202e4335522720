"""Escalation on real rows: who is called when, what acknowledging stops, what an outage and a window do."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Role, User
from apps.incidents import workflow
from apps.incidents.models import Finding, Incident, IncidentEvent
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.models import Calendar
from apps.notifications.auditing import look
from apps.notifications.escalation_models import (
    AwaitedStep,
    EscalationPolicy,
    EscalationRoute,
    EscalationVersion,
    ReminderInterval,
)
from apps.notifications.escalation_tick import tick
from apps.notifications.models import Delivery
from apps.notifications.planning import plan
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, partner, person, team, uid
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db
Kind = IncidentEvent.Kind


@pytest.fixture
def people() -> dict[str, User]:
    return {name: person(name, role=Role.ON_CALL) for name in ("mara", "jon", "kim")}


def policy(*steps: tuple[int, str, str], slug: str = "night", position: int = 10, **options: Any) -> EscalationPolicy:
    """steps: (minutes after, kind, ref); a route for everything leads to it."""
    route = {
        name: options.pop(name)
        for name in ("severities", "integrations", "teams", "hours", "calendar")
        if name in options
    }
    made = EscalationPolicy.objects.create(
        slug=slug,
        name=slug.title(),
        steps=[{"after": after, "targets": [{"kind": kind, "ref": ref}]} for after, kind, ref in steps],
        **options,
    )
    EscalationRoute.objects.create(position=position, policy=made, **route)
    return made


@pytest.fixture
def ladder(people: dict[str, User]) -> EscalationPolicy:
    return policy((0, "person", "mara"), (5, "person", "jon"), (10, "person", "kim"))


def raised(key: object = 1, at: datetime = NOW, **values: object) -> Incident:
    workflow.raise_findings([draft(key, cause=key, **values)], at)
    plan(at)
    return Incident.objects.get(fingerprint=uid("cause", key))


def called(incident: Incident) -> list[str]:
    """Addresses in the order they were called."""
    rows = Delivery.objects.filter(incident_event__incident=incident).order_by("id")
    return [row.recipient.split("@")[0] for row in rows]


def after(minutes: float) -> datetime:
    """The clock moves on: a tick, then the dispatcher."""
    now = NOW + timedelta(minutes=minutes)
    tick(now)
    plan(now)
    return now


def awaited(incident: Incident, kind: str = "step") -> AwaitedStep | None:
    return AwaitedStep.objects.filter(incident=incident, done_at=None, kind=kind).first()


def test_one_after_the_other_until_the_ladder_ends(ladder: EscalationPolicy) -> None:
    incident = raised()
    assert called(incident) == ["mara"]
    after(4.5)
    assert called(incident) == ["mara"]
    after(5.5)
    assert called(incident) == ["mara", "jon"]
    assert awaited(incident).due_at == NOW + 15 * MINUTE  # type: ignore[union-attr]
    after(15.5)
    assert called(incident) == ["mara", "jon", "kim"]
    assert awaited(incident) is None
    after(600)
    assert called(incident) == ["mara", "jon", "kim"]
    texts = list(incident.timeline.filter(kind=Kind.ESCALATED).values_list("text", flat=True))
    assert texts == ["Step 2 of 3: Jon", "Step 3 of 3: Kim"]


def test_it_repeats_as_often_as_the_policy_says(people: dict[str, User]) -> None:
    policy((0, "person", "mara"), (5, "person", "jon"), repeat=1, pause=20 * MINUTE)
    incident = raised()
    for minutes in (5.5, 24, 25.5, 31, 90):
        after(minutes)
    assert called(incident) == ["mara", "jon", "mara", "jon"]


def test_acknowledging_stops_it_and_giving_back_begins_anew(ladder: EscalationPolicy, people: dict[str, User]) -> None:
    incident = raised()
    workflow.acknowledge(incident.pk, people["mara"], NOW + MINUTE)
    for minutes in (2, 6, 60):
        after(minutes)
    assert called(incident) == ["mara"]
    assert awaited(incident) is None
    workflow.unacknowledge(incident.pk, people["mara"], NOW + 61 * MINUTE)
    plan(NOW + 61 * MINUTE)
    after(62)
    assert called(incident) == ["mara", "mara"]
    after(66.5)
    assert called(incident) == ["mara", "mara", "jon"]


def test_resolving_ends_it(ladder: EscalationPolicy, people: dict[str, User]) -> None:
    incident = raised()
    workflow.resolve(incident.pk, people["mara"], NOW + MINUTE, "fixed")
    after(6)
    assert not AwaitedStep.objects.filter(done_at=None).exists()
    assert not incident.timeline.filter(kind=Kind.ESCALATED).exists()


def test_an_outage_of_an_hour_calls_the_newest_step_once(ladder: EscalationPolicy) -> None:
    incident = raised()
    after(60)
    after(60.5)
    assert called(incident) == ["mara", "kim"]
    assert "1 steps before it were missed" in incident.timeline.get(kind=Kind.ESCALATED).text


def test_every_step_within_two_minutes_for_many_at_once(ladder: EscalationPolicy) -> None:
    for key in range(30):
        raised(key, NOW + key * timedelta(seconds=7))
    for step in range(0, 40):
        after(step / 2)
    rows = IncidentEvent.objects.filter(kind=Kind.ESCALATED).select_related("incident")
    assert rows.count() == 60
    for row in rows:
        planned = row.incident.opened_at + {2: 5, 3: 15}[row.data["step"]] * MINUTE
        assert timedelta(0) <= row.at - planned <= timedelta(seconds=30)


def test_of_two_ticks_only_one_acts(ladder: EscalationPolicy) -> None:
    incident = raised()
    now = NOW + 6 * MINUTE
    assert [tick(now).called, tick(now).called] == [1, 0]
    plan(now)
    assert called(incident) == ["mara", "jon"]


def test_a_first_step_with_a_delay_waits(people: dict[str, User]) -> None:
    policy((10, "person", "mara"))
    incident = raised()
    assert called(incident) == []
    after(9)
    assert called(incident) == []
    after(10.5)
    assert called(incident) == ["mara"]


def test_a_gap_in_a_schedule_calls_the_next_step_at_once(people: dict[str, User]) -> None:
    rotation_of(team("night"), "Nights", NOW, timedelta(days=7), [])
    policy((0, "schedule", "night"), (30, "person", "jon"))
    assert called(raised()) == ["jon"]


def test_nobody_in_any_step_falls_back_to_the_usual_routing(people: dict[str, User]) -> None:
    policy((0, "person", "ghost"))
    assert sorted(called(raised())) == ["jon", "kim", "mara"]


def test_schedules_and_teams_as_targets(people: dict[str, User]) -> None:
    crew = team("crew")
    rotation_of(crew, "Nights", NOW, HOUR, [people["mara"], people["jon"]], slug="nights")
    policy((0, "schedule", "nights"), (61, "team", "crew"))
    incident = raised()
    after(61.5)
    assert called(incident) == ["mara", "jon"]


def test_the_first_route_that_fits(people: dict[str, User]) -> None:
    Calendar.objects.create(
        slug="office",
        name="Office",
        spec={"zone": "UTC", "weekly": {d: [["09:00", "17:00"]] for d in ("mon", "tue", "wed", "thu", "fri")}},
    )
    policy((0, "person", "kim"), slug="low", position=1, severities=["low"])
    policy((0, "person", "jon"), slug="day", position=2, hours="working", calendar="office")
    policy((0, "person", "mara"), slug="else", position=3)
    monday = datetime(2026, 3, 2, 10, tzinfo=NOW.tzinfo)
    assert called(raised("a", monday, severity="low")) == ["kim"]
    assert called(raised("b", monday, severity="high")) == ["jon"]
    assert called(raised("c", monday - 3 * HOUR, severity="high")) == ["mara"]


def test_without_a_policy_the_usual_routing_and_nothing_later(people: dict[str, User]) -> None:
    incident = raised()
    assert len(called(incident)) == 3
    after(60)
    assert len(called(incident)) == 3
    assert not AwaitedStep.objects.exists()


def test_reminders_at_the_persons_own_interval(ladder: EscalationPolicy, people: dict[str, User]) -> None:
    ReminderInterval.objects.create(user=people["mara"], every=20 * MINUTE)
    incident = raised()
    workflow.acknowledge(incident.pk, people["mara"], NOW + MINUTE)
    for minutes in (1.5, 20, 21.5, 40, 42, 43):
        after(minutes)
    assert called(incident) == ["mara", "mara", "mara"]
    assert [one.kind for one in incident.timeline.filter(notify=True).order_by("id")] == [
        "opened",
        "acknowledged",
        "reminded",
        "reminded",
    ]
    after(300)  # an outage: one reminder, not a storm
    assert called(incident).count("mara") == 4


def test_who_wants_no_reminders_gets_none(people: dict[str, User]) -> None:
    policy((0, "person", "mara"), remind_every=10 * MINUTE)
    ReminderInterval.objects.create(user=people["mara"], every=None)
    incident = raised()
    workflow.acknowledge(incident.pk, people["mara"], NOW + MINUTE)
    for minutes in (2, 30, 60):
        after(minutes)
    assert called(incident) == ["mara"]


def test_an_acknowledgment_runs_out_and_escalation_goes_on(people: dict[str, User]) -> None:
    policy((0, "person", "mara"), (5, "person", "jon"), (5, "person", "kim"), lapse_after=HOUR)
    incident = raised()
    after(5.5)
    workflow.acknowledge(incident.pk, people["jon"], NOW + 6 * MINUTE)
    after(7)
    after(65)
    incident.refresh_from_db()
    assert incident.state == "acknowledged"
    after(66.5)
    incident.refresh_from_db()
    assert incident.state == "open"
    assert incident.timeline.filter(kind=Kind.LAPSED).count() == 1
    assert called(incident) == ["mara", "jon", "kim"]


def test_back_at_postpones_the_lapse(people: dict[str, User]) -> None:
    policy((0, "person", "mara"), (5, "person", "jon"), lapse_after=HOUR)
    incident = raised()
    workflow.acknowledge(incident.pk, people["mara"], NOW + MINUTE, back_at=NOW + 5 * HOUR)
    after(2)
    assert awaited(incident, "lapse").due_at == NOW + 6 * HOUR  # type: ignore[union-attr]


def window(start: datetime, end: datetime, **options: Any) -> MaintenanceWindow:
    options.setdefault("everything", True)
    return MaintenanceWindow.objects.create(
        starts_at=start, ends_at=end, reason="WMS upgrade", kind="mute", created_at=start, **options
    )


def test_what_a_window_covers_is_kept_marked_and_pages_when_it_ends(ladder: EscalationPolicy) -> None:
    window(NOW - HOUR, NOW + HOUR)
    incident = raised()
    for minutes in (10, 30, 59):
        after(minutes)
    assert called(incident) == []
    assert incident.timeline.filter(kind=Kind.MUTED).count() == 1
    assert awaited(incident, "unmute").due_at == NOW + HOUR  # type: ignore[union-attr]
    after(60.5)
    assert called(incident) == ["mara"]
    after(66)
    assert called(incident) == ["mara", "jon"]


def test_without_a_policy_too(people: dict[str, User]) -> None:
    window(NOW - HOUR, NOW + HOUR)
    incident = raised()
    assert called(incident) == []
    after(60.5)
    assert sorted(called(incident)) == ["jon", "kim", "mara"]


def test_what_is_over_before_the_window_ends_pages_nobody(ladder: EscalationPolicy) -> None:
    window(NOW - HOUR, NOW + HOUR)
    incident = raised()
    workflow.clear_findings([uid("key", 1)], "It came", NOW + 10 * MINUTE)
    Incident.objects.filter(pk=incident.pk).update(state="resolved", resolved_at=NOW + 20 * MINUTE)
    after(61)
    assert called(incident) == []


def test_a_window_that_is_cancelled_pages_at_once(ladder: EscalationPolicy) -> None:
    planned = window(NOW - HOUR, NOW + HOUR)
    incident = raised()
    after(5)
    MaintenanceWindow.objects.filter(pk=planned.pk).update(cancelled_at=NOW + 6 * MINUTE)
    after(6.5)
    assert called(incident) == ["mara"]


def test_a_window_that_is_made_longer_goes_on_silencing(ladder: EscalationPolicy) -> None:
    planned = window(NOW - HOUR, NOW + HOUR)
    incident = raised()
    MaintenanceWindow.objects.filter(pk=planned.pk).update(ends_at=NOW + 2 * HOUR)
    after(61)
    assert called(incident) == []
    after(121)
    assert called(incident) == ["mara"]


def test_a_window_that_begins_during_an_escalation_stops_it(ladder: EscalationPolicy) -> None:
    incident = raised()
    window(NOW + 2 * MINUTE, NOW + HOUR)
    after(6)
    assert called(incident) == ["mara"]
    after(61)
    assert called(incident) == ["mara", "mara"]


def test_one_finding_that_no_window_covers_is_loud(ladder: EscalationPolicy) -> None:
    muted, loud = partner("muted"), partner("loud")
    window(NOW - HOUR, NOW + HOUR, everything=False).partners.add(muted)
    workflow.raise_findings(
        [draft("a", cause="x", partner_id=muted.pk), draft("b", cause="x", partner_id=loud.pk)], NOW
    )
    plan(NOW)
    assert called(Incident.objects.get()) == ["mara"]
    quiet = raised("c", partner_id=muted.pk)
    assert called(quiet) == []


def test_a_rule_is_muted_by_its_slug(ladder: EscalationPolicy) -> None:
    window(NOW - HOUR, NOW + HOUR, everything=False, rules=["asn-24h"])
    incident = raised()
    assert called(incident) == ["mara"]
    Finding.objects.update(evidence={"rule": "asn-24h"})
    assert called(raised("other", evidence={"rule": "asn-24h"})) == []
    assert incident.pk


def test_a_tick_asks_no_more_for_fifty_than_for_one(ladder: EscalationPolicy) -> None:
    def queries(number: int, now: datetime) -> int:
        for key in range(number):
            workflow.raise_findings([draft((number, key), cause=(number, key))], now)
        plan(now)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            tick(now + 6 * MINUTE)
        return len([one for one in captured if one["sql"].startswith("SELECT")])

    assert queries(50, NOW + HOUR) <= queries(1, NOW) + 2


def test_the_auditor_speaks_up_when_a_step_is_overdue(ladder: EscalationPolicy) -> None:
    raised()
    assert [one.kind for one in look(NOW + 6.9 * MINUTE) if one.kind == "escalation"] == []
    [trouble] = [one for one in look(NOW + 8 * MINUTE) if one.kind == "escalation"]
    assert "overdue" in trouble.sentence
    after(8)
    assert [one for one in look(NOW + 8 * MINUTE) if one.kind == "escalation"] == []


def test_what_is_under_way_keeps_what_its_policy_said_when_it_began(ladder: EscalationPolicy) -> None:
    incident = raised()
    ladder.steps = [{"after": 0, "targets": [{"kind": "person", "ref": "kim"}]}]
    ladder.save()
    later = raised(2)
    after(5.5)
    assert called(incident) == ["mara", "jon"]
    assert called(later) == ["kim"]
    assert awaited(incident).version.version == 1  # type: ignore[union-attr]
    assert later.timeline.get(kind=Kind.OPENED).data["version"] == 2


def test_a_policy_that_is_removed_still_leads_what_is_under_way(ladder: EscalationPolicy) -> None:
    incident = raised()
    ladder.delete()
    after(5.5)
    after(15.5)
    assert called(incident) == ["mara", "jon", "kim"]


def test_what_ran_before_there_were_versions_goes_on(ladder: EscalationPolicy) -> None:
    incident = raised()
    EscalationVersion.objects.all().delete()
    import_module("apps.notifications.migrations.0007_escalation_versions").keep_what_runs(apps, None)
    after(5.5)
    after(15.5)
    assert called(incident) == ["mara", "jon", "kim"]
    assert EscalationVersion.objects.count() == 1
