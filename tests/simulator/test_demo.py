"""The demo network's truth against what the tower says of it: every fault is found, and nothing else is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from apps.collectors.models import DeadLetter, ReceiptState
from apps.flows.models import Flow, Milestone, Orphan
from apps.incidents.models import Incident
from apps.simulator.faults import DEMO
from apps.simulator.history import take
from apps.simulator.wire import deliveries
from apps.simulator.world import Story, stories_of
from apps.sla import sweep
from apps.sla.models import Expectation

SEED = 7
DAYS = [date(2026, 3, 2) + timedelta(days=n) for n in range(3)]
NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)


def told() -> list[Story]:
    """Every purchase, every faulty order and some sound ones of three days, all over by NOW."""
    stories = [story for day in DAYS for story in stories_of(day, SEED)]
    purchases = [story for story in stories if story.key.startswith("P")]
    faulty = [story for story in stories if story.key.startswith("S") and story.fault]
    sound = [story for story in stories if story.key.startswith("S") and not story.fault][:25]
    return purchases + faulty + sound


@pytest.fixture
def demo() -> list[Story]:
    base = Path(settings.BASE_DIR) / "apps"
    call_command("load_config", str(base / "flows/definition_files"), str(base / "simulator/demo"), verbosity=0)
    stories = told()
    messages = sorted((m for story in stories for m in story.messages), key=lambda m: m.arrives_at)
    take(deliveries(messages, bundle=50), NOW, backfill=True)
    sweep.run(NOW)
    return stories


def keys(stories: list[Story], *faults: str) -> set[str]:
    return {story.key for story in stories if story.fault in faults}


def late(milestone: str) -> set[str]:
    rows = Expectation.objects.filter(milestone=milestone, state__in=["BREACHED", "MET_LATE"])
    return set(rows.values_list("flow__label", flat=True))


@pytest.mark.django_db
def test_what_the_tower_says_is_what_was_broken(demo: list[Story]) -> None:
    assert late("asn") == keys(demo, "asn_missing", "asn_late", "broken_envelope")
    assert late("in_odoo") == keys(demo, "odoo_slow")
    missing_scans = set(
        Flow.objects.filter(
            definition__slug="parcel", expectations__milestone="first_scan", expectations__state="BREACHED"
        ).values_list("parent_links__parent__parent_links__parent__label", flat=True)
    )
    assert missing_scans == keys(demo, "never_scanned")
    acknowledged = set(
        Milestone.objects.filter(name="functional_ack", actual_at__isnull=False).values_list("flow__label", flat=True)
    )
    purchases = {story.key for story in demo if story.key.startswith("P")}
    assert purchases - acknowledged == keys(demo, "ack_missing")
    failed = set(
        Flow.objects.filter(definition__slug="order-to-ship", failed_hops__gt=0).values_list("label", flat=True)
    )
    assert failed == keys(demo, "failed_hop")
    codes = set(DeadLetter.objects.filter(severity="error").values_list("code", flat=True))
    expected = {"mapping.unknown_code"} if keys(demo, "unknown_code") else set()
    assert codes <= expected | ({"edi.count"} if keys(demo, "broken_envelope") else set())
    assert not ReceiptState.objects.filter(status="waiting").exists()
    assert not Incident.objects.exists(), "history pages nobody"


@pytest.mark.django_db
def test_nothing_is_left_unmatched_and_telling_it_again_changes_nothing(demo: list[Story]) -> None:
    assert not Orphan.objects.exists()
    before = dict(Flow.objects.values_list("key", "digest"))
    messages = sorted((m for story in demo[:40] for m in story.messages), key=lambda m: (m.integration, m.at))
    take(deliveries(messages), NOW, backfill=True)
    assert dict(Flow.objects.values_list("key", "digest")) == before


def test_the_network_is_reproducible_and_falls_silent_as_announced() -> None:
    day = date(2026, 3, 2)
    one, other = list(stories_of(day, SEED)), list(stories_of(day, SEED))
    assert [s.messages for s in one] == [s.messages for s in other]
    assert not any(DEMO.silent_until(m.integration, m.arrives_at) for s in one for m in s.messages)
    assert any(
        DEMO.silent_until("rhein-wms", datetime(2026, 3, 2, 9, minute, tzinfo=UTC)) for minute in range(0, 60, 10)
    )
