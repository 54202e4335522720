"""Incidents, onboarding, visibility and continuity of a month."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from apps.flows.models import Milestone
from apps.incidents.models import Incident
from apps.integrations import changes
from apps.integrations.models import Integration
from apps.reports import figures, operations
from tests.dashboard.network import DAY, HOUR, NOW, flow, integration, partner, rule

pytestmark = pytest.mark.django_db
MARCH = figures.month(2026, 3)
MINUTE = timedelta(minutes=1)


def incident(opened: Any, **more: Any) -> Incident:
    values: dict[str, Any] = {"kind": "x", "title": "x", "severity": "high", "last_finding_at": opened, **more}
    return Incident.objects.create(fingerprint=uuid.uuid4(), opened_at=opened, **values)


def test_how_fast_incidents_were_taken_and_ended() -> None:
    acme = partner()
    incident(NOW, acknowledged_at=NOW + 2 * MINUTE, resolved_at=NOW + HOUR, state="resolved", partner=acme)
    incident(NOW, acknowledged_at=NOW + 6 * MINUTE)
    incident(NOW)
    incident(NOW - 40 * DAY, acknowledged_at=NOW)
    found = operations.incidents(MARCH)
    assert (found.opened, found.acknowledged, found.resolved, found.mtta, found.mttr) == (3, 2, 1, 240, 3600)
    assert operations.incidents(MARCH, acme.pk).opened == 1
    assert operations.incidents(figures.month(2026, 5)).mtta is None


def test_days_from_added_to_live() -> None:
    made = Integration(slug="new", name="New", kind="webhook", lifecycle="onboarding")
    changes.save(made, None, NOW - 12 * DAY)
    before = changes.facts(made)
    made.lifecycle = "live"
    changes.save(made, None, NOW, before)
    found = operations.operations(MARCH, NOW)
    assert [(one.slug, one.days) for one in found.onboarded] == [("new", 12.0)]
    assert found.onboarding_days == 12
    assert operations.onboarded(figures.month(2026, 2)) == []


def test_a_critical_integration_without_a_rule_is_named() -> None:
    rule()
    rule(slug="named", milestone="delivered", spec={"source": "named"})
    integration("Named", criticality="critical")
    telling = integration("Telling", criticality="high")
    integration("Blind", criticality="high")
    integration("Small")
    integration("Planned", criticality="high", lifecycle="planned")
    Milestone.objects.create(flow=flow("SO-1"), name="shipped", ordinal=1, actual_at=NOW, integration_id=telling.pk)
    found = operations.visibility(NOW)
    assert (found.critical, found.covered, found.without) == (3, 2, [("blind", "Blind")])
    assert found.share == pytest.approx(2 / 3)


def test_what_went_on_while_degraded() -> None:
    acme = partner()
    incident(NOW - 5 * HOUR, partner=acme, resolved_at=NOW)
    incident(NOW - 5 * HOUR, severity="low", partner=partner("Oak"))
    moving = flow("SO-1", acme)
    Milestone.objects.create(flow=moving, name="shipped", ordinal=1, actual_at=NOW - HOUR)
    flow("SO-2", acme)
    flow("SO-done", acme, closed_at=NOW - DAY)
    flow("SO-other", partner("Oak"))
    found = operations.continuity(MARCH, NOW)
    assert (found.incidents, found.flows, found.moved, found.share) == (1, 2, 1, 0.5)
    assert operations.continuity(figures.month(2026, 5), NOW).share is None
