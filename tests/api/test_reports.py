"""Reports, objectives, scorecards and the archive through the API."""

from __future__ import annotations

from datetime import date

import pytest
from django.core import mail
from django.test import Client

from apps.accounts.models import AuditEntry
from apps.core import clock
from apps.reports import archive, penalties, scores
from apps.reports.models import ContractTerm, Objective, Schedule
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


def test_an_objective_burns_down_day_by_day(filled: date) -> None:
    days = machine("reports:read").get("/api/v1/objectives/ship/burn/").json()["results"]
    assert len(days) == 90
    assert sum(one["missed"] for one in days) == 1
    assert days[-1]["spent"] == pytest.approx(5)


def test_what_a_month_cost_by_contract(filled: date) -> None:
    ContractTerm.objects.create(
        slug="late", name="Late", basis="per_event", amount=40, currency="EUR", partner=partner()
    )
    penalties.refresh(filled, clock.now())
    path = f"/api/v1/reports/months/{filled:%Y-%m}/penalties/"
    (line,) = machine("reports:read").get(path).json()["results"]
    assert (line["term"], line["promises"], line["amount"]) == ("late", 1, "40.00")
    assert machine("reports:read").get(f"{path}?rule=other").json()["results"] == []


def test_a_month_is_frozen_once(filled: date) -> None:
    writer = machine("reports:read", "reports:write")
    body = {"month": f"{filled:%Y-%m}"}
    made = writer.post("/api/v1/reports/archive/", body, content_type="application/json")
    assert (made.status_code, made.json()["frozen_by"]) == (201, "probe")
    again = writer.post("/api/v1/reports/archive/", body, content_type="application/json")
    assert again.json()["id"] == made.json()["id"]
    card = writer.post("/api/v1/reports/archive/", body | {"partner": "acme-metals"}, content_type="application/json")
    assert (card.json()["kind"], card.json()["partner"]) == ("scorecard", "acme-metals")
    for month, status in (("2999-01", 409), ("2026-1x", 400), ("x", 400)):
        answer = writer.post("/api/v1/reports/archive/", {"month": month}, content_type="application/json")
        assert answer.status_code == status
    assert machine("reports:read").post("/api/v1/reports/archive/", body).status_code == 403


def test_schedules_are_added_changed_and_removed(filled: date) -> None:
    writer = machine("reports:read", "reports:write")
    where, json_ = "/api/v1/reports/schedules/", {"content_type": "application/json"}
    body = {"name": "Bosses", "extra": ["boss@tower.example"], "formats": ["pdf"], "day": 2}
    made = writer.post(where, body, headers={"Idempotency-Key": "s1"}, **json_).json()
    assert writer.post(where, body, headers={"Idempotency-Key": "s1"}, **json_).json() == made
    assert (Schedule.objects.count(), made["recipients"], made["hour"], made["active"]) == (1, 1, 7, True)
    one = f"{where}{made['id']}/"
    changed = writer.patch(one, {"active": False, "hour": 9, "partner": "acme-metals"}, **json_).json()
    assert (changed["active"], changed["next_at"], changed["hour"], changed["partner"]) == (
        False,
        None,
        9,
        "acme-metals",
    )
    assert writer.patch(one, {"partner": None}, **json_).json()["partner"] is None
    for wrong in ({"roles": ["partner"]}, {"extra": []}, {"day": 29}, {"partner": "nobody"}, {"extra": ["x"]}):
        assert writer.patch(one, wrong, **json_).status_code == 400, wrong
    (sent,) = writer.post(f"{one}send/", **json_).json()["results"]
    assert (sent["address"], sent["month"], sent["tries"]) == ("boss@tower.example", f"{filled:%Y-%m}", 1)
    assert len(writer.post(f"{one}send/", **json_).json()["results"]) == len(mail.outbox) == 1
    assert writer.get(f"{one}sent/").json()["results"] == [sent]
    assert machine("reports:read").delete(one).status_code == 403
    assert writer.delete(one).status_code == 204
    assert writer.get(one).status_code == 404
    actions = list(AuditEntry.objects.filter(subject__startswith="report-schedule").values_list("action", flat=True))
    assert sorted(actions) == ["schedule.added", "schedule.changed", "schedule.changed", "schedule.removed"]
