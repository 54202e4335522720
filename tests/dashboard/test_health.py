"""How an integration behaves: its usual gap, when it is quieter than that, rates, disorder, unknown codes and versions."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.anomalies.detectors.feed import Profile
from apps.anomalies.models import FeedProfile
from apps.collectors.receiving import NewReceipt, store
from apps.dashboard.selectors import health
from apps.integrations import credentials
from apps.integrations.models import Integration
from tests.dashboard.network import HOUR, NOW, definitions, event, fill, integration, person, told

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False) as travelled:
        yield travelled


@pytest.fixture(autouse=True)
def olga(client: Client) -> None:
    definitions()
    client.force_login(person("operations"))


def every(source: Integration, gap: timedelta, count: int, until: datetime = NOW) -> None:
    for n in range(count, 0, -1):
        told(source, [event(n)], until - n * gap)


def state(client: Client) -> str:
    [line] = client.get("/integrations/").context["lines"]
    assert client.get("/integrations/acme-events/").context["page"].line.state == line.state
    return str(line.state)


@pytest.mark.parametrize("gap", [timedelta(seconds=40), 7 * MINUTE, 5 * HOUR])
def test_a_silent_one_is_marked_within_twice_its_usual_gap(client: Client, clock: Any, gap: timedelta) -> None:
    every(integration(), gap, 40)
    last = NOW - gap
    found = health.gaps([integration().pk])[integration().pk]
    assert (found.usual, found.most, found.of) == (gap, gap, 39)
    for silent, wanted in ((gap, "heard"), (1.3 * gap, "heard"), (2 * gap, "quiet")):
        clock.move_to(last + silent)
        assert state(client) == wanted


def test_bursts_are_one_arrival(client: Client) -> None:
    source = integration()
    for n in range(15, 0, -1):
        told(source, [event(n * 10 + k) for k in range(5)], NOW - n * HOUR)
    found = health.gaps([source.pk])[source.pk]
    assert (found.usual, found.of) == (HOUR, 14)
    assert state(client) == "heard"


def test_its_own_night_is_no_silence(client: Client, clock: Any) -> None:
    """By day a message every ten minutes, none at night: at two in the morning nothing is wrong."""
    source = integration()
    every(source, 10 * MINUTE, 60, NOW + 8 * HOUR)
    shares = tuple(6.0 if 7 <= slot % 24 < 19 else 0.0 for slot in range(168))
    FeedProfile.objects.create(
        integration=source, event_type="", fitted_at=NOW, state=Profile(shares, 1.0, 1e-4, 30).as_json()
    )
    clock.move_to(NOW.replace(hour=18, minute=55) + 7 * HOUR)
    assert state(client) == "heard"
    clock.move_to(NOW.replace(hour=7, minute=15) + timedelta(days=1))
    assert state(client) == "heard"
    clock.move_to(NOW.replace(hour=7, minute=40) + timedelta(days=1))
    assert state(client) == "quiet"


def test_expected_messages_add_up_over_parts_of_hours() -> None:
    profile = Profile(tuple(6.0 for _ in range(168)), 1.0, 1e-4, 30)
    assert math.isclose(health.expected_since(profile, NOW, NOW + 90 * MINUTE, "Europe/Berlin"), 9.0)
    assert health.expected_since(profile, NOW, NOW - HOUR, "no/zone") == 0
    assert health.expected_since(profile, NOW - timedelta(days=400), NOW, "UTC") <= 6 * 170


def test_rates_disorder_and_what_is_unknown(client: Client) -> None:
    source = integration(contract_version="2.1")
    at = [NOW - HOUR * n for n in (5, 4, 6, 3)]
    bodies: list[Any] = [event(n, happened_at=one.isoformat()) for n, one in enumerate(at)]
    told(source, [*bodies, bodies[0], event(9, "acme.surprise"), b"{"])
    store([NewReceipt(source.pk, "http", b"{}", "application/json", {"x-api-version": "2.2"}, "", NOW)])
    told(source, [])
    found = client.get("/integrations/acme-events/").context["page"].health
    assert (found.rated, round(found.error_rate, 3)) == (8, round(3 / 8, 3))
    assert round(found.duplicate_rate, 3) == round(1 / 6, 3)
    assert (found.disorder, found.disorder_of) == (1 / 5, 5)
    assert found.foreign_types == ["acme.surprise"]
    assert [code for code, _, _ in found.unknown] == ["event.unknown_type"]
    assert [(name, version) for name, version, *_ in found.versions] == [("x-api-version", "2.2")]
    assert not found.secret_live
    credentials.issue(source, NOW, None)
    found = client.get("/integrations/acme-events/").context["page"].health
    assert (found.secret_live, found.secret_ends) == (True, None)
    page = client.get("/integrations/acme-events/").content.decode()
    for words in ("Usual gap", "Told twice", "Out of order", "2.1", "acme.surprise"):
        assert words in page


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    fill(1)
    first = queries("/integrations/"), queries("/integrations/source-0/")
    fill(50)
    assert (queries("/integrations/"), queries("/integrations/source-0/")) == first
