"""A bench whose set-up no longer fits the models crashes on the day somebody wants to know: each is set up small here."""

from __future__ import annotations

import importlib
from datetime import timedelta

import pytest
from django.db import connection

from apps.flows.models import Event, Flow
from apps.integrations.models import Integration
from apps.reports import rollups
from apps.simulator.management.commands.bench import BENCHES, MODULES
from apps.sla.models import Expectation
from benchmarks import backtest, ingest, page, raise_findings, rederive, report, rows, sweep, told


@pytest.fixture
def as_owner(db: None) -> None:
    """Benches fill their own cluster as the role that owns it."""
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
    told.load_definitions()


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_can_be_run(name: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{MODULES.get(name, name)}").run)


@pytest.mark.usefixtures("as_owner")
def test_the_set_ups_of_benches_fit_the_models() -> None:
    sweep.fill(0, 8)
    sweep.fill(8, 12)
    assert Flow.objects.count() == Expectation.objects.filter(state="PENDING").count() == 12
    Expectation.objects.all().delete()
    Flow.objects.all().delete()

    rows.partners(20)
    page.fill(0, 40)
    assert Expectation.objects.count() == 40
    assert Flow.objects.filter(status="open", partner__isnull=False).count() == 10
    Expectation.objects.all().delete()
    Flow.objects.all().delete()

    raise_findings.fill(5)
    assert Flow.objects.count() == 5
    Flow.objects.all().delete()

    backtest.fill(6, told.START)
    assert [flow.milestones.count() for flow in Flow.objects.order_by("pk")] == [2, 2, 1, 2, 2, 1]
    Flow.objects.all().delete()

    rederive.fill(3, told.START)
    assert Flow.objects.get(pk=2).milestones.get().name == "sent"


@pytest.mark.usefixtures("as_owner")
def test_the_limit_of_recording_copies_all_that_recording_writes() -> None:
    copies = ingest.Copies(Integration.objects.get(slug="bench"), 20)
    assert Event.objects.count() == 0, "what was recorded to look at its rows is gone again"
    for _ in range(2):
        assert copies.same() > 0
        assert copies.lean() > 0
    with connection.cursor() as cursor:
        cursor.execute('SELECT count(*), count(DISTINCT id), count("references"), count(content_key) FROM bench_same')
        assert cursor.fetchone() == (40, 40, 40, 40)
        cursor.execute("SELECT count(*) FROM bench_same WHERE data->>'note' = %s", [told.FILLER])
        assert cursor.fetchone() == (40,)


def test_what_orders_tell_is_believed_whatever_their_number() -> None:
    """Events of times to come move no deadline: a bench of such would measure less than it says."""
    received = told.START + timedelta(days=30)
    for number in (0, 999_999, 50_000_000, 100_123_456):
        assert all(told.START <= event.happened_at < received for event in told.orders(1, first=number))


@pytest.mark.usefixtures("as_owner")
def test_the_months_set_up_fits_the_models_and_its_rollups() -> None:
    report.register()
    report.fill(0, 100)
    assert Expectation.objects.count() == 400
    assert Expectation.objects.exclude(state="MET").exists()
    assert rollups.differences(told.START.date().replace(month=2, day=1), told.START.date()) == 0
