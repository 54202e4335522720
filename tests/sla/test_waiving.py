"""Waiving by hand: out of the count, said why, and by whom."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.incidents.models import Finding, Incident
from apps.reports import figures as reports
from apps.sla import sweep, waiving
from apps.sla.expectations import refresh
from apps.sla.models import Expectation
from tests.sla.builders import HOUR, T0, World, reached

pytestmark = pytest.mark.django_db
DUE = T0 + 4 * HOUR
MARCH = reports.month(2026, 3)


@pytest.fixture
def world() -> World:
    world = World()
    world.rule()
    return world


def test_a_waiver_takes_it_out_of_the_count_and_closes_the_incident(world: World, django_user_model: Any) -> None:
    ines = django_user_model.objects.create(username="ines", first_name="Ines", last_name="Duarte")
    refresh([world.flow("PO-1", reached("sent", T0))], T0)
    sweep.run(DUE + HOUR)
    row = waiving.waive(Expectation.objects.get().pk, ines, DUE + 2 * HOUR, "  Agreed by phone ")
    assert (row.state, row.waived_reason, row.waived_by, row.settled_at) == (
        "WAIVED",
        "Agreed by phone",
        ines,
        DUE + 2 * HOUR,
    )
    assert Finding.objects.get().cleared_because == "Waived by Ines Duarte: Agreed by phone"
    assert Incident.objects.get().state == Incident.State.RESOLVED
    entry = AuditEntry.objects.get(action="expectation.waive")
    assert (entry.actor_name, entry.before["state"], entry.after["reason"]) == (
        "Ines Duarte",
        "BREACHED",
        "Agreed by phone",
    )
    assert [(one.reason, one.by_hand) for one in reports.exclusions(MARCH)] == [("Agreed by phone", True)]
    refresh([world.flow("PO-1", reached("sent", T0), reached("asn", DUE + 9 * HOUR))], DUE + 9 * HOUR)
    sweep.run(DUE + 10 * HOUR)
    assert Expectation.objects.get().state == "WAIVED"


def test_what_cannot_be_waived(world: World, django_user_model: Any) -> None:
    ines = django_user_model.objects.create(username="ines")
    refresh([world.flow("PO-1", reached("sent", T0), reached("asn", DUE)), world.flow("PO-2", reached("sent", T0))], T0)
    met, open_ = Expectation.objects.order_by("flow__label")
    with pytest.raises(waiving.NotWaivable, match="met already"):
        waiving.waive(met.pk, ines, T0, "why")
    with pytest.raises(waiving.NotWaivable, match="Say why"):
        waiving.waive(open_.pk, ines, T0, "  ")
    with pytest.raises(waiving.NotWaivable, match="301 characters"):
        waiving.waive(open_.pk, ines, T0, "x" * 301)
    waiving.waive(open_.pk, ines, T0, "why")
    with pytest.raises(waiving.NotWaivable, match="waived already"):
        waiving.waive(open_.pk, ines, T0, "again")
    with pytest.raises(Expectation.DoesNotExist):
        waiving.waive(0, ines, T0, "why")
    assert AuditEntry.objects.count() == 1
