"""What the inbox and the incident page read."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.flows.models import FlowLink
from apps.incidents import selectors
from apps.incidents.models import Incident
from apps.incidents.selectors import Stake
from apps.incidents.workflow import acknowledge, clear_findings, raise_findings, resolve, snooze
from apps.integrations.models import ChangeMarker
from tests.incidents.builders import HOUR, MINUTE, NOW, draft, flow, integration, partner, person, team, uid

pytestmark = pytest.mark.django_db


def of(cause: object) -> Incident:
    return Incident.objects.filter(fingerprint=uid("cause", cause)).latest("id")


def test_inbox_is_sorted_by_the_countdown() -> None:
    raise_findings(
        [
            draft(1, cause="later", due_at=NOW + 3 * HOUR),
            draft(2, cause="breached, low", due_at=NOW - HOUR, severity="low"),
            draft(3, cause="soon", due_at=NOW + 42 * MINUTE),
            draft(4, cause="breached, critical", due_at=NOW - HOUR, severity="critical"),
        ],
        NOW,
    )
    titles = [incident.title.removeprefix("No scans from ") for incident in selectors.inbox()]
    assert titles == ["soon", "later", "breached, critical", "breached, low"]
    assert selectors.next_breach_in(of("soon"), NOW) == 42 * MINUTE
    assert selectors.next_breach_in(of("breached, low"), NOW) == -HOUR


def test_inbox_filters() -> None:
    crew, mara, carrier = team(), person("mara"), partner()
    case = flow("1Z1")
    raise_findings(
        [
            draft(1, cause="a", team_id=crew.pk, severity="high"),
            draft(2, cause="b", partner_id=carrier.pk, flow_id=case.pk),
            draft(3, cause="c", kind="silent_feed"),
        ],
        NOW,
    )
    acknowledge(of("b").pk, mara, NOW)
    resolve(of("c").pk, mara, NOW, "fixed")

    def found(**filters: object) -> set[int]:
        return set(selectors.inbox(**filters).values_list("pk", flat=True))  # type: ignore[arg-type]

    a, b, c = of("a").pk, of("b").pk, of("c").pk
    assert found() == {a, b}
    assert found(state="all") == {a, b, c}
    assert found(state="resolved") == {c}
    assert found(team_id=crew.pk) == {a}
    assert found(partner_id=carrier.pk) == {b}
    assert found(severity="high") == {a}
    assert found(kind="silent_feed", state="all") == {c}
    assert found(flow_id=case.pk) == {b}
    assert found(text="scans FROM b") == {b}
    assert found(text=f"#{b}") == {b}
    for odd in ("\x00", "#", "9" * 40, "²", "%"):
        found(text=odd)


def test_inbox_takes_one_query_however_many() -> None:
    carrier, crew = partner(), team()
    raise_findings([draft(n, cause=n, partner_id=carrier.pk, team_id=crew.pk) for n in range(50)], NOW)
    with CaptureQueriesContext(connection) as queries:
        rows = [(i.partner, i.integration, i.team, i.assignee, i.acknowledged_by) for i in selectors.inbox()]
    assert (len(rows), len(queries)) == (50, 1)


def test_standing() -> None:
    mara = person("mara")
    raise_findings([draft(n, cause=n, severity="critical") for n in range(6)], NOW)
    acknowledge(of(0).pk, mara, NOW)
    snooze(of(1).pk, mara, NOW, NOW + HOUR)
    resolve(of(2).pk, mara, NOW, "fixed")
    assert selectors.standing() == selectors.Standing(open=3, acknowledged=1, snoozed=1, unanswered_critical=3)


def test_affected_flows_soonest_first() -> None:
    one, two, three = flow("one"), flow("two"), flow("three")
    raise_findings(
        [
            draft(1, flow_id=one.pk, due_at=NOW + 2 * HOUR),
            draft(2, flow_id=two.pk, due_at=NOW + 3 * HOUR),
            draft(3, flow_id=two.pk, due_at=NOW + HOUR),
            draft(4, cause="other", flow_id=three.pk),
        ],
        NOW,
    )
    clear_findings([uid("key", 1)], "came", NOW)
    flows = selectors.affected_flows(of("carrier").pk)
    assert [(f.label, f.first_due_at, f.still_open) for f in flows] == [  # type: ignore[attr-defined]
        ("two", NOW + HOUR, True),
        ("one", NOW + 2 * HOUR, False),
    ]
    assert [f.label for f in selectors.affected_flows(of("carrier").pk, only_open=True)] == ["two"]


def test_same_cause_before_and_how_it_ended() -> None:
    mara = person("mara")
    for day in range(3):
        raise_findings([draft(day)], NOW + timedelta(days=day))
        if day < 2:
            resolve(of("carrier").pk, mara, NOW + timedelta(days=day, hours=1), "partner", f"Belt restarted ({day})")
    earlier = list(selectors.same_cause_before(of("carrier")))
    assert [(i.how, i.who) for i in earlier] == [  # type: ignore[attr-defined]
        ("Belt restarted (1)", "Mara"),
        ("Belt restarted (0)", "Mara"),
    ]


def test_changes_before() -> None:
    carrier = partner()
    ours, sister, foreign = (
        integration("ours", partner=carrier),
        integration("sister", partner=carrier),
        integration("x"),
    )

    def marker(text: str, hours: float, **values: object) -> None:
        ChangeMarker.objects.create(at=NOW + timedelta(hours=hours), kind="deploy", text=text, **values)

    marker("on ours", -1, integration=ours)
    marker("on the partner's other", -2, integration=sister)
    marker("everywhere", -3)
    marker("on a foreign one", -1, integration=foreign)
    marker("too old", -25, integration=ours)
    marker("after", 1, integration=ours)
    raise_findings([draft(1, integration_id=ours.pk, partner_id=carrier.pk)], NOW)
    assert [m.text for m in selectors.changes_before(of("carrier"))] == [
        "on ours",
        "on the partner's other",
        "everywhere",
    ]


def test_value_at_stake_counts_every_flow_once() -> None:
    order = flow("order", value=Decimal("100.50"), currency="EUR")
    parcel = flow("parcel", value=Decimal("60"), currency="EUR")
    single = flow("single", value=Decimal("10"), currency="EUR")
    abroad = flow("abroad", value=Decimal("7"), currency="USD")
    unpriced = flow("unpriced")
    FlowLink.objects.create(parent=order, child=parcel)
    raise_findings(
        [
            *(draft((f.label, n), flow_id=f.pk) for f in (order, parcel, single, abroad, unpriced) for n in (1, 2)),
            draft("alone", cause="parcel only", flow_id=parcel.pk),
            draft("nothing", cause="no flow"),
        ],
        NOW,
    )
    all_of_them, alone, none = of("carrier").pk, of("parcel only").pk, of("no flow").pk
    with CaptureQueriesContext(connection) as queries:
        stakes = selectors.value_at_stake([all_of_them, alone, none])
    assert len(queries) == 1
    assert stakes == {
        all_of_them: [Stake("EUR", Decimal("110.50"), 2), Stake("USD", Decimal("7"), 1)],
        alone: [Stake("EUR", Decimal("60"), 1)],
        none: [],
    }
    clear_findings([uid("key", ("order", n)) for n in (1, 2)], "came", NOW)
    assert selectors.value_at_stake([all_of_them])[all_of_them][0] == Stake("EUR", Decimal("70"), 2)
    assert selectors.value_at_stake([all_of_them], cleared_too=True)[all_of_them][0].amount == Decimal("110.50")


def test_timeline_names_its_actors_in_one_query() -> None:
    raise_findings([draft(1)], NOW)
    mara = person("mara")
    acknowledge(of("carrier").pk, mara, NOW + MINUTE)
    with CaptureQueriesContext(connection) as queries:
        told = [(row.kind, row.actor) for row in selectors.timeline(of("carrier").pk)]
    assert told == [("opened", None), ("acknowledged", mara)]
    assert len(queries) == 2  # the incident and its timeline
