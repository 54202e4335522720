"""What the tower leans on is away: the doors say come back later and nothing else, or do not even notice."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.plant import Plant, Tower
from tests.faults.test_kills import traffic, verdict_on
from tests.faults.traffic import Account, Delivery, Sending, post

pytestmark = pytest.mark.faults

AWAY_SECONDS = 4.0
#: from a database that takes connections to the first delivery that is taken
BACK_SECONDS = 5.0
#: the answer of a door that has nothing to wait for; generous, since other tests run beside this one
PROMPT = 3.0
PAGES = ("/", "/flows/")


def hammer(tower: Tower, deliveries: list[Delivery], seconds: float) -> list[tuple[int, str, bytes]]:
    """Sends the deliveries over and over from four threads: (status, Retry-After, body) of every answer."""
    until = time.monotonic() + seconds
    told: list[tuple[int, str, bytes]] = []

    def send(number: int) -> None:
        while time.monotonic() < until:
            number += 1
            one = deliveries[number % len(deliveries)]
            status, headers, body = post(tower.port, tower.plant.endpoints[one.integration], one)
            told.append((status, headers.get("retry-after", ""), body))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(0, 400, 100)))
    return told


def nothing_but_503(told: list[tuple[int, str, bytes]]) -> None:
    assert len(told) >= 4, "every sender heard something"
    assert {status for status, _, _ in told} == {503}
    assert all(int(retry_after) > 0 for _, retry_after, _ in told)
    assert {body for _, _, body in told} == {told[0][2]}
    assert b"Nothing was kept" in told[0][2]


def send_all(tower: Tower, deliveries: list[Delivery]) -> Account:
    with Sending(tower.port, tower.plant.endpoints, deliveries) as sending:
        sending.raise_to(len(deliveries))
        sending.wait_for(len(deliveries), 60)
    return sending.account


def test_without_its_database_every_door_says_503_and_every_page_says_why(
    towers: Callable[..., Tower], plant: Plant
) -> None:
    tower = towers("no_database")
    deliveries = traffic(120, seed=3)
    before, during = deliveries[:10], deliveries[10:]
    tower.start("web")
    cookie = tower.steps("sign_in")
    account = send_all(tower, before)
    assert {tower.get(page, Cookie=cookie, Accept="text/html")[0] for page in PAGES} == {200}
    plant.lose_database()
    nothing_but_503(hammer(tower, during, AWAY_SECONDS))
    for page in PAGES:
        status, headers, text = tower.get(page, Cookie=cookie, Accept="text/html")
        assert (status, headers["content-type"]) == (503, "text/html; charset=utf-8"), page
        assert int(headers["retry-after"]) > 0
        assert "cannot reach its database" in text
        assert "Traceback" not in text
    assert tower.get("/healthz")[0] == 200
    assert tower.get("/readyz?part=web")[0] == 503

    plant.restart_database()
    one = during[0]
    tower.eventually(
        lambda: post(tower.port, plant.endpoints[one.integration], one)[0] == 202, BACK_SECONDS, "the first 202"
    )
    account.acknowledged |= send_all(tower, during).acknowledged
    tower.steps("drain")
    assert verdict_on(tower, deliveries, account).clean
    assert tower.get("/", Cookie=cookie, Accept="text/html")[0] == 200


def test_a_database_that_takes_no_writes_closes_the_doors_and_leaves_the_pages(
    towers: Callable[..., Tower], plant: Plant
) -> None:
    tower = towers("read_only")
    deliveries = traffic(120, seed=4)
    tower.start("web")
    cookie = tower.steps("sign_in")
    end_sessions = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{tower.database}'"
    plant.query("postgres", f"ALTER DATABASE {tower.database} SET default_transaction_read_only = on")
    plant.query("postgres", end_sessions)
    nothing_but_503(hammer(tower, deliveries, 2.0))
    for page in PAGES:
        assert tower.get(page, Cookie=cookie, Accept="text/html")[0] == 200, page
    plant.query("postgres", f"ALTER DATABASE {tower.database} RESET default_transaction_read_only")
    plant.query("postgres", end_sessions)
    account = send_all(tower, deliveries)
    tower.steps("drain")
    assert verdict_on(tower, deliveries, account).clean


def test_a_broker_that_goes_delays_and_loses_nothing(towers: Callable[..., Tower]) -> None:
    tower = towers("broker_gone")
    deliveries = traffic(400, seed=5)
    tower.start("web", "worker", "beat")
    tower.heartbeat_after("processing", 0)
    messages = tower.broker / "messages"
    shutil.rmtree(messages)
    messages.touch()  # a file where the folder was: not even root can write into it
    time.sleep(2)  # what had been under way
    account = send_all(tower, deliveries)
    assert set(account.statuses) == {202}
    assert account.slowest < PROMPT
    assert tower.waiting() == len(deliveries), "the broker was not away"
    assert "broker" in tower.get("/readyz")[2]
    messages.unlink()
    messages.mkdir()

    def caught_up() -> bool:
        tower.tend()
        return tower.waiting() == 0

    tower.eventually(caught_up, 60, "catching up")
    assert verdict_on(tower, deliveries, account).clean


@pytest.fixture
def deaf_broker() -> Iterator[str]:
    """A Redis that takes connections and never says a word: worse than one that is not there."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)
    for link in taken:
        link.close()


def test_a_broker_that_hangs_holds_up_no_delivery(towers: Callable[..., Tower], deaf_broker: str) -> None:
    tower = towers("broker_deaf", given={"BROKER_URL": deaf_broker})
    deliveries = traffic(300, seed=6)
    tower.start("web")
    account = send_all(tower, deliveries)
    assert set(account.statuses) == {202}
    assert account.slowest < PROMPT
    assert tower.waiting() == len(deliveries)
    tower.steps("drain")
    assert verdict_on(tower, deliveries, account).clean


def test_a_door_that_waits_for_the_broker_is_found_out(towers: Callable[..., Tower], deaf_broker: str) -> None:
    """The control."""
    given = {"BROKER_URL": deaf_broker}
    tower = towers("insistent", application="tests.faults.broken_doors:insistent", given=given)
    one = traffic(5, seed=7)[0]
    tower.start("web")
    started = time.monotonic()
    status = post(tower.port, tower.plant.endpoints[one.integration], one)[0]
    assert status != 202 or time.monotonic() - started > PROMPT
