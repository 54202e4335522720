"""The readers against generated interchanges: what was written is read, and nothing done to the bytes breaks them."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.edi.reader import read
from apps.collectors.edi.segments import split, unreleased
from apps.flows.canonical import ParseFailure, ParseResult
from tests.collectors.edi.reading import parse
from tests.collectors.edi.writing import Message, edifact, x12

SAMPLES = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "samples" / "edi").glob("*.edi"))]
QUICK = settings(max_examples=150, deadline=None)

tags = st.sampled_from(["REF", "DTM", "N1", "LX", "QTY", "FTX", "NAD", "Z99"])
#: X12 has no release character: its data must not contain its separators
x12_text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="*>~"), max_size=8)
edifact_text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=8)
numbers = st.integers(1, 9999).map(lambda number: f"{number:04d}")


def result_of(body: bytes) -> ParseResult:
    try:
        return parse(body)
    except ParseFailure as failure:
        return ParseResult((), (failure.issue,))


def segments(text: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[list[str]]]]:
    element = st.lists(text, min_size=1, max_size=3)
    segment = st.tuples(tags, st.lists(element, max_size=4)).map(lambda pair: [[pair[0]], *pair[1]])
    return st.lists(segment, max_size=6)


def messages(text: st.SearchStrategy[str]) -> st.SearchStrategy[list[Message]]:
    one = st.builds(Message, st.sampled_from(["856", "214", "DESADV", "ZZZ"]), numbers, segments(text))
    return st.lists(one, max_size=4, unique_by=lambda message: message.number)


def told(body: bytes) -> list[tuple[str, str, list[list[list[str]]]]]:
    """Type, number and segments of every transaction, trailing empty values left out."""
    reading = read(body)
    assert not reading.issues.issues
    return [
        (
            one.type,
            one.part.reference,
            [stripped([one_.components(n) for n in range(len(one_.elements))]) for one_ in one.segments()],
        )
        for one in reading.transactions
    ]


def stripped(elements: list[list[str]]) -> list[list[str]]:
    cut = [without_end(parts) for parts in elements]
    while cut and not cut[-1]:
        cut.pop()
    return cut


def without_end(parts: list[str]) -> list[str]:
    while parts and not parts[-1]:
        parts = parts[:-1]
    return parts


def expected(written: list[Message]) -> list[tuple[str, str, list[list[list[str]]]]]:
    return [
        (one.type, one.number, [stripped([list(parts) for parts in segment]) for segment in one.segments])
        for one in written
    ]


@given(messages(x12_text), st.sampled_from(["", "\n", "\r\n", "\r\n  "]), st.booleans())
@QUICK
def test_x12_reads_what_was_written(written: list[Message], end: str, mark: bool) -> None:
    body = ("\ufeff" if mark else "") + x12(*written, end=end)
    assert told(body.encode()) == expected(written)


@given(messages(edifact_text), st.sampled_from(["", "\n", "\r\n"]), st.booleans())
@QUICK
def test_edifact_reads_what_was_written(written: list[Message], end: str, una: bool) -> None:
    assert told(edifact(*written, end=end, una=una).encode()) == expected(written)


@given(messages(x12_text), st.integers(40, 120))
@QUICK
def test_wrapped_lines_change_nothing(written: list[Message], width: int) -> None:
    text = x12(*written)
    # a sender that wraps does so after the header it was configured for
    wrapped = text[:106] + "\r\n".join(text[at : at + width] for at in range(106, len(text), width))
    assert told(wrapped.encode()) == expected(written)


@given(messages(x12_text), messages(edifact_text), messages(x12_text))
@QUICK
def test_many_interchanges_in_one_file_are_as_many_files(
    one: list[Message], two: list[Message], three: list[Message]
) -> None:
    parts = [x12(*one, number="000000001"), edifact(*two), x12(*three, number="000000002")]
    together = told("\n".join(parts).encode())
    assert together == [found for part in parts for found in told(part.encode())]


@given(st.text(max_size=30), st.sampled_from("+:'"))
@QUICK
def test_splitting_knows_released_separators(text: str, separator: str) -> None:
    """Against the definition: read character by character."""
    parts, current, released = [], "", False
    for char in text:
        if released or char not in ("?", separator):
            current, released = current + char, False
        elif char == "?":
            current, released = current + char, True
        else:
            parts.append(current)
            current = ""
    parts.append(current)
    assert split(text, separator, "?") == parts


@given(st.text(max_size=20))
@QUICK
def test_release_characters_go_once(text: str) -> None:
    assert unreleased("".join("?" + char for char in text), "?") == text


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=300, deadline=None)
def test_no_byte_breaks_it(body: bytes, data: st.DataObject) -> None:
    """Cut anywhere, and any bytes put anywhere: events, issues, or a ParseFailure that says why."""
    raw = bytearray(body)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 12))] = data.draw(st.binary(max_size=8))
    raw = raw[: data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))]
    result = result_of(bytes(raw))
    assert result == result_of(bytes(raw))
    assert all(issue.code.startswith("edi.") and issue.sentence for issue in result.issues)
    assert all("\x00" not in one.value for event in result.events for one in event.references)


@given(st.sampled_from(SAMPLES), st.data())
@QUICK
def test_a_cut_file_never_tells_more(body: bytes, data: st.DataObject) -> None:
    """What a cut file still tells, the whole file tells too: no transaction is half believed."""
    whole = {event.source_event_id for event in parse(body).events}
    cut = result_of(body[: data.draw(st.integers(0, len(body)))])
    assert {event.source_event_id for event in cut.events} <= whole


def test_hostile_sizes_stay_linear() -> None:
    """Shapes that are quadratic to a careless reader, near the limits; each takes seconds at most."""
    head = x12(Message("856", "0001")).split("ST*856")[0]
    shapes = {
        "separators": head + "*" * 4_000_000,
        "terminators": head + "~" * 390_000,
        "released": "UNB+UNOC:3+A+B+260310:0900+1'UNH+1+DESADV:D:96A:UN'FTX+" + "?'" * 2_000_000,
        "headers": "UNB+UNOA+" * 9_000,
        "isa": "ISA*" * 1_000_000,
        "one long element": head + "ST*856*0001~REF*PO*" + "A" * 5_000_000 + "~SE*3*0001~",
        "components": "UNB+UNOC:3+A+B+260310:0900+1'UNH+1+DESADV:D:96A:UN'BGM+" + ":" * 3_000_000 + "'UNT+3+1'UNZ+1+1'",
        "loops": head + "ST*856*0001~BSN*00*A*20260310*0900~" + "".join(f"HL*{n}*{n - 1}*O~" for n in range(1, 60_000)),
        "flat references": head
        + "ST*856*0001~BSN*00*A*20260310*0900~"
        + "REF*BM*X~" * 90_000
        + "".join(f"HL*{n}**P~MAN*GM*{n:018d}~" for n in range(9_000))
        + "SE*108003*0001~GE*1*1~IEA*1*000000001~",
        "acknowledgments": head
        + "ST*997*0001~"
        + "ZZZ*1~" * 80_000
        + "AK1*PO*1~"
        + "AK2*850*1~AK5*A~" * 9_000
        + "AK9*A*1*1*1~SE*98004*0001~GE*1*1~IEA*1*000000001~",
    }
    for name, text in shapes.items():
        began = time.process_time()
        result_of(text.encode())
        assert time.process_time() - began < 20, name
