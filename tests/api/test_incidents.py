"""The verbs: once, with the actor's name, and 409 with the reason when it is too late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Team, User
from apps.core import clock
from tests.api.world import World

pytestmark = pytest.mark.django_db


def do(client: Client, world: World, verb: str, **body: Any) -> Any:
    return client.post(f"/api/v1/incidents/{world.own.incident.pk}/{verb}/", body, content_type="application/json")


def test_an_incident_is_worked_from_open_to_resolved_and_back(world: World, ours: Client) -> None:
    User.objects.create(username="mara", first_name="Mara", role="operations")
    Team.objects.create(slug="night", name="Night")
    later = (clock.now() + timedelta(hours=2)).isoformat()
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("acknowledge", {"text": "looking", "back_at": later}, "acknowledged"),
        ("unacknowledge", {}, "open"),
        ("assign", {"assignee": "mara", "team": "night"}, "open"),
        ("comment", {"text": "carrier called"}, "open"),
        ("snooze", {"until": later}, "snoozed"),
        ("resolve", {"resolution": "partner"}, "resolved"),
        ("reopen", {}, "open"),
    ]
    for verb, body, state in steps:
        answer = do(ours, world, verb, **body)
        assert answer.status_code == 200, (verb, answer.content)
        assert answer.json()["state"] == state
    shown = answer.json()
    assert (shown["assignee"], shown["team"], shown["reopened"]) == ("mara", "night", 1)
    timeline = ours.get(f"/api/v1/incidents/{world.own.incident.pk}/timeline/").json()["results"]
    assert [one["kind"] for one in timeline] == [
        *("opened", "acknowledged", "unacknowledged", "assigned", "commented", "snoozed", "resolved", "reopened"),
    ]
    assert {one["actor"] for one in timeline} == {"", "probe"}
    [finding] = ours.get(f"/api/v1/incidents/{world.own.incident.pk}/findings/").json()["results"]
    assert (finding["flow"], finding["evidence"]) == (world.own.flow.pk, {"who": world.own.canary})


def test_too_late_is_409_with_the_reason(world: World, ours: Client) -> None:
    assert do(ours, world, "acknowledge").status_code == 200
    again = do(ours, world, "acknowledge")
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "not_possible"
    assert "already" in again.json()["error"]["sentence"]
    assert do(ours, world, "reopen").status_code == 409
    past = do(ours, world, "snooze", until="2020-01-01T00:00:00Z")
    assert (past.status_code, "passed" in past.json()["error"]["sentence"]) == (409, True)


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("snooze", {}, "until"),
        ("snooze", {"until": "soon"}, "until"),
        ("resolve", {"resolution": "by itself"}, "resolution"),
        ("resolve", {}, "resolution"),
        ("comment", {"text": " "}, "text"),
        ("assign", {"assignee": "nobody-here"}, "assignee"),
        ("assign", {"team": "nobody-here"}, "team"),
        ("acknowledge", {"back_at": 7}, "back_at"),
    ],
)
def test_what_a_verb_needs_is_said(world: World, ours: Client, verb: str, body: dict[str, Any], field: str) -> None:
    answer = do(ours, world, verb, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field
    assert world.own.incident.timeline.count() == 1


@pytest.mark.parametrize("verb", ["acknowledge", "unacknowledge", "assign", "reopen"])
def test_a_verb_on_nothing_is_404(world: World, ours: Client, verb: str) -> None:
    assert ours.post(f"/api/v1/incidents/999999999/{verb}/", {}, content_type="application/json").status_code == 404


def test_incident_filters(world: World, ours: Client) -> None:
    def found(**query: Any) -> list[int]:
        answer = ours.get("/api/v1/incidents/", query)
        assert answer.status_code == 200, answer.content
        return [one["id"] for one in answer.json()["results"]]

    own, foreign = world.own.incident.pk, world.foreign.incident.pk
    assert found() == [foreign, own]
    assert found(partner="metalworks", severity="high", kind="late_milestone") == [own]
    assert found(flow=world.own.flow.pk) == [own]
    assert found(integration="oakline-feed") == [foreign]
    assert do(ours, world, "acknowledge").status_code == 200
    assert found(state="acknowledged") == [own]
    assert do(ours, world, "resolve", resolution="fixed").status_code == 200
    assert found(unresolved="true") == [foreign]
    assert found(unresolved="false") == [own]
    assert found(team="night") == found(assignee="mara") == []
