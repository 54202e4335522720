"""Every syntax of EPCIS gives the same events, and hostile XML gives nothing but a clear refusal."""

from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from apps.collectors.contract import COLLECTORS, RawDelivery, SourceContext
from apps.collectors.gs1 import vocabulary, xmlreader
from apps.flows.canonical import ParseFailure, ParseResult
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS
from tests.collectors.gs1.writing import as_json, as_xml, events

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
SHELL = (
    '<e:EPCISDocument xmlns:e="urn:epcglobal:epcis:xsd:2" xmlns:own="https://own.example/" schemaVersion="2.0">'
    "<EPCISBody><EventList>{}</EventList></EPCISBody></e:EPCISDocument>"
)
EVENT = (
    "<ObjectEvent><eventTime>2026-01-19T10:00:00Z</eventTime><eventTimeZoneOffset>+00:00</eventTimeZoneOffset>"
    "<epcList>{}</epcList><action>OBSERVE</action><bizStep>shipping</bizStep></ObjectEvent>"
)
SSCC = "<epc>urn:epc:id:sscc:0614141.1234567890</epc>"


def read(body: bytes, headers: dict[str, str] | None = None, **settings: Any) -> ParseResult:
    source = SourceContext("e", "acme", "Europe/Berlin", settings)
    return COLLECTORS.get("epcis").parse(RawDelivery(body, "", headers or {}, NOW), source)


def refused(body: bytes) -> str:
    with pytest.raises(ParseFailure) as failure:
        read(body)
    return failure.value.issue.code


@given(events())
@hypothesis_settings(deadline=None)
def test_every_syntax_says_the_same(event: dict[str, Any]) -> None:
    results = [read(as_json(event)), read(as_xml(event)), read(as_xml(event, version=1))]
    results.append(read(as_xml(event).decode().replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16")))
    for result in results:
        assert [issue for issue in result.issues if issue.severity == "error"] == []
        [found] = result.events
        assert found.type in EVENT_TYPES
        assert {one.kind for one in found.references} <= set(REFERENCE_KINDS)
        assert replace(found, position="") == replace(results[0].events[0], position="")
        assert found.content_key() == results[0].events[0].content_key()
        assert found.source_event_id.startswith("hash:") != ("eventID" in event)


def test_the_tables_name_what_there_is() -> None:
    assert set(vocabulary.MEANINGS.values()) <= set(EVENT_TYPES)
    assert set(vocabulary.TRANSACTIONS.values()) - {""} <= set(REFERENCE_KINDS)
    assert {*vocabulary.REFERENCES.values(), vocabulary.OTHER} <= set(REFERENCE_KINDS)
    for step, disposition in vocabulary.MEANINGS:
        assert not step or step in vocabulary.BIZ_STEPS
        assert not disposition or disposition in vocabulary.DISPOSITIONS


@pytest.mark.parametrize(
    "written",
    [
        "receiving",
        "urn:epcglobal:cbv:bizstep:receiving",
        "https://ref.gs1.org/cbv/BizStep-receiving",
        "https://ref.gs1.org/cbv/Bizstep-receiving",
        "http://gs1.org/voc/Bizstep-receiving",
        "cbv:BizStep-receiving",
    ],
)
def test_words_are_alike_in_every_form(written: str) -> None:
    assert vocabulary.word(written) == "receiving"


def test_a_word_of_somebody_else_stays_as_it_is() -> None:
    assert vocabulary.word("https://acme.example/cbv/BizStep-receiving") == "https://acme.example/cbv/BizStep-receiving"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '<q:EPCISQueryDocument xmlns:q="urn:epcglobal:epcis-query:xsd:1"><EPCISHeader><sbdh><Sender/></sbdh></EPCISHeader>'
            "<EPCISBody><q:QueryResults><queryName>S</queryName><resultsBody><EventList>",
            "</EventList></resultsBody></q:QueryResults></EPCISBody></q:EPCISQueryDocument>",
        ),
        (
            '<QueryResults xmlns="urn:epcglobal:epcis-query:xsd:2"><resultsBody><EventList>',
            "</EventList></resultsBody></QueryResults>",
        ),
        (
            '<EPCISDocument xmlns="urn:epcglobal:epcis:xsd:2"><EPCISBody><EventList>',
            "</EventList></EPCISBody></EPCISDocument>",
        ),
        ("", ""),
    ],
)
def test_documents_around_events(before: str, after: str) -> None:
    result = read((before + EVENT.format(SSCC) + after).encode())
    assert result.issues == ()
    assert [(one.type, one.references[0].value) for one in result.events] == [
        ("shipment.dispatched", "106141412345678908")
    ]


def test_documents_of_json() -> None:
    one = {"type": "ObjectEvent", "eventTime": "2026-01-19T10:00:00Z", "eventTimeZoneOffset": "+00:00", "action": "ADD"}
    one |= {"epcList": ["106141412345678908"], "bizStep": "shipping"}
    document = {"type": "EPCISDocument", "epcisBody": {"eventList": [one]}}
    queried = {"type": "EPCISQueryDocument", "epcisBody": {"queryResults": {"resultsBody": {"eventList": [one]}}}}
    shapes = [one, [one], document, [document], queried, {"eventList": [one]}, {"epcisBody": {"event": one}}]
    for shape in shapes:
        result = read(json.dumps(shape).encode())
        assert result.issues == ()
        assert [found.references[0].value for found in result.events] == ["106141412345678908"]
    for shape, code in [
        ({}, "epcis.not_events"),
        ({"type": "EPCISCaptureJob"}, "epcis.not_events"),
        ("text", "epcis.not_events"),
        ({"epcisBody": [one]}, "epcis.no_event_list"),
    ]:
        assert refused(json.dumps(shape).encode()) == code
    empty = read(b'{"type": "EPCISDocument", "epcisBody": {"eventList": []}}')
    assert [(issue.code, issue.severity) for issue in empty.issues] == [("epcis.no_events", "warning")]


# --- hostile XML


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE e [<!ENTITY a "b">]>',
        '<!DOCTYPE e SYSTEM "https://evil.example/e.dtd">',
        '<!DOCTYPE e PUBLIC "-//E" "https://evil.example/e.dtd">',
        '<!DOCTYPE e [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>',
        "<!DOCTYPE e [ ]>",
        '<!-- x --><?pi y?>\n <!DOCTYPE e [<!ENTITY a "b">]>',
    ],
)
def test_a_dtd_is_refused(doctype: str) -> None:
    text = doctype + SHELL.format(EVENT.format(SSCC))
    assert refused(text.encode()) == "xml.dtd"
    assert refused(f'<?xml version="1.0"?>{text}'.encode("utf-16")) == "xml.dtd"
    assert refused(f'<?xml version="1.0"?>{text}'.encode("utf-16-le")) == "xml.dtd"


def test_a_doctype_that_declares_nothing_is_passed_over() -> None:
    assert len(read(("<!DOCTYPE project>" + SHELL.format(EVENT.format(SSCC))).encode()).events) == 1


def test_entities_that_nobody_declared_are_an_error() -> None:
    for doctype in ("", "<!DOCTYPE project>"):
        assert refused((doctype + SHELL.format(EVENT.format("<epc>&who;</epc>"))).encode()) == "xml.syntax"
    assert refused((2 * "<!DOCTYPE a>" + SHELL.format("")).encode()) == "xml.syntax"


@pytest.mark.parametrize("encoding", ["cp037", "utf-7", "utf-16", "hz", "punycode", "../x"])
def test_encodings_that_could_hide_something_are_refused(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + SHELL.format(EVENT.format(SSCC))
    assert refused(text.encode()) == "xml.encoding"


def test_latin_1_is_read() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + SHELL.format(EVENT.format("<epc>Kiste-Öl</epc>"))
    [event] = read(text.encode("latin-1")).events
    assert event.references[0].value == "Kiste-Öl"


BOMBS = {
    "deep": (SHELL.format("<a>" * 300_000).encode(), "xml.too_deep"),
    "deep in an event": (SHELL.format("<ObjectEvent>" + "<a>" * 300_000).encode(), "xml.too_deep"),
    "long namespace": (
        SHELL.format("<n:a/>" * 100_000)
        .replace(" schemaVersion", f' xmlns:n = "{"u" * 1_000_000}" schemaVersion')
        .encode(),
        "xml.namespace",
    ),
    "namespaces": (SHELL.format('<a xmlns="u"/>' * 100_000).encode(), "xml.namespace"),
    "small events": (SHELL.format("<ObjectEvent/>" * 100_000).encode(), "receipt.too_many_events"),
    "instructions": (b"<?a?>" * 300_000, "xml.syntax"),
    "comment without end": (b"<!--" + b"-" * 1_000_000, "xml.syntax"),
    "something else": (b"<a>" * 300_000, "epcis.not_events"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_go_off_in_a_small_room(name: str) -> None:
    body, code = BOMBS[name]
    tracemalloc.start()
    started = time.process_time()
    try:
        assert refused(body) == code
        assert time.process_time() - started < 10
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_document() -> None:
    """What has been read is let go: ten times the events need no more memory to read."""

    def peak(count: int) -> int:
        body = SHELL.format(EVENT.format(SSCC) * count).encode()
        tracemalloc.start()
        try:
            assert sum(1 for _ in xmlreader.items(body)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    small, large = peak(500), peak(5_000)
    assert large < small + 1_000_000


def test_a_document_that_breaks_off_gives_nothing() -> None:
    """Well-formedness is of the whole: half a document is none, wherever it ends."""
    body = SHELL.format(EVENT.format(SSCC) * 50).encode()
    for end in (len(body) - 1, len(body) // 2, 400, 30, 1):
        assert refused(body[:end]) == "xml.syntax"


def test_where_a_document_is_broken_is_said() -> None:
    with pytest.raises(ParseFailure) as failure:
        read(b'<?xml version="1.0"?>\n<EPCISDocument>\n  <EPCISBody><b></EPCISBody>\n</EPCISDocument>')
    assert (failure.value.issue.position, failure.value.issue.sentence) == (
        "line 3, column 19",
        "The document is not well-formed XML: mismatched tag.",
    )
    assert "<b></EPCISBody>" in failure.value.issue.fragment


def test_unknown_and_foreign_events_are_named() -> None:
    text = "<OldEvent/><own:Thing><ObjectEvent/></own:Thing><extension><extension><Novel/></extension></extension>"
    issues = [(one.code, one.position) for one in read(SHELL.format(text).encode()).issues]
    assert issues == [
        ("epcis.unknown_type", "event 1 (OldEvent), type"),
        ("epcis.foreign_event", "event 2 (https://own.example/:Thing)"),
        ("epcis.unknown_type", "event 3 (Novel), type"),
    ]


def test_fields_of_a_foreign_namespace_are_not_ours() -> None:
    text = SHELL.format(
        EVENT.format(SSCC).replace("</epcList>", "</epcList><own:epcList><epc>PALLET</epc></own:epcList>")
    )
    assert [one.value for one in read(text.encode()).events[0].references] == ["106141412345678908"]


def test_a_quantity_event_of_1_0_is_the_object_event_that_took_its_place() -> None:
    common = (
        "<eventTime>2026-01-19T10:00:00Z</eventTime><eventTimeZoneOffset>+01:00</eventTimeZoneOffset>{}"
        "<bizStep>urn:epcglobal:cbv:bizstep:receiving</bizStep><bizTransactionList><bizTransaction "
        'type="urn:epcglobal:cbv:btt:po">PO-9</bizTransaction></bizTransactionList>{}'
    )
    klass = "urn:epc:idpat:sgtin:4012345.012345.*"
    old = common.format(f"<epcClass>{klass}</epcClass><quantity>200</quantity>", "")
    new = common.format(
        "<epcList/><action>OBSERVE</action>",
        "<extension><quantityList><quantityElement>"
        f"<epcClass>{klass}</epcClass><quantity>200</quantity></quantityElement></quantityList></extension>",
    )
    [told] = read(SHELL.format(f"<QuantityEvent>{old}</QuantityEvent>").encode()).events
    [again] = read(SHELL.format(f"<ObjectEvent>{new}</ObjectEvent>").encode()).events
    assert (told.type, told.data["quantities"]) == ("goods.received", [{"of": "04012345123456", "quantity": 200}])
    assert {one.value for one in told.references} == {"PO-9"}
    assert told.source_event_id == again.source_event_id
    assert told.content_key() == again.content_key()


def test_a_quantity_event_without_a_class_says_so() -> None:
    text = "<QuantityEvent><eventTime>2026-01-19T10:00:00Z</eventTime><quantity>2</quantity></QuantityEvent>"
    result = read(SHELL.format(text).encode())
    assert "epcis.bad_quantity" in [one.code for one in result.issues]
