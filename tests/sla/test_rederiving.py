"""Changed rules, calendars and windows reach what is open, in batches, and any order of edits and events ends alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from apps.flows.pipeline import take
from apps.integrations.maintenance_models import MaintenanceWindow
from apps.integrations.models import Calendar, Integration
from apps.sla import rederiving, sweep, tasks
from apps.sla.expectations import refresh
from apps.sla.models import Deviation, Expectation, Pause, Rederivation, ShadowExpectation, SlaRule
from tests.flows.builders import T0, event, incoming, load_definitions, load_register

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
ASN = {"due": {"after": {"milestone": "sent", "duration": "PT4H"}}}


@pytest.fixture
def register() -> dict[str, Integration]:
    load_definitions()
    SlaRule.objects.all().delete()
    found = load_register()
    rule(ASN)
    rederiving.notice(T0)
    return found


def rule(spec: dict[str, Any], version: int = 1, **more: Any) -> SlaRule:
    values = {"slug": "asn", "name": "ASN", "flow_slug": "purchase", "milestone": "asn", **more}
    return SlaRule.objects.create(spec=spec, version=version, **values)


def tell(register: dict[str, Integration], *told: Any) -> None:
    with transaction.atomic():
        refresh(take([incoming(one, register["odoo"]) for one in told], T0).states, T0)


def sent(number: int, hours: float = 0) -> Any:
    return event("purchase_order.sent", hours, f"po:{number}", parties={"supplier": "metalworks"})


def work(now: Any = T0, batch: int = 500) -> list[Rederivation]:
    rederiving.notice(now)
    found = []
    while (row := rederiving.step(now, batch)) is not None:
        found.append(row)
    return found


def test_a_changed_rule_reaches_open_flows_in_batches_with_progress(register: dict[str, Integration]) -> None:
    tell(register, *(sent(number) for number in range(5)))
    assert work() == []
    rule({"due": {"after": {"milestone": "sent", "duration": "PT9H"}}}, version=2)
    steps = work(batch=2)
    assert [(row.done, row.total, row.changed) for row in steps] == [(2, 5, 2), (4, 5, 4), (5, 5, 5)]
    assert steps[-1].finished_at == T0
    assert steps[-1].cause.startswith("Rule ASN v2")
    assert steps[-1].flow_slugs == ["purchase"]
    assert set(Expectation.objects.values_list("due_at", "rule__version")) == {(T0 + 9 * HOUR, 2)}
    assert work() == []


def test_the_sweep_goes_on_meanwhile_and_a_second_change_overtakes_the_first(register: dict[str, Integration]) -> None:
    tell(register, *(sent(number) for number in range(4)))
    rule({"due": {"after": {"milestone": "sent", "duration": "PT9H"}}}, version=2)
    rederiving.notice(T0)
    rederiving.step(T0, 2)
    assert sweep.run(T0 + 5 * HOUR).breached == 2, "those not reached yet are judged as they stand"
    rule({"due": {"after": {"milestone": "sent", "duration": "PT8H"}}}, version=3)
    rows = work(T0 + 5 * HOUR, 2)
    assert rows[-1].total == 4
    assert Rederivation.objects.filter(finished_at=None).count() == 0
    assert set(Expectation.objects.values_list("due_at", "state")) == {(T0 + 8 * HOUR, "PENDING")}


def test_calendars_and_maintenance_are_noticed_too(register: dict[str, Integration]) -> None:
    Calendar.objects.create(slug="house", name="House", spec={"zone": "UTC", "weekly": {"wed": [["00:00", "24:00"]]}})
    spec = {"due": {"after": {"milestone": "sent", "duration": "P1D", "kind": "working_days"}}, "calendar": "house"}
    rule(spec, version=2)
    tell(register, sent(1))
    work()
    before = Expectation.objects.get().due_at
    Calendar.objects.create(
        slug="house", version=2, name="House", spec={"zone": "UTC", "weekly": {"thu": [["00:00", "24:00"]]}}
    )
    assert "alendar House v2" in work()[0].cause
    after = Expectation.objects.get().due_at
    assert (before.strftime("%a"), after.strftime("%a")) == ("Wed", "Thu")
    rule(ASN, version=3)
    work()
    MaintenanceWindow.objects.create(
        everything=True, starts_at=T0 + HOUR, ends_at=T0 + 2 * HOUR, reason="Move", created_at=T0
    )
    assert work()[0].changed == 1
    assert Expectation.objects.get().due_at == T0 + 5 * HOUR


def ledger() -> tuple[Any, ...]:
    """Everything the rules made, without surrogate keys."""
    return (
        list(
            Expectation.objects.order_by("flow__label", "milestone").values_list(
                "flow__label",
                "milestone",
                "rule__slug",
                "rule__version",
                "due_at",
                "warn_at",
                "state",
                "met_at",
                "paused",
            )
        ),
        list(
            Deviation.objects.order_by("flow__label", "kind").values_list(
                "flow__label", "milestone", "kind", "at", "rule__version"
            )
        ),
        list(
            ShadowExpectation.objects.order_by("flow__label", "slug").values_list(
                "flow__label", "slug", "due_at", "state", "met_at"
            )
        ),
        list(Pause.objects.order_by("begin").values_list("expectation__flow__label", "kind", "begin", "until")),
    )


def test_any_order_of_rule_edits_and_events_ends_in_the_same_ledger(register: dict[str, Integration]) -> None:
    """Of flows that are open: what has been settled keeps the rules of its time, by design."""

    def edits() -> None:
        rule({**ASN, "warn": {"before": "PT1H"}, "pause": ["hold"]}, version=2)
        rule({"check": {"unexpected": {"without": ["asn"]}}}, slug="odd", milestone="arrived")

    def trial() -> None:
        rule(
            {"due": {"after": {"milestone": "sent", "duration": "PT1H"}}}, slug="strict", position=1, lifecycle="shadow"
        )

    def window() -> None:
        MaintenanceWindow.objects.create(
            everything=True, starts_at=T0 + HOUR, ends_at=T0 + 2 * HOUR, reason="Move", created_at=T0
        )

    deeds: list[Callable[[], None]] = [
        edits,
        trial,
        window,
        lambda: tell(register, sent(1)),
        lambda: tell(register, event("goods.arrived", 3, "po:1")),
    ]
    outcomes = []
    for order in itertools.islice(itertools.permutations(deeds), 0, None, 7):
        with transaction.atomic():
            for deed in order:
                deed()
            work()
            outcomes.append(ledger())
            transaction.set_rollback(True)
    assert len(outcomes) == 18
    assert all(one == outcomes[0] for one in outcomes)
    expectations, deviations, shadows, pauses = outcomes[0]
    assert expectations[0][3:5] == (2, T0 + 5 * HOUR)
    assert deviations[0][2] == "unexpected"
    assert shadows[0][2:4] == (T0 + 2 * HOUR, "PENDING")
    assert pauses == [("PO-1", "maintenance", T0 + HOUR, T0 + 2 * HOUR)]


def test_all_any_first_and_each_child(register: dict[str, Integration]) -> None:
    """Two parcels of one order: delivered means all of them, in Odoo means any; each parcel has its own deadline."""
    SlaRule.objects.all().delete()
    after = {"due": {"after": {"opened": True, "duration": "PT50H"}}}
    for flow, milestone in (("order-to-ship", "delivered"), ("order-to-ship", "in_odoo"), ("parcel", "delivered")):
        rule(after, slug=f"{flow}-{milestone}", flow_slug=flow, milestone=milestone)
    tell(
        register,
        event("order.created", 0, "so:1"),
        event("label.created", 60, "so:1", "trk:A"),
        event("label.created", 60, "so:1", "trk:B"),
        event("delivery.completed", 20 * 60, "trk:A"),
    )

    def states() -> dict[tuple[str, str], str]:
        rows = Expectation.objects.values_list("flow__label", "milestone", "state")
        return {(label, milestone): state for label, milestone, state in rows}

    assert {k: v for k, v in states().items() if k[1] == "delivered"} == {
        ("SO-1", "delivered"): "PENDING",
        ("TRK-A", "delivered"): "MET",
        ("TRK-B", "delivered"): "PENDING",
    }
    assert states()["SO-1", "in_odoo"] == "MET"
    tell(register, event("delivery.completed", 60 * 60, "trk:B"))
    assert states()["SO-1", "delivered"] == "MET_LATE"
    assert states()["TRK-B", "delivered"] == "MET_LATE"
    assert states()["TRK-A", "delivered"] == "MET"


def test_the_task_notices_and_finishes(register: dict[str, Integration]) -> None:
    tell(register, sent(1))
    rule({"due": {"after": {"milestone": "sent", "duration": "PT9H"}}}, version=2)
    tasks.rederive()
    assert Expectation.objects.get().rule.version == 2
    assert Rederivation.objects.latest("id").finished_at is not None
    tasks.rederive()
    assert Rederivation.objects.count() == 2
