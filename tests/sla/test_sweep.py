"""The sweep: late exactly when the second has passed, once, whoever sweeps and however the clock jumps."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import Team
from apps.core.models import Heartbeat
from apps.flows.models import FlowTally
from apps.flows.sets import raw_cursor
from apps.incidents.models import Finding, Incident
from apps.sla import sweep, tally
from apps.sla.expectations import refresh
from apps.sla.models import Expectation, ExpectationTally
from apps.sla.tasks import sweep as sweep_task
from tests.sla.builders import ASN_SPEC, HOUR, T0, World, reached

pytestmark = pytest.mark.django_db
SENT = reached("sent", T0)
DUE = T0 + 4 * HOUR
SECOND = timedelta(seconds=1)


@pytest.fixture
def world() -> World:
    world = World()
    world.rule()
    return world


def only() -> Expectation:
    return Expectation.objects.get()


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (DUE - SECOND, "PENDING"),
        (DUE, "PENDING"),
        (DUE + timedelta(microseconds=999_999), "PENDING"),  # it may still come within this very second
        (DUE + SECOND, "BREACHED"),
    ],
)
def test_late_exactly_when_the_second_has_passed(world: World, now: datetime, state: str) -> None:
    refresh([world.flow("PO-1", SENT)], T0)
    sweep.run(now)
    assert only().state == state


def test_a_breach_is_told_once_with_everything_needed(world: World) -> None:
    team = Team.objects.create(slug="inbound", name="Inbound")
    world.definition.owner = team
    world.definition.save()
    refresh([world.flow("PO-1", SENT), world.flow("PO-2", SENT)], T0)
    summary = sweep.run(DUE + HOUR)
    assert (summary.breached, summary.findings) == (2, 2)
    again = sweep.run(DUE + 2 * HOUR)
    assert (again.breached, again.findings) == (0, 0)
    incident = Incident.objects.get()
    assert (incident.title, incident.severity, incident.team, incident.partner) == (
        "Late: ASN from Acme Metals",
        "high",
        team,
        world.partner,
    )
    finding = Finding.objects.order_by("sentence")[0]
    assert finding.sentence == (
        "ASN of PO-1 has not come. Due Mon 2 Mar 14:00 Europe/Paris: 4 hours after order sent (Mon 2 Mar 10:00), "
        "rule 'ASN in time' v1."
    )
    assert (finding.due_at, finding.evidence["rule"], finding.integration) == (DUE, "asn-in-time", world.feed)
    assert {row.finding_id for row in Expectation.objects.all()} == set(Finding.objects.values_list("pk", flat=True))
    assert Heartbeat.objects.get(name="sweep").at == DUE + 2 * HOUR


def test_a_clock_set_back_judges_nothing_twice(world: World) -> None:
    refresh([world.flow("PO-1", SENT)], T0)
    for now in (DUE + HOUR, DUE - HOUR, T0 - 99 * HOUR, DUE + HOUR, DUE + 2 * HOUR):
        sweep.run(now)
    assert only().state == "BREACHED"
    assert Finding.objects.count() == 1


def test_history_is_judged_but_tells_nobody(world: World) -> None:
    refresh([world.flow("PO-1", SENT, backfill=True)], T0)
    summary = sweep.run(DUE + HOUR)
    assert (summary.breached, summary.findings) == (1, 0)
    assert (only().state, only().settled_at) == ("BREACHED", None)
    assert not Incident.objects.exists()


def test_a_flow_that_had_ended_is_settled_quietly(world: World) -> None:
    refresh([world.flow("PO-1", SENT)], T0)
    world.flow("PO-1", SENT, status="completed", closed_at=DUE + HOUR)  # the ledger was not told: as after a catch-up
    summary = sweep.run(DUE + 2 * HOUR)
    assert (summary.breached, summary.ended, summary.findings) == (1, 1, 0)
    assert only().settled_at == DUE + HOUR


def test_what_is_promised_for_after_the_end_is_still_late(world: World) -> None:
    ended = world.flow("PO-1", SENT, status="completed", closed_at=DUE - HOUR)
    refresh([ended], T0)
    assert sweep.run(DUE + HOUR).findings == 1
    refresh([ended], DUE + 2 * HOUR)
    assert (only().state, only().settled_at) == ("BREACHED", None)


def test_the_warning_comes_at_its_time_and_goes_with_the_breach(world: World) -> None:
    refresh([world.flow("PO-1", SENT)], T0)
    assert sweep.run(DUE - HOUR - SECOND).at_risk == 0
    assert sweep.run(DUE - HOUR).at_risk == 1
    assert only().at_risk
    assert sweep.run(DUE - HOUR).at_risk == 0
    sweep.run(DUE + SECOND)
    assert (only().at_risk, only().state) == (False, "BREACHED")


def test_batches_of_a_thousand(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "CLAIM", 10)
    refresh([world.flow(f"PO-{n}", SENT) for n in range(35)], T0)
    assert sweep.run(DUE + HOUR).breached == 35
    assert Finding.objects.count() == 35
    assert Incident.objects.count() == 1


def test_a_row_that_cannot_be_judged_does_not_hold_up_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh([world.flow(f"PO-{n}", SENT) for n in range(25)], T0)
    poisoned = Expectation.objects.get(flow__label="PO-7")
    honest = sweep.draft_of

    def draft_of(row: sweep.Overdue, *rest: Any) -> Any:
        if row.id == poisoned.pk:
            raise ValueError("cannot say")
        return honest(row, *rest)

    monkeypatch.setattr(sweep, "draft_of", draft_of)
    summary = sweep.run(DUE + HOUR)
    assert (summary.failed, summary.breached) == (1, 24)
    assert list(Expectation.objects.filter(state="PENDING")) == [poisoned]
    monkeypatch.setattr(sweep, "draft_of", honest)
    assert sweep.run(DUE + HOUR).breached == 1


def test_each_window_is_credited_to_its_own_expectation() -> None:
    """IBM's own flaw: windows at 02:00 and 03:00; the first run comes at 03:05, the second at 03:20."""
    world = World()
    world.rule({"due": {"date": "by"}}, slug="runs")
    two, three = T0.replace(hour=2), T0.replace(hour=3)
    first, second = (world.flow(label, dates={"by": by}) for label, by in (("run-1", two), ("run-2", three)))
    refresh([first, second], T0 - HOUR)
    sweep.run(three + timedelta(minutes=1))
    late = world.flow("run-1", reached("asn", three + timedelta(minutes=5)), dates={"by": two})
    refresh([late], three + timedelta(minutes=5))
    last = world.flow("run-2", reached("asn", three + timedelta(minutes=20)), dates={"by": three})
    refresh([last], three + timedelta(minutes=20))
    assert [(row.due_at, row.state, row.met_at) for row in Expectation.objects.order_by("due_at")] == [
        (two, "MET_LATE", three + timedelta(minutes=5)),
        (three, "MET_LATE", three + timedelta(minutes=20)),
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-3, 9), min_size=1, max_size=6), st.lists(st.integers(-5, 12), min_size=1, max_size=6))
def test_random_clocks(world: World, offsets: list[int], clocks: list[int]) -> None:
    """Deadlines around each other, sweeps at any times in any order: late is what the latest sweep had passed, once."""
    Expectation.objects.all().delete()
    Finding.objects.all().delete()
    states = [world.flow(f"PO-{n}", reached("sent", T0 + k * HOUR)) for n, k in enumerate(offsets)]
    refresh(states, T0)
    seen: list[datetime] = []
    for clock in clocks:
        now = DUE + clock * HOUR + timedelta(seconds=clock % 2)
        seen.append(now)
        sweep.run(now)
        late = set(Expectation.objects.filter(state="BREACHED").values_list("flow__label", flat=True))
        assert late == {f"PO-{n}" for n, k in enumerate(offsets) if DUE + k * HOUR < max(seen)}
        assert Finding.objects.count() == len(late)


def test_the_claim_reads_only_what_is_due(world: World) -> None:
    """At 100,000 open expectations with 50 overdue, and 50,000 of the past, the claim walks the partial index, and touches little else."""
    refresh([world.flow("PO-1", SENT)], T0)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO sla_expectation (flow_id, definition_id, milestone, rule_id, due_at, state, at_risk, origin,
                anchor, waived_reason, backfill, settled_at)
            SELECT flow_id, definition_id, 'bulk ' || n, rule_id,
                CASE WHEN n %% 2000 = 0 OR n > 100000 THEN %(past)s
                     ELSE %(ahead)s + (n %% 10000) * interval '1 minute' END,
                CASE WHEN n > 100000 THEN 'MET' ELSE 'PENDING' END, false, '{}', '', '', true,
                CASE WHEN n > 100000 THEN %(past)s END
            FROM sla_expectation, generate_series(1, 150000) AS n
            """,
            {"past": T0 - HOUR, "ahead": T0 + HOUR},
        )
        cursor.execute("RESET ROLE")
        cursor.execute("ANALYZE sla_expectation")
        cursor.execute("SET ROLE controltower_app")
    with raw_cursor() as raw:
        raw.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sweep.CLAIM_DUE, [T0, [], 1000], binary=False)
        plan = raw.fetchone()[0]  # type: ignore[index]
    nodes = _nodes(plan[0]["Plan"])
    assert {node["Index Name"] for node in nodes if "expectation" in node.get("Index Name", "")} == {"expectation_due"}
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan" and "expectation" in node["Relation Name"]]
    assert max(node["Actual Rows"] for node in nodes) <= 60
    assert Expectation.objects.count() > 100_000
    summary = sweep.run(T0)
    assert summary.breached == 50
    assert summary.findings == 0


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in _nodes(child))]


def test_compaction_keeps_every_sum(world: World) -> None:
    for n in range(8):
        refresh([world.flow(f"PO-{n}", SENT)], T0)
    refresh([world.flow("PO-0", SENT, reached("asn", DUE))], T0)
    before = _sums()
    assert ExpectationTally.objects.count() > 1
    tally.compact()
    assert _sums() == before
    assert ExpectationTally.objects.count() == 1
    assert FlowTally.objects.count() == 1
    assert tally.compact() == 0


def _sums() -> dict[Any, int]:
    found: dict[Any, int] = {}
    for row in ExpectationTally.objects.all():
        cell: tuple[Any, ...] = (row.definition_id, row.partner_id, row.milestone, row.state, row.at_risk)
        found[cell] = found.get(cell, 0) + row.n
    for flow in FlowTally.objects.all():
        cell = (flow.definition_id, flow.partner_id, flow.status, flow.awaiting)
        found[cell] = found.get(cell, 0) + flow.n
    return {cell: n for cell, n in found.items() if n}


def test_command_and_task(world: World) -> None:
    refresh([world.flow("PO-1", SENT)], T0)
    out = StringIO()
    call_command("sweep", now="2026-03-02T14:00:01+01:00", stdout=out)
    assert "Swept as of 2026-03-02 13:00:01 UTC. breached: 1, findings: 1" in out.getvalue()
    out = StringIO()
    call_command("sweep", now="2026-03-02T15:00:00+01:00", stdout=out)
    assert "Nothing had changed" in out.getvalue()
    with pytest.raises(CommandError, match="write it like"):
        call_command("sweep", now="yesterday")
    sweep_task(now="2026-03-03")
    assert Heartbeat.objects.get(name="sweep").at == datetime.fromisoformat("2026-03-03T00:00:00+00:00")


def test_other_milestones_of_one_partner_are_other_causes(world: World) -> None:
    world.rule(ASN_SPEC, slug="receive", milestone="received", severity="low")
    refresh([world.flow("PO-1", SENT)], T0)
    sweep.run(DUE + HOUR)
    assert sorted(Incident.objects.values_list("title", "severity")) == [
        ("Late: ASN from Acme Metals", "high"),
        ("Late: Received from Acme Metals", "low"),
    ]
