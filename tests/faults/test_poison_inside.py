"""Poison where a reader of the format meets it: inside an otherwise sound message of every kind of door, in every
encoding a kind takes, and at the very limit of its size. Bodies that are poison as a whole: tests/collectors/test_poison.py.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from apps.collectors.batches import body_limit
from apps.collectors.contract import COLLECTORS
from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.flows.models import Event
from apps.integrations.models import Integration, Mapping
from tests.collectors.samples import samples_of
from tests.collectors.test_poison import DOORS, POISONS, deliver
from tests.collectors.test_poison import doors as doors

pytestmark = pytest.mark.django_db
SPAN = '{"traceId": "%s", "spanId": "00f067aa0ba902b7", "kind": 2, "startTimeUnixNano": "1767225600000000000",'
SPAN += ' "endTimeUnixNano": "1767225601000000000", "name": "orders", "attributes": [%s]}'
ORDER = '{"key": "order.reference", "value": {"stringValue": "SO1"}}'
SOUND_SPAN = SPAN % ("a" * 32, ORDER)


@dataclass(frozen=True)
class Shape:
    """How one kind carries a JSON value: before and after it stands what is sound. neighbours: events beside it."""

    kind: str
    before: str
    after: str
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    neighbours: int = 1


def _plain(value: str) -> str:
    return (
        '[{"type": "order.created", "id": "good", "happened_at": "2026-01-01T00:00:00Z",'
        ' "references": [{"kind": "sales_order", "value": "SO1"}]},'
        ' {"type": "order.created", "id": "bad", "happened_at": "2026-01-01T00:00:00Z",'
        f' "references": [{{"kind": "sales_order", "value": "SO2"}}], {value}]'
    )


def _cloud(value: str) -> str:
    good = '{"references": [{"kind": "sales_order", "value": "SO1"}]}'
    head = '"specversion": "1.0", "source": "/shop", "type": "order.created", "time": "2026-01-01T00:00:00Z"'
    return f'[{{{head}, "id": "good", "data": {good}}}, {{{head}, "id": "bad", "data": {value}]'


def _spans(value: str) -> str:
    bad = SPAN % ("b" * 32, value)
    return f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{SOUND_SPAN}, {bad}]}}]}}]}}'


def _halves(text: str) -> tuple[str, str]:
    before, _, after = text.partition("POISON")
    return before, after


BATCHED = "application/cloudevents-batch+json"
SHAPES = {
    "webhook, data": Shape("webhook", *_halves(_plain('"data": {"note": POISON}}'))),
    "webhook, reference": Shape(
        "webhook", *_halves(_plain('"parties": {}}').replace('"value": "SO2"', '"value": POISON'))
    ),
    "webhook, identity": Shape("webhook", *_halves(_plain('"dates": {}}').replace('"id": "bad"', '"id": POISON'))),
    "webhook, time": Shape("webhook", *_halves(_plain('"dates": {"promised_delivery": POISON}}')), neighbours=1),
    "cloudevents, data": Shape(
        "cloudevents",
        *_halves(_cloud('{"references": [{"kind": "sales_order", "value": "SO2"}], "data": {"note": POISON}}}')),
        BATCHED,
    ),
    "cloudevents, reference": Shape(
        "cloudevents",
        *_halves(_cloud('{"references": [{"kind": "sales_order", "value": POISON}]}}')),
        BATCHED,
    ),
    "cloudevents, attribute": Shape(
        "cloudevents",
        *_halves(
            _cloud('{"references": [{"kind": "sales_order", "value": "SO2"}]}}').replace(
                '"id": "bad"', '"id": "bad", "subject": POISON'
            )
        ),
        BATCHED,
    ),
    "cloudevents, binary": Shape(
        "cloudevents",
        '{"references": [{"kind": "sales_order", "value": "SO1"}], "data": {"note": ',
        "}}",
        headers={
            "ce-specversion": "1.0",
            "ce-id": "good",
            "ce-source": "/shop",
            "ce-type": "order.created",
            "ce-time": "2026-01-01T00:00:00Z",
        },
        neighbours=0,
    ),
    "otlp, attribute": Shape("otlp", *_halves(_spans('{"key": "order.reference", "value": {"stringValue": POISON}}'))),
    "otlp, unknown field": Shape("otlp", *_halves(_spans(f'{ORDER}], "future": [POISON'))),
    "eventlog, row": Shape(
        "eventlog",
        '{"when": "2026-01-19T08:00:00", "step": "PICK", "order": "SO1"}\n'
        '{"when": "2026-01-19T08:30:00", "step": "PACK", "order": "SO2", "lines": ',
        "}\n",
        "application/x-ndjson",
    ),
}
#: JSON text, and whether only the part it stands in is refused (half a character or a number beyond measure is no text
#: we could keep: it refuses the delivery as a whole)
FRAGMENTS: dict[str, tuple[bytes, bool]] = {
    "1,000 deep": (b"[" * 1_000 + b"]" * 1_000, False),
    "1,000 objects deep": (b'{"a":' * 1_000 + b"1" + b"}" * 1_000, False),
    "4,301 digits": (b"9" * 4_301, False),
    "4,301 digits of a fraction": (b"0." + b"9" * 4_301, False),
    "NaN": (b"NaN", False),
    "Infinity": (b"-Infinity", False),
    "1e400": (b"1e400", False),
    "bad UTF-8": (b'"\xff\xfe"', False),
    "UTF-8 surrogate": (b'"\xed\xa0\x80"', False),
    "NUL raw": (b'"\x00"', False),
    "NUL escaped": (b'"a\\u0000b"', True),
    "lone surrogate": (b'"\\ud800"', False),
    "surrogates the wrong way round": (b'"\\udc00\\ud800"', False),
    "duplicate keys": (b'{"a": 1, "a": 2}', True),
    "NUL key": (b'{"\\u0000": 1}', True),
    "2^64": (b"18446744073709551616", True),
    "an entity": (b"\"&lol9; <!ENTITY x SYSTEM 'file:///etc/passwd'>\"", True),
    "a long text": (b'"' + b"x" * 200_000 + b'"', True),
}


@pytest.fixture
def mapped(doors: dict[str, Integration]) -> dict[str, Integration]:
    """The event log takes nothing without a mapping."""
    sample = next(one for one in samples_of("eventlog") if one.path.name == "movements.jsonl")
    mapping = Mapping.objects.create(slug="poison-log", spec=sample.source().mapping)
    Integration.objects.filter(pk=doors["eventlog"].pk).update(mapping=mapping)
    return doors


@pytest.mark.parametrize("fragment", FRAGMENTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_inside_a_sound_message(mapped: dict[str, Integration], shape: str, fragment: str) -> None:
    poison, is_json = FRAGMENTS[fragment]
    how = SHAPES[shape]
    body = how.before.encode() + poison + how.after.encode()
    before = Event.objects.count()
    deliver(mapped[how.kind], body, "", how.content_type, **how.headers)
    if is_json and not (
        shape == "otlp, attribute" and poison[:1] != b'"'
    ):  # its schema has no place for an object there
        assert Event.objects.count() - before >= how.neighbours, list(DeadLetter.objects.values("code", "sentence"))


def test_the_shapes_are_sound_but_for_the_poison(mapped: dict[str, Integration]) -> None:
    """The control: with a harmless value every message gives all its events."""
    for name, how in SHAPES.items():
        harmless = b'"2026-01-02"' if "time" in name else b'"SO2"'
        body = how.before.encode() + harmless + how.after.encode()
        deliver(mapped[how.kind], body, "", how.content_type, **how.headers)
        state = ReceiptState.objects.latest("receipt_id")
        assert (state.events + state.duplicates, state.issues) == (how.neighbours + 1, 0), name


@pytest.mark.parametrize("poison", POISONS)
def test_poison_as_protobuf_and_as_binary_event(doors: dict[str, Integration], poison: str) -> None:
    """The other encodings of these doors, as a whole."""
    deliver(doors["otlp"], POISONS[poison], "", "application/x-protobuf")
    deliver(doors["cloudevents"], POISONS[poison], "", "application/json", **SHAPES["cloudevents, binary"].headers)


@pytest.mark.parametrize(
    "text",
    [b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"9" * 4_301, b"NaN", b"&x;<!ENTITY x SYSTEM 'file:///x'>", b"?" * 999],
)
@pytest.mark.parametrize(
    "name", ["x12_856_two_orders.edi", "x12_214_statuses.edi", "edifact_desadv.edi", "edifact_iftsta.edi"]
)
def test_inside_an_edi_element(doors: dict[str, Integration], name: str, text: bytes) -> None:
    """In every element of a short run of segments, one after the other."""
    body = next(one for one in samples_of("edi") if one.path.name == name).path.read_bytes()
    separators = b"*" if body.startswith(b"ISA") else b"+:"
    start = 106 if body.startswith(b"ISA") else body.index(b"UNB")
    places = [
        place
        for place in range(start, len(body))
        if body[place : place + 1] in separators.split() or body[place] in separators
    ]
    for place in places[:: max(1, len(places) // 12)]:
        deliver(doors["edi"], body[: place + 1] + text + body[place + 1 :])


def test_inside_protobuf_texts(doors: dict[str, Integration]) -> None:
    """Protobuf texts must be UTF-8; a NUL is legal there and no column of ours takes it."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.kind, span.name = b"t" * 16, b"s" * 8, 2, "a\0b"
    span.start_time_unix_nano, span.end_time_unix_nano = 1, 2**63
    for key, value in (("order.reference", "SO\0"), ("http.route", "\0"), ("\0", "x" * 100_000)):
        attribute = span.attributes.add()
        attribute.key, attribute.value.string_value = key, value
    span.status.message = "\0" * 500
    body = request.SerializeToString()
    deliver(doors["otlp"], body, "", "application/x-protobuf")
    deliver(doors["otlp"], body.replace(b"SO\0", b"SO\xff"), "", "application/x-protobuf")


# --- sizes


@pytest.mark.parametrize("kind", DOORS)
@pytest.mark.parametrize("door", ["", "batch"])
def test_sizes_at_the_limit_and_one_byte_over(doors: dict[str, Integration], kind: str, door: str) -> None:
    """Plain and compressed: the limit is taken, whole; one byte more is 413 and nothing is kept."""
    limit = body_limit(COLLECTORS.get(kind), door or "http")
    packers: list[tuple[str, Callable[[bytes], bytes]]] = [
        ("gzip", lambda b: gzip.compress(b, 1)),
        ("deflate", zlib.compress),
    ]
    for filler in (b" ",) if door else (b" ", b"["):
        for size, fits in ((limit, True), (limit + 1, False)):
            body = filler * size
            before = Receipt.objects.count()
            assert (deliver(doors[kind], body, door) != 413) is fits
            assert Receipt.objects.count() - before == fits
            for coding, pack in packers:
                status = deliver(doors[kind], pack(body), door, "", **{"content-encoding": coding})
                assert (status != 413) is fits, coding


@pytest.mark.parametrize("kind", DOORS)
def test_compressed_poison_at_every_door(mapped: dict[str, Integration], kind: str) -> None:
    for body in POISONS.values():
        deliver(mapped[kind], gzip.compress(body, 1), "", "", **{"content-encoding": "gzip"})
        deliver(mapped[kind], zlib.compress(body, 1), "", "", **{"content-encoding": "deflate"})


def test_a_refusal_is_a_sentence(doors: dict[str, Integration]) -> None:
    """What a dead letter says of a poison names it, for every kind that reads JSON."""
    words = {"1,000 deep": "deep", "4,301 digits": "4,301", "NaN": "NaN", "bad UTF-8": "UTF-8"}
    for kind in ("webhook", "cloudevents", "otlp"):
        for poison, word in words.items():
            deliver(doors[kind], POISONS[poison])
            letter = DeadLetter.objects.latest("id")
            assert word in letter.sentence, (kind, json.dumps(letter.sentence))
