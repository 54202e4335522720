"""The end of the API key is watched: 14 and 3 days before there is a finding, a new key clears it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.core.secrets import encrypt
from apps.incidents.models import Finding, Incident
from apps.integrations.models import Credential
from apps.simulator.odoo_store import FORMAT, UID, OdooStore, standard_store
from tests.collectors.odoo.conftest import START, Clock, Tower

pytestmark = pytest.mark.django_db


def key(store: OdooStore, ends: datetime | None, name: str = "tower", user: int = UID) -> int:
    value = ends.strftime(FORMAT) if ends else False
    return store.create("res.users.apikeys", {"name": name, "user_id": [user, "Tower"], "expiration_date": value})


def findings() -> list[tuple[str, str]]:
    found = Finding.objects.filter(kind="credential.expiring", cleared_at=None).order_by("raised_at")
    return list(found.values_list("severity", "sentence"))


def test_two_weeks_and_three_days_before_the_end(tower: Tower, store: OdooStore, clock: Clock) -> None:
    ends = START + timedelta(days=30)
    first = key(store, ends)
    key(store, START + timedelta(days=1), user=99)
    tower.poll(clock.forward(hours=7))
    assert findings() == []
    clock.now = ends - timedelta(days=13)
    tower.poll(clock.now)
    ((severity, sentence),) = findings()
    assert severity == "normal"
    assert f"{ends:%Y-%m-%d}" in sentence
    assert sentence.endswith("both work meanwhile.")
    tower.poll(clock.forward(hours=8))
    assert len(findings()) == 1
    clock.now = ends - timedelta(days=2)
    tower.poll(clock.now)
    assert [severity for severity, _ in findings()] == ["high"], "the graver one stands for both"
    assert Incident.objects.count() == 1, "one cause, one incident"
    assert Incident.objects.get().severity == "high"
    store.unlink("res.users.apikeys", first)
    key(store, ends + timedelta(days=90))
    tower.poll(clock.forward(hours=8))
    assert findings() == []
    assert tower.state.failures == 0


def test_odoo_is_asked_now_and_then_only(tower: Tower, store: OdooStore, clock: Clock) -> None:
    key(store, START + timedelta(days=1))
    tower.poll(clock.forward(hours=7))
    asked = len(tower.server.requests)
    tower.poll(clock.forward(minutes=1))
    assert not [path for path, _ in tower.server.requests[asked:] if "apikeys" in path]
    assert len(findings()) == 1


def test_of_several_keys_the_named_one_counts(tower: Tower, store: OdooStore, clock: Clock) -> None:
    key(store, START + timedelta(days=5), "somebody's script")
    key(store, START + timedelta(days=80), "tower")
    key(store, None, "permanent")
    tower.set(key_name="tower")
    tower.poll(clock.forward(hours=7))
    assert findings() == []
    tower.set(key_name="")
    tower.poll(clock.forward(hours=7))
    assert len(findings()) == 1, "Odoo does not say which one is ours, so the next to end counts"


def test_where_odoo_does_not_tell_the_settings_or_the_credential_do(connect, clock: Clock) -> None:  # type: ignore[no-untyped-def]
    """17 keeps no end; the user may not be allowed to read keys."""
    store = standard_store(17)
    store.clock = clock
    key(store, None)
    tower = connect(store, "demo-key", "tower", key_expires_on="2026-12-01")
    assert tower.poll(clock.now).error == ""
    ((_, sentence),) = findings()
    assert "2026-12-01 23:59 UTC (told by the settings)" in sentence
    tower.set(key_expires_on=None)
    tower.poll(clock.forward(hours=7))
    assert findings() == []
    later = datetime(2026, 11, 25, tzinfo=UTC)
    Credential.objects.filter(integration=tower.integration).update(expires_at=later)
    store.hidden.add("res.users.apikeys")
    tower.poll(clock.forward(hours=7))
    assert [severity for severity, _ in findings()] == ["high"]
    Credential.objects.create(integration=tower.integration, ciphertext=encrypt("demo-key"), created_at=clock.now)
    tower.poll(clock.forward(hours=7))
    assert findings() == [], "the newest one counts"
