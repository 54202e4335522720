"""The archive's pages: freezing, files, and schedules that managers keep."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import pytest
import time_machine
from django.core import mail
from django.test import Client
from openpyxl import load_workbook

from apps.accounts.models import AuditEntry
from apps.reports.models import Archive, Schedule
from tests.dashboard.network import DAY, NOW, definitions, flow, partner, person, promise

pytestmark = pytest.mark.django_db
FORM = {"name": "Managers", "roles": ["manager"], "formats": ["pdf"], "day": "5", "extra": "board@demo.example"}


@pytest.fixture(autouse=True)
def february(client: Client) -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        definitions()
        promise(flow("SO-1", partner()), "MET", NOW - 30 * DAY, met_at=NOW - 31 * DAY)
        promise(flow("SO-2", partner()), "BREACHED", NOW - 30 * DAY)
        client.force_login(person("manager"))
        yield


def html(client: Client, path: str = "/report/archive/") -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_a_month_is_frozen_and_read(client: Client) -> None:
    assert "Nothing is frozen yet" in html(client)
    answer = client.post("/report/archive/freeze/", {"month": "2026-02"}, follow=True)
    assert "50.0 % of 2 promises kept" in answer.content.decode()
    kept = Archive.objects.get()
    assert kept.frozen_by == "Manager"
    assert "frozen" in html(client, "/report/?month=2026-02")
    assert "Acme Metals" in html(client, f"/report/archive/{kept.pk}/")
    for kind, start in (("pdf", b"%PDF"), ("xlsx", b"PK"), ("csv", "\ufeff".encode())):
        file = client.get(f"/report/archive/{kept.pk}/file/{kind}/")
        assert file.content.startswith(start)
        assert f'filename="sla-2026-02.{kind}"' in file["Content-Disposition"]
    assert client.get(f"/report/archive/{kept.pk}/file/exe/").status_code == 404
    Archive.objects.update(sha256="x")
    assert "not the one that was frozen" in html(client, f"/report/archive/{kept.pk}/")


def test_the_current_month_is_not_frozen(client: Client) -> None:
    answer = client.post("/report/archive/freeze/", {"month": "2026-03"}, follow=True)
    assert "March 2026 is not over yet" in answer.content.decode()
    assert client.post("/report/archive/freeze/", {"month": "soon"}).status_code == 404


def test_the_report_of_now_as_files(client: Client) -> None:
    assert client.get("/report/file/pdf/?month=2026-02").content.startswith(b"%PDF")
    book = load_workbook(BytesIO(client.get("/report/file/xlsx/?month=2026-02&partner=acme-metals").content))
    assert "Acme Metals" in str(book["Report"]["A1"].value)
    assert client.get("/report/file/xlsx/?partner=nobody").status_code == 404
    assert client.get("/report/file/exe/").status_code == 404


def test_schedules_are_kept_by_managers(client: Client) -> None:
    wrong = client.post("/report/schedules/add/", {"name": "x", "extra": "not-an-address", "day": "40"})
    assert wrong.status_code == 422
    said = wrong.content.decode()
    assert "not-an-address is not an e-mail address." in said
    assert "from 1 to 28" in said
    assert "at least one file" in said
    assert not Schedule.objects.exists()
    answer = client.post("/report/schedules/add/", FORM, follow=True)
    assert "The first report goes out on 05 April" in answer.content.decode()
    made = Schedule.objects.get()
    assert "Sent" not in html(client)
    answer = client.post(f"/report/schedules/{made.pk}/send/", follow=True)
    assert "1 sent" in answer.content.decode()
    assert mail.outbox[0].to == ["board@demo.example"]
    assert "0 sent" in client.post(f"/report/schedules/{made.pk}/send/", follow=True).content.decode()
    client.post(f"/report/schedules/{made.pk}/off/")
    assert not Schedule.objects.get().active
    assert client.post(f"/report/schedules/{made.pk}/explode/").status_code == 404
    assert "is removed" in client.post(f"/report/schedules/{made.pk}/remove/", follow=True).content.decode()
    assert Archive.objects.count() == 1
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {
        "report.frozen",
        "schedule.added",
        "schedule.changed",
        "schedule.removed",
    }


def test_others_read_only(client: Client) -> None:
    client.force_login(person("operations"))
    assert "Add a schedule" not in html(client)
    for path in ("archive/freeze/", "schedules/add/", "schedules/1/off/"):
        assert client.post(f"/report/{path}").status_code == 403
