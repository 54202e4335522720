"""Reports, objectives, scorecards and the archive through the API."""

from __future__ import annotations

from datetime import date

import pytest
from django.test import Client

from apps.core import clock
from apps.reports import archive, scores
from apps.reports.models import Objective
from tests.api.world import World, machine
from tests.dashboard.network import DAY, flow, partner, promise

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(db: None) -> date:
    """A closed month with one kept and one missed promise; its first day."""
    now = clock.now()
    first = archive.last_closed(now)
    due = now.replace(year=first.year, month=first.month, day=11)
    promise(flow("SO-1", partner()), "MET", due, met_at=due - DAY)
    promise(flow("SO-2", partner()), "BREACHED", due)
    Objective(slug="ship", name="Shipped", target=90, days=90).save()
    return first


def test_what_a_reader_of_reports_sees(filled: date) -> None:
    client = machine("reports:read")
    month = f"{filled:%Y-%m}"
    told = client.get(f"/api/v1/reports/months/{month}/").json()
    assert (told["figures"]["kept"], told["figures"]["missed"]) == (1, 1)
    assert client.get(f"/api/v1/reports/months/{month}/?partner=acme-metals").json()["partner"] == "acme-metals"
    (objective,) = client.get("/api/v1/objectives/").json()
    assert (objective["slug"], objective["kept"], objective["missed"], objective["state"]) == ("ship", 1, 1, "late")
    assert client.get("/api/v1/objectives/ship/").json()["burns"][0]["factor"] == pytest.approx(5)
    assert client.get("/api/v1/reports/archive/").json() == []
    kept = archive.freeze(filled, clock.now())
    (row,) = client.get("/api/v1/reports/archive/").json()
    assert (row["month"], row["files"], row["sha256"]) == (month, ["csv", "pdf", "xlsx"], kept.sha256)
    assert client.get(f"/api/v1/reports/archive/{kept.pk}/").json()["document"] == kept.document
    file = client.get(f"/api/v1/reports/archive/{kept.pk}/file/pdf/")
    assert file.content.startswith(b"%PDF")
    scores.refresh(filled, clock.now())
    card = client.get(f"/api/v1/reports/months/{month}/scorecards/acme-metals/").json()
    assert {one["metric"]: one["value"] for one in card}["kept"] == 0.5


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("reports/months/2026-13/", 404),
        ("reports/months/2026-03/?partner=nobody", 400),
        ("reports/months/2026-03/?lane=x", 400),
        ("reports/months/2026-03/scorecards/nobody/", 404),
        ("reports/archive/999/", 404),
        ("reports/archive/999/file/pdf/", 404),
        ("objectives/nobody/", 404),
        ("objectives/?x=1", 400),
    ],
)
def test_what_is_not_there(path: str, status: int) -> None:
    assert machine("reports:read").get(f"/api/v1/{path}").status_code == status


def test_others_may_not(world: World) -> None:
    Objective(slug="ship", name="Shipped", target=90, days=90).save()
    for client, status in (
        (machine("flows:read"), 403),
        (machine("flows:read", partner=world.own.partner), 404),
        (Client(), 401),
    ):
        for path in ("objectives/", "objectives/ship/", "reports/archive/", "reports/months/2026-03/"):
            assert client.get(f"/api/v1/{path}").status_code == status
