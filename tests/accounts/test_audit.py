"""The record of changes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import ProgrammingError, transaction

from apps.accounts import audit
from apps.accounts.models import ApiClient, AuditEntry, User

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def test_who_did_what_to_what_and_when() -> None:
    mara = User.objects.create(username="mara", first_name="Mara", last_name="Lind")
    before, after = {"target": Decimal("97.5")}, {"target": Decimal("98"), "from": NOW}
    audit.record(mara, "rule.changed", "rule:late-asn", before, after, NOW)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.actor_name, entry.action, entry.subject, entry.at) == (
        mara,
        "Mara Lind",
        "rule.changed",
        "rule:late-asn",
        NOW,
    )
    assert entry.before == {"target": "97.5"}
    assert entry.after == {"target": "98", "from": "2026-03-02T09:00:00Z"}


def test_machines_and_the_tower_have_names_too() -> None:
    robot = ApiClient.objects.create(name="ERP bridge", token_hash="0" * 64, token_hint="0000")
    assert audit.record(robot, "a", "s", None, {}, NOW).actor_name == "ERP bridge"
    entry = audit.record(None, "a", "s" * 500, None, None, NOW)
    assert (entry.actor_name, len(entry.subject), entry.before) == ("The tower", 200, None)


def test_secrets_stay_out_at_any_depth() -> None:
    canary = "whsec_canary"
    after = {
        "Signing_Secret": canary,
        "settings": [{"apiToken": canary, "url": "https://x"}],
        "password": {"old": canary},
    }
    entry = audit.record(None, "a", "s", None, after, NOW)
    assert canary not in str(entry.after)
    assert entry.after is not None
    assert entry.after["settings"][0]["url"] == "https://x"


@pytest.mark.parametrize(
    "change", [lambda: AuditEntry.objects.update(action="x"), lambda: AuditEntry.objects.all().delete()]
)
def test_nobody_rewrites_it(change: object) -> None:
    audit.record(None, "a", "s", None, None, NOW)
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        change()  # type: ignore[operator]
