"""The counts and the sentence on a partner's page: of everything, and never green for what nobody knows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.flows.models import FlowDefinition
from apps.integrations.models import Integration, SourceState
from apps.portal import selectors
from apps.portal.selectors import LIST, sentence_of, status
from tests.dashboard.network import DAY, NOW, ORDER, flow, partner, promise

pytestmark = pytest.mark.django_db


def told(**counts: int) -> selectors.Status:
    """The page of a partner with so many promises in each state."""
    who = partner()
    made = 0
    for name, count in counts.items():
        state, _, why = {"late": "BREACHED", "unknown": "SUSPENDED", "paused": "SUSPENDED:On hold"}.get(
            name, "PENDING"
        ).partition(":")
        for _ in range(count):
            promise(flow(f"S-{made}", who), state, NOW + timedelta(seconds=made), at_risk=name == "risky", paused=why)
            made += 1
    return status(who.pk, NOW)


def test_counts_are_of_everything_and_lists_of_the_first() -> None:
    found = told(expected=LIST + 5, late=LIST + 3, unknown=2, paused=1, risky=1)
    assert (found.late_count, len(found.late)) == (LIST + 3, LIST)
    assert (found.expected_count, len(found.expected)) == (LIST + 5, LIST)
    assert (found.unknown, found.paused, found.risky_count, len(found.not_known)) == (2, 1, 1, 3)
    assert sentence_of(found) == ("late", f"{LIST + 3} items are late.")


@pytest.mark.parametrize(
    ("counts", "state", "says"),
    [
        ({"expected": 2}, "done", "on time"),
        ({"expected": 2, "unknown": 1, "risky": 1}, "unknown", "cannot hear you"),
        ({"expected": 2, "paused": 1}, "unknown", "1 item waits: its clock stands still"),
        ({"risky": 1, "paused": 2}, "at-risk", "1 item is due soon"),
        ({}, "unknown", "Nothing is expected"),
    ],
)
def test_the_sentence_is_green_only_for_what_is_known(counts: dict[str, int], state: str, says: str) -> None:
    FlowDefinition.objects.get_or_create(
        slug="order-to-ship", defaults={"version": 1, "name": "Order to ship", "spec": ORDER}
    )
    found = sentence_of(told(**counts))
    assert found[0] == state
    assert says in found[1]


def test_a_silent_connection_is_never_green() -> None:
    own = Integration.objects.create(slug="acme", name="Acme", kind="webhook", partner=partner())
    SourceState.objects.create(integration=own, last_received_at=NOW - DAY, stale_since=NOW - DAY)
    assert sentence_of(told(expected=1))[0] == "unknown"


def test_many_promises_cost_no_more_queries(django_assert_max_num_queries: Any) -> None:
    told(expected=20, late=20)
    with django_assert_max_num_queries(40):
        status(partner().pk, NOW)
