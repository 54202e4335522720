"""On call, what comes next, and maintenance by API: staff's machines only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Role, Team, User
from apps.core import clock
from apps.integrations.models import Partner
from apps.oncall.models import Schedule
from tests.api.world import machine
from tests.oncall.builders import rotation_of

pytestmark = pytest.mark.django_db
T0 = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture
def crew() -> Schedule:
    people = [
        User.objects.create(username=name, first_name=name.title(), role=Role.ON_CALL) for name in ("mara", "jon")
    ]
    return rotation_of(Team.objects.create(slug="night", name="Night"), "Nights", T0, timedelta(days=1), people)


@pytest.fixture
def ours() -> Client:
    return machine("incidents:read", "integrations:write")


def get(client: Client, path: str, status: int = 200, **query: str) -> Any:
    answer = client.get(f"/api/v1/{path}", query)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_who_is_on_call_now_and_at_another_moment(ours: Client, crew: Schedule) -> None:
    [now] = get(ours, "on-call/")["results"]
    assert now["schedule"] == "night"
    assert now["person"] in ("mara", "jon")
    said = get(ours, "on-call/", at="2026-03-03T09:00:00Z")
    assert said["results"][0] | {"until": ""} == {
        "schedule": "night",
        "team": "night",
        "person": "jon",
        "name": "Jon",
        "until": "",
    }
    assert get(ours, "on-call/", 400, at="soon")["error"]["field"] == "at"


def test_shifts_of_a_span(ours: Client, crew: Schedule) -> None:
    crew.layers.update(restrictions=[{"from": "08:00", "to": "20:00"}])
    query = {"schedule": "night", "start": "2026-03-02T08:00:00Z", "end": "2026-03-04T08:00:00Z"}
    found = get(ours, "on-call/shifts/", **query)["results"]
    assert [one["person"] for one in found] == ["mara", None, "jon", None]
    assert [one["start"][11:16] for one in found] == ["08:00", "20:00", "08:00", "20:00"]
    assert get(ours, "on-call/shifts/", 404, **(query | {"schedule": "ghost"}))
    assert get(ours, "on-call/shifts/", 400, **(query | {"end": "2026-03-02T08:00:00Z"}))["error"]["field"] == "end"
    assert get(ours, "on-call/shifts/", 400, **(query | {"end": "2027-03-02T08:00:00Z"}))["error"]["field"] == "end"


def plan(client: Client, **body: Any) -> Any:
    now = clock.now()
    values = {"reason": "Upgrade", "start": now.isoformat(), "end": (now + timedelta(hours=2)).isoformat()}
    return client.post("/api/v1/maintenance/", values | body, content_type="application/json")


def test_a_window_is_planned_listed_and_cancelled(ours: Client) -> None:
    Partner.objects.create(slug="carrier", name="Carrier", kind="carrier")
    made = plan(ours, partners=["carrier"], announcement="We upgrade")
    assert made.status_code == 201, made.content
    [listed] = get(ours, "maintenance/")["results"]
    assert (listed["partners"], listed["running"], listed["announced"]) == (["carrier"], True, True)
    body = {"id": made.json()["id"]}
    ended = ours.post("/api/v1/maintenance/cancel/", body, content_type="application/json")
    assert ended.json()["cancelled_at"]
    again = ours.post("/api/v1/maintenance/cancel/", body, content_type="application/json")
    assert again.status_code == 409
    assert get(ours, "maintenance/")["results"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "everything"),
        ({"partners": ["ghost"]}, "partners"),
        ({"everything": True, "time_zone": "Mars/Base"}, "time_zone"),
        ({"everything": True, "recurrence": "FREQ=HOURLY"}, "recurrence"),
        ({"everything": True, "end": "2020-01-01T00:00:00Z"}, "end"),
        ({"everything": True, "reason": ""}, "reason"),
    ],
)
def test_what_makes_no_sense_names_its_field(ours: Client, body: dict[str, Any], field: str) -> None:
    answer = plan(ours, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field


def test_partners_and_narrow_tokens_are_kept_out() -> None:
    carrier = Partner.objects.create(slug="carrier", name="Carrier", kind="carrier")
    partner = machine("incidents:read", "integrations:write", "integrations:read", partner=carrier)
    for path in ("on-call/", "maintenance/", "on-call/shifts/", "incidents/1/next/"):
        get(partner, path, 404)
        get(machine("flows:read"), path, 403)
    assert plan(partner, everything=True).status_code == 404
    assert plan(machine("incidents:read"), everything=True).status_code == 403
