"""Flow list, saved filters, search and one flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.dashboard.models import SavedFilter
from apps.flows.models import Event, Flow
from tests.dashboard.network import DAY, HOUR, NOW, definitions, fill, flow, integration, partner, person, promise, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def olga(client: Client) -> None:
    definitions()
    client.force_login(person("operations"))


def labels(client: Client, query: str) -> list[str]:
    return [line.flow.label for line in client.get(f"/flows/{query}").context["page"].lines]


def test_states_filter(client: Client) -> None:
    acme = partner()
    promise(flow("SO-LATE", acme), "BREACHED", NOW - HOUR)
    promise(flow("SO-RISK", acme), "PENDING", NOW + HOUR, at_risk=True)
    promise(flow("SO-UNKNOWN"), "SUSPENDED", NOW + DAY)
    flow("SO-DONE", status="completed", closed_at=NOW)
    assert labels(client, "?state=late") == ["SO-LATE"]
    assert labels(client, "?state=at_risk") == labels(client, "?state=due_soon") == ["SO-RISK"]
    assert labels(client, "?state=unknown") == labels(client, "?partner=none&state=unknown") == ["SO-UNKNOWN"]
    assert labels(client, "?state=done") == ["SO-DONE"]
    assert set(labels(client, "?partner=acme-metals")) == {"SO-LATE", "SO-RISK"}
    assert labels(client, "?q=so-la&state=open") == ["SO-LATE"]


def test_pages_show_each_flow_once(client: Client) -> None:
    for number in range(120):
        promise(flow(f"SO-{number}", opened_at=NOW - number % 7 * HOUR), "BREACHED", NOW - number % 5 * HOUR)
    for state in ("", "late"):
        seen: list[str] = []
        after = ""
        while True:
            page = client.get("/flows/", {"state": state, "after": after}).context["page"]
            seen += [line.flow.label for line in page.lines]
            after = page.older
            if not after:
                break
        assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize(
    "query", ["after=x", "after=2026-03-01_1", "q=%00", "state=nope", "milestone=nope", "flow=nope"]
)
def test_strange_questions_are_answered(client: Client, query: str) -> None:
    assert client.get(f"/flows/?{query}").status_code == 200


def test_search_goes_straight_to_the_one_flow(client: Client) -> None:
    only = flow("SO-4711")
    flow("SO-4712")
    assert client.get("/search/?q=so-4711").headers["Location"] == f"/flows/{only.pk}/"
    assert len(client.get("/search/?q=SO-47").context["found"]) == 2
    assert b"Nothing carries this reference" in client.get("/search/?q=X").content


def test_saved_filters_are_ones_own(client: Client) -> None:
    client.post("/flows/save/", {"name": "Late at Acme", "state": "late", "partner": "acme-metals"})
    assert b"Late at Acme" in client.get("/flows/").content
    saved = SavedFilter.objects.get()
    client.force_login(person("manager"))
    assert b"Late at Acme" not in client.get("/flows/").content
    client.post(f"/flows/saved/{saved.pk}/drop/")
    assert SavedFilter.objects.exists()


def test_one_flow_from_its_message_to_its_bytes(client: Client) -> None:
    reference = {"kind": "sales_order", "value": "SO-1"}
    placed = {"type": "order.placed", "id": "1", "happened_at": (NOW - HOUR).isoformat(), "references": [reference]}
    told(integration(partner=partner()), [placed])
    one = Flow.objects.get()
    page = client.get(f"/flows/{one.pk}/").content.decode()
    assert "Order placed" in page
    assert "Placed" in page
    shown = client.get(f"/messages/{Event.objects.get().pk}/").content.decode()
    assert "&quot;sales_order&quot;" in shown
    assert client.get("/flows/999999/").status_code == 404


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    fill(1)
    paths = [
        "/flows/",
        "/flows/?state=late",
        "/flows/?q=SO",
        "/search/?q=SO",
        f"/flows/{Flow.objects.earliest('pk').pk}/",
    ]
    first = [queries(path) for path in paths]
    fill(50)
    assert [queries(path) for path in paths] == first
    assert max(first[:4]) <= 9
    assert first[4] <= 17
