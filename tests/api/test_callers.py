"""Who may call, and how a call is refused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, override_settings

from apps.accounts import tokens
from apps.accounts.models import ApiClient, User
from apps.api import flows
from apps.core import clock
from tests.api.world import World, bearer, machine, person

pytestmark = pytest.mark.django_db


def get(path: str, token: str) -> Any:
    return Client().get(f"/api/v1/{path}", headers={"authorization": f"Bearer {token}"})


def test_no_token_no_entry(world: World) -> None:
    answer = Client().get("/api/v1/flows/")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="control tower"')
    assert answer.json()["error"]["code"] == "not_authenticated"


def test_unknown_expired_revoked_and_of_an_inactive_partner_look_the_same_at_once(world: World) -> None:
    client, token = bearer("flows:read")
    assert get("flows/", token).status_code == 200
    bound = bearer("flows:read", partner=world.own.partner)[1]
    assert get("flows/", bound).status_code == 200
    expired, old = bearer("flows:read")
    tokens.revoke(client.pk, None, clock.now())
    ApiClient.objects.filter(pk=expired.pk).update(expires_at=clock.now() - timedelta(seconds=1))
    world.own.partner.active = False
    world.own.partner.save()
    answers = [get("flows/", one) for one in (token, old, bound, "ct_" + "x" * 43, "ct_é", "xx", "")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


def test_a_bad_token_is_not_saved_by_a_session(world: World) -> None:
    answer = person("admin").get("/api/v1/flows/", headers={"authorization": "Bearer ct_wrong"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("scope", "open_paths"),
    [
        ("flows:read", {"flows/", "milestones/", "expectations/"}),
        ("incidents:read", {"incidents/"}),
        ("integrations:read", {"integrations/"}),
        ("reports:read", set()),
        ("receipts:write", set()),
    ],
)
def test_scopes_open_what_they_name(world: World, scope: str, open_paths: set[str]) -> None:
    client = machine(scope)
    for path in ("flows/", "milestones/", "expectations/", "incidents/", "integrations/"):
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code == (200 if path in open_paths else 403), path
    assert client.get("/api/v1/me/").json()["kind"] == "machine"


def test_reading_incidents_is_not_working_on_them(world: World) -> None:
    answer = machine("incidents:read").post(f"/api/v1/incidents/{world.own.incident.pk}/acknowledge/")
    assert answer.status_code == 403
    assert "incidents:write" in answer.json()["error"]["sentence"]


@pytest.mark.parametrize("role", ["operations", "on_call", "manager", "admin"])
def test_staff_reads_by_session(world: World, role: str) -> None:
    client = person(role)
    for path in ("flows/", "incidents/", "integrations/", "me/"):
        assert client.get(f"/api/v1/{path}").status_code == 200


def test_managers_read_and_comment(world: World) -> None:
    client, path = person("manager"), f"/api/v1/incidents/{world.own.incident.pk}"
    assert client.post(f"{path}/acknowledge/", {}, content_type="application/json").status_code == 403
    assert client.post(f"{path}/comment/", {"text": "why?"}, content_type="application/json").status_code == 200


def test_a_sign_in_without_role_or_partner_opens_nothing(world: World) -> None:
    for client in (person("partner"), person("")):
        assert client.get("/api/v1/flows/").status_code in (401, 403)
    User.objects.update(is_active=False)


def test_a_session_changes_nothing_without_csrf(world: World) -> None:
    path = f"/api/v1/incidents/{world.own.incident.pk}/acknowledge/"
    careless = person("operations", enforce_csrf_checks=True)
    assert careless.post(path, content_type="application/json").status_code == 403
    world.own.incident.refresh_from_db()
    assert world.own.incident.state == "open"
    careless.get("/design/")
    token = "a" * 32
    careless.cookies["csrftoken"] = token
    answer = careless.post(path, content_type="application/json", headers={"x-csrftoken": token})
    assert answer.status_code == 200, answer.content


@override_settings(API_REQUESTS_PER_MINUTE=3)
def test_too_many_requests_of_one_caller_do_not_stop_another(world: World) -> None:
    greedy, other = machine(), machine()
    statuses = [greedy.get("/api/v1/me/").status_code for _ in range(5)]
    assert statuses[:3] == [200, 200, 200]
    assert statuses[-1] == 429
    answer = greedy.get("/api/v1/me/")
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert other.get("/api/v1/me/").status_code == 200


def test_a_database_that_is_away_is_503(world: World, ours: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Any:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(flows, "flows", gone)
    answer = ours.get("/api/v1/flows/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "server closed" not in answer.content.decode()


def test_methods_and_addresses_that_are_not_there(ours: Client) -> None:
    for method in ("put", "patch", "delete", "options", "trace"):
        assert getattr(ours, method)("/api/v1/flows/").status_code == 405, method
    missing = [
        ours.get(f"/api/v1/{path}") for path in ("nothing/", "flows/abc/", "flows/99999999999999999999/", "flows/7/")
    ]
    assert {answer.status_code for answer in missing} == {404}
    assert len({answer.content for answer in missing}) == 1
    assert missing[0]["Content-Type"] == "application/json"


def test_bodies_that_are_wrong_say_so(world: World, ours: Client) -> None:
    path = f"/api/v1/incidents/{world.own.incident.pk}/comment/"
    bodies = [
        b"{",
        b"[" * 100_000,
        b'{"text": NaN}',
        b'{"text": ' + b"1" * 5000 + b"}",
        b'{"text": "\xff"}',
        b"[]",
        b'"x"',
        b"null",
        json.dumps({"text": "a\0b"}).encode(),
        b'{"text": "\\ud800"}',
        json.dumps({"text": "x" * 5000}).encode(),
        b"{}",
    ]
    for body in bodies:
        answer = ours.post(path, body, content_type="application/json")
        assert answer.status_code in (400, 413), (body[:40], answer.content)
        assert answer.json()["error"]["sentence"]
    assert ours.post(path, b"x" * 70_000, content_type="application/json").status_code == 413
    assert ours.post(path, b"text=x", content_type="application/x-www-form-urlencoded").status_code == 415
    assert not world.own.incident.timeline.filter(kind="commented").exists()
