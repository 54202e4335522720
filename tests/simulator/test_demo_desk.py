"""What a new user of the demo finds at the first look: nobody has to make anything before a page shows something."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.accounts.models import Team, User
from apps.configuration import reconciliation
from apps.core.calendars import WorkingCalendar
from apps.core.scoping import partner_scope
from apps.incidents.models import Incident
from apps.incidents.raising import FindingDraft, raise_findings
from apps.incidents.runbooks import runbook_for
from apps.integrations.maintenance import announced, covering, windows_at
from apps.integrations.models import Calendar, ChangeMarker, Integration, Partner
from apps.notifications.escalation_models import EscalationRoute
from apps.oncall.models import Schedule
from apps.oncall.rotation import on_call_of
from apps.reports.models import ContractTerm, Objective
from apps.simulator.desk import CHANGES, set_out

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)


@pytest.fixture
def network() -> None:
    base = Path(settings.BASE_DIR) / "apps"
    call_command("load_config", str(base / "flows/definition_files"), str(base / "simulator/demo"), verbosity=0)


def draft(kind: str, integration: Integration) -> FindingDraft:
    team = Team.objects.get(slug="logistics")
    cause = uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {integration.slug}")
    return FindingDraft(
        *(cause, kind, cause, f"{kind} at {integration.slug}", "high", "It is late."),
        integration_id=integration.pk,
        partner_id=integration.partner_id,
        team_id=team.pk,
    )


def test_somebody_is_called_at_every_hour_and_next_and_every_page_of_the_set_up_has_rows(network: None) -> None:
    for hour in range(0, 60 * 24, 37):
        called = on_call_of(["logistics", "managers"], NOW + timedelta(hours=hour))
        assert called["logistics"] is not None
        assert called["managers"] is not None
    assert Schedule.objects.get(slug="logistics").layers.count() == 3
    for route in EscalationRoute.objects.select_related("policy"):
        assert len(route.policy.steps) > 1
        assert route.policy.remind_every
        assert route.policy.lapse_after
    assert EscalationRoute.objects.count() == 3
    assert Objective.objects.exists()
    assert ContractTerm.objects.exists()
    assert list(reconciliation.reconciliations())


def test_the_desk_works_on_saturdays_in_the_peak_and_changes_nothing_at_the_year_s_end(network: None) -> None:
    desk = WorkingCalendar.from_spec(Calendar.objects.filter(slug="desk").latest("version").spec)
    assert desk.is_working_day(date(2026, 11, 28))
    assert not desk.is_working_day(date(2026, 10, 31))
    for year in (2026, 2027, 2028):
        assert desk.period_of(date(year, 12, 1), "peak")
        assert desk.period_of(date(year, 12, 28), "freeze")
        assert not desk.period_of(date(year, 6, 1))


def test_the_most_specific_runbook_stands_beside_an_incident(network: None) -> None:
    awaited = {
        ("sla.breach", "metalworks-edi"): "metalworks-asn",
        ("sla.breach", "nordtex-edi"): "promise-missed",
        ("source.stale", "rhein-wms"): "feed-silent",
    }
    found = raise_findings([draft(kind, Integration.objects.get(slug=slug)) for kind, slug in awaited], NOW)
    shown = [runbook_for(Incident.objects.get(pk=one.incident_id)) for one in found]
    assert [one and one.slug for one in shown] == list(awaited.values())


def test_the_first_look_has_a_mute_a_maintenance_partners_read_changes_and_labels(network: None) -> None:
    metalworks, edge = (Integration.objects.get(slug=slug) for slug in ("metalworks-edi", "edge-gateway"))
    raise_findings([draft("sla.breach", metalworks), draft("feed", edge)], NOW)
    assert set_out(NOW) == 2
    assert set(Incident.objects.values_list("kind", "labels__0")) == {("sla.breach", "promise"), ("feed", "to-look-at")}
    [mute] = covering(windows_at(NOW), edge.pk, None, None, NOW)
    assert not mute.suspends
    partner = Partner.objects.get(slug="metalworks")
    for later in (timedelta(0), timedelta(days=50)):  # every week, so that it is there in a demo that runs for long
        with partner_scope(partner.pk):
            told = announced(NOW + later, timedelta(days=14))
        assert len(told) == 2
        assert all(one.start > NOW + later for one in told)
    [other] = Partner.objects.filter(slug="nordtex")
    with partner_scope(other.pk):
        assert not announced(NOW, timedelta(days=14))
    markers = list(ChangeMarker.objects.filter(kind__in=[kind for _, _, kind, *_ in CHANGES]))
    assert len(markers) == len(CHANGES)
    assert all(marker.at < NOW and marker.actor_name for marker in markers)
    assert all(marker.integration for marker, (_, slug, *_) in zip(markers, CHANGES, strict=True) if slug)


def test_without_the_demo_s_people_nothing_is_done_in_their_names(network: None) -> None:
    User.objects.filter(username="operations").update(username="somebody")
    assert set_out(NOW) == 0
    assert not windows_at(NOW)
