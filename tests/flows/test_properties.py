"""Invariant 3: any permutation, duplication and batching of the same events gives the same flows, byte for byte."""

from __future__ import annotations

import random
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.utils import OperationalError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.flows.canonical import CanonicalEvent
from apps.flows.folding import FoldEvent, digest_of, fold
from apps.flows.models import Event, Flow
from apps.flows.pipeline import take
from apps.flows.rebuilding import digest, rebuild
from apps.flows.recording import IncomingEvent
from apps.flows.states import FlowState
from apps.integrations.models import Integration
from tests.flows.builders import T0, catalogue, event, incoming, load_definitions, load_register

TYPES = [
    "order.placed",
    "order.created",
    "order.released",
    "order.cancelled",
    "picking.created",
    "picking.cancelled",
    "stock.allocated",
    "stock.unallocated",
    "label.created",
    "label.voided",
    "shipment.dispatched",
    "transport.picked_up",
    "delivery.completed",
    "hop.failed",
]


@st.composite
def stories(draw: st.DrawFn, orders: int = 1, longest: int = 25) -> list[CanonicalEvent]:
    """Events around a few orders: some name only their parcel, some repeat an id with other content."""
    count = draw(st.integers(1, longest))
    told = []
    for _ in range(count):
        order = draw(st.integers(1, orders))
        refs = draw(
            st.sampled_from(
                [
                    (f"so:{order}",),
                    (f"so:{order}", f"co:{order}"),
                    (f"co:{order}",),
                    (f"so:{order}", f"pick:{order}1"),
                    (f"so:{order}", f"pick:{order}2"),
                    (f"pick:{order}1", f"trk:{order}1"),
                    (f"pick:{order}2", f"trk:{order}2"),
                    (f"trk:{order}1",),
                    (f"trk:{order}2",),
                    (f"so:{order}", f"trace:{order}"),
                    (f"trace:{order}",),
                ]
            )
        )
        told.append(
            event(
                draw(st.sampled_from(TYPES)),
                draw(st.integers(0, 40)),
                *refs,
                id=draw(st.sampled_from(["", "", "", "same", "other"])),
                data=draw(st.sampled_from([{}, {"value": "12.5", "service": "A"}, {"service": "B"}])),
                dates=draw(
                    st.sampled_from([{}, {"promised_delivery": T0}, {"promised_delivery": T0 + timedelta(days=1)}])
                ),
            )
        )
    return told


CATALOGUE = catalogue()
OWN = frozenset({("sales_order", "", "SO-1"), ("channel_order", "", "CO-1")})


def as_fold_event(number: int, one: CanonicalEvent) -> FoldEvent:
    content = one.content_key()
    return FoldEvent(
        id=number,
        type=one.type,
        happened_at=one.happened_at,
        sent_at=None,
        received_at=one.happened_at + timedelta(seconds=number),
        booked_at=None,
        references=tuple((r.kind, r.issuer, r.value) for r in one.references),
        dates=one.dates,
        parties=one.parties,
        data=one.data,
        integration_id=1,
        partner="",
        source_key=content if not one.source_event_id else type(content)(one.source_event_id.ljust(16).encode()),
        content_key=content,
        suspect=False,
        backfill=False,
    )


def folded(events: list[CanonicalEvent]) -> FlowState | None:
    told = [as_fold_event(number, one) for number, one in enumerate(events)]
    return fold(CATALOGUE, "order-to-ship", OWN, told, lambda party: "")


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(stories(), st.randoms(use_true_random=False))
def test_the_fold_does_not_see_order_or_repetition(told: list[CanonicalEvent], chance: random.Random) -> None:
    plain = folded(told)
    shuffled = told + chance.choices(told, k=chance.randint(0, len(told)))
    chance.shuffle(shuffled)
    again = folded(shuffled)
    assert (plain is None) == (again is None)
    if plain is not None and again is not None:
        assert digest_of(plain) == digest_of(again)


def test_ten_thousand_stories_fold_the_same_in_any_order() -> None:
    """The same over many more stories than Hypothesis could draw in this time; it finds and shrinks, this one counts."""
    chance = random.Random(20261124)
    seen = 0
    for told in _examples(10_000, chance):
        plain = folded(told)
        shuffled = told + chance.choices(told, k=chance.randint(0, len(told)))
        chance.shuffle(shuffled)
        again = folded(shuffled)
        assert (plain is None) == (again is None)
        if plain is not None and again is not None:
            assert digest_of(plain) == digest_of(again), told
            seen += 1
    assert seen > 9_000


def split(events: list[IncomingEvent], chance: random.Random) -> list[list[IncomingEvent]]:
    batches: list[list[IncomingEvent]] = []
    while events:
        size = chance.randint(1, len(events))
        batches.append(events[:size])
        events = events[size:]
    return batches


def run_workers(shares: list[list[list[IncomingEvent]]]) -> None:
    """Each share is taken batch by batch by its own thread and connection; a deadlock's loser tries again."""
    errors: list[BaseException] = []

    def work(batches: list[list[IncomingEvent]]) -> None:
        try:
            for batch in batches:
                for _ in range(20):
                    try:
                        with transaction.atomic():
                            take(batch, T0)
                        break
                    except OperationalError:
                        continue
                else:
                    raise AssertionError("a batch never got through")
        except BaseException as problem:
            errors.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.django_db(transaction=True)
def test_five_hundred_stories_through_postgresql_with_four_workers() -> None:
    """Each example: a clean run in order by one worker, against a shuffled, repeated, split run by four at once."""
    load_definitions()
    register = load_register()
    chance = random.Random(20261123)
    examples = _examples(500, chance)
    # all examples side by side in one database: they share no reference, so one comparison proves each of them
    clean = [_with_prefix(one, register, number) for number, one in enumerate(examples)]
    for told in clean:
        with transaction.atomic():
            take(told, T0)
    expected = dict(Flow.objects.exclude(status="merged").values_list("key", "digest"))
    overall = digest()
    _forget()
    shares: list[list[list[IncomingEvent]]] = [[], [], [], []]
    for told in clean:
        messy = told + chance.choices(told, k=chance.randint(0, len(told)))
        chance.shuffle(messy)
        for batch in split(messy, chance):
            shares[chance.randrange(4)].append(batch)
    for share in shares:
        chance.shuffle(share)
    run_workers(shares)
    got = dict(Flow.objects.exclude(status="merged").values_list("key", "digest"))
    assert got == expected
    assert digest() == overall
    for _ in rebuild(T0, batch=700):
        pass
    assert digest() == overall, "a rebuild from events alone gives the same"


def _examples(count: int, chance: random.Random) -> list[list[CanonicalEvent]]:
    """Stories drawn as the strategy draws them, but reproducibly and fast."""
    told = []
    for _ in range(count):
        story = []
        for _ in range(chance.randint(1, 14)):
            shape = chance.choice(
                [
                    ("so",),
                    ("so", "co"),
                    ("co",),
                    ("so", "pick"),
                    ("so", "pick2"),
                    ("pick", "trk"),
                    ("pick2", "trk2"),
                    ("trk",),
                    ("trk2",),
                ]
            )
            story.append(
                event(
                    chance.choice(TYPES),
                    chance.randint(0, 40),
                    *(f"{name.rstrip('2')}:{'2' if name.endswith('2') else '1'}" for name in shape),
                    id=chance.choice(["", "", "", "same"]),
                    data=chance.choice([{}, {"value": "12.5", "service": "A"}, {"service": "B"}]),
                )
            )
        told.append(story)
    return told


def _with_prefix(told: list[CanonicalEvent], register: dict[str, Integration], number: int) -> list[IncomingEvent]:
    moved = []
    for one in told:
        references = tuple(type(r)(r.kind, f"{number}-{r.value}") for r in one.references)
        changed = CanonicalEvent(
            type=one.type,
            happened_at=one.happened_at,
            references=references,
            source_event_id=f"{number}-{one.source_event_id}" if one.source_event_id else "",
            data=one.data,
        )
        moved.append(incoming(changed, register["odoo"]))
    return moved


def _forget() -> None:
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(
            "TRUNCATE flows_flow, flows_milestone, flows_event, flows_eventkey, flows_eventreference, flows_reference, "
            "flows_referencelink, flows_flowreference, flows_flowlink, flows_orphan, flows_flowtally CASCADE"
        )
        cursor.execute("SET ROLE controltower_app")
    assert not Event.objects.exists()
