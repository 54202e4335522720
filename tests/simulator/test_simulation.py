"""Simulated days through the real doors: the ledger against the truth, and the truth against itself."""

from __future__ import annotations

import json
from datetime import UTC, date, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from apps.collectors.models import DeadLetter, Receipt
from apps.incidents.models import Finding
from apps.simulator import timeline, truth
from apps.simulator.carrying import DELIVERED, LATE, LOST, OUT_OF_ORDER, TWICE, carry
from apps.simulator.faults import DEMO, Faults, FaultsError, Wire, read
from apps.simulator.scoring import score
from apps.simulator.world import stories_of

MONDAY = date(2026, 3, 2)
MIXED = """
orders: {odoo_slow: 0.03, shipped_late: 0.05, never_scanned: 0.03, delivered_late: 0.05, told_twice: 0.02}
purchases: {asn_missing: 0.15, asn_late: 0.15}
silences:
  - {integration: rhein-wms, from: "2026-03-02T10:00:00+01:00", to: "2026-03-02T14:00:00+01:00"}
wire:
  "*": {twice: 0.02, out_of_order: 0.02}
  swift-tracking: {lost: 0.01, late: 0.02, late_hours: 5, twice: 0.02}
  odoo-bus: {lost: 0.004}
"""


@pytest.fixture
def network(transactional_db: None) -> None:
    base = Path(settings.BASE_DIR) / "apps"
    call_command("load_config", str(base / "flows/definition_files"), str(base / "simulator/demo"), verbosity=0)


def test_the_ledger_finds_what_went_wrong_and_nothing_else(network: None) -> None:
    plan = timeline.Plan(MONDAY, 1, 11, read(MIXED), timedelta(hours=2))
    journeys = plan.journeys()[::2]
    verdicts = truth.awaited(journeys)
    sent = timeline.run(plan, journeys, lambda done, total: None)
    assert Receipt.objects.count() == sent
    found = score(verdicts)
    assert found.wrong > 20
    assert found.missed == []
    assert found.false == []
    assert Finding.objects.filter(kind="sla.breach").exists(), "simulated days are lived, not told as history"
    assert not DeadLetter.objects.exclude(code="mapping.unknown_code").filter(severity="error").exists()


def test_a_score_can_be_bad(network: None) -> None:
    """The control: a ledger that saw nothing has found nothing."""
    verdicts = truth.awaited(timeline.Plan(MONDAY, 1, 11, read(MIXED)).journeys())
    found = score(verdicts)
    assert found.recall == 0.0
    assert len(found.missed) == found.wrong > 0


def test_the_same_seed_is_the_same_truth() -> None:
    def told(seed: int, text: str = MIXED) -> bytes:
        plan = timeline.Plan(MONDAY, 2, seed, read(text))
        journeys = plan.journeys()
        return json.dumps(truth.as_json(journeys, truth.awaited(journeys), {})).encode()

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_a_fault_of_one_feed_leaves_the_fates_of_others_alone() -> None:
    stories = list(stories_of(MONDAY, 5, DEMO))
    calm = carry(stories, Faults(), 5)
    worse = carry(stories, Faults(wire={"swift-tracking": Wire(lost=0.5)}), 5)
    for before, after in zip(calm, worse, strict=True):
        for one, other in zip(before.carried, after.carried, strict=True):
            if one.message.integration != "swift-tracking":
                assert one == other


def test_every_fate_comes_about_as_often_as_asked() -> None:
    stories = list(stories_of(MONDAY, 5, DEMO))
    ways = Wire(lost=0.1, twice=0.1, late=0.1, out_of_order=0.1, late_hours=4)
    carried = [one for journey in carry(stories, Faults(wire={"*": ways}), 5) for one in journey.carried]
    for fate in (LOST, TWICE, LATE, OUT_OF_ORDER):
        share = sum(one.fate == fate for one in carried) / len(carried)
        assert 0.07 < share < 0.13, fate
    assert all(len(one.arrives) == {LOST: 0, TWICE: 2}.get(one.fate, 1) for one in carried)
    assert all(
        one.message.arrives_at - one.message.sent_at >= timedelta(hours=2) for one in carried if one.fate == LATE
    )


def test_a_silence_keeps_what_it_had_to_say_for_afterwards() -> None:
    faults = read(MIXED)
    [silence] = faults.silences
    assert not isinstance(silence, timeline.Faults)
    messages = [m for story in stories_of(MONDAY, 5, faults) for m in story.messages if m.integration == "rhein-wms"]
    start, end = "2026-03-02T09:00:00+00:00", "2026-03-02T13:00:00+00:00"
    arrivals = [m.arrives_at.astimezone(UTC).isoformat() for m in messages]
    assert not any(start <= at < end for at in arrivals)
    assert any(m.sent_at.isoformat() < end <= at for m, at in zip(messages, arrivals, strict=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("orders: {delivered_latte: 0.1}", "delivered_latte"),
        ("orders: {delivered_late: 2}", "orders.delivered_late"),
        ("orders: {delivered_late: 0.6, shipped_late: 0.6}", "more than 1"),
        ("wire: {x: {lost: -1}}", "wire.x.lost"),
        ("silences: [{integration: a, from: '2026-03-02T10:00:00', to: '2026-03-02T11:00:00'}]", "offset"),
        ("silences: [{integration: a, from: '12:00', to: '11:00', every_days: 2}]", "ends before it begins"),
        ("silences: [{integration: a, from: noon, to: '11:00', every_days: 2}]", "silences.0"),
        ("[", "no YAML"),
        ("- 1", "the file"),
    ],
)
def test_a_faults_file_that_cannot_be_used_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(FaultsError, match=words):
        read(text)


def test_no_faults_is_a_sound_network() -> None:
    journeys = timeline.Plan(MONDAY, 1, 1, read("")).journeys()
    assert all(one.fate == DELIVERED for journey in journeys for one in journey.carried)
    assert {journey.story.fault for journey in journeys} == {""}


@pytest.mark.django_db
def test_a_tower_without_the_network_is_not_told_stories(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not registered"):
        call_command("simulate", days=1, out=tmp_path / "truth.json")
    assert not (tmp_path / "truth.json").exists()


def test_the_command_writes_the_truth_and_the_score(network: None, tmp_path: Path) -> None:
    out, faults = StringIO(), tmp_path / "faults.yaml"
    faults.write_text("purchases: {asn_missing: 1}\nwire: {'*': {lost: 0.999}}\n")
    call_command(
        "simulate", days=1, start=MONDAY, faults=faults, out=tmp_path / "truth.json", sweep_minutes=720, stdout=out
    )
    told = json.loads((tmp_path / "truth.json").read_text())
    assert told["seed"] == 7
    fates = {message["fate"] for story in told["stories"] for message in story["messages"]}
    assert "lost" in fates
    assert "Late or missing" in out.getvalue()
