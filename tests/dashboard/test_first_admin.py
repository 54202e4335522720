"""The link that makes the first administrator: signed, for a day, and only once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client

from apps.accounts.models import AuditEntry, Role, User
from apps.dashboard import first_admin

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
FORM = {
    "username": "ada",
    "email": "ada@tower.example",
    "password1": "a long enough pass phrase",
    "password2": "a long enough pass phrase",
}

pytestmark = pytest.mark.django_db


def test_the_link_makes_one_administrator_who_is_signed_in(client: Client) -> None:
    path = first_admin.new_path()
    assert client.get(path).status_code == 200
    answer = client.post(path, FORM)
    assert answer.status_code == 302
    assert client.get(answer["Location"]).status_code == 200, "the way to the first integration"
    user = User.objects.get()
    assert (user.username, user.role, user.is_superuser) == ("ada", Role.ADMIN, True)
    assert client.session["_auth_user_id"] == str(user.pk)
    assert AuditEntry.objects.get().subject == "user ada"


def test_the_link_works_once(client: Client) -> None:
    path, other = first_admin.new_path(), first_admin.new_path()
    client.post(path, FORM)
    for used in (path, other):
        assert Client().get(used).status_code == 404
        assert Client().post(used, {**FORM, "username": "eve"}).status_code == 404
    assert User.objects.count() == 1


def test_the_link_is_good_for_a_day() -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        path = first_admin.new_path()
        clock.shift(timedelta(hours=23))
        assert Client().get(path).status_code == 200
        clock.shift(timedelta(hours=2))
        assert Client().get(path).status_code == 404


@pytest.mark.parametrize("token", ["x", "ImZpcnN0IGFkbWluIg:1tAAAA:forged", "%00", "a" * 3000])
def test_a_forged_link_is_refused(client: Client, token: str) -> None:
    assert client.get(f"/first-admin/{token}/").status_code == 404


@pytest.mark.parametrize(
    "change", [{"password2": "another pass phrase"}, {"password1": "short", "password2": "short"}, {"email": ""}]
)
def test_what_is_wrong_is_said_and_nobody_is_made(client: Client, change: dict[str, str]) -> None:
    answer = client.post(first_admin.new_path(), {**FORM, **change})
    assert answer.status_code == 422
    assert b"errorlist" in answer.content
    assert not User.objects.exists()


def test_the_console_prints_a_link_only_while_it_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("first_admin_link")
    assert "/first-admin/" in capsys.readouterr().out
    User.objects.create_user("root", role=Role.ADMIN)
    call_command("first_admin_link")
    assert "/first-admin/" not in capsys.readouterr().out
