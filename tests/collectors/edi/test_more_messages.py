"""Ocean, terminal, customs, money and stock: what the samples do not show; real structures, values of our own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.collectors.edi.facts import normal
from apps.collectors.edi.tables import MESSAGES
from benchmarks.parse import FORMATS
from tests.collectors.edi.reading import parse, references
from tests.collectors.edi.writing import composed, edifact, plain, x12

#: item 2 of what EDI must take
X12 = "204 210 214 315 322 810 820 846 850 855 856 860 861 940 943 944 945 990 997 999 TA1"
EDIFACT = "ORDERS ORDRSP ORDCHG DESADV RECADV INVOIC INVRPT IFTMIN IFTSTA CONTRL APERAK CUSDEC CUSRES COARRI CODECO"


def codes(body: str, **settings: str) -> list[str]:
    return [issue.code for issue in parse(body.encode(), **settings).issues]


def test_every_message_named_has_its_table() -> None:
    assert {("X12", one) for one in X12.split()} | {("EDIFACT", one) for one in EDIFACT.split()} <= set(MESSAGES)


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("MSCU663987", "MSCU6639870"),
        ("CSQU305438", "CSQU3054383"),
        ("TOLU473478", "TOLU4734787"),
        ("ABC123456", "ABC123456"),
    ],
)
def test_a_container_gets_its_check_digit(told: str, known: str) -> None:
    assert normal("container", told) == known
    assert normal("container", known) == known


@given(st.from_regex(r"[A-Z]{3}[UJZ][0-9]{6}", fullmatch=True))
def test_check_digits_are_those_of_iso_6346(container: str) -> None:
    """Against the standard's own table of letter values."""
    letters = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", [n for n in range(10, 39) if n % 11], strict=True))
    total = sum((letters.get(char) or int(char)) * 2**place for place, char in enumerate(container))
    assert normal("container", container) == container + str(total % 11 % 10)


def test_an_ocean_status_is_of_its_containers() -> None:
    lines = (
        "B4***VA*20260425*0700*USNYC*MSCU*663987*L*45G1*USNYC*UN*0",
        "N9*EQ*CSQU3054383",
        "N9*BM*BL-1",
        "N9*SCA*OCNX",
    )
    [event] = parse(x12(plain(*lines, type="315")).encode(), zone="UTC").events
    assert (event.type, event.happened_at) == ("transport.arrived", datetime(2026, 4, 25, 7, 0, tzinfo=UTC))
    assert references(event) == {
        ("container", "MSCU6639870", ""),
        ("container", "CSQU3054383", ""),
        ("bill_of_lading", "BL-1", "scac:OCNX"),
    }


def test_a_status_of_a_port_is_not_its_estimate() -> None:
    """139 and 140 in a port loop are estimated and actual of whatever the port is: neither is an arrival we are promised."""
    lines = (
        "B4***AE*20260401*0700*SGSIN*MSCU*663987*L",
        "R4*L*UN*SGSIN",
        "DTM*139*20260402",
        "R4*D*UN*USNYC",
        "DTM*371*20260425",
    )
    [event] = parse(x12(plain(*lines, type="315")).encode(), zone="UTC").events
    assert event.dates == {"eta": datetime(2026, 4, 25, tzinfo=UTC)}
    assert (event.data["port_of_loading"], event.data["port_of_discharge"]) == ("SGSIN", "USNYC")


def test_a_chassis_is_no_container() -> None:
    body = x12(plain("Q5*I*20260426*1701*UT", "N7*PORT*881*0*G*******CH", type="322"))
    assert codes(body) == ["edi.no_reference"]


def test_each_container_of_a_terminal_report_is_an_event() -> None:
    lines = ("Q5*OA*20260426*1655*UT", "N7*MSCU*663987", "N9*BM*BL-1", "N7*CSQU*305438", "N9*BM*BL-2")
    first, second = parse(x12(plain(*lines, type="322")).encode()).events
    assert ("bill_of_lading", "BL-1", "nordwind") in references(first) - references(second)
    assert ("container", "CSQU3054383", "") in references(second) - references(first)
    assert first.happened_at == second.happened_at == datetime(2026, 4, 26, 16, 55, tzinfo=UTC)


def test_whose_invoice_a_remittance_pays() -> None:
    body = x12(plain("BPR*C*10*C*ACH************20260312", "ENT*1", "RMR*IV*INV-1**10*10", type="820")).encode()
    [event] = parse(body).events
    assert references(event) == {("invoice", "INV-1", "")}
    # the money moves tomorrow; that it was ordered happened when it was sent
    assert event.happened_at == datetime(2026, 3, 10, 13, 0, tzinfo=UTC)
    assert event.dates["value_date"] > event.happened_at
    events = parse(body, direction="outbound", acknowledgments="never").events
    assert ("invoice", "INV-1", "nordwind") in references(events[0])


@pytest.mark.parametrize(
    ("head", "type"),
    [
        ("BGM+305+A+9+RE", "message.rejected"),
        ("BGM+305+A+9+AP", "message.acknowledged"),
        ("BGM+305+A+27", "message.rejected"),
        ("BGM+305+A+29", "message.acknowledged"),
        ("BGM+313+A+9", "message.rejected"),
        ("BGM+312+A+9", "message.acknowledged"),
        ("BGM++A", "message.acknowledged"),
    ],
)
def test_an_application_acknowledgment_says_yes_or_no(head: str, type: str) -> None:
    [event] = parse(edifact(composed(head, "RFF+ON:PO1", type="APERAK")).encode()).events
    assert (event.type, references(event)) == (type, {("purchase_order", "PO1", "")})


@pytest.mark.parametrize(
    ("code", "type"), [("TR", "message.rejected"), ("IR", "message.rejected"), ("TA", "message.acknowledged")]
)
def test_an_application_advice_judges_each_transaction(code: str, type: str) -> None:
    lines = (
        "BGN*11*9*20260310",
        f"OTI*{code}*IV*INV-7*******810",
        "REF*PO*PO1",
        "TED*007*WRONG PRICE*****4.10",
        "OTI*TE*SI*S-2",
    )
    first, second = parse(x12(plain(*lines, type="824")).encode()).events
    assert (first.type, first.data["errors"][0]["text"]) == (type, "WRONG PRICE")
    assert references(first) == {("invoice", "INV-7", ""), ("purchase_order", "PO1", "")}
    assert (second.type, references(second)) == ("message.acknowledged", {("load", "S-2", "nordwind")})


def test_an_error_that_says_neither_is_named() -> None:
    result = parse(edifact(composed("BGM+305+A+9", "RFF+ON:PO1", "ERC+77", type="APERAK")).encode())
    assert not result.events
    assert "ERC 9321 77" in result.issues[0].sentence
    text = edifact(composed("BGM+305+A+9", "RFF+ON:PO1", "ERC+77", type="APERAK"))
    [event] = parse(text.encode(), status_codes="77 = message.rejected").events
    assert event.type == "message.rejected"


@pytest.mark.parametrize("line", ["GIS+4", "GIS+4:109:6", "GEI+6+4"])
def test_customs_release(line: str) -> None:
    text = edifact(composed("BGM+962+R1+11", "DTM+9:202603101015:203", line, "RFF+ABT:MRN1", type="CUSRES"))
    [event] = parse(text.encode(), zone="UTC").events
    assert (event.type, event.happened_at) == ("customs.released", datetime(2026, 3, 10, 10, 15, tzinfo=UTC))
    assert references(event) == {("customs_declaration", "MRN1", "")}


def test_a_national_customs_code_is_not_the_standards() -> None:
    assert codes(edifact(composed("BGM+962+R1", "GIS+4:120:143", "RFF+ABT:M1", type="CUSRES"))) == [
        "edi.unknown_status"
    ]


@pytest.mark.parametrize(
    ("message", "document", "type"),
    [
        ("CODECO", "34", "transport.arrived"),
        ("CODECO", "36", "transport.departed"),
        ("COARRI", "44", "transport.arrived"),
        ("COARRI", "46", "transport.in_transit"),
        ("COARRI", "98", "transport.arrived"),
        ("COARRI", "270", "transport.in_transit"),
    ],
)
def test_containers_move(message: str, document: str, type: str) -> None:
    lines = (f"BGM+{document}+D1+9", "EQD+CN+MSCU6639870+45G1:102:5++2+5", "DTM+203:202603101015:203", "RFF+BN:B1")
    [event] = parse(edifact(composed(*lines, type=message)).encode(), zone="UTC").events
    assert (event.type, event.happened_at) == (type, datetime(2026, 3, 10, 10, 15, tzinfo=UTC))
    assert references(event) == {("container", "MSCU6639870", ""), ("load", "B1", "nordwind")}


def test_a_cancelled_container_report_takes_its_moves_back() -> None:
    lines = ("BGM+34+D1+9", "EQD+CN+MSCU6639870", "DTM+7:202603101015:203")
    [moved] = parse(edifact(composed(*lines, type="CODECO")).encode(), zone="UTC").events
    cancelled = edifact(composed("BGM+34+D2+1", *lines[1:], type="CODECO")).encode()
    [event] = parse(cancelled, zone="UTC").events
    assert event.type == "event.withdrawn"
    assert event.data["withdrawn"] == {"type": moved.type, "happened_at": moved.happened_at.isoformat()}
    assert event.references == moved.references
    assert event.happened_at == event.sent_at
    assert event.data["purpose"] == "cancellation"


def test_a_cancelled_status_report_takes_its_statuses_back() -> None:
    lines = ("CNI+1+77", "STS+1+21", "RFF+BM:B1", "DTM+334:202603101015:203")
    [told] = parse(edifact(composed("BGM+23+1+9", *lines, type="IFTSTA")).encode(), zone="UTC").events
    [event] = parse(edifact(composed("BGM+23+2+1", *lines, type="IFTSTA")).encode(), zone="UTC").events
    assert event.type == "event.withdrawn"
    assert event.data["withdrawn"] == {"type": told.type, "happened_at": told.happened_at.isoformat()}
    assert "purpose" not in told.data


def test_stock_is_summed_by_unit() -> None:
    lines = ("BIA*00*MB*S1*20260310*0900", "LIN*1*VN*A", "QTY*17*5*EA", "LIN*2*VN*B", "QTY*17*7*EA", "QTY*33*1*EA")
    [event] = parse(x12(plain(*lines, type="846")).encode(), zone="UTC").events
    assert (event.type, event.data["on_hand"], event.data["available"]) == ("stock.reported", 12, 1)
    assert references(event) == {("stock_report", "S1", "nordwind")}


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_the_bodies_of_the_bench_are_read_whole(one: object) -> None:
    """`ours` raises when a body gives fewer events than it holds or an error."""
    assert one.ours()  # type: ignore[attr-defined]
