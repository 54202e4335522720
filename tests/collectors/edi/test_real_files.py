"""Every file of ../shared/data/edi: its envelope problems are named, its sound messages give the right events.

Expected values were read by hand from the raw files. The manifest was made by a simpler reader; where it is wrong about
a file, the file is listed here with the reason.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings

from apps.collectors.edi.reader import read
from apps.flows.canonical import ParseFailure, ParseIssue, ParseResult
from tests.collectors.edi.reading import parse, references

FOLDER: Path = settings.BASE_DIR.parent / "shared" / "data" / "edi"
pytestmark = pytest.mark.skipif(not (FOLDER / "manifest.csv").exists(), reason=f"{FOLDER} is not there")

#: what the manifest says -> codes of issues that name it
NAMED_BY = {
    "no envelope": {"edi.no_envelope"},
    "unbalanced": {"edi.missing_trailer", "edi.outside", "edi.no_envelope"},
    "actual=": {"edi.count"},
    "!=": {"edi.control_number"},
    "ref differ": {"edi.control_number"},
    "ST=1 SE=2": {"edi.outside"},
}
#: file -> why the manifest's problem is none, and what is said instead
MANIFEST_ERRS = {
    # the segment terminator is three bytes of UTF-8, one character
    "xlate__214__ts214_ellipses_segterm.edi": "edi.separators",
    # lines are wrapped inside the control number; joined, header and trailer agree
    "xlate__210__ts210_80char.edi": "",
    # ISA16 is missing; what the manifest took for part of the number is the segment terminator
    "indice-co__850__x12.850.issue135.edi": "edi.header_width",
}
#: counts that differ, and why: no UNA but segments end with the line; two rows of one file name; a terminator of three
#: bytes. What has no interchange header or a destroyed one is not counted at all
COUNTS_DIFFER = {
    "indice-co__IFCSUM__edifact.D01B.IFCSUM.NewLines.EDI",
    "EdiFabric__INVOIC__Invoice.txt",
    "xlate__214__ts214_ellipses_segterm.edi",
}


def rows() -> Iterator[dict[str, str]]:
    if (FOLDER / "manifest.csv").exists():
        with (FOLDER / "manifest.csv").open(newline="") as lines:
            yield from csv.DictReader(lines)


FILES = sorted({row["file"]: row for row in rows()}.items())
COUNTED = [
    (name, row)
    for name, row in FILES
    if row["segments"] and name not in COUNTS_DIFFER and "NoEnvelopes" not in name and "Corrupt" not in name
]


def issues_of(body: bytes) -> list[ParseIssue]:
    try:
        return list(parse(body).issues)
    except ParseFailure as failure:
        return [failure.issue]


def of(name: str) -> ParseResult:
    return parse((FOLDER / name).read_bytes())


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(("name", "row"), FILES)
def test_problems_of_the_manifest_are_named(name: str, row: dict[str, str]) -> None:
    issues = issues_of((FOLDER / name).read_bytes())
    codes = {issue.code for issue in issues}
    assert all(issue.sentence and issue.position for issue in issues)
    if name in MANIFEST_ERRS:
        assert not MANIFEST_ERRS[name] or MANIFEST_ERRS[name] in codes
        return
    for problem in filter(None, row["envelope_problems"].split("; ")):
        accepted = next(codes for words, codes in NAMED_BY.items() if words in problem)
        assert codes & accepted, f"{problem}: {codes}"
    if "actual=" in row["envelope_problems"]:
        for part in row["envelope_problems"].split("; "):
            if "actual=" in part:
                said, counted = part.split("=")[1].split()[0], part.rsplit("=", 1)[1]
                assert any(f"says {said}, counted {counted} segments" in issue.sentence for issue in issues), part


@pytest.mark.parametrize(("name", "row"), COUNTED)
def test_segments_and_transactions_are_counted(name: str, row: dict[str, str]) -> None:
    reading = read((FOLDER / name).read_bytes())
    assert (reading.segments, reading.counted) == (int(row["segments"]), int(row["transactions"]))


@pytest.mark.parametrize(("name", "row"), FILES)
def test_broken_transactions_give_no_events_and_nothing_is_silent(name: str, row: dict[str, str]) -> None:
    body = (FOLDER / name).read_bytes()
    try:
        result = parse(body)
    except ParseFailure:
        return
    assert result.events or result.issues
    sound = len(read(body).transactions)
    if not sound:
        assert not result.events


def test_856_with_two_orders() -> None:
    result = of("EdiFabric__856__ShipNotice.txt")
    received = [event for event in result.events if event.type == "asn.received"]
    packed = [event for event in result.events if event.type == "asn.packed"]
    assert len(received) == len(packed) == 2
    shared = {
        ("despatch_advice", "01140824", "nordwind"),
        ("bill_of_lading", "01140824", "scac:JBHT"),
        ("pro_number", "082131", "scac:JBHT"),
    }
    assert references(received[0]) == shared | {("purchase_order", "9988776655", "")}
    assert references(received[1]) == shared | {("purchase_order", "2288115555", "")}
    assert references(packed[0]) == {
        ("despatch_advice", "01140824", "nordwind"),
        ("purchase_order", "9988776655", ""),
        ("sscc", "000010012345614785", ""),
    }
    # BSN*00*01140824*20051015*1345 in New York, ISA 071216*1406
    assert {event.happened_at for event in result.events} == {utc(2005, 10, 15, 17, 45)}
    assert {event.sent_at for event in result.events} == {utc(2007, 12, 16, 19, 6)}
    assert received[0].data["quantity"] == 13
    assert received[0].data["scac"] == "JBHT"
    assert received[0].data["test"] is True
    assert received[0].position == "ISA 000000263 / GS 000000001 / ST 0001 / HL 2 / segment 16"
    # DTM*011*200 is no date, GE says 2 sets
    assert {"edi.bad_time", "edi.count"} <= {issue.code for issue in result.issues}


def test_856_of_a_cross_dock() -> None:
    result = of("olmelabs__856__856.Crossdock.OK.edi")
    assert [event.type for event in result.events].count("asn.packed") == 5
    first, *_, last = (event for event in result.events if event.type == "asn.received")
    assert references(first) >= {("purchase_order", "POREF00", ""), ("pro_number", "0000000008741", "scac:OVNT")}
    assert references(last) >= {("purchase_order", "POREF01", ""), ("bill_of_lading", "000001", "scac:OVNT")}
    assert first.dates == {"shipped": utc(2009, 9, 21, 4), "eta": utc(2009, 9, 25, 4)}
    assert first.data["days"] == ["eta", "shipped"]
    assert (first.data["packages"], last.data["packages"]) == (4, 1)


def test_856_in_a_broken_interchange_is_read_and_the_interchange_named() -> None:
    result = of("walmartlabs__856__asn856.txt")
    [event] = result.events
    assert references(event) == {
        ("despatch_advice", "829716", "nordwind"),
        ("purchase_order", "99999817", ""),
        ("bill_of_lading", "999999-001", "scac:XXXX"),
        ("pro_number", "5787970539", "scac:XXXX"),
    }
    assert event.happened_at == utc(2011, 12, 6, 19, 24, 28)
    [issue] = result.issues
    assert "IEA02 says 000000049, but ISA13 said 000003438" in issue.sentence
    assert issue.severity == "warning"


def test_desadv() -> None:
    received, first, second = of("EdiFabric__DESADV__DespatchAdvice.txt").events
    advice = {("despatch_advice", "DES587441", "nordwind"), ("purchase_order", "12332", "")}
    assert references(received) == advice
    assert references(first) == advice | {("sscc", "354107380000001051", "")}
    assert references(second) == advice | {("sscc", "354107380000001068", "")}
    assert received.happened_at == utc(2002, 4, 1, 5)
    assert received.sent_at == utc(2007, 11, 1, 21, 1)
    assert received.dates["shipped"] == utc(2002, 4, 3, 5)
    assert received.parties["supplier"] == "gln:5411234512309"
    assert received.data["quantity"] == 40


def test_214() -> None:
    [event] = of("EdiFabric__214__ShipmentStatus.txt").events
    assert (event.type, event.data["stop"]) == ("transport.arrived", "pickup")
    assert references(event) == {("pro_number", "123456", "scac:BAWC")}
    # AT7*X3*NS***19970925*0830*CT: daylight saving time in Chicago
    assert (event.happened_at, event.zone) == (utc(1997, 9, 25, 13, 30), "America/Chicago")
    [event] = of("indice-co__214__214-MGCTLYST-SAMPLE.EDI").events
    assert event.type == "delivery.completed"
    assert event.happened_at == utc(2016, 7, 26, 16, 30)
    assert references(event) >= {("pro_number", "1751807", "scac:SCAC"), ("load", "75027674", "scac:SCAC")}
    # the same interchange with a line break inside its ISA header
    assert of("indice-co__214__x12.214.edi").events == (event,)


def test_214_with_an_estimate() -> None:
    estimate, departed = of("xlate__214__ts214_ellipses_segterm.edi").events
    assert estimate.type == "transport.eta_changed"
    assert estimate.dates["eta"] == utc(2020, 9, 11, 15, 59)
    assert estimate.happened_at == utc(2020, 9, 10, 23, 30)
    assert (departed.type, departed.happened_at) == ("transport.departed", utc(2020, 9, 10, 15, 35))
    assert ("purchase_order", "900169", "") in references(departed)


def test_iftsta() -> None:
    result = of("EdiFabric__IFTSTA__TransportStatus.txt")
    delivered, refused = result.events
    assert (delivered.type, delivered.happened_at) == ("delivery.completed", utc(2002, 2, 1, 19, 50))
    assert references(delivered) == {("pro_number", "4215A", "nordwind")}
    assert (refused.type, refused.happened_at) == ("transport.exception", utc(2002, 1, 15, 5))
    assert (refused.data["exception"], refused.data["reason_code"]) == ("Customs refusal", "39")
    # one status has an unknown date qualifier, three the 48th of January: no event is made up
    assert [issue.code for issue in result.issues].count("edi.no_time") == 4


def test_997() -> None:
    accepted, rejected, group = of("EdiFabric__997__997.txt").events
    assert [accepted.type, rejected.type, group.type] == ["message.acknowledged", *["message.rejected"] * 2]
    answered = ("functional_group", "GS IN 1", "nordwind")
    assert references(rejected) == {("control_number", "GS 1 / ST ST02", "nordwind"), answered}
    assert references(group) == {("control_number", "GS 1", "nordwind"), answered}
    assert rejected.data["errors"] == [{"code": "5", "words": "one or more segments in error"}]
    assert rejected.data["segment_errors"][0]["segment"] == "TXI"
    assert group.happened_at == utc(2007, 12, 14, 19, 6)
    times = [event.source_event_id for event in of("xlate__997__simple997-multiple-interchanges.edi").events]
    assert len(times) == len(set(times)) == 6
    [group] = of("xlate__997__optionalInterchangeServices.edi").events
    assert (group.type, group.data["sets_accepted"]) == ("message.acknowledged", 1)


def test_contrl() -> None:
    first, second = of("EdiFabric__CONTRL__CONTRL.txt").events
    assert first.type == second.type == "message.acknowledged"
    assert references(first) == {("control_number", "UNB 131", "nordwind"), ("functional_group", "UNB 131", "nordwind")}
    assert (first.data["status_code"], first.data["status"]) == ("8", "Interchange received")
    assert first.happened_at == utc(2021, 9, 22, 16, 20)
    assert first.source_event_id != second.source_event_id


@pytest.mark.parametrize(
    ("name", "type", "expected"),
    [
        ("EdiFabric__850__PurchaseOrder.txt", "purchase_order.sent", {("purchase_order", "XX-1234", "")}),
        (
            "EdiFabric__855__PurchaseOrdersAcknowledgement.txt",
            "purchase_order.acknowledged",
            {("purchase_order", "1234567", "")},
        ),
        (
            "EdiFabric__810__Invoice.txt",
            "invoice.received",
            {("invoice", "SG427254", "nordwind"), ("purchase_order", "508517", "")},
        ),
        ("olmelabs__940__940.OK.edi", "warehouse_order.sent", {("warehouse_order", "538686", "nordwind")}),
        (
            "EdiFabric__945__WarehouseShippingAdvice.txt",
            "shipment.dispatched",
            {("warehouse_order", "12345", "nordwind"), ("load", "123456", "scac:TRUK")},
        ),
        (
            "indice-co__210__210-MGCTLYST-SAMPLE.EDI",
            "invoice.received",
            {
                ("invoice", "09851270", "nordwind"),
                ("load", "75027674", "scac:SCAC"),
                ("bill_of_lading", "75027674", "scac:SCAC"),
            },
        ),
        (
            "index__943__illustrative.edi",
            "warehouse_order.sent",
            {("warehouse_order", "TRF-2026-0041", "nordwind"), ("bill_of_lading", "BOL-TRF-01", "nordwind")},
        ),
        (
            "EdiFabric__861__ReceivingAdvice.txt",
            "goods.received",
            {("receiving_advice", "C000548241", "nordwind")},
        ),
        ("index__944__illustrative.edi", "goods.received", {("warehouse_order", "TRF-2026-0041", "nordwind")}),
        ("index__INVRPT__illustrative.edi", "stock.reported", {("stock_report", "INV-REP-2026-09", "nordwind")}),
        (
            "indice-co__APERAK__Apperak_edi_out_issue235.edi",
            "message.acknowledged",
            {("purchase_order", "4506701767", "")},
        ),
        ("indice-co__990__990-MGCTLYST-SAMPLE.EDI", "load.accepted", {("load", "75027674", "scac:SCAC")}),
        ("EdiFabric__ORDERS__PurchaseOrder.txt", "purchase_order.sent", {("purchase_order", "128576", "")}),
        (
            "EdiFabric__ORDRSP__PurchaseOrderResponse.txt",
            "purchase_order.acknowledged",
            {("purchase_order", "652744", "")},
        ),
        (
            "EdiFabric__IFTMIN__Instruction.txt",
            "load.tendered",
            {("load", "569952", "nordwind"), ("sscc", "354123450000000014", "")},
        ),
    ],
)
def test_other_messages(name: str, type: str, expected: set[tuple[str, str, str]]) -> None:
    [event] = of(name).events
    assert event.type == type
    assert references(event) == expected
