"""What is frozen stays: figures, files, e-mails once; and files that no spreadsheet runs."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from openpyxl import load_workbook

from apps.accounts.models import User
from apps.integrations.models import PartnerAccess
from apps.reports import archive, document, monthly, penalties, sending, spreadsheet
from apps.reports.models import Archive, ContractTerm, Delivery, Schedule
from apps.reports.pdf import pdf_bytes
from apps.sla.models import Expectation, SlaRule
from tests.dashboard.network import DAY, HOUR, NOW, flow, partner, promise

pytestmark = pytest.mark.django_db
FEBRUARY = date(2026, 2, 1)
THEN = NOW.replace(month=2, day=11)
LATER = NOW.replace(month=3, day=3, hour=8)


@pytest.fixture
def february() -> None:
    acme, oak = partner("Acme Metals"), partner("=Oak+Works")
    for number in range(20):
        promise(
            flow(f"SO-{number}", oak if number % 3 else acme, attributes={"lane": "DE>FR"}),
            "MET",
            THEN - number % 9 * DAY,
            met_at=THEN,
        )
    promise(flow("SO-L", acme), "MET_LATE", THEN, met_at=THEN + 50 * HOUR)
    promise(flow("SO-B", oak, value=Decimal(250)), "BREACHED", THEN)
    promise(flow("SO-W", oak), "WAIVED", THEN, waived_reason="=cmd|'/C calc'!A0")
    ContractTerm(slug="t", name="Late", basis="per_day", amount=7, currency="EUR").save()


def test_a_frozen_month_is_the_same_a_year_later(february: None) -> None:
    frozen = archive.freeze(FEBRUARY, LATER)
    before, files = dict(frozen.document), {one.kind: bytes(one.body) for one in frozen.files.all()}
    # a year of changes: rules, terms, waivers, names
    SlaRule.objects.create(
        slug="ship-in-time",
        version=2,
        name="Stricter",
        flow_slug="order-to-ship",
        milestone="shipped",
        spec={},
        target=Decimal("99.9"),
    )
    ContractTerm.objects.update(amount=700)
    Expectation.objects.filter(flow__label="SO-B").update(state="WAIVED", waived_reason="Later")
    again = archive.freeze(FEBRUARY, LATER + timedelta(days=365))
    assert again.pk == frozen.pk
    assert again.document == before
    assert {one.kind: bytes(one.body) for one in again.files.all()} == files
    assert archive.is_intact(again)
    assert set(files) == set(archive.FILES)
    Archive.objects.update(document={**before, "sentence": "All was well"})
    assert not archive.is_intact(Archive.objects.get())


def test_the_live_report_of_a_closed_month_does_not_change_with_its_rules(february: None) -> None:
    before = monthly.month(FEBRUARY).report
    SlaRule.objects.create(
        slug="ship-in-time",
        version=2,
        name="Stricter",
        flow_slug="order-to-ship",
        milestone="shipped",
        spec={},
        target=Decimal("99.9"),
    )
    SlaRule.objects.filter(version=1).update(lifecycle="retired")
    later = monthly.month(FEBRUARY).report
    assert (later.total, later.rules, later.partners, later.days) == (
        before.total,
        before.rules,
        before.partners,
        before.days,
    )


def test_an_open_month_is_not_frozen(february: None) -> None:
    with pytest.raises(archive.NotClosed, match="February 2026 is not over"):
        archive.freeze(FEBRUARY, THEN)
    with pytest.raises(ValueError, match="no report"):
        archive.freeze(FEBRUARY, LATER, kind="scorecard")
    assert not Archive.objects.exists()


def test_figures_of_the_document(february: None) -> None:
    penalties.refresh(FEBRUARY, LATER)
    told = document.month(FEBRUARY, LATER)
    assert told["sentence"] == "90.9 % of 22 promises kept (target 98.0), 2 missed, 1 excluded, 350 EUR late."
    figures = told["figures"]
    assert (figures["kept"], figures["missed"], figures["late_value"], figures["excluded"]) == (
        20,
        2,
        {"EUR": "350.00"},
        1,
    )
    assert figures["penalties"] == {"partner EUR": str(7 * 3 + 7 * 20) + ".00"}
    tables = {table["key"]: table for table in told["tables"]}
    assert tables["lanes"]["rows"][0][0] == "DE>FR"
    assert all(len(row) == len(table["columns"]) for table in told["tables"] for row in table["rows"])
    own = document.month(FEBRUARY, LATER, partner("Acme Metals"))
    assert own["figures"]["missed"] == 1
    assert "Oak" not in str(own)


def test_files_hold_the_figures_and_no_formula(february: None) -> None:
    told = document.month(FEBRUARY, LATER)
    rows = list(csv.reader(StringIO(spreadsheet.csv_bytes(told).decode("utf-8-sig"))))
    assert ["figure", "kept", "20"] in rows
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]
    book = load_workbook(BytesIO(spreadsheet.xlsx_bytes(told)))
    cells = [cell for sheet in book for line in sheet.iter_rows() for cell in line]
    assert any(cell.value == "=Oak+Works" for cell in cells)
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert book["Partners"]["C2"].value in (13, 7)
    made = pdf_bytes(told)
    assert made.startswith(b"%PDF-")
    assert made == pdf_bytes(told)
    assert len(made) > 10_000


def test_an_empty_month_has_files_too() -> None:
    told = document.month(FEBRUARY, LATER)
    assert told["sentence"] == "No promise of February 2026 has been judged."
    for _, write in archive.FILES.values():
        assert write(told)


@pytest.fixture
def people() -> None:
    User.objects.create(username="mina", role="manager", email="mina@demo.example")
    User.objects.create(username="maja", role="manager", email="Maja@demo.example")
    User.objects.create(username="mute", role="manager")
    User.objects.create(username="gone", role="manager", email="gone@demo.example", is_active=False)
    User.objects.create(username="olga", role="operations", email="olga@demo.example")


def schedule(**changes: Any) -> Schedule:
    values: dict[str, Any] = {
        "name": "Managers",
        "roles": ["manager"],
        "extra": ["board@demo.example"],
        "formats": ["pdf", "xlsx"],
        "created_at": THEN,
        **changes,
    }
    return Schedule.objects.create(**values)


def test_each_address_gets_it_once(february: None, people: None) -> None:
    made = schedule()
    assert sending.tick(LATER.replace(day=2)) == 0
    assert sending.tick(LATER.replace(hour=6)) == 0
    assert sending.tick(LATER) == 3
    assert sending.tick(LATER + HOUR) == 0
    assert sending.tick(LATER + 20 * DAY) == 0
    assert sorted(one.to[0] for one in mail.outbox) == ["board@demo.example", "maja@demo.example", "mina@demo.example"]
    first = mail.outbox[0]
    assert first.subject == "SLA report, February 2026"
    assert "90.9 % of 22 promises kept" in first.body
    assert [name for name, _, _ in first.attachments] == ["sla-2026-02.pdf", "sla-2026-02.xlsx"]
    assert Delivery.objects.exclude(sent_at=None).count() == 3
    assert sending.next_due(made, LATER) == LATER.replace(month=4, hour=7)


def test_what_fails_is_tried_again_and_not_for_ever(
    february: None, people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(roles=[], extra=["board@demo.example"])

    def down(*args: Any) -> int:
        raise OSError("connection refused")

    with monkeypatch.context() as broken:
        broken.setattr(EmailBackend, "send_messages", down)
        assert sending.tick(LATER) == 0
        assert "connection refused" in Delivery.objects.get().error
    assert sending.tick(LATER + timedelta(minutes=5)) == 0, "it may still be on its way"
    assert sending.tick(LATER + HOUR) == 1
    Delivery.objects.update(sent_at=None, tries=sending.MOST_TRIES)
    assert sending.tick(LATER + 9 * HOUR) == 0


def test_a_new_schedule_does_not_send_what_was_due_before_it(february: None, people: None) -> None:
    schedule(created_at=LATER + DAY)
    assert sending.tick(LATER + 2 * DAY) == 0
    schedule(active=False)
    assert sending.tick(LATER + 2 * DAY) == 0


def test_a_partners_people_get_their_own_card(february: None, people: None) -> None:
    acme = partner("Acme Metals")
    pavel = User.objects.create(username="pavel", role="partner", email="pavel@acme.example")
    PartnerAccess.objects.create(partner=acme, user=pavel)
    other = User.objects.create(username="olek", role="partner", email="olek@oak.example")
    PartnerAccess.objects.create(partner=partner("=Oak+Works"), user=other)
    schedule(roles=["partner"], extra=[], partner=acme, formats=["pdf"])
    assert sending.tick(LATER) == 1
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == (["pavel@acme.example"], "Scorecard, February 2026, Acme Metals")
    assert "/status/scorecard/" in sent.body
    assert "Oak" not in sent.body


def test_wrong_schedules_are_told_why() -> None:
    assert sending.check("x", ["manager"], ["pdf"], False, []) == []
    assert len(sending.check(" ", [], [], False, [])) == 3
    assert "their own scorecard only" in sending.check("x", ["partner"], ["pdf"], False, [])[0]
    assert "no such role" in sending.check("x", ["king"], ["pdf"], False, [])[0]
