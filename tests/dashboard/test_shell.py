"""The shell of every page: the tower's own pulse, the navigation, signing in under attack."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.core.heartbeats import beat

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_user("mara", password="a-good-password", role="operations"))
    return client


def test_the_pulse_is_silent_while_the_sweep_runs(staff: Client) -> None:
    beat("sweep", timezone.now() - timedelta(seconds=70))
    answer = staff.get("/pulse/", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert b"banner" not in answer.content


def test_the_pulse_tells_when_the_sweep_is_late_or_never_ran(staff: Client) -> None:
    assert b"never run" in staff.get("/pulse/").content
    beat("sweep", timezone.now() - timedelta(minutes=12, seconds=5))
    assert b"last ran 12 min ago" in staff.get("/pulse/").content


def test_the_shell_asks_the_database_for_nothing_but_the_reader(staff: Client, django_assert_num_queries) -> None:
    with django_assert_num_queries(2):  # session, user
        staff.get("/design/")


def test_the_navigation_shows_what_the_role_opens(client: Client) -> None:
    for role, sees_admin in (("operations", False), ("manager", False), ("admin", True)):
        client.force_login(User.objects.create_user(role, role=role))
        assert (b'href="/admin/"' in client.get("/design/").content) is sees_admin, role


def test_partners_see_nothing_of_the_staff(client: Client) -> None:
    client.force_login(User.objects.create_user("acme", role="partner"))
    for path in ("/design/", "/pulse/", "/admin/"):
        assert client.get(path).status_code == 404, path


def test_partners_start_on_their_own_page(client: Client) -> None:
    User.objects.create_user("acme", password="a-good-password", role="partner")
    known = {"username": "acme", "password": "a-good-password"}
    assert client.post("/sign-in/", known).headers["Location"] == settings.PARTNER_HOME_URL
    assert client.get("/").headers["Location"] == settings.PARTNER_HOME_URL
    assert client.get("/sign-in/").headers["Location"] == settings.PARTNER_HOME_URL


def test_guessing_passwords_is_stopped_and_said(client: Client) -> None:
    User.objects.create_user("mara", password="a-good-password")
    guess = {"username": "mara", "password": "wrong"}
    answers = [client.post("/sign-in/", guess) for _ in range(settings.AXES_FAILURE_LIMIT)]
    assert [one.status_code for one in answers[:-1]] == [200] * (settings.AXES_FAILURE_LIMIT - 1)
    assert answers[-1].status_code == 429
    assert "Sign-in is paused" in answers[-1].content.decode()
    right = client.post("/sign-in/", {"username": "mara", "password": "a-good-password"})
    assert right.status_code == 429, "not even with the right password"


def test_sign_in_sends_nobody_to_a_foreign_place(client: Client) -> None:
    User.objects.create_user("mara", password="a-good-password")
    known = {"username": "mara", "password": "a-good-password", "next": "https://evil.example/"}
    assert client.post("/sign-in/", known).headers["Location"] == "/"


def test_signing_out_needs_a_post(staff: Client) -> None:
    assert staff.get("/sign-out/").status_code == 405
    assert staff.get("/design/").status_code == 200
    assert staff.post("/sign-out/").status_code == 302
    assert staff.get("/design/").status_code == 302


def test_the_policy_allows_nothing_inline_and_nothing_foreign(client: Client) -> None:
    policy = client.get("/sign-in/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
