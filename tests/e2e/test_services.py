"""The pipeline over a PostgreSQL server on TCP with a real broker, as in production.

`.ci/run` installs and starts the servers and says where they are; elsewhere these tests name what they miss.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.tower import Tower, eventually

pytestmark = pytest.mark.services

ORDERS = 12


def needed(name: str, what: str) -> str:
    if url := os.environ.get(name):
        return url
    pytest.skip(f"{name} is not set: no {what} to test with (.ci/run starts one)")


@pytest.fixture(params=["redis", "rabbitmq"])
def tower(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tower]:
    database = needed("TEST_POSTGRES_URL", "PostgreSQL server over TCP")
    if request.param == "redis":
        broker = needed("TEST_REDIS_URL", "Redis server")
    else:
        broker = needed("TEST_AMQP_URL", "RabbitMQ server")
    tower = Tower(tmp_path, database, {"BROKER_URL": broker})
    tower.create()
    try:
        yield tower
    finally:
        tower.stop()


def test_events_go_through_the_pipeline_woken_by_the_broker_alone(tower: Tower) -> None:
    """Without beat nothing but the wake-up through the broker makes the worker look."""
    tower.start("web", "worker")
    eventually(lambda: tower.request("GET", "/readyz?part=web")[0] == 200, 60, "web being ready")
    now = time.time()
    for order in range(ORDERS):
        event = {
            "id": f"e-{order}",
            "type": "order.placed",
            "happened_at": "2026-03-02T08:00:00Z",
            "references": [{"kind": "sales_order", "value": f"SO{order:05d}"}],
        }
        assert tower.send(order, event, now) == 202
    assert tower.send(0, {"id": "e-0"}, now - 3600) == 401
    try:
        eventually(lambda: tower.rows("SELECT count(*) FROM flows_flow")[0][0] == ORDERS, 60, "twelve flows")
    except AssertionError:
        raise AssertionError(tower.logs()) from None
    assert tower.rows("SELECT status, count(*) FROM collectors_receiptstate GROUP BY status") == [("done", ORDERS)]
    assert tower.rows("SELECT count(*) FROM flows_event") == [(ORDERS,)]
    tower.start("beat")
    try:
        eventually(lambda: tower.request("GET", "/readyz")[0] == 200, 90, "the whole tower being ready")
    except AssertionError:
        raise AssertionError(tower.request("GET", "/readyz")[1].decode() + tower.logs()) from None
