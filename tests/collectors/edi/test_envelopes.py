"""Envelopes that do not add up: what is stopped, what is only said, and that the parts beside it are read."""

from __future__ import annotations

import pytest

from apps.collectors.edi import reader as edi_reader
from apps.collectors.edi.segments import MAX_BYTES
from apps.flows.canonical import ParseFailure, ParseResult
from tests.collectors.edi.reading import parse
from tests.collectors.edi.writing import composed, edifact, isa, plain, x12

GOOD = plain("B10*1*2*ABCD", "LX*1", "AT7*X1*NS***20260310*0800*ET", number="0001")
NEXT = plain("B10*3*4*ABCD", "LX*1", "AT7*D1*NS***20260310*0900*ET", number="0002")
STATUS = composed("CNI+1+A1", "STS+1+21", "DTM+334:202603100900:203", number="1")
OTHER = composed("CNI+1+A2", "STS+1+24", "DTM+334:202603100800:203", number="2")


def said(result: ParseResult) -> set[tuple[str, str]]:
    return {(issue.code, issue.severity) for issue in result.issues}


@pytest.mark.parametrize(
    ("old", "new", "events", "issue"),
    [
        ("SE*5*0001", "SE*6*0001", 1, ("edi.count", "error")),
        ("SE*5*0001", "SE*five*0001", 1, ("edi.count", "error")),
        ("SE*5*0001", "SE*5*0009", 1, ("edi.control_number", "error")),
        ("SE*5*0001", "SE*5*1", 2, ("edi.control_number", "warning")),
        ("SE*5*0001~", "", 1, ("edi.missing_trailer", "error")),
        ("ST*214*0001~", "", 1, ("edi.outside", "error")),
        ("GE*2*1", "GE*3*1", 2, ("edi.count", "warning")),
        ("GE*2*1", "GE*2*7", 2, ("edi.control_number", "warning")),
        ("GE*2*1~", "", 2, ("edi.missing_trailer", "warning")),
        ("IEA*1*", "IEA*2*", 2, ("edi.count", "warning")),
        ("IEA*1*000000001", "IEA*1*000000002", 2, ("edi.control_number", "warning")),
        ("IEA*1*000000001~", "", 2, ("edi.missing_trailer", "warning")),
        ("GS*XX*NORDWIND*OURS*20260310*0900*1*X*004010~", "", 2, ("edi.no_group", "warning")),
        ("ST*214*0002", "ST*214*0001", 1, ("edi.duplicate", "warning")),
        ("ISA*00*", "see below ISA*00*", 2, ("edi.skipped", "warning")),
    ],
)
def test_x12_envelopes(old: str, new: str, events: int, issue: tuple[str, str]) -> None:
    text = x12(GOOD, NEXT)
    assert old in text
    result = parse(text.replace(old, new, 1).encode())
    assert len(result.events) == events
    assert issue in said(result)
    assert all(one.position for one in result.issues)


@pytest.mark.parametrize(
    ("old", "new", "events", "issue"),
    [
        ("UNT+5+1", "UNT+4+1", 1, ("edi.count", "error")),
        ("UNT+5+1", "UNT+5+X", 1, ("edi.control_number", "error")),
        ("UNT+5+1'", "", 1, ("edi.missing_trailer", "error")),
        ("UNH+1+IFTSTA:D:96A:UN'", "", 1, ("edi.outside", "error")),
        ("UNZ+2+R1", "UNZ+1+R1", 2, ("edi.count", "warning")),
        ("UNZ+2+R1", "UNZ+2+R2", 2, ("edi.control_number", "warning")),
        ("UNZ+2+R1'", "", 2, ("edi.missing_trailer", "warning")),
    ],
)
def test_edifact_envelopes(old: str, new: str, events: int, issue: tuple[str, str]) -> None:
    text = edifact(STATUS, OTHER)
    assert old in text
    result = parse(text.replace(old, new, 1).encode())
    assert len(result.events) == events
    assert issue in said(result)


def test_edifact_groups_are_counted_instead_of_messages() -> None:
    text = edifact(STATUS, OTHER)
    inner = text.replace("UNH+1", "UNG+IFTSTA+A+B+260310:0900+7+UN+D:96A'UNH+1").replace("UNZ+2", "UNE+2+7'UNZ+1")
    assert not parse(inner.encode()).issues
    assert ("edi.count", "warning") in said(parse(inner.replace("UNE+2", "UNE+3").encode()))


def test_strict_stops_the_whole_interchange_and_lenient_reads_on() -> None:
    miscounted = x12(GOOD, NEXT).replace("SE*5*0001", "SE*6*0001")
    other = x12(
        plain("B10*5*6*ABCD", "LX*1", "AT7*AF*NS***20260310*0700*ET"), header=isa("000000002"), number="000000002"
    )
    body = (miscounted + other).encode()
    assert len(parse(body).events) == 2
    strict = parse(body, envelope="strict")
    assert [event.type for event in strict.events] == ["transport.departed"]
    assert ("edi.count", "error") in said(strict)
    lenient = parse(body, envelope="lenient")
    assert len(lenient.events) == 3
    assert ("edi.count", "warning") in said(lenient)


def test_the_same_interchange_twice_is_one_set_of_events() -> None:
    body = (x12(GOOD) * 2).encode()
    result = parse(body)
    assert ("edi.duplicate", "warning") in said(result)
    assert len({event.source_event_id for event in result.events}) == 1
    assert len({event.content_key() for event in result.events}) == 1


def test_control_numbers_come_round_again_but_not_on_the_same_date() -> None:
    first = parse(x12(GOOD).encode()).events[0]
    later = parse(x12(GOOD, header=isa(date="270310")).encode()).events[0]
    assert first.source_event_id != later.source_event_id


@pytest.mark.parametrize("header", [isa(), "UNB+UNOC:3+A+B+260310:0900+1'"])
def test_a_header_alone_is_named(header: str) -> None:
    assert said(parse(header.encode())) == {("edi.missing_trailer", "warning")}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "edi.empty"),
        (b" \r\n\t", "edi.empty"),
        (b"\xef\xbb\xbf", "edi.empty"),
        (b"%PDF-1.7 \x00\x01\x02", "edi.no_envelope"),
        (b"ST*214*0001~SE*2*0001~", "edi.no_envelope"),
        (b"UNH+1+IFTSTA:D:96A:UN'UNT+2+1'", "edi.no_envelope"),
        (b"\xff\xfeI\x00S\x00", "edi.no_envelope"),
        (b"\xff\xfeI\x00\x00\xd8", "edi.not_text"),
        (b" " * (MAX_BYTES + 1), "edi.too_large"),
        (isa().encode() + b"A~" * 200_001, "edi.too_many_segments"),
        (b"UNB+UNOC:3+A+B+260310:0900+1'" * 10_001, "edi.too_many_interchanges"),
    ],
)
def test_nothing_to_read_is_a_failure_with_a_name(body: bytes, code: str) -> None:
    with pytest.raises(ParseFailure) as caught:
        parse(body)
    assert caught.value.issue.code == code


def test_ten_thousand_events_and_no_more() -> None:
    statuses = ["CNI+1+A1", *["STS+1+21", "DTM+334:202603100900:203"] * 10_000]
    assert len(parse(edifact(composed(*statuses)).encode()).events) == 10_000
    with pytest.raises(ParseFailure) as caught:
        parse(edifact(composed(*statuses, "STS+1+21", "DTM+334:202603100900:203")).encode())
    assert caught.value.issue.code == "edi.too_many_events"


def test_issues_are_counted_beyond_a_limit() -> None:
    text = x12(*(plain("B10*1*2*ABCD", "LX*1", "AT7*QQ*NS***20260310", number=f"{n:04d}") for n in range(300)))
    issues = parse(text.encode()).issues
    assert len(issues) == 201
    assert issues[-1].sentence.startswith("100 more problems")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_character_sets(encoding: str) -> None:
    text = edifact(composed("CNI+1+GRÜN-1", "STS+1+21", "DTM+334:202603100900:203"))
    [event] = parse(text.encode(encoding)).events
    assert event.references[0].value == "GRÜN-1"


def test_the_character_set_unb_names() -> None:
    text = edifact(composed("CNI+1+ГРУЗ", "STS+1+21", "DTM+334:202603100900:203")).replace("UNOC", "UNOE")
    assert parse(text.encode("iso8859-5")).events[0].references[0].value == "ГРУЗ"


def test_own_separators_and_repetitions() -> None:
    text = x12(GOOD).replace("*", "|").replace("~", "\x1c").replace("|>", "|\x1f")
    assert len(parse(text.encode()).events) == 1
    una = edifact(STATUS).replace("UNA:+.? '", "UNA/!.# ~").translate(str.maketrans("+:'", "!/~"))
    assert len(parse(una.encode()).events) == 1
    level_b = edifact(STATUS, una=False).translate(str.maketrans("+:'", "\x1d\x1f\x1c"))
    assert len(parse(level_b.encode()).events) == 1


def test_separators_that_cannot_be_told_apart() -> None:
    for text in (x12(GOOD).replace("*>~", "***", 1), edifact(STATUS).replace("UNA:+.? '", "UNA++.? '")):
        with pytest.raises(ParseFailure) as caught:
            parse(text.encode())
        assert caught.value.issue.code == "edi.separators"


def test_a_word_in_text_is_no_header() -> None:
    text = x12(
        plain("B10*1*2*ABCD", "N1*ST*VISA*92*1*2*3*4*5*6*7*8*9", "L11*ISA*ZZ", "LX*1", "AT7*X1*NS***20260310*0800")
    )
    assert len(parse(text.encode()).events) == 1
    text = edifact(composed("CNI+1+A1", "FTX+AAI+++SEE UNB", "FTX+AAI+UNB+1", "STS+1+21", "DTM+334:20260310:102"))
    assert len(parse(text.encode()).events) == 1


def test_limits_are_those_of_the_standard_door() -> None:
    assert edi_reader.MAX_BYTES == 10 * 1024 * 1024
