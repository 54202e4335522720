"""What a source takes back no longer counts: pure, in any order and repetition, and through PostgreSQL."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.flows.canonical import WITHDRAWN, CanonicalEvent, source_key_of
from apps.flows.folding import FoldEvent, digest_of, fold, without_withdrawn
from apps.flows.models import Flow, Milestone
from apps.flows.pipeline import take
from apps.flows.states import FlowState
from tests.flows.builders import T0, catalogue, event, incoming, load_definitions, load_register
from tests.flows.test_properties import OWN, as_fold_event, stories

CATALOGUE = catalogue()


def takes_back(minutes: float, id: str, *refs: str, own: str = "") -> CanonicalEvent:
    return event(WITHDRAWN, minutes, *refs, id=own or f"taken-{id}", data={"withdrawn": {"event_id": id}})


def takes_back_moment(minutes: float, target: CanonicalEvent, *refs: str) -> CanonicalEvent:
    told = {"type": target.type, "happened_at": target.happened_at.isoformat()}
    return event(WITHDRAWN, minutes, *refs, id=f"taken-{told}", data={"withdrawn": told})


def fold_events(told: list[CanonicalEvent], integration_id: int = 1) -> list[FoldEvent]:
    found = []
    for number, one in enumerate(told):
        made = as_fold_event(number, one)
        identity = one.source_event_id or made.content_key.hex()
        found.append(replace(made, source_key=source_key_of(integration_id, identity), integration_id=integration_id))
    return found


def folded(events: list[FoldEvent]) -> FlowState | None:
    return fold(CATALOGUE, "order-to-ship", OWN, events, lambda party: "")


@st.composite
def stories_with_second_thoughts(draw: st.DrawFn) -> list[CanonicalEvent]:
    told = [replace(one, source_event_id=f"e{number}") for number, one in enumerate(draw(stories(longest=12)))]
    for number in range(draw(st.integers(1, 4))):
        target = draw(st.sampled_from(told))
        minutes = draw(st.integers(0, 60))
        if draw(st.booleans()):
            told.append(takes_back(minutes, target.source_event_id, "so:1", own=f"w{number}"))
        else:
            told.append(takes_back_moment(minutes, target, *[f"so:{1}"]))
    return told


@settings(max_examples=300, deadline=None)
@given(stories_with_second_thoughts(), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_show(told: list[CanonicalEvent], chance: random.Random) -> None:
    events = fold_events(told)
    shuffled = events + chance.choices(events, k=chance.randint(0, len(events)))
    chance.shuffle(shuffled)
    plain, again = folded(events), folded(shuffled)
    assert (plain is None) == (again is None)
    if plain is not None and again is not None:
        assert digest_of(plain) == digest_of(again)


@settings(max_examples=200, deadline=None)
@given(stories(longest=12), st.data())
def test_the_flow_is_as_if_the_event_had_never_been_told(told: list[CanonicalEvent], data: st.DataObject) -> None:
    told = [replace(one, source_event_id=f"e{number}") for number, one in enumerate(told)]
    place = data.draw(st.integers(0, len(told) - 1))
    taken = takes_back(50, f"e{place}", "so:1")
    without = folded(fold_events([*told[:place], *told[place + 1 :], replace(taken, data={})]))
    withdrawn = folded(fold_events([*told, taken]))
    assert without is not None
    assert withdrawn is not None
    for name in ("status", "stage", "awaiting", "dates", "attributes", "value", "failed_hops"):
        assert getattr(withdrawn, name) == getattr(without, name), name
    assert {n: m.actual_at for n, m in withdrawn.milestones.items()} == {
        n: m.actual_at for n, m in without.milestones.items()
    }


def names(events: list[FoldEvent]) -> list[str]:
    return [one.type for one in without_withdrawn(sorted(events, key=lambda one: one.happened_at))]


def test_a_taking_back_may_be_taken_back_by_a_later_one_only() -> None:
    scan = event("delivery.completed", 10, "trk:1", id="scan")
    first, second = takes_back(20, "scan", "trk:1", own="w1"), takes_back(30, "w1", "trk:1", own="w2")
    assert names(fold_events([scan, first])) == [WITHDRAWN]
    assert names(fold_events([scan, first, second])) == ["delivery.completed", WITHDRAWN]
    circle = takes_back(20, "w2", "trk:1", own="w1"), takes_back(30, "w1", "trk:1", own="w2")
    assert names(fold_events([scan, *circle])) == ["delivery.completed", WITHDRAWN]


def test_a_source_takes_back_only_its_own() -> None:
    [scan] = fold_events([event("delivery.completed", 10, "trk:1", id="scan")])
    [taken] = fold_events([takes_back(20, "scan", "trk:1")], integration_id=2)
    assert names([scan, taken]) == ["delivery.completed", WITHDRAWN]


@pytest.mark.parametrize(
    ("refs", "gone"), [(("trk:1",), True), (("trk:1", "so:1", "pick:1"), True), (("trk:2",), False), (("so:1", "trk:2"), False)]
)  # fmt: skip
def test_without_an_identity_the_references_tell(refs: tuple[str, ...], gone: bool) -> None:
    scan = event("delivery.completed", 10, "trk:1", "so:1", id="scan")
    assert (names(fold_events([scan, takes_back_moment(20, scan, *refs)])) == [WITHDRAWN]) == gone
    later = replace(scan, happened_at=scan.happened_at + timedelta(minutes=1), source_event_id="later")
    assert "delivery.completed" in names(fold_events([scan, later, takes_back_moment(20, scan, *refs)]))


@pytest.mark.django_db
@pytest.mark.parametrize("first", ["scan", "withdrawal"])
def test_a_milestone_opens_again_whichever_came_first(first: str) -> None:
    load_definitions()
    source = load_register()["swift-parcel"]
    order = event("order.created", 0, "so:1", id="o")
    scan = event("delivery.completed", 60, "so:1", "trk:1", id="scan")
    taken = takes_back(90, "scan", "so:1", "trk:1")
    told = [order, scan, taken] if first == "scan" else [order, taken, scan]
    for number, one in enumerate(told):
        take([incoming(one, source)], T0 + timedelta(hours=2, minutes=number))
        if (number, first) == (1, "scan"):
            assert Milestone.objects.filter(name="delivered", actual_at__isnull=False).exists()
    flow = Flow.objects.get(definition__slug="order-to-ship", label="SO-1")
    assert not Milestone.objects.filter(flow=flow, name="delivered", actual_at__isnull=False).exists()
    assert flow.event_count == 3
    assert flow.status == "open"
