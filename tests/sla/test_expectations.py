"""The ledger in the database: what refresh writes, clears and leaves alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.incidents.models import Finding, Incident
from apps.integrations.models import SourceState
from apps.sla import expectations, sweep
from apps.sla.derivation import compare
from apps.sla.expectations import refresh
from apps.sla.explaining import sentence
from apps.sla.models import Expectation, ExpectationTally, SlaRule
from tests.sla.builders import ASN_SPEC, HOUR, T0, World, reached

pytestmark = pytest.mark.django_db
SENT = reached("sent", T0)
DUE = T0 + 4 * HOUR


def ledger() -> list[dict[str, Any]]:
    """Everything the facts decide, without surrogate ids."""
    return list(Expectation.objects.order_by("flow__label", "milestone").values("flow__label", *FACTS))


FACTS = [
    "milestone",
    "rule_id",
    "definition_id",
    "partner_id",
    "source_id",
    "due_at",
    "warn_at",
    "state",
    "at_risk",
    "anchor",
    "anchor_at",
    "met_at",
    "settled_at",
    "waived_reason",
    "backfill",
    "origin",
]


def versions() -> dict[int, str]:
    """id -> the transaction that wrote the row last; with its place, since one transaction may write twice."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, xmin::text || ctid::text FROM sla_expectation")
        return dict(cursor.fetchall())


def only() -> Expectation:
    return Expectation.objects.get()


def test_a_row_says_when_why_and_by_which_rule() -> None:
    world = World()
    rule = world.rule({**ASN_SPEC, "zone": "partner"})
    refresh([world.flow("PO-1", SENT)], T0)
    row = only()
    assert (row.state, row.due_at, row.warn_at, row.rule, row.source) == (
        "PENDING",
        DUE,
        DUE - HOUR,
        rule,
        world.feed,
    )
    assert (row.anchor, row.anchor_at, row.as_of) == ("milestone:sent", T0, rule.created_at)
    assert sentence(row.origin, row.due_at) == (
        "Due Mon 2 Mar 14:00 Europe/Paris: 4 hours after order sent (Mon 2 Mar 10:00), rule 'ASN in time' v1"
    )


def test_what_is_right_already_is_not_written_and_takes_two_queries() -> None:
    world = World()
    world.rule()
    states = [world.flow(f"PO-{n}", SENT) for n in range(50)]
    refresh(states, T0)
    written = versions()
    assert len(written) == 50
    with CaptureQueriesContext(connection) as queries:
        refresh(states, T0)
    assert len(queries) == 0  # nothing through Django; the stamp and the rows are read by raw cursors
    assert versions() == written


def test_met_and_met_late_clear_what_the_sweep_raised() -> None:
    world = World()
    world.rule()
    states = [world.flow(f"PO-{n}", SENT) for n in range(3)]
    refresh(states, T0)
    sweep.run(DUE + HOUR)
    assert Finding.objects.filter(cleared_at=None).count() == 3
    refresh(
        [
            world.flow("PO-0", SENT, reached("asn", DUE, received_at=DUE + HOUR)),
            world.flow("PO-1", SENT, reached("asn", DUE + HOUR)),
        ],
        DUE + 2 * HOUR,
    )
    assert list(Expectation.objects.order_by("flow__label").values_list("state", flat=True)) == [
        "MET",
        "MET_LATE",
        "BREACHED",
    ]
    assert Finding.objects.filter(cleared_at=None).count() == 1
    assert Incident.objects.get().state == Incident.State.OPEN
    refresh([world.flow("PO-2", SENT, reached("asn", DUE + 2 * HOUR))], DUE + 3 * HOUR)
    assert Finding.objects.filter(cleared_at=None).count() == 0
    assert Incident.objects.get().state == Incident.State.RESOLVED


def test_a_deadline_that_moves_ahead_reopens_and_clears() -> None:
    world = World()
    world.rule({"due": {"date": "promised"}})
    refresh([world.flow("PO-1", SENT, dates={"promised": DUE})], T0)
    sweep.run(DUE + HOUR)
    assert only().state == "BREACHED"
    refresh([world.flow("PO-1", SENT, dates={"promised": DUE + 9 * HOUR})], DUE + HOUR)
    row = only()
    assert (row.state, row.due_at, row.settled_at) == ("PENDING", DUE + 9 * HOUR, None)
    assert Finding.objects.get().cleared_because == "The deadline moved"
    sweep.run(DUE + 10 * HOUR)
    assert only().state == "BREACHED"
    assert Finding.objects.filter(cleared_at=None).count() == 1


def test_a_cancelled_flow_waives_what_is_open_and_settles_what_was_late() -> None:
    world = World()
    world.rule()
    world.rule({"due": {"after": {"milestone": "sent", "duration": "PT99H"}}}, slug="in", milestone="received")
    refresh([world.flow("PO-1", SENT)], T0)
    sweep.run(DUE + HOUR)
    refresh([world.flow("PO-1", SENT, status="cancelled", closed_at=DUE + 2 * HOUR)], DUE + 2 * HOUR)
    asn, received = Expectation.objects.order_by("milestone")
    assert (asn.state, asn.settled_at) == ("BREACHED", DUE + 2 * HOUR)
    assert (received.state, received.waived_reason) == ("WAIVED", "The flow was cancelled")
    assert Finding.objects.get().cleared_because == "The flow ended without it"


def test_a_merged_flow_takes_its_rows_and_findings_with_it() -> None:
    world = World()
    world.rule()
    state = world.flow("PO-1", SENT)
    refresh([state], T0)
    sweep.run(DUE + HOUR)
    refresh([world.flow("PO-1", status="merged")], DUE + HOUR)
    assert not Expectation.objects.exists()
    assert "part of another" in Finding.objects.get().cleared_because


def test_a_rule_that_is_retired_waives_what_was_told_and_forgets_the_rest() -> None:
    world = World()
    world.rule()
    told, untold = world.flow("PO-1", SENT), world.flow("PO-2", reached("sent", T0 + 9 * HOUR))
    refresh([told, untold], T0)
    sweep.run(DUE + HOUR)
    world.rule(version=2, lifecycle="retired")
    refresh([told, untold], DUE + HOUR)
    row = only()
    assert (row.flow.label, row.state, row.waived_reason) == ("PO-1", "WAIVED", "No rule applies any more")
    assert Finding.objects.get().cleared_because == "No rule applies any more"


def test_a_new_version_moves_the_living_and_leaves_history() -> None:
    world = World()
    first = world.rule()
    met, live = world.flow("PO-1", SENT, reached("asn", DUE)), world.flow("PO-2", SENT)
    refresh([met, live], T0)
    second = world.rule({"due": {"after": {"milestone": "sent", "duration": "PT1H"}}}, version=2)
    refresh([met, live], T0)
    rows = {row.flow.label: row for row in Expectation.objects.select_related("flow")}
    assert (rows["PO-1"].rule, rows["PO-1"].state) == (first, "MET")
    assert (rows["PO-2"].rule, rows["PO-2"].due_at) == (second, T0 + HOUR)


def test_a_change_in_the_register_is_seen_by_the_next_batch() -> None:
    world = World()
    world.rule({"due": {"at": {"time": "17:00", "day_of": {"milestone": "sent"}, "kind": "calendar_days"}}})
    state = world.flow("PO-1", SENT)
    refresh([state], T0)
    assert only().due_at.hour == 16
    world.partner.time_zone = "Asia/Kolkata"
    world.partner.save()
    refresh([state], T0)
    assert (only().due_at.hour, only().due_at.minute) == (11, 30)


def test_a_silent_source_makes_new_rows_unknown() -> None:
    world = World()
    world.rule()
    SourceState.objects.create(integration=world.feed, stale_since=T0)
    refresh([world.flow("PO-1", SENT)], T0 + HOUR)
    assert (only().state, only().suspended_at) == ("SUSPENDED", T0 + HOUR)


@pytest.mark.parametrize("between", [False, True])
def test_a_waiver_by_hand_stands_even_if_it_came_between_reading_and_writing(
    django_user_model: Any, monkeypatch: pytest.MonkeyPatch, between: bool
) -> None:
    world = World()
    world.rule()
    state = world.flow("PO-1", SENT)
    refresh([state], T0)
    user = django_user_model.objects.create(username="ines")

    def waive() -> None:
        Expectation.objects.update(state="WAIVED", waived_by=user, settled_at=T0)

    def slow_compare(*given: Any) -> Any:
        change = compare(*given)
        waive()
        return change

    if between:
        monkeypatch.setattr(expectations, "compare", slow_compare)
    else:
        waive()
    refresh([world.flow("PO-1", SENT, reached("asn", DUE))], DUE)
    assert only().state == "WAIVED"


def test_the_tally_counts_the_living() -> None:
    world = World()
    world.rule()
    refresh([world.flow(f"PO-{n}", SENT) for n in range(5)], T0)
    refresh([world.flow("PO-0", SENT, reached("asn", DUE))], T0)
    sweep.run(DUE + HOUR)
    cells = {(t.milestone, t.state): t.n for t in ExpectationTally.objects.all()}
    assert cells == {("asn", "BREACHED"): 4}


def test_a_broken_rule_does_not_stop_the_batch() -> None:
    world = World()
    world.rule()
    SlaRule.objects.create(slug="bad", name="Bad", flow_slug="purchase", milestone="received", spec={"due": {}})
    refresh([world.flow("PO-1", SENT)], T0)
    assert only().milestone == "asn"


@pytest.fixture
def world() -> World:
    world = World()
    world.rule()
    return world


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_batching_does_not_show(world: World, data: st.DataObject) -> None:
    """The same flows in any batches, in any order, any number of times: the same ledger."""
    Expectation.objects.all().delete()
    labels = ["PO-1", "PO-2", "PO-3"]
    final = {
        label: [
            reached(name, T0 + data.draw(st.integers(0, 12)) * HOUR)
            for name in data.draw(st.lists(st.sampled_from(["sent", "asn", "received"]), unique=True))
        ]
        for label in labels
    }
    for label, milestones in final.items():
        partial = milestones[: data.draw(st.integers(0, len(milestones)))]
        refresh([world.flow(label, *partial)], T0)
    together = [world.flow(label, *milestones) for label, milestones in final.items()]
    for batch in data.draw(st.permutations([together[:1], together[1:], together])):
        refresh(batch, T0)
    grown = ledger()
    Expectation.objects.all().delete()
    refresh(together, T0 + timedelta(days=1))
    assert ledger() == grown
