"""What brokers and customs send: CUSDEC, 350 and 355 (CUSRES stands in test_more_messages)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apps.collectors.edi.tables.x12_customs import DISPOSITIONS
from apps.flows.catalogue import EVENT_TYPES
from tests.collectors.edi.reading import parse, references
from tests.collectors.edi.test_more_messages import composed
from tests.collectors.edi.writing import edifact, plain, x12

MANIFEST = ("M10*OCNX*O*US*9300001*NORTHERN STAR*071N*MAN77**Z", "P4*2704*20260310")


def read_350(*lines: str):  # type: ignore[no-untyped-def]
    return parse(x12(plain(*MANIFEST, *lines, type="350")).encode(), zone="America/Los_Angeles")


@pytest.mark.parametrize(
    ("code", "type"), [("1C", "customs.released"), ("1B", "customs.released"), ("1H", "customs.held"), ("2H", "customs.held"), ("1A", "customs.held")]
)  # fmt: skip
def test_a_disposition_is_of_its_bill(code: str, type: str) -> None:
    result = read_350(f"X4*0079950*12*01*ABC1234567*20260310*1415*{code}**OCNX", "K1*CLEARED", "N7*TCLU*412345")
    [event] = result.events
    assert not result.issues
    assert (event.type, event.happened_at) == (type, datetime(2026, 3, 10, 21, 15, tzinfo=UTC))
    assert references(event) == {
        ("bill_of_lading", "0079950", "scac:OCNX"),
        ("customs_declaration", "ABC1234567", ""),
        ("container", "TCLU4123450", ""),
    }
    assert (event.data["location"], event.data["text"], event.data["quantity"]) == ("2704", "CLEARED", 12)


def test_each_bill_speaks_for_itself() -> None:
    lines = (
        "X4*B1****20260310*0800*1C**OCNX",
        "N7*MSCU*663987",
        "X4*B2****20260310*0801*1H**OCNX",
        "X4*B3****20260310*0802*1I**OCNX",
    )
    result = read_350(*lines)
    told = [(event.type, {one.value for one in event.references}) for event in result.events]
    assert told == [("customs.released", {"B1", "MSCU6639870"}), ("customs.held", {"B2"})]
    [removed] = result.issues
    assert (removed.code, removed.severity) == ("edi.no_event", "warning")
    assert "Hold removed (customs)" in removed.sentence


def test_an_unknown_disposition_is_not_guessed() -> None:
    result = read_350("X4*B1****20260310*0800*9Q**OCNX")
    assert (result.events, [issue.code for issue in result.issues]) == ((), ["edi.unknown_status"])


def test_a_rejected_bill_says_why() -> None:
    lines = (
        "LX*1",
        "M11*B1*57035*10*CTN*500*K",
        "K1*E21*BILL NOT ON FILE",
        "LX*2",
        "M13*OCNX*2704*A*B2",
        "K1*E07*QUANTITY INVALID",
    )
    result = parse(x12(plain(*MANIFEST, *lines, type="355")).encode())
    assert [(event.type, {one.value for one in event.references}) for event in result.events] == [
        ("customs.rejected", {"B1"}),
        ("customs.rejected", {"B2"}),
    ]
    assert result.events[0].data["errors"] == [{"text": "BILL NOT ON FILE", "code": "E21", "words": ""}]
    assert result.events[0].data["manifest"] == "MAN77"


def test_a_declaration_is_known_by_its_declarants_number() -> None:
    lines = ("BGM+929+LRN-4711+9", "CST++40", "DTM+137:20260310:102", "RFF+BM:B1", "EQD+CN+MSCU6639870")
    result = parse(edifact(composed(*lines, type="CUSDEC")).encode(), zone="UTC")
    [event] = result.events
    assert event.type == "customs.declared"
    kinds = {(one.kind, one.value) for one in event.references}
    assert kinds == {("customs_declaration", "LRN-4711"), ("bill_of_lading", "B1"), ("container", "MSCU6639870")}
    cancelled = ("BGM+929+LRN-4711+1", *lines[1:])
    assert not parse(edifact(composed(*cancelled, type="CUSDEC")).encode(), zone="UTC").events


def test_customs_answers_by_the_same_number() -> None:
    lines = ("BGM+962+R1+11", "DTM+9:202603101015:203", "GIS+4", "RFF+ABE:LRN-4711", "RFF+ABT:26DE01")
    [event] = parse(edifact(composed(*lines, type="CUSRES")).encode(), zone="UTC").events
    assert {one.value for one in event.references} == {"LRN-4711", "26DE01"}


def test_dispositions_name_events_of_the_catalogue() -> None:
    assert {one.event for one in DISPOSITIONS.values()} - {""} <= set(EVENT_TYPES)
