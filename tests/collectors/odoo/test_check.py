"""manage.py check_integration: what is missing, in words, and what to do."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.core import clock as tower_clock
from apps.integrations.models import Credential, Integration, SourceState
from apps.simulator.odoo_models import MODULE_FIELDS
from apps.simulator.odoo_store import OdooStore
from tests.collectors.odoo.conftest import START, Clock, Tower

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(tower_clock, "now", clock)


def check(slug: str, *, exits: int) -> list[dict[str, Any]]:
    out = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("check_integration", slug, json=True, stdout=out)
    assert left.value.code == exits
    return json.loads(out.getvalue())


def bad(checks: list[dict[str, Any]], *, needed: bool) -> dict[str, str]:
    """sentence -> advice of what is missing."""
    return {one["sentence"]: one["advice"] for one in checks if not one["good"] and one["needed"] == needed}


def about(found: dict[str, str], word: str) -> str:
    (advice,) = [advice for sentence, advice in found.items() if word in sentence]
    return advice


def test_a_sound_odoo_works(tower: Tower, store: OdooStore) -> None:
    for model, fields in MODULE_FIELDS.items():
        store.define(model, fields)
    checks = check(tower.integration.slug, exits=0)
    assert bad(checks, needed=True) == {}
    said = " ".join(one["sentence"] for one in checks)
    assert "Odoo 19.0 answers and takes the key; it is spoken to by JSON-2" in said
    assert "Sales orders (sale.order) can be read." in said
    assert "Jobs that failed or wait (OCA queue_job) (queue.job) can be read." in said
    less = bad(checks, needed=False)
    assert "mail.tracking.value (Settings, Technical, Access Rights)" in about(less, "History of states")
    assert "key_expires_on" in about(less, "Nobody says when the API key ends")
    assert all(advice for advice in less.values()), "whoever names a lack says what to do"


def test_each_lack_is_named_with_what_to_do(tower: Tower, store: OdooStore, clock: Clock) -> None:
    store.hidden.add("stock.picking")
    del store.fields["purchase.order"], store.fields["purchase.order.line"]
    del store.fields["sale.order"]["delivery_status"]
    store.clock = lambda: clock.now.replace(hour=11)
    checks = check(tower.integration.slug, exits=1)
    needed, less = bad(checks, needed=True), bad(checks, needed=False)
    assert "read access to stock.picking" in about(needed, "Transfers (stock.picking)")
    assert "install Purchase, or take it out of the models" in about(needed, "Purchase orders (purchase.order)")
    assert "Install sale_stock" in about(less, "delivery_status")
    assert "install OCA's queue_job" in about(less, "queue.job")
    assert "NTP" in about(less, "10800 s ahead of the tower's")
    assert len(needed) == 2
    tower.set(models=["sale.order"], extras=["stock.quant"])
    assert bad(check(tower.integration.slug, exits=0), needed=True) == {}
    tower.set(extras=["queue.job"])
    assert "queue_job" in about(bad(check(tower.integration.slug, exits=1), needed=True), "queue.job")


def test_a_refused_key_and_an_address_without_odoo(tower: Tower, store: OdooStore) -> None:
    store.keys.clear()
    assert "Make a new API key" in about(bad(check(tower.integration.slug, exits=1), needed=True), "cannot be read")
    tower.server.__exit__()
    assert about(bad(check(tower.integration.slug, exits=1), needed=True), "cannot be read")
    Credential.objects.all().delete()
    needed = bad(check(tower.integration.slug, exits=1), needed=True)
    assert "as the credential" in about(needed, "No live credential")
    tower.set(base_url="ftp://x")
    assert "https://host" in about(
        bad(check(tower.integration.slug, exits=1), needed=True), "The settings cannot be used."
    )


def test_other_kinds_say_credential_door_and_last_message() -> None:
    hook = Integration.objects.create(slug="shop", name="Shop", kind="webhook", settings={"scheme": "shopify"})
    checks = check("shop", exits=1)
    assert "as the credential" in about(bad(checks, needed=True), "No live credential")
    assert about(bad(checks, needed=False), "Nothing was heard") != ""
    assert any(f"/in/{hook.endpoint_id}/" in one["sentence"] for one in checks)
    Credential.objects.create(integration=hook, ciphertext=b"broken", created_at=START)
    assert "SECRETS_KEYS" in about(bad(check("shop", exits=1), needed=True), "No live credential")
    Integration.objects.filter(pk=hook.pk).update(enabled=False, kind="gone")
    assert "not installed" in " ".join(bad(check("shop", exits=1), needed=True))
    with pytest.raises(CommandError, match="no integration 'none'"):
        call_command("check_integration", "none")


def test_a_source_that_is_unheard_says_why(tower: Tower) -> None:
    SourceState.objects.filter(integration=tower.integration).update(
        stale_since=START, stale_reason="The key is refused."
    )
    assert about(bad(check(tower.integration.slug, exits=1), needed=True), "unheard since") == "The key is refused."


def test_in_words(tower: Tower) -> None:
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("check_integration", tower.integration.slug, stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("ok ")
    assert lines[-1] == "Odoo: It works."
    assert any(line.startswith("less") for line in lines)
