"""XES and OCEL through manage.py import_log: no mapping needed, history, broken logs, and the logs of others."""

from __future__ import annotations

import contextlib
import gzip
import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from apps.collectors.contract import RawDelivery
from apps.collectors.kinds.eventlog import EventLog
from apps.collectors.logs import xes
from apps.collectors.models import DeadLetter, Receipt
from apps.collectors.sources import load
from apps.core import clock
from apps.flows.models import Event, Flow, Milestone
from apps.integrations.models import Integration, Mapping
from tests.flows.builders import load_definitions

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
SAMPLES = Path(__file__).resolve().parent.parent / "samples" / "eventlog"
LOGS = Path(django_settings.BASE_DIR).parent / "shared" / "data" / "process_logs"
needs_logs = pytest.mark.skipif(not LOGS.exists(), reason=f"needs {LOGS}")


@pytest.fixture
def feed(db: None, monkeypatch: pytest.MonkeyPatch) -> Integration:
    load_definitions()
    monkeypatch.setattr(clock, "now", lambda: NOW)
    return Integration.objects.create(slug="old-log", name="Old log", kind="eventlog", time_zone="Europe/Berlin")


def import_log(path: Path, **options: Any) -> str:
    out = StringIO()
    # it ends with 1 when there are dead letters
    with contextlib.suppress(SystemExit):
        call_command("import_log", str(path), integration="old-log", stdout=out, **options)
    return out.getvalue()


def test_a_case_becomes_a_flow_without_a_mapping(feed: Integration, tmp_path: Path) -> None:
    path = tmp_path / "purchases.xes.gz"
    path.write_bytes(gzip.compress((SAMPLES / "purchases.xes").read_bytes()))
    text = import_log(path)
    assert "7 rows, 1 receipts, 4 events, 0 duplicates" in text
    assert "3 dead letters" in text
    receipt = Receipt.objects.get()
    assert (receipt.door, receipt.content_type) == ("import", "application/x-ndjson; log=xes")
    assert receipt.headers["import-rows"] == "1-7"
    event = Event.objects.get(source_event_id="PO-4711:1")
    assert (event.type, event.backfill, event.received_at) == ("activity.recorded", True, event.happened_at)
    assert event.references == [["case", "old-log", "PO-4711"]]
    assert sorted(Flow.objects.values_list("definition__slug", "label", "event_count")) == [
        ("logged-case", "PO-4711", 3),
        ("logged-case", "PO-4712", 1),
    ]
    latest = Milestone.objects.get(flow__label="PO-4711", name="latest")
    assert latest.actual_at == datetime(2026, 3, 4, 10, 31, tzinfo=UTC)
    assert "0 events, 4 duplicates" in import_log(path)


def test_a_mapping_reads_the_rows_its_own_way(feed: Integration) -> None:
    spec = {
        "otherwise": "ignore",
        "events": [
            {
                "when": {"event['concept:name']": "Goods in", "event['lifecycle:transition']": "complete"},
                "type": "goods.received",
                "happened_at": "event['time:timestamp']",
                "references": [{"kind": "purchase_order", "path": "case['concept:name']"}],
                "data": {"supplier": "case.supplier"},
            }
        ],
    }
    feed.mapping = Mapping.objects.create(slug="log", spec=spec)
    feed.save()
    assert "1 events" in import_log(SAMPLES / "purchases.xes")
    assert Event.objects.get().data == {"supplier": "Metalworks"}


def test_what_stands_before_a_break_is_imported_and_the_break_is_told(feed: Integration) -> None:
    with pytest.raises(
        CommandError, match=r"cannot be read on, since .* at line 3, column \d+\. The 1 rows before it"
    ) as error:
        import_log(SAMPLES / "broken_off.xes")
    assert error.value.returncode == 2
    assert Event.objects.get().source_event_id == "7:1"


def test_a_packed_log_that_is_cut_off_keeps_its_beginning(feed: Integration, tmp_path: Path) -> None:
    path = tmp_path / "log.xes.gz"
    event = b'<event><string key="concept:name" value="%d"/><date key="time:timestamp" value="2026-03-02T09:00:00Z"/></event>'
    traces = b"".join(
        b'<trace><string key="concept:name" value="%d"/>' % n + event % n + b"</trace>" for n in range(5_000)
    )
    path.write_bytes(gzip.compress(b"<log>" + traces + b"</log>")[:-2_000])
    with pytest.raises(CommandError, match="rows before it were imported"):
        import_log(path)
    assert Event.objects.exists()


@pytest.mark.parametrize("name", ["shipments.jsonocel", "shipments_xml.xmlocel", "shipments_old.jsonocel"])
def test_ocel_in_its_forms(feed: Integration, name: str) -> None:
    assert "events, 0 duplicates" in import_log(SAMPLES / name)
    assert Event.objects.filter(source_event_id="e1").count() == 1


def test_json_that_is_no_log_is_still_refused(feed: Integration, tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    path.write_text('{"orders": []}')
    with pytest.raises(CommandError, match="one JSON document"):
        import_log(path)


def test_replay_of_a_log_moves_it_and_keeps_the_future_back(feed: Integration) -> None:
    text = import_log(SAMPLES / "purchases.xes", as_of="2026-03-03")
    assert "2 events lie after 2026-03-03" in text
    assert sorted(Event.objects.values_list("source_event_id", flat=True)) == ["PO-4711:1", "PO-4712:1"]
    assert Event.objects.get(source_event_id="PO-4711:1").happened_at == datetime(2026, 11, 22, 7, tzinfo=UTC)


@needs_logs
@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("10_orders.xes.gz", 154),
        ("ocel20_example.jsonocel", 13),
        ("ocel20_example.xmlocel", 13),
        ("example_log.jsonocel", 23),
    ],
)
def test_the_logs_of_others_are_imported_whole(feed: Integration, name: str, events: int) -> None:
    assert f"{events} events, 0 duplicates" in import_log(LOGS / name)
    assert not DeadLetter.objects.exists()
    assert f"0 events, {events} duplicates" in import_log(LOGS / name)


@needs_logs
@pytest.mark.parametrize(
    ("name", "media", "rows"),
    [
        ("receipt.parquet", "application/vnd.apache.parquet", 8_577),
        ("ocel_order_simulated.csv.gz", "application/gzip", 22_367),
        ("helpdesk.xes.gz", "application/gzip", 21_348),
    ],
)
def test_larger_logs_are_read_without_a_mapping(feed: Integration, name: str, media: str, rows: int) -> None:
    source = load([feed.pk])[feed.pk].context
    delivery = RawDelivery((LOGS / name).read_bytes(), media, {"file-name": name}, NOW)
    result = EventLog().parse(delivery, source)
    assert (len(result.events), result.issues) == (rows, ())


@needs_logs
def test_bpic_2019_holds_what_its_ground_truth_says() -> None:
    truth = json.loads((LOGS / "bpic2019_ground_truth.json").read_text())
    cases: dict[str, list[str]] = {}
    with gzip.open(LOGS / "16_bpic2019_1t_per_variant.xes.gz") as file:
        for row in xes.read(iter(lambda: file.read(65_536), b"")):
            cases.setdefault(row["case"]["concept:name"], []).append(row["event"]["concept:name"])
    assert sum(map(len, cases.values())) == 338_247
    having = {
        name: {case for case, names in cases.items() if activity in names}
        for name, activity in (
            ("with_goods_receipt", "Record Goods Receipt"),
            ("with_invoice_receipt", "Record Invoice Receipt"),
            ("with_clear_invoice", "Clear Invoice"),
            ("deleted_items", "Delete Purchase Order Item"),
        )
    }
    found = {"cases": len(cases), **{name: len(ones) for name, ones in having.items()}}
    found["goods_receipt_without_invoice"] = len(having["with_goods_receipt"] - having["with_invoice_receipt"])
    assert found == {name: truth[name] for name in found}
