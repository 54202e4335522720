"""The flow board: order of its sections, numbers and where they lead, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.dashboard.selectors.board import in_order
from apps.flows.definitions import compile_definition
from apps.integrations.models import SourceState
from tests.dashboard.network import (
    DAY,
    HOUR,
    NOW,
    ORDER,
    definitions,
    fill,
    flow,
    integration,
    partner,
    person,
    promise,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def olga(client: Client) -> None:
    definitions()
    client.force_login(person("operations"))


def test_children_stand_below_their_parents() -> None:
    def made(slug: str, *parents: str) -> Any:
        return compile_definition(
            id=1, slug=slug, version=1, name=slug, since=NOW, spec={**ORDER, "parents": list(parents)}
        )

    told = [made("asn", "purchase"), made("order"), made("parcel", "order", "shipment"), made("purchase"), made("return", "order"), made("shipment", "order")]  # fmt: skip
    assert [one.slug for one in in_order(told)] == ["order", "shipment", "parcel", "return", "purchase", "asn"]


def test_numbers_by_milestone_and_where_they_lead(client: Client) -> None:
    acme = partner()
    promise(flow("SO-1", acme), "BREACHED", NOW - 3 * HOUR)
    promise(flow("SO-2", acme), "PENDING", NOW + HOUR, at_risk=True)
    promise(flow("SO-3", acme), "PENDING", NOW + DAY)
    promise(flow("SO-4", acme), "SUSPENDED", NOW + DAY)
    board = client.get("/").context["board"]
    [row] = board.sections[0].rows
    cell = next(one for one in row.cells if one.milestone == "shipped")
    assert (cell.waiting, cell.late, cell.at_risk, cell.unknown, cell.on_time) == (4, 1, 1, 1, 1)
    assert (board.strip.late, board.strip.due_soon, row.most_late) == (1, 1, NOW - 3 * HOUR)
    page = client.get("/").content.decode()
    link = "/flows/?flow=order-to-ship&amp;partner=acme-metals&amp;milestone=shipped&amp;state=late"
    assert link in page
    listed = client.get(link.replace("&amp;", "&")).context["page"].lines
    assert [line.flow.label for line in listed] == ["SO-1"]


def test_an_unheard_feed_is_unknown_not_green(client: Client) -> None:
    acme = partner()
    flow("SO-1", acme)
    source = integration(partner=acme)
    SourceState.objects.create(integration=source, last_received_at=NOW - DAY, stale_since=NOW - HOUR)
    page = client.get("/").content.decode()
    assert "unheard" in page
    assert "Acme events" in page


def test_nothing_yet_says_what_to_do(client: Client) -> None:
    assert "Connect a source" in client.get("/").content.decode()


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    fill(1)
    board, wall = queries("/"), queries("/wall/")
    fill(50)
    assert (queries("/"), queries("/wall/")) == (board, wall)
    assert board <= 15
