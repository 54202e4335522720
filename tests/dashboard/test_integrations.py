"""Integrations: list, one of them, adding in two steps, secrets shown once, switching, and who may."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils.html import escape

from apps.accounts.models import AuditEntry
from apps.collectors.contract import COLLECTORS
from apps.integrations.credentials import live_secrets
from apps.integrations.models import ChangeMarker, Credential, Integration, Partner, SourceState
from tests.dashboard.network import HOUR, NOW, definitions, fill, integration, partner, person, told

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False) as travelled:
        yield travelled


@pytest.fixture(autouse=True)
def olga(client: Client) -> None:
    definitions()
    client.force_login(person("operations"))


def html(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


STEP_TWO = {
    "name": "North WMS events",
    "time_zone": "Europe/Berlin",
    "criticality": "high",
    "latency_class": "real_time",
    "environment": "production",
    "lifecycle": "live",
    "silent_after": "PT6H",
    "new_partner": "3PL North",
    "new_partner_kind": "3pl",
    "settings-scheme": "hmac_sha256_hex",
    "settings-signature_header": "X-Signature",
}


#: what forms of kinds must be told, by field (or kind and field)
NEEDED = {
    "url": "https://shop.example",
    "amqp.url": "amqp://broker.example",
    "redis_stream.url": "redis://broker.example:6379/0",
    "servers": "kafka.example:9092",
    "file": "gateway/access.log",
    "source": "an-odoo",
}


def test_an_empty_tower_leads_to_the_first_integration(client: Client) -> None:
    assert "Add the first integration" in html(client, "/integrations/")
    page = html(client, "/integrations/add/")
    for kind, label in COLLECTORS.choices():
        assert f"/integrations/add/{kind}/" in page
        assert escape(label) in page
    answer = client.post("/integrations/add/webhook/", STEP_TWO, follow=True)
    made = Integration.objects.get()
    assert answer.redirect_chain == [("/integrations/north-wms-events/start/", 302)]
    assert made.settings == {"scheme": "hmac_sha256_hex", "signature_header": "X-Signature"}
    assert (made.stale_after, made.partner) == (timedelta(hours=6), Partner.objects.get(name="3PL North"))
    text = answer.content.decode()
    assert "The door takes nothing until there is a secret" in text
    assert f"/in/{made.endpoint_id}/" in text
    assert made.lifecycle == "onboarding"
    assert "Nothing has been heard yet" in html(client, "/integrations/north-wms-events/")
    assert AuditEntry.objects.get(action="integration.added").subject == "integration:north-wms-events"


@pytest.mark.parametrize("kind", sorted(COLLECTORS.plugins))
def test_every_kind_has_a_form_and_an_example(client: Client, kind: str) -> None:
    html(client, f"/integrations/add/{kind}/")
    name = f"Of kind {kind}"
    form = COLLECTORS.get(kind).ConfigForm()
    needed = {f"settings-{field}": NEEDED.get(f"{kind}.{field}", NEEDED.get(field, "x")) for field in form.fields if form.fields[field].required}  # fmt: skip
    answer = client.post(
        f"/integrations/add/{kind}/",
        {**STEP_TWO, "name": name, **needed, "settings-base_url": "https://odoo.example"},
    )
    assert answer.status_code == 302, answer.context["own"].errors
    slug = Integration.objects.get().slug
    page = html(client, f"/integrations/{slug}/")
    assert ("How it is read" if COLLECTORS.get(kind).polls else "How to send") in page
    html(client, f"/integrations/{slug}/edit/")
    html(client, f"/integrations/{slug}/start/")


def test_what_the_collector_refuses_is_not_saved(client: Client) -> None:
    wrong = {**STEP_TWO, "settings-signature_header": ""}
    answer = client.post("/integrations/add/webhook/", wrong)
    assert answer.status_code == 422
    assert "This scheme needs to know the header" in answer.content.decode()
    assert not Integration.objects.exists()
    assert not Partner.objects.exists()
    assert client.get("/integrations/add/fax/").status_code == 404


def test_a_nought_is_an_answer(client: Client) -> None:
    """No history at all is not the same as the usual ninety days."""
    own = {"settings-base_url": "https://odoo.example", "settings-history_days": "0"}
    client.post("/integrations/add/odoo/", {**STEP_TWO, **own})
    assert Integration.objects.get().settings["history_days"] == 0


def test_two_of_a_name_get_two_short_names(client: Client) -> None:
    client.post("/integrations/add/webhook/", STEP_TWO)
    client.post("/integrations/add/webhook/", {**STEP_TWO, "new_partner": "", "name": "North WMS Events"})
    client.post("/integrations/add/webhook/", {**STEP_TWO, "new_partner": "", "name": "Add"})
    slugs = sorted(Integration.objects.values_list("slug", flat=True))
    assert slugs == ["add-2", "north-wms-events", "north-wms-events-2"]


def test_a_secret_is_shown_once_and_overlaps(client: Client, clock: Any) -> None:
    source = integration()
    answer = client.post("/integrations/acme-events/credentials/", headers=HTMX)
    shown = re.search(r'id="new-secret">([^<]+)<', answer.content.decode())
    assert shown
    first = shown[1]
    assert live_secrets(source.pk, NOW) == [first]
    assert "no-store" in answer["Cache-Control"]
    again = html(client, "/integrations/acme-events/")
    assert first not in again
    assert f"…{first[-4:]}" in again
    client.post("/integrations/acme-events/credentials/", headers=HTMX)
    assert len(live_secrets(source.pk, NOW + timedelta(hours=23))) == 2
    assert first not in live_secrets(source.pk, NOW + timedelta(hours=25))
    assert not any(first in str(entry.after) for entry in AuditEntry.objects.all())


def test_the_senders_own_secret_is_stored_and_never_shown(client: Client) -> None:
    source = integration()
    answer = client.post("/integrations/acme-events/credentials/", {"secret": "chosen-by-them"}, headers=HTMX)
    assert live_secrets(source.pk, NOW) == ["chosen-by-them"]
    assert "chosen-by-them" not in answer.content.decode()
    short = client.post("/integrations/acme-events/credentials/", {"secret": "x"}, headers=HTMX)
    assert short.status_code == 422
    assert Credential.objects.count() == 1


def test_revoking_ends_it_now(client: Client) -> None:
    source = integration()
    client.post("/integrations/acme-events/credentials/")
    key = Credential.objects.get()
    other = integration("Other source")
    assert client.post(f"/integrations/{other.slug}/credentials/{key.pk}/revoke/").status_code == 404
    client.post(f"/integrations/acme-events/credentials/{key.pk}/revoke/")
    assert live_secrets(source.pk, NOW) == []
    assert AuditEntry.objects.filter(action="credential.revoked").count() == 1


def test_switching_off_and_on_is_noted(client: Client) -> None:
    integration()
    client.post("/integrations/acme-events/switch/", {"enabled": "0"})
    client.post("/integrations/acme-events/switch/", {"enabled": "0"})
    assert not Integration.objects.get().enabled
    assert "Turned off. Nothing is taken from it." in html(client, "/integrations/acme-events/")
    client.post("/integrations/acme-events/switch/", {"enabled": "1"})
    assert [one.text for one in ChangeMarker.objects.order_by("pk")] == ["Turned off", "Turned on"]


def test_changes_keep_what_was_before(client: Client) -> None:
    source = integration(partner=partner(), settings={"scheme": "bearer", "references": {"order": "sales_order"}})
    values = {
        **STEP_TWO,
        "name": "Acme events",
        "partner": source.partner_id,
        "new_partner": "",
        "settings-scheme": "standard",
    }
    client.post("/integrations/acme-events/edit/", values)
    entry = AuditEntry.objects.get(action="integration.changed")
    assert (entry.before["settings"]["scheme"], entry.after["settings"]["scheme"]) == ("bearer", "standard")
    source.refresh_from_db()
    assert source.settings["references"] == {"order": "sales_order"}, "what no form knows stays"
    client.post("/integrations/acme-events/edit/", values)
    assert AuditEntry.objects.filter(action="integration.changed").count() == 1


def test_states_in_the_list(client: Client) -> None:
    def state(name: str, **values: Any) -> None:
        SourceState.objects.create(integration=integration(name), **values)

    state("Heard", last_received_at=NOW - HOUR)
    state("Stale", last_received_at=NOW - HOUR, stale_since=NOW)
    state("Failing", last_received_at=NOW - HOUR, failures=3, last_error="Odoo said no", last_error_at=NOW)
    integration("Never")
    integration("Off", enabled=False)
    lines = client.get("/integrations/").context["lines"]
    assert [(line.integration.name, line.state) for line in lines] == [
        ("Failing", "failing"),
        ("Stale", "stale"),
        ("Heard", "heard"),
        ("Never", "never"),
        ("Off", "off"),
    ]
    assert "Odoo said no" in html(client, "/integrations/?state=failing")
    assert "None matches" in html(client, "/integrations/?q=zzz")


def test_recent_messages(client: Client) -> None:
    ids = told(integration(), [b"{"])
    page = html(client, "/integrations/acme-events/")
    assert f"/receipts/{ids[0]}/" in page
    assert "dead letter" in page


@pytest.mark.parametrize("role", ["manager", "on_call"])
def test_others_read(client: Client, role: str) -> None:
    integration()
    client.force_login(person(role))
    for page in (html(client, "/integrations/"), html(client, "/integrations/acme-events/")):
        assert "Add integration" not in page
        assert "Turn off" not in page
        assert "Issue" not in page
    for path in ("/integrations/add/", "/integrations/add/webhook/", "/integrations/acme-events/edit/"):
        assert client.get(path).status_code == 403
    for path in ("switch/", "credentials/", "edit/"):
        assert client.post(f"/integrations/acme-events/{path}").status_code == 403
    assert not Credential.objects.exists()


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    fill(1)
    found, one = queries("/integrations/"), queries("/integrations/source-0/")
    fill(50)
    assert (queries("/integrations/"), queries("/integrations/source-0/")) == (found, one)
    assert found <= 7
    assert one <= 20


def test_a_shop_that_sends_and_is_read_holds_a_secret_for_each(client: Client) -> None:
    shop = Integration.objects.create(slug="acme-shop", name="Acme shop", kind="shopify")
    address = "/integrations/acme-shop/credentials/"
    assert 'name="purpose"' in client.get("/integrations/acme-shop/").content.decode()
    client.post(address, {"secret": "shpss_signing", "purpose": "signing"}, headers=HTMX)
    answer = client.post(address, {"secret": "shpat_reading", "purpose": "api_token"}, headers=HTMX)
    assert "API token" in answer.content.decode()
    later = NOW + timedelta(days=2)
    assert live_secrets(shop.pk, later) == ["shpss_signing"], "the token ended no signing secret"
    assert live_secrets(shop.pk, later, "api_token") == ["shpat_reading"]
    refused = client.post(address, {"secret": "", "purpose": "api_token"}, headers=HTMX)
    assert refused.status_code == 422
    assert "the tower cannot" in refused.content.decode()
    other = client.post(address, {"secret": "long enough", "purpose": "else"}, headers=HTMX)
    assert other.status_code == 422


def test_an_integration_that_only_sends_is_not_asked_what_its_secret_is_for(client: Client) -> None:
    integration()
    assert 'name="purpose"' not in client.get("/integrations/acme-events/").content.decode()
