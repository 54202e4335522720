"""A retraction that names no business key finds its event by what their source calls it, whichever came first."""

from __future__ import annotations

import itertools
import random
import uuid
from dataclasses import replace

import pytest
from django.db import transaction

from apps.flows.canonical import TOLD, WITHDRAWN, CanonicalEvent, Reference
from apps.flows.models import Flow, Milestone, Orphan
from apps.flows.pipeline import take
from apps.flows.rebuilding import digest, rebuild
from tests.flows.builders import T0, event, incoming, load_definitions, load_register

pytestmark = pytest.mark.django_db


def named(one: CanonicalEvent, *names: str) -> CanonicalEvent:
    return replace(one, references=(*one.references, *(Reference(TOLD, name, "acme-wms-feed") for name in names)))


def told() -> list[CanonicalEvent]:
    """An order, its pick, a retraction of the pick, and one of the retraction; the last two name no key."""
    placed = named(event("order.placed", 0, "so:1", id="e0"), "e0")
    picked = named(event("pick.completed", 5, "so:1", id="e1"), "e1")
    gone = named(event(WITHDRAWN, 10, id="w1", data={"withdrawn": {"event_id": "e1"}}), "w1", "e1")
    after_all = named(event(WITHDRAWN, 20, id="w2", data={"withdrawn": {"event_id": "w1"}}), "w2", "w1")
    return [placed, picked, gone, after_all]


def outcome(batches: list[list[CanonicalEvent]]) -> tuple[uuid.UUID, set[str], int]:
    """(digest of all flows and orphans, milestones reached, orphans) after these batches; then everything is undone."""
    with transaction.atomic():
        load_definitions()
        source = load_register()["acme-wms"]
        for batch in batches:
            take([incoming(one, source) for one in batch], T0)
        flow = Flow.objects.filter(definition__slug="order-to-ship").first()
        reached = set(Milestone.objects.filter(flow=flow, actual_at__isnull=False).values_list("name", flat=True))
        found = digest(), reached, Orphan.objects.count()
        for _ in rebuild(T0, batch=2):
            pass
        assert digest() == found[0], "a rebuild says something else"
        transaction.set_rollback(True)
    return found


@pytest.mark.parametrize("count", [3, 4])
def test_in_any_order_and_batching(count: int) -> None:
    chance = random.Random(count)
    found = set()
    orders = list(itertools.permutations(told()[:count]))
    for order in chance.sample(orders, 6):
        cut = chance.randint(1, count)
        digest_, reached, orphans = outcome([list(order[:cut]), list(order[cut:]), list(order)])
        assert orphans == 0
        assert ("picked" in reached) == (count == 4), reached
        found.add(digest_)
    assert len(found) == 1


def test_it_waits_where_people_see_it() -> None:
    placed, _, gone, _ = told()
    assert outcome([[gone]])[2] == 1
    assert outcome([[gone], [placed]])[2] == 1
    assert outcome([[gone]])[1] == set()
