"""What a rule finds besides lateness: too early, too long between, unexpected, skipped, short or over; and who is told."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.flows.definitions import Catalogue, compile_definition
from apps.flows.folding import fold
from apps.flows.models import Milestone
from apps.flows.states import FlowState, MilestoneState
from apps.flows.totals import PARTS
from apps.incidents.models import Finding
from apps.integrations.models import SourceState
from apps.sla import describing, deviations, rederiving, sweep
from apps.sla.check_words import sentence
from apps.sla.checks import Deviation, compile_check
from apps.sla.deadlines import RuleError, Setting
from apps.sla.expectations import refresh
from apps.sla.models import Deviation as Row
from apps.sla.rule_specs import unknown_names
from apps.sla.rules import compile_rule
from apps.sla.schema import RULE_SCHEMA
from tests.flows.builders import event
from tests.flows.test_properties import as_fold_event
from tests.sla.builders import HOUR, LONG_AGO, T0, World, book, flow_state, reached, rule_row

LABELS = {"sent": "Order sent", "asn": "ASN", "arrived": "Arrived", "received": "Received"}
#: made once: to make one reads the whole schema against its own
VALID = jsonschema.Draft202012Validator(RULE_SCHEMA)
UNEXPECTED = {"check": {"unexpected": {"without": ["arrived"]}, "wait": "PT30M"}}


def found(spec: dict[str, Any], state: FlowState, milestone: str = "received") -> Deviation | None:
    VALID.validate(spec)
    shelf = book(rule_row(spec, milestone=milestone))
    assert shelf.problems == []
    assert not shelf.lane(1, "acme"), "a check gives no deadline"
    one = deviations.derive(state, shelf)
    return one[0][2] if one else None


def quantities(got: Any, wanted: Any) -> FlowState:
    return flow_state(reached("received", T0), attributes={"delivered": got, "ordered": wanted})


@pytest.mark.parametrize(
    ("check", "state", "kind", "words"),
    [
        (
            {"early": {"than": {"before": {"milestone": "arrived", "duration": "PT4H"}}}},
            flow_state(reached("received", T0), MilestoneState("arrived", 2, planned_at=T0 + 5 * HOUR)),
            "early",
            "Received came before Mon 2 Mar 11:00 Europe/Paris",
        ),
        (
            {"too_long": {"since": {"milestone": "sent", "duration": "PT3H"}}},
            flow_state(reached("sent", T0), reached("received", T0 + 4 * HOUR)),
            "too_long",
            "Received came later than Mon 2 Mar 13:00 Europe/Paris: too long after Order sent (Mon 2 Mar 10:00 Europe/Paris)",
        ),
        (UNEXPECTED["check"], flow_state(reached("received", T0)), "unexpected", "Received came without “Arrived”"),
        (
            {"unexpected": {"without": ["arrived"], "in_order": True}},
            flow_state(reached("received", T0), reached("arrived", T0 + HOUR)),
            "unexpected",
            "Received came before “Arrived”",
        ),
        ({"quantity": {"got": "delivered", "of": "ordered"}}, quantities(9, 10), "quantity", "9 instead of 10 (short)"),
        (
            {"quantity": {"got": "delivered", "of": "ordered"}},
            quantities("12", 10),
            "quantity",
            "12 instead of 10 (over)",
        ),
        (
            {"quantity": {"got": "boxes", "of": "boxes"}},
            flow_state(reached("received", T0), attributes={"boxes": [1, 3]}),
            "quantity",
            "1 instead of 3 (short)",
        ),
    ],
)
def test_what_a_check_finds(check: dict[str, Any], state: FlowState, kind: str, words: str) -> None:
    one = found({"check": check}, state)
    assert one is not None
    assert one.kind == kind
    told = {**one.facts, "rule": "R", "version": 1, "zone": "Europe/Paris"}
    assert words in sentence(kind, "Received", told, LABELS)
    assert describing.rule({"check": check}, LABELS)


@pytest.mark.parametrize(
    ("check", "state"),
    [
        (
            {"early": {"than": {"before": {"milestone": "arrived", "duration": "PT4H"}}}},
            flow_state(reached("received", T0), MilestoneState("arrived", 2, planned_at=T0 + 4 * HOUR)),
        ),
        ({"early": {"than": {"date": "eta"}}}, flow_state(reached("received", T0))),
        (
            {"too_long": {"since": {"milestone": "sent", "duration": "PT3H"}}},
            flow_state(reached("sent", T0), reached("received", T0 + 3 * HOUR)),
        ),
        ({"too_long": {"since": {"milestone": "sent", "duration": "PT3H"}}}, flow_state(reached("sent", T0))),
        (UNEXPECTED["check"], flow_state(reached("received", T0), reached("arrived", T0 + HOUR))),
        (UNEXPECTED["check"], flow_state(reached("sent", T0))),
        ({"quantity": {"got": "delivered", "of": "ordered", "short": 1}}, quantities(9, 10)),
        ({"quantity": {"got": "delivered", "of": "ordered", "over": "20%"}}, quantities(12, 10)),
        ({"quantity": {"got": "delivered", "of": "ordered"}}, quantities("many", 10)),
        ({"quantity": {"got": "delivered", "of": "ordered"}}, quantities(True, 10)),
    ],
)
def test_what_a_check_lets_pass(check: dict[str, Any], state: FlowState) -> None:
    assert found({"check": check}, state) is None


def test_skipped_means_that_something_later_came() -> None:
    spec = {"check": {"skipped": {}}}
    assert found(spec, flow_state(reached("sent", T0)), "asn") is None
    one = found(
        spec, flow_state(reached("sent", T0), reached("received", T0 + 2 * HOUR), reached("arrived", T0 + HOUR)), "asn"
    )
    assert one is not None
    assert one.facts == {"by": "arrived"}
    assert one.at == T0 + HOUR
    only = {"check": {"skipped": {"by": ["received"]}}}
    assert found(only, flow_state(reached("arrived", T0)), "asn") is None
    assert found(spec, flow_state(reached("asn", T0 + 5 * HOUR), reached("arrived", T0)), "asn") is None


@pytest.mark.parametrize(
    ("check", "path"),
    [
        ({}, "check"),
        ({"skipped": {}, "early": {}}, "check"),
        ({"skipped": {}, "wait": "a while"}, "check.wait"),
        ({"quantity": {"got": "a", "of": "b", "over": "much"}}, "check.quantity.over"),
        ({"too_long": {"since": {"milestone": "a", "duration": "P1M"}}}, "check.too_long.since.after.duration"),
    ],
)
def test_a_check_that_cannot_be_read_names_the_place(check: dict[str, Any], path: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_check(check)
    assert caught.value.path == path


def test_of_each_kind_the_first_that_matches_speaks_and_one_may_say_not_to_look() -> None:
    shelf = book(
        rule_row({**UNEXPECTED, "when": {"service": ["pickup"]}}, milestone="received", position=1, slug="pickup"),
        rule_row(UNEXPECTED, milestone="received", position=2, slug="all"),
        rule_row({"check": {"quantity": {"got": "a", "of": "b"}}}, milestone="received", position=3, slug="count"),
    )
    state = flow_state(reached("received", T0), attributes={"a": 1, "b": 2, "service": "pickup"})
    assert [(rule.row.slug, one.kind) for rule, _, one in deviations.derive(state, shelf)] == [
        ("pickup", "unexpected"),
        ("count", "quantity"),
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.decimals(0, 10_000, places=2),
    st.decimals(0, 10_000, places=2),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_quantities_by_hand(got: Any, wanted: Any, short: int, over: int) -> None:
    spec = {"check": {"quantity": {"got": "delivered", "of": "ordered", "short": f"{short}%", "over": over}}}
    one = found(spec, quantities(str(got), str(wanted)))
    if got < wanted:
        assert (one is not None) is ((wanted - got) * 100 > wanted * short)
    else:
        assert (one is not None) is (got - wanted > over)


# -- in the database ----------------------------------------------------------


def take(states: list[FlowState], now: datetime) -> None:
    with transaction.atomic():
        refresh(states, now)


@pytest.fixture
def world(db: None) -> World:
    found = World(stale_after=timedelta(hours=2))
    found.rule(UNEXPECTED, milestone="received", slug="proof")
    found.heard(T0)
    return found


def test_it_is_told_after_its_wait_and_not_when_what_was_missing_overtook(world: World) -> None:
    hasty = [reached("received", T0)]
    take([world.flow("stays", *hasty), world.flow("comes", *hasty)], T0)
    assert Row.objects.count() == 2
    assert sweep.run(T0 + timedelta(minutes=29)).deviations == 0
    take([world.flow("comes", *hasty, reached("arrived", T0 - HOUR, received_at=T0 + HOUR / 3))], T0 + HOUR / 3)
    told_at = T0 + timedelta(minutes=31)
    assert sweep.run(told_at).deviations == 1
    assert sweep.run(told_at + timedelta(minutes=1)).deviations == 0
    finding = Finding.objects.get()
    assert finding.kind == "sla.unexpected"
    assert finding.sentence == "Received came without “Arrived”; rule 'ASN in time' v1 (stays)."
    assert Row.objects.get().told_at == told_at
    # what was told and no longer holds ends with its finding
    take([world.flow("stays", *hasty, reached("arrived", T0 - HOUR, received_at=T0 + HOUR))], T0 + HOUR)
    finding.refresh_from_db()
    assert finding.cleared_at == T0 + HOUR
    assert Row.objects.get().ended_at == T0 + HOUR


def test_history_and_what_cannot_be_heard_tell_nobody(world: World) -> None:
    rule = compile_rule(UNEXPECTED)
    assert rule.check is not None
    world.rule({"check": {"skipped": {}, "wait": "PT10M"}}, milestone="asn", slug="skipped")
    take([world.flow("old", reached("received", T0), reached("arrived", T0), backfill=True)], T0)
    take([world.flow("new", reached("received", T0), reached("arrived", T0))], T0)
    # the ASN's feed has fallen silent: nobody knows whether it was skipped
    later = T0 + 3 * HOUR
    assert sweep.run(later).deviations == 0
    SourceState.objects.update(last_received_at=later)
    assert sweep.run(later + timedelta(minutes=1)).deviations == 0
    SourceState.objects.update(last_received_at=later + 4 * HOUR, catching_up_until=None)
    assert sweep.run(later + 4 * HOUR).deviations == 1
    assert Finding.objects.filter(kind="sla.skipped").get().flow is not None


def test_the_order_of_messages_does_not_show(world: World) -> None:
    outcomes = set()
    facts = [reached("sent", T0), reached("received", T0 + HOUR), reached("arrived", T0 + 2 * HOUR)]
    for number, order in enumerate(itertools.permutations(facts)):
        seen: list[MilestoneState] = []
        for fact in order:
            seen.append(fact)
            take([world.flow(f"P{number}", *seen)], T0)
        outcomes.add(tuple(Row.objects.filter(flow__label=f"P{number}").values_list("kind", "at", "tell_at")))
    assert len(outcomes) == 1


CLOSING = [
    ({"unexpected": {"without": ["arrived"]}, "wait": "PT0S"}, "received", "unexpected"),
    ({"skipped": {}, "wait": "PT0S"}, "asn", "skipped"),
    ({"too_long": {"since": {"milestone": "sent", "duration": "PT1H"}}}, "received", "too_long"),
    ({"early": {"than": {"after": {"milestone": "sent", "duration": "P9D"}}}}, "received", "early"),
    ({"quantity": {"got": "delivered", "of": "ordered"}}, "received", "quantity"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("check", "milestone", "kind"), CLOSING)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_flow_whose_last_event_closes_it_is_judged(
    world: World, check: dict[str, Any], milestone: str, kind: str, at_once: bool
) -> None:
    world.rule({"check": check}, milestone=milestone)
    facts = {"attributes": {"delivered": 9, "ordered": 10}}
    sent, received = reached("sent", T0), reached("received", T0 + 2 * HOUR)
    with transaction.atomic():
        if not at_once:
            refresh([world.flow("PO-1", sent, **facts)], T0)
        done = world.flow("PO-1", sent, received, status="completed", closed_at=T0 + 2 * HOUR, **facts)
        refresh([done], T0 + 2 * HOUR)
    world.heard(T0 + 3 * HOUR)
    sweep.run(T0 + 3 * HOUR)
    assert Finding.objects.filter(kind=f"sla.{kind}").count() == 1
    assert Row.objects.get(kind=kind).told_at == T0 + 3 * HOUR
    sweep.run(T0 + 4 * HOUR)
    assert Finding.objects.filter(kind=f"sla.{kind}").count() == 1


@pytest.mark.django_db
def test_what_a_closed_flow_waits_to_be_told_follows_a_changed_rule(world: World) -> None:
    """Its rule is taken back before the wait is over: nobody is told by a rule that is no more."""
    rule = world.rule({"check": {"skipped": {}, "wait": "PT30M"}}, milestone="asn")
    rederiving.notice(T0)
    closed = {"status": "completed", "closed_at": T0 + HOUR}
    with transaction.atomic():
        state = world.flow("PO-1", reached("sent", T0), reached("received", T0 + HOUR), **closed)
        refresh([state], T0 + HOUR)
    for one in state.milestones.values():
        Milestone.objects.create(
            flow_id=state.flow_id,
            name=one.name,
            ordinal=one.ordinal,
            actual_at=one.actual_at,
            received_at=one.received_at,
        )
    assert Row.objects.filter(kind="skipped").count() == 1
    world.rule(
        {"check": {"skipped": {}, "wait": "PT30M"}}, slug=rule.slug, version=2, milestone="asn", lifecycle="retired"
    )
    rederiving.notice(T0 + HOUR)
    rederiving.step(T0 + HOUR)
    world.heard(T0 + 2 * HOUR)
    sweep.run(T0 + 2 * HOUR)
    assert not Row.objects.filter(kind="skipped").exists()
    assert not Finding.objects.filter(kind="sla.skipped").exists()


# -- quantities in parts ------------------------------------------------------

PARTED: dict[str, Any] = {
    "identified_by": ["purchase_order"],
    "opened_by": ["purchase_order.sent"],
    "void_by": {"picking": ["picking.cancelled"]},
    "attributes": ["ordered"],
    "totals": [
        {"name": "got", "of": "quantity", "told_by": ["goods.received"], "per": "picking"},
        {"name": "told", "of": "quantity", "told_by": ["asn.received"], "per": "picking"},
    ],
    "milestones": [
        {"name": "sent", "label": "Sent", "reached_by": ["purchase_order.sent"]},
        {"name": "received", "label": "Received", "reached_by": ["goods.received"], "take": "last"},
    ],
}
_word = st.tuples(
    st.sampled_from(["goods.received", "asn.received", "picking.cancelled"]),
    st.sampled_from("ABC"),
    st.sampled_from([0, 3, "2.5", 7, None, "many"]),
)


def totals_of(words: list[tuple[str, str, Any]]) -> FlowState:
    compiled = compile_definition(id=1, slug="purchase", version=1, name="P", since=LONG_AGO, spec=PARTED)
    told = [event("purchase_order.sent", 0, "po:1", data={"ordered": 10}, id="e")]
    told += [
        event(type_, minute, "po:1", f"pick:{part}", data={"quantity": amount}, id=f"e{minute}")
        for minute, (type_, part, amount) in enumerate(words, 1)
    ]
    events = [as_fold_event(number, one) for number, one in enumerate(told)]
    state = fold(
        Catalogue([compiled]), "purchase", frozenset({("purchase_order", "", "PO-1")}), events, lambda party: ""
    )
    assert state is not None
    return state


@settings(max_examples=150, deadline=None)
@given(st.lists(_word, max_size=8))
def test_deliveries_are_added_up_a_correction_replaces_and_a_void_part_goes(words: list[tuple[str, str, Any]]) -> None:
    state = totals_of(words)
    for name, type_ in (("got", "goods.received"), ("told", "asn.received")):
        amounts: dict[str, Decimal] = {}
        for told, part, amount in words:
            if told == type_ and amount not in (None, "many"):
                amounts[part] = Decimal(str(amount))
        last = {part: told for told, part, _ in words}
        live = {part: amount for part, amount in amounts.items() if last[part] != "picking.cancelled"}
        if live:
            assert Decimal(state.attributes[name]) == sum(live.values())
            assert {key: Decimal(one) for key, one in state.attributes[PARTS][name].items()} == {
                f"PICK-{part}": amount for part, amount in live.items()
            }
        else:
            assert name not in state.attributes


def test_two_part_deliveries_are_no_shortage_once_both_are_here() -> None:
    check = compile_check({"quantity": {"got": "got", "of": "ordered"}})
    setting = Setting(ZoneInfo("UTC"))
    one, both = [("goods.received", "A", 4)], [("goods.received", "A", 4), ("goods.received", "B", 6)]
    short = check.find(totals_of(one), "received", 1, setting)
    assert short is not None
    assert short.facts["got"] == "4"
    assert check.find(totals_of(both), "received", 1, setting) is None
    over = check.find(totals_of([*both, ("goods.received", "C", 3)]), "received", 1, setting)
    assert over is not None
    assert (over.facts["got"], over.facts["sort"]) == ("13", "over")


def test_parts_are_held_against_their_own_and_the_worst_is_named() -> None:
    words = [("asn.received", part, 5) for part in "ABC"]
    words += [("goods.received", "A", 5), ("goods.received", "B", 4), ("goods.received", "C", "7")]
    setting = Setting(ZoneInfo("UTC"))
    check = compile_check({"quantity": {"got": "got", "of": "told", "compare": "each"}})
    found = check.find(totals_of(words), "received", 1, setting)
    assert found is not None
    told = {**found.facts, "rule": "R", "version": 1, "zone": "UTC"}
    assert sentence("quantity", "Received", told, {}).startswith(
        "Received: 7 instead of 5 for PICK-C (over), and 1 other part differs"
    )
    assert check.find(totals_of(words[:4]), "received", 1, setting) is None  # what has not come yet is not compared
    summed = compile_check({"quantity": {"got": "got", "of": "told"}}).find(totals_of(words), "received", 1, setting)
    assert summed is not None
    assert (summed.facts["got"], summed.facts["wanted"]) == ("16", "15")


@pytest.mark.parametrize(
    ("quantity", "problem"),
    [
        (
            {"got": "delivred", "of": "ordered"},
            "'delivred', so this could never be found; it remembers ordered, got, told",
        ),
        ({"got": "got", "of": "wanted"}, "remembers 'wanted'"),
        ({"got": "got", "of": "ordered", "compare": "each"}, "'ordered' does not come in parts"),
        ({"got": "got", "of": "told", "compare": "each"}, ""),
        ({"got": "got", "of": "ordered"}, ""),
    ],
)
def test_a_quantity_nobody_remembers_is_refused_with_those_there_are(quantity: dict[str, str], problem: str) -> None:
    found = unknown_names({"check": {"quantity": quantity}}, PARTED)
    assert [name for name, _ in found] == (["check"] if problem else [])
    assert all(problem in words for _, words in found)


@pytest.mark.parametrize(
    ("when", "wrong"),
    [
        ({"attributes": {"servce": ["express"]}}, "'servce', so the rule would never apply; it remembers service, lines; did you mean 'service'?"),
        ({"attributes": {"service": ["express"], "lines": ["3"]}}, ""),
        ({"service": ["express"]}, ""),
        ({"lane": ["FR>DE"]}, "its lane"),
    ],
)  # fmt: skip
def test_a_condition_on_what_no_flow_remembers_is_named(when: dict[str, Any], wrong: str) -> None:
    definition = {"milestones": [], "identified_by": [], "attributes": ["service", "lines"]}
    found = unknown_names({"when": when}, definition)
    assert [key for key, _ in found] == (["when"] if wrong else [])
    assert all(wrong in told for _, told in found)
    for more in (["lane"], ["lane_from", "lane_to"]):
        assert unknown_names({"when": {"lane": ["FR>DE"]}}, {**definition, "attributes": more}) == []
    assert unknown_names({"when": {"service": ["express"]}}, {**definition, "attributes": ["lines"]})
