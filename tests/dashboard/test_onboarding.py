"""Starting an integration: each step when it is due, secrets shown once, refusals said, live at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from apps.accounts.models import AuditEntry
from apps.collectors.models import DoorRefusal
from apps.integrations.credentials import issue, live_secrets
from apps.integrations.models import Integration
from tests.dashboard.network import HOUR, NOW, definitions, event, fill, integration, person, told

pytestmark = pytest.mark.django_db
PAGE = "/integrations/acme-events/start/"
ORDER = {"type": "order.placed", "id": "1", "happened_at": NOW.isoformat(), "references": [{"kind": "sales_order", "value": "SO-1"}]}  # fmt: skip


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture(autouse=True)
def olga(client: Client) -> None:
    definitions()
    client.force_login(person("operations"))


@pytest.fixture
def source() -> Integration:
    return integration(lifecycle="onboarding", settings={"scheme": "standard"})


def steps(client: Client) -> dict[str, str]:
    found = client.get(PAGE).context["progress"].steps
    return {name: state.removeprefix("is-") for name, state in found.items()}


def test_each_step_when_it_is_due(client: Client, source: Integration) -> None:
    assert steps(client) == {"secret": "now", "message": "later", "mapping": "later", "flow": "later", "live": "later"}
    issue(source, NOW, None)
    assert steps(client)["message"] == "now"
    assert "Waiting for the first message" in client.get(PAGE).content.decode()
    told(source, [b"{"])
    assert (steps(client)["message"], steps(client)["mapping"]) == ("done", "now")
    page = client.get(PAGE).content.decode()
    assert "Map this message" in page
    assert "json.syntax" in page
    told(source, [event(1)])
    assert (steps(client)["mapping"], steps(client)["flow"]) == ("done", "now")
    assert client.get(PAGE).context["progress"].waiting == 1
    told(source, [ORDER])
    assert (steps(client)["flow"], steps(client)["live"]) == ("done", "now")
    assert "SO-1" in client.get(PAGE).content.decode()
    client.post(f"{PAGE}live/")
    source.refresh_from_db()
    assert source.lifecycle == "live"
    assert AuditEntry.objects.get(action="integration.changed").after == {"lifecycle": "live"}


def test_the_secret_is_shown_once_with_the_command_that_uses_it(client: Client, source: Integration) -> None:
    answer = client.post(PAGE)
    [secret] = live_secrets(source.pk, NOW)
    assert answer.content.decode().count(secret) == 2
    assert "no-store" in answer["Cache-Control"]
    assert secret not in client.get(PAGE).content.decode()


def test_the_senders_own_secret_is_never_shown(client: Client, source: Integration) -> None:
    assert client.post(PAGE, {"secret": "short"}).status_code == 422
    answer = client.post(PAGE, {"secret": "chosen-by-them"}, follow=True)
    assert live_secrets(source.pk, NOW) == ["chosen-by-them"]
    assert "chosen-by-them" not in answer.content.decode()


def test_who_was_turned_away_is_said_while_one_waits(client: Client, source: Integration) -> None:
    issue(source, NOW, None)
    DoorRefusal.objects.create(hour=NOW, integration=source, reason="signature", count=3)
    DoorRefusal.objects.create(hour=NOW - 30 * HOUR, integration=source, reason="old", count=3)
    page = client.get(PAGE).content.decode()
    assert "signature × " in page
    assert "old × " not in page


@pytest.mark.parametrize("role", ["manager", "on_call"])
def test_only_operations(client: Client, source: Integration, role: str) -> None:
    client.force_login(person(role))
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE).status_code == 403
    assert client.post(f"{PAGE}live/").status_code == 403
    assert client.get("/integrations/none/start/").status_code == 403


def test_bounded_queries(client: Client, queries: Callable[[str], int]) -> None:
    fill(1)
    first = queries("/integrations/source-0/start/")
    fill(50)
    told(integration("Source 0"), [event(n, "order.placed") for n in range(50)])
    assert queries("/integrations/source-0/start/") == first <= 16
