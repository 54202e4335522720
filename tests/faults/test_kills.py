"""kill -9 of web, worker, beat and PostgreSQL in turn, under load: nothing acknowledged is lost, nothing is doubled,
and the flows are those of a run without faults. FAULTS=full takes 20,000 events and 20 kills, else 4,000 and 8."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.plant import Plant, Tower
from tests.faults.traffic import Account, Delivery, Sending, Verdict, deliveries_of, events_of, judge

pytestmark = pytest.mark.faults

EVENTS, KILLS = (20_000, 20) if os.environ.get("FAULTS") == "full" else (4_000, 8)
VICTIMS = ("web", "postgresql", "worker", "beat")
PATIENCE = 90.0


def traffic(count: int, seed: int = 1) -> list[Delivery]:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    return deliveries_of(events_of(count, start, seed), seed)


def strike(tower: Tower, victim: str, gently: bool) -> None:
    """Kills, starts what nobody else starts again, waits until it works. gently: only a part of it, so that what is
    left of it must notice: one session of PostgreSQL, one process of the web server's or of Celery's workers."""
    struck = time.time()
    if victim == "postgresql":
        tower.plant.kill_database(backend_of=tower.database if gently else "")
        tower.plant.restart_database()
    elif gently and victim != "beat":
        tower.kill(victim, child_only=True)
        if victim == "worker":  # its processes share a lock: it ends, and is started again as the launcher would
            tower.ended("worker", 20)
            tower.start("worker")
    else:
        tower.kill(victim)
        tower.start(victim)
    if victim == "web":
        tower.eventually(lambda: tower.get("/readyz?part=web")[0] == 200, 60, "web coming back")
    elif victim in ("worker", "beat"):
        tower.heartbeat_after({"worker": "processing", "beat": "beat"}[victim], struck)


def storm(
    tower: Tower, deliveries: Sequence[Delivery], kills: int, victims: Sequence[str]
) -> tuple[Account, dict[str, int]]:
    """Sends everything while it kills, each time in the middle of a share of the deliveries. Returns what the senders
    know, and how often each victim was struck."""
    struck: dict[str, int] = {}
    with Sending(tower.port, tower.plant.endpoints, deliveries) as sending:
        share = len(deliveries) / (kills + 1)
        for number in range(kills):
            sending.raise_to(round(share * (number + 1)))
            sending.wait_for(round(share * (number + 0.5)), PATIENCE)
            victim = victims[number % len(victims)]
            strike(tower, victim, gently=number // len(victims) % 2 == 1)
            struck[victim] = struck.get(victim, 0) + 1
        sending.raise_to(len(deliveries))
        sending.wait_for(len(deliveries), PATIENCE)
    return sending.account, struck


def verdict_on(tower: Tower, deliveries: Sequence[Delivery], account: Account) -> Verdict:
    return judge(deliveries, account.acknowledged, tower.recorded(), tower.kept())


def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(
    towers: Callable[..., Tower], plant: Plant, tmp_path: Path
) -> None:
    tower = towers("storm")
    names = ("fsync", "full_page_writes", "synchronous_commit")
    assert [tower.rows(f"SHOW {name}") for name in names] == [[("on",)]] * 3, "kills would prove nothing"
    deliveries = traffic(EVENTS)
    tower.start("web", "worker", "beat")
    tower.heartbeat_after("processing", 0)
    tower.heartbeat_after("beat", 0)
    account, struck = storm(tower, deliveries, KILLS, VICTIMS)
    assert struck == dict.fromkeys(VICTIMS, KILLS // len(VICTIMS))
    assert account.without_retry_after == 0
    assert set(account.statuses) <= {0, 202, 503}, account.statuses
    assert set(account.statuses) > {202}, "no kill was noticed by any sender: it was not under load"
    assert set(account.acknowledged) == {one.name for one in deliveries}
    tower.eventually(lambda: tower.waiting() == 0, 120, "everything being processed")

    assert verdict_on(tower, deliveries, account).clean, verdict_on(tower, deliveries, account)
    assert sum(tower.recorded().values()) == EVENTS
    assert tower.rows("SELECT count(*) FROM flows_eventkey") == [(EVENTS,)]
    assert tower.rows("SELECT DISTINCT status FROM collectors_receiptstate") == [("done",)]
    assert tower.rows("SELECT count(*) FROM flows_event WHERE flags <> 0") == [(0,)]

    sent = tmp_path / "deliveries.json"
    sent.write_text(json.dumps([{**asdict(one), "body": one.body.decode()} for one in deliveries]))
    without_last, clean = towers("clean").steps("clean", str(sent)).split()
    assert without_last != clean, "the digest does not see a delivery that is missing"
    assert tower.manage("digest") == clean
    assert f"digest {clean}, unchanged" in tower.manage("rebuild_flows")


def test_a_door_that_acknowledges_before_it_commits_is_found_out(towers: Callable[..., Tower]) -> None:
    """The control: the same storm, a smaller one, on a tower whose doors are wrong."""
    tower = towers("hasty", application="tests.faults.broken_doors:hasty")
    deliveries = traffic(400, seed=2)
    tower.start("web")
    account, _ = storm(tower, deliveries, 2, ("web", "postgresql"))
    tower.steps("drain")
    verdict = verdict_on(tower, deliveries, account)
    assert verdict.lost
    assert not verdict.doubled


def test_the_judge_can_say_no() -> None:
    one, other = traffic(40)[:2]
    sha = judge([one], {one.name: 1}, dict.fromkeys(one.events, 1), {}).changed
    assert sha == (one.name,)
    assert judge([one, other], {one.name: 1}, {}, {}).lost == tuple(sorted(one.events))
    assert judge([one, other], {}, {}, {}).clean, "what was not acknowledged may be missing"
    assert judge([one], {}, {one.events[0]: 2}, {}).doubled == (one.events[0],)
    assert judge([one], {}, {"stranger": 1}, {}).unknown == ("stranger",)
