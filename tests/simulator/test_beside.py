"""What the live demo has beside the doors: a log, a folder and an Odoo, read by the tower as they are meant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.live_server_helper import LiveServer

from apps.collectors.models import DeadLetter, Receipt
from apps.collectors.polling import poll_one
from apps.collectors.processing import process
from apps.core.models import Heartbeat
from apps.flows.models import Event, Flow, Milestone, Orphan
from apps.integrations.credentials import issue, live_secrets
from apps.integrations.models import Integration
from apps.simulator import beside
from apps.simulator.beside import Beside, moments
from apps.simulator.books import Books, empty_books, paid_at
from apps.simulator.history import take
from apps.simulator.live import Network
from apps.simulator.management.commands import demo_backfill
from apps.simulator.odoo_server import OdooServer
from apps.simulator.wire import deliveries
from apps.simulator.world import Message, stories_of

#: a report is sent at 12:00
NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 500), st.integers(0, 300))
def test_moments_are_told_once_however_often_one_looks(start: int, length: int, step: int, offset: int) -> None:
    since = NOON + timedelta(seconds=start)
    until, every = since + timedelta(seconds=length), timedelta(seconds=step)
    middle = since + timedelta(seconds=length // 2)
    whole = list(moments(since, until, every, timedelta(seconds=offset)))
    assert whole == [
        m for a, b in ((since, middle), (middle, until)) for m in moments(a, b, every, timedelta(seconds=offset))
    ]
    assert all(since < at <= until for at in whole)
    assert len(whole) in (length // step, length // step + 1)


@pytest.fixture
def orders() -> list[Message]:
    """All messages of three orders of the day before whose invoice is posted by noon."""
    told: list[Message] = []
    for story in stories_of(date(2026, 3, 2), 7):
        invoice = next((one for one in story.messages if one.what == "invoice.posted"), None)
        if invoice is not None and not story.fault and invoice.at < NOON:
            told += story.messages
        if sum(one.what == "invoice.posted" for one in told) == 3:
            break
    return sorted((one for one in told if one.arrives_at < NOON), key=lambda one: one.arrives_at)


@pytest.fixture
def books(orders: list[Message]) -> Books:
    found = Books(empty_books("whsec_key"))
    found.store.clock = lambda: NOON
    found.plan(orders)
    return found


@pytest.fixture
def odoo(books: Books) -> Iterator[OdooServer]:
    with OdooServer(books.store) as server:
        yield server


def test_invoices_are_posted_and_paid_when_the_truth_says_so(books: Books, orders: list[Message]) -> None:
    posted = [one for one in orders if one.what == "invoice.posted"]
    assert len(books.book(max(one.at for one in posted))) == 3
    rows = books.store.records["account.move"].values()
    assert {row["name"] for row in rows} == {f"INV/{one.facts['order']}" for one in posted}
    assert {row["payment_state"] for row in rows} == {"not_paid"}
    assert len(books.book(paid_at(posted[-1].at) + timedelta(days=1))) == 3
    assert {row["payment_state"] for row in rows} == {"paid"}
    assert {row["amount_total"] for row in rows} == {one.facts["value"] for one in posted}


def test_log_folder_and_odoo_are_read_as_they_are_meant(
    transactional_db: None,
    live_server: LiveServer,
    settings: Any,
    tmp_path: Path,
    orders: list[Message],
    books: Books,
    odoo: OdooServer,
) -> None:
    settings.DROP_ROOT = tmp_path
    base = Path(settings.BASE_DIR) / "apps"
    call_command("load_config", str(base / "flows/definition_files"), str(base / "simulator/demo"), verbosity=0)
    asked = Integration.objects.get(slug="odoo-books")
    asked.settings["base_url"] = odoo.url
    asked.save()
    issue(asked, NOON, None, secret="whsec_key")
    assert "whsec_key" in live_secrets(asked.pk, NOON)
    take(deliveries(orders), NOON, backfill=False)
    network = Network(live_server.url, 7, lambda: NOON)
    stands = Beside(tmp_path, books, NOON - timedelta(minutes=1))
    for minutes in (0, 3, 8):
        now = NOON + timedelta(minutes=minutes)
        for delivery in stands.step(now):
            assert network.post(delivery), delivery.integration
        for slug in ("edge-gateway", "river-market-receipts", "odoo-books"):
            summary = poll_one(slug, now)
            assert summary is not None
            assert summary.error == "", slug
    while process(timezone.now()).moved:
        pass
    assert not DeadLetter.objects.exists()
    told = set(Event.objects.filter(integration__slug="odoo-books").values_list("type", flat=True))
    assert "invoice.posted" in told
    assert not Orphan.objects.filter(integration__slug="odoo-books").exists()
    message = Flow.objects.get(definition__slug="message", attributes__transmission_awaits="MDN")
    reached = set(Milestone.objects.filter(flow=message, actual_at__isnull=False).values_list("name", flat=True))
    assert {"sent", "transmitted", "acknowledged"} <= reached
    assert message.status == "completed"
    assert Event.objects.filter(integration__slug="edge-gateway").exists()
    assert not list((tmp_path / beside.RECEIPTS).glob("*.mdn")), "taken and moved to done/"
    assert (tmp_path / beside.GATEWAY_LOG).read_text().count("\n") == 9 * 3


@pytest.mark.django_db
def test_what_came_while_the_past_was_told_is_told_at_once(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DROP_ROOT = tmp_path
    base = Path(settings.BASE_DIR) / "apps"
    call_command("load_config", str(base / "flows/definition_files"), str(base / "simulator/demo"), verbosity=0)
    with time_machine.travel(NOON, tick=False) as clock:

        def slow(*args: Any) -> int:
            clock.shift(timedelta(minutes=20))
            return 0

        monkeypatch.setattr(demo_backfill, "backfill", slow)
        call_command("demo_backfill", days=1, verbosity=0)
        told = list(Receipt.objects.order_by("received_at").values_list("received_at", flat=True))
        assert told[0] > NOON
        assert told[-1] > NOON + timedelta(minutes=15)
        cursor = Heartbeat.objects.get(name="demo").detail["cursor"]
        assert cursor == (NOON + timedelta(minutes=20)).isoformat()
