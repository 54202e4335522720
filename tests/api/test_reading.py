"""Lists, details, filters and pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.flows.models import Flow, Milestone
from apps.flows.pipeline import take
from apps.incidents.models import Incident
from apps.integrations.models import SourceState
from apps.sla.models import Expectation
from tests.api.world import World, machine, person, touch_flow
from tests.flows.builders import T0, event, incoming

pytestmark = pytest.mark.django_db


def rows(client: Client, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1/{path}", query)
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def test_a_flow_in_full(world: World, ours: Client) -> None:
    flow = world.own.flow
    shown = ours.get(f"/api/v1/flows/{flow.pk}/").json()
    assert (shown["id"], shown["definition"], shown["partner"]) == (flow.pk, "purchase", "metalworks")
    assert shown["state"] == "on_time"
    assert shown["attributes"]["buyer"] == f"buyer-{world.own.canary}"
    assert {"kind": "purchase_order", "issuer": "", "value": f"PO-{world.own.canary}", "own": True} in shown[
        "references"
    ]
    assert [one["name"] for one in shown["milestones"] if one["actual_at"]] == ["sent"]
    assert shown["milestones"][0]["source"] == "odoo"
    [due] = shown["expectations"]
    assert (due["milestone"], due["rule"], due["source"]) == ("asn", "asn", "metalworks-feed")
    assert due["sentence"].startswith("Due ")
    assert rows(ours, f"flows/{flow.pk}/milestones/") == shown["milestones"]
    assert rows(ours, f"flows/{flow.pk}/expectations/") == shown["expectations"]
    assert ours.get(f"/api/v1/expectations/{due['id']}/").json() == due


def test_flow_filters(world: World, ours: Client) -> None:
    own, foreign = world.own.flow.pk, world.foreign.flow.pk

    def found(**query: Any) -> set[int]:
        return {one["id"] for one in rows(ours, "flows/", **query)}

    assert found() == {own, foreign}
    assert found(partner="metalworks") == {own}
    assert found(partner="nobody") == set()
    assert found(definition="purchase") == {own, foreign}
    assert found(definition="order") == set()
    assert found(reference=f"po-{world.own.canary}") == set()
    assert found(reference=f"PO-{world.own.canary}") == {own}
    assert found(status="completed") == set()
    assert found(
        opened_after="2026-03-02T07:59:00Z", opened_before="2026-03-02T09:01:00%2B01:00".replace("%2B", "+")
    ) == {
        own,
        foreign,
    }
    assert found(opened_after="2026-03-02T08:00:01Z") == set()
    touch_flow(world.own.flow, 3600)
    assert found(changed_since="2026-03-02T08:30:00Z") == {own}
    states: dict[str, dict[str, Any]] = {
        "late": {"state": "BREACHED"},
        "unknown": {"state": "SUSPENDED"},
        "at_risk": {"state": "PENDING", "at_risk": True},
    }
    for state, values in states.items():
        assert found(state=state) == set()
        Expectation.objects.filter(flow=own).update(**values)
        assert found(state=state) == {own}
        assert rows(ours, "flows/", state=state)[0]["state"] == state
    Flow.objects.filter(pk=own).update(status="merged", merged_into=foreign)
    assert found() == {foreign}
    assert found(status="merged") == {own}
    assert ours.get(f"/api/v1/flows/{own}/").json()["merged_into"] == foreign


def test_expectation_and_milestone_filters(world: World, ours: Client) -> None:
    own = world.own.expectation.pk
    everything = rows(ours, "expectations/")
    assert len(everything) == 2
    Expectation.objects.filter(pk=own).update(state="MET", due_at=T0, settled_at=T0)
    assert [one["id"] for one in rows(ours, "expectations/", due_before="2026-03-03T00:00:00Z")] == [own]
    assert [one["id"] for one in rows(ours, "expectations/", due_after="2026-03-03T00:00:00Z")] != [own]
    assert [one["id"] for one in rows(ours, "expectations/", state="MET")] == [own]
    assert [one["id"] for one in rows(ours, "expectations/", live="false")] == [own]
    assert [one["id"] for one in rows(ours, "expectations/", partner="metalworks", rule="asn", milestone="asn")] == [
        own
    ]
    assert rows(ours, "expectations/", at_risk="true") == []
    reached = rows(ours, "milestones/", reached="true", flow=world.own.flow.pk)
    assert [one["name"] for one in reached] == ["sent"]
    assert len(rows(ours, "milestones/", partner="oakline", name="sent", definition="purchase")) == 1
    assert len(rows(ours, "milestones/")) == Milestone.objects.count()


def test_integrations_show_no_secret(world: World, ours: Client) -> None:
    shown = ours.get("/api/v1/integrations/metalworks-feed/").json()
    assert (shown["slug"], shown["kind"], shown["partner"]) == ("metalworks-feed", "webhook", "metalworks")
    assert shown["heard"]["last_received_at"] == "2026-03-02T08:00:00Z"
    text = ours.get("/api/v1/integrations/").content.decode()
    for hidden in ("endpoint", world.own.integration.endpoint_id, "settings", "ciphertext"):
        assert hidden not in text
    assert {one["slug"] for one in rows(ours, "integrations/", kind="odoo", enabled="true")} == {"odoo"}
    assert {one["slug"] for one in rows(ours, "integrations/", heard="false")} == set()
    SourceState.objects.filter(integration=world.own.integration).update(stale_since=T0)
    assert [one["slug"] for one in rows(ours, "integrations/", heard="false")] == ["metalworks-feed"]


@pytest.mark.parametrize("path", ["flows/", "milestones/", "expectations/", "incidents/", "integrations/"])
def test_pages_neither_repeat_nor_skip(world: World, ours: Client, path: str) -> None:
    more = [event("purchase_order.sent", 0, f"po:{n}", parties={"supplier": "metalworks"}) for n in range(5)]
    take([incoming(one, world.own.integration) for one in more], T0)  # all opened at the same moment
    whole = rows(ours, path, page_size=200)
    seen: list[dict[str, Any]] = []
    address: str | None = f"/api/v1/{path}?page_size=2"
    pages = 0
    while address:
        answer = ours.get(address)
        assert answer.status_code == 200, answer.content
        seen += answer.json()["results"]
        address = answer.json()["next"]
        pages += 1
    assert seen == whole
    assert pages == -(-len(whole) // 2)


def test_a_page_costs_the_same_whatever_its_size(
    world: World, ours: Client, django_assert_max_num_queries: Any
) -> None:
    more = [event("purchase_order.sent", n, f"po:{n}", parties={"supplier": "metalworks"}) for n in range(40)]
    take([incoming(one, world.own.integration) for one in more], T0)
    with django_assert_max_num_queries(5):
        assert len(rows(ours, "flows/")) == 42
    for path in ("milestones/", "expectations/", "incidents/", "integrations/"):
        with django_assert_max_num_queries(4):
            rows(ours, path)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("partner=%00", "partner"),
        ("reference=a%00b", "reference"),
        ("state=nonsense", "state"),
        ("opened_after=yesterday", "opened_after"),
        ("cursor=%00", "cursor"),
        ("cursor=W10", "cursor"),
        ("cursor=WyJ4IiwxXQ", "cursor"),
        ("cursor=W1tdLFtdXQ", "cursor"),
        ("page_size=0", "page_size"),
        ("page_size=201", "page_size"),
        ("page_size=%D9%A3", "page_size"),
        ("partnr=acme", "partnr"),
        ("%00=1", "?"),
        ("status=open&status=completed", "status"),
        ("reference=" + "x" * 201, "reference"),
    ],
)
def test_a_query_that_is_wrong_says_what(world: World, ours: Client, query: str, field: str) -> None:
    answer = ours.get(f"/api/v1/flows/?{query}")
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["field"] == field
    assert answer.json()["error"]["sentence"]


@pytest.mark.parametrize("query", ["flow=99999999999999999999", "flow=NaN", "flow=-1", "flow=1.5", "flow=%00"])
def test_numbers_are_numbers(world: World, ours: Client, query: str) -> None:
    for path in ("milestones/", "expectations/", "incidents/"):
        assert ours.get(f"/api/v1/{path}?{query}").status_code == 400


def test_extreme_times_and_charsets_are_no_defect(world: World, ours: Client) -> None:
    for moment in (
        "0001-01-01T00:00:00%2B14:00",
        "0068-05-17T18:30:14%2B21:28",
        "9999-12-31T23:59:59-14:00",
        "2026-02-30T00:00:00Z",
    ):
        assert ours.get(f"/api/v1/flows/?opened_after={moment}").status_code in (200, 400)
    for charset in ("utf-16", "latin-1", "nonsense"):
        answer = ours.get("/api/v1/flows/?partner=metalworks", CONTENT_TYPE=f"application/json; charset={charset}")
        assert answer.status_code == 200


def test_a_partner_reads_its_own_and_less_of_it(world: World) -> None:
    for client in (person("partner", world.own.partner), machine(partner=world.own.partner)):
        assert [one["id"] for one in rows(client, "flows/")] == [world.own.flow.pk]
        assert [one["id"] for one in rows(client, "expectations/")] == [world.own.expectation.pk]
        assert [one["slug"] for one in rows(client, "integrations/")] == ["metalworks-feed"]
        assert {one["flow"] for one in rows(client, "milestones/")} == {world.own.flow.pk}
        shown = client.get(f"/api/v1/flows/{world.own.flow.pk}/").json()
        assert not {"attributes", "value", "currency", "merged_into"} & shown.keys()
        assert shown["milestones"][0]["source"] is None, "the feed of somebody else that told of it"
        assert shown["expectations"][0]["source"] == "metalworks-feed"
        feed = client.get("/api/v1/integrations/metalworks-feed/").json()
        assert "team" not in feed
        assert "last_error" not in feed["heard"]
        assert client.get("/api/v1/me/").json()["partner"] == "metalworks"
        assert client.get("/api/v1/incidents/").status_code == 404
        assert Incident.objects.count() == 2
