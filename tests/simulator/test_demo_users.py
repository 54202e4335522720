"""The sign-ins of the demo: roles as promised, passwords of this installation, one partner only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import Role, User
from apps.integrations.models import Partner

pytestmark = pytest.mark.django_db
PASSWORDS = {name: f"{name}-password" for name in ("operations", "oncall", "manager", "partner")}


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    path = tmp_path / "passwords.json"
    path.write_text(json.dumps(PASSWORDS))
    return path


def test_four_people_can_sign_in_and_one_sees_a_supplier_only(passwords: Path) -> None:
    Partner.objects.create(slug="a-carrier", name="C", kind=Partner.Kind.CARRIER)
    supplier = Partner.objects.create(slug="metalworks", name="S", kind=Partner.Kind.SUPPLIER)
    for _ in range(2):
        call_command("demo_users", "--passwords", str(passwords))
    assert dict(User.objects.values_list("username", "role")) == {
        "operations": Role.OPERATIONS,
        "oncall": Role.ON_CALL,
        "manager": Role.MANAGER,
        "partner": Role.PARTNER,
    }
    for user in User.objects.all():
        assert user.check_password(PASSWORDS[user.username])
        assert not user.is_staff
        assert not user.is_superuser
    assert User.objects.get(username="partner").partner_access.partner == supplier
    assert not User.objects.get(username="operations").teams.exists()


def test_without_a_partner_or_a_password_nobody_is_made(passwords: Path) -> None:
    with pytest.raises(CommandError, match="no partner"):
        call_command("demo_users", "--passwords", str(passwords))
    passwords.write_text("{}")
    with pytest.raises(CommandError, match="manager, oncall, operations, partner"):
        call_command("demo_users", "--passwords", str(passwords))
    assert not User.objects.exists()
