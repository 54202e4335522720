"""Poisoned bodies at the door of every kind: never a 5xx, kept byte for byte, and then read or refused in plain words."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models import Max
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.collectors import doors as at_the_door
from apps.collectors.authentication import Verdict
from apps.collectors.contract import COLLECTORS
from apps.collectors.models import DeadLetter, Receipt, ReceiptState
from apps.collectors.processing import process
from apps.core import clock
from apps.integrations.models import Integration, Mapping, Partner
from tests.collectors.samples import Sample, samples_of

pytestmark = pytest.mark.django_db
DOORS = sorted(kind for kind, collector in COLLECTORS.plugins.items() if collector.has_door)

BOMB = gzip.compress(bytes(50_000_000))
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
)
EVENT = b'{"type": "order.created", "happened_at": %s, "references": {"sales_order": %s}, "id": %s}'
POISONS: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\x00",
    "spaces": b" " * 10_000,
    "1,000 deep": b"[" * 1_000 + b"]" * 1_000,
    "100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "4,301 digits": b'{"a": ' + b"9" * 4_301 + b"}",
    "100,000 digits": b"9" * 100_000,
    "1e400": b'{"a": 1e400}',
    "minus 1e400": b'{"a": -1e400}',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity, -Infinity]",
    "2^63": EVENT % (b'"2026-01-01T00:00:00Z"', b"9223372036854775808", b"1"),
    "2^64": EVENT % (b'"2026-01-01T00:00:00Z"', b"18446744073709551616", b"1"),
    "NUL escaped": EVENT % (b'"2026-01-01T00:00:00Z"', b'"a\\u0000b"', b'"\\u0000"'),
    "NUL raw": b'{"a": "\x00"}',
    "NUL key": b'{"\\u0000": 1}',
    "lone surrogate": EVENT % (b'"2026-01-01T00:00:00Z"', b'"\\ud800"', b'"1"'),
    "surrogates the wrong way round": b'["\\udc00\\ud800"]',
    "bad UTF-8": b'{"a": "\xff\xfe\xfa"}',
    "overlong UTF-8": b'{"a": "\xc0\x80"}',
    "UTF-8 surrogate": b'{"a": "\xed\xa0\x80"}',
    "cut UTF-8": b'{"a": "\xe2\x82',
    "byte order mark": b"\xef\xbb\xbf" + EVENT % (b'"2026-01-01T00:00:00Z"', b'"SO1"', b'"1"'),
    "UTF-16": json.dumps({"a": 1}).encode("utf-16"),
    "UTF-32": json.dumps({"a": 1}).encode("utf-32"),
    "duplicate keys": b'{"type": "order.created", "type": "order.cancelled", "id": 1, "id": 2}',
    "year 0": EVENT % (b'"0000-01-01T00:00:00Z"', b'"SO1"', b'"1"'),
    "year 1 east": EVENT % (b'"0001-01-01T00:00:00+14:00"', b'"SO1"', b'"1"'),
    "year 9999 west": EVENT % (b'"9999-12-31T23:59:59-12:00"', b'"SO1"', b'"1"'),
    "year 10000": EVENT % (b'"10000-01-01T00:00:00Z"', b'"SO1"', b'"1"'),
    "30 February": EVENT % (b'"2026-02-30T00:00:00Z"', b'"SO1"', b'"1"'),
    "leap second": EVENT % (b'"2016-12-31T23:59:60Z"', b'"SO1"', b'"1"'),
    "offset of 99 hours": EVENT % (b'"2026-01-01T00:00:00+99:99"', b'"SO1"', b'"1"'),
    "epoch of the far future": EVENT % (b"1e300", b'"SO1"', b'"1"'),
    "right to left": EVENT % (b'"2026-01-01T00:00:00Z"', '"\u202eSO1\u202c"'.encode(), b'"1"'),
    "zero width": EVENT % (b'"2026-01-01T00:00:00Z"', '"S\u200bO\ufeff1"'.encode(), b'"1"'),
    "combining storm": EVENT % (b'"2026-01-01T00:00:00Z"', ('"a' + "\u0301" * 5_000 + '"').encode(), b'"1"'),
    "long reference": EVENT % (b'"2026-01-01T00:00:00Z"', b'"' + b"x" * 100_000 + b'"', b'"1"'),
    "long id": EVENT % (b'"2026-01-01T00:00:00Z"', b'"SO1"', b'"' + b"y" * 100_000 + b'"'),
    "wrong types": b'{"type": [], "happened_at": {}, "references": [[[]]], "id": null, "data": 1, "parties": "x"}',
    "list of wrong things": b'[null, 1, "x", [], true, {"type": {}}]',
    "100,000 small things": b"[" + b",".join([b"{}"] * 100_000) + b"]",
    "deep after a good one": EVENT % (b'"2026-01-01T00:00:00Z"', b'"SO1"', b"[" * 5_000 + b"]" * 5_000),
    "just a string": b'"' + b"\\" * 9_999 + b'"',
    "cut": b'{"type": "order.cre',
    "prototype": b'{"__proto__": {"admin": true}, "constructor": 1, "__class__": "x"}',
    "billion laughs": LAUGHS + b"]><l>&j;</l>",
    "external entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "external DTD": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
    "deep XML": b"<a>" * 200_000,
    "gzip bomb undeclared": BOMB[:50_000],
    "zip": b"PK\x03\x04" + b"\x00" * 400,
    "X12 without delimiters": b"ISA" + b"*" * 103,
    "X12 of one letter": b"ISA" + b"A" * 200,
    "X12 cut": b"ISA*00*          *00*          *ZZ*A              *ZZ*B              *260101*0000*U*00401*00000",
    "X12 without end": b"ISA*00*          *00*          *ZZ*A              *ZZ*B              *260101*0000*U*00401*1*0*P*>~"
    + b"GS*SH*A*B*20260101*0000*1*X*004010~" * 2_000,
    "EDIFACT strange UNA": b"UNA''''''UNB'''",
    "EDIFACT released to the end": b"UNA:+.? 'UNB+" + b"?" * 50_000,
    "EDIFACT many segments": b"UNA:+.? '" + b"UNH+1'" * 50_000,
    "CSV with NUL": b"a,b\n1,\x00\n",
    "CSV quote without end": b'a,b\n"' + b"x" * 200_000,
    "CSV wide": b",".join([b"c"] * 20_000) + b"\n" + b",".join([b"1"] * 20_000),
    "formulas": b"=cmd|'/c calc'!A1,\"+1\"\n",
    "SQL": EVENT % (b'"2026-01-01T00:00:00Z\'; DROP TABLE flows_event; --"', b'"\' OR 1=1 --"', b'"1"'),
    "markup": EVENT % (b'"2026-01-01T00:00:00Z"', b'"<script>alert(1)</script>"', b'"{{ 7*7 }}"'),
    "line feeds": EVENT % (b'"2026-01-01T00:00:00Z"', b'"SO1\\r\\nSet-Cookie: a=b"', b'"1"'),
    "parquet magic": b"PAR1" + bytes(range(256)) * 20 + b"PAR1",
    "protobuf endless lengths": b"\x0a\xff\xff\xff\xff\x07" * 1_000,
    "protobuf deep": b"\x0a\x7f" * 60,
    "noise": random.Random(1).randbytes(60_000),
}


class Doors(dict[str, Integration]):
    """An integration of each kind that is asked for."""

    def __missing__(self, kind: str) -> Integration:
        partner, _ = Partner.objects.get_or_create(slug="acme", defaults={"name": "Acme", "kind": "3pl"})
        self[kind] = Integration.objects.create(slug=f"poison-{kind}", name=kind, kind=kind, partner=partner)
        return self[kind]


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> Doors:
    """Doors whose senders are all believed: what follows the signature is what is tested."""
    for kind in DOORS:
        monkeypatch.setattr(type(COLLECTORS.get(kind)), "authenticate", lambda *args: Verdict(True, "an-id"))
    return Doors()


@contextmanager
def named(name: str) -> Iterator[None]:
    """Which of many poisons it was, should it fail."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"It was the poison {name!r}.")
        raise


def deliver(integration: Integration, body: bytes, path: str = "", content_type: str = "", **headers: str) -> int:
    """Sends a body, processes it and checks that nothing was lost and all was said. Returns the HTTP status."""
    collector = COLLECTORS.get(integration.kind)
    content_type = content_type or next(iter(collector.content_types.values()), "application/octet-stream")
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }
    last = Receipt.objects.aggregate(last=Max("id"))["last"] or 0
    answer = at_the_door.answer(environ, integration.endpoint_id, path, clock.now())
    assert answer.status < 500, answer.body
    kept = list(Receipt.objects.filter(id__gt=last))
    if "content-encoding" in headers:
        assert len(kept) <= 1
    else:
        assert len(kept) == (answer.status != 413)
    for receipt in kept:
        assert bytes(receipt.body) == body
        assert bytes(receipt.sha256) == hashlib.sha256(body).digest()
        process(clock.now())
        state = ReceiptState.objects.get(pk=receipt.pk)
        assert state.status in ("done", "dead"), "nothing waits for ever"
        letters = list(DeadLetter.objects.filter(receipt_id=receipt.pk))
        assert len(letters) == state.issues
        assert state.status == "done" or letters
        assert all(letter.code and len(letter.sentence) > 10 for letter in letters)
        assert not any(letter.code == "storage.refused" for letter in letters), "found out by the database only"
        # an OTLP request may hold nothing, a log nothing but its header, and a hint only says where to look
        silent = integration.kind in ("otlp", "eventlog") or bool(collector.hints_for)
        assert state.events or state.duplicates or letters or silent, "not a word"
    return answer.status


@pytest.mark.parametrize("kind", DOORS)
def test_poisons(doors: Doors, kind: str) -> None:
    for name, body in POISONS.items():
        with named(name):
            deliver(doors[kind], body)
            deliver(doors[kind], body, "batch")


@pytest.mark.parametrize("kind", DOORS)
def test_poisons_under_a_mapping(doors: Doors, kind: str) -> None:
    spec = next((sample.source().mapping for sample in samples_of(kind) if sample.source().mapping), None)
    if spec is None:
        pytest.skip(f"no sample of {kind} has a mapping")
    mapping = Mapping.objects.create(slug=kind, spec=spec)
    Integration.objects.filter(pk=doors[kind].pk).update(mapping=mapping)
    for name, body in POISONS.items():
        with named(name):
            deliver(doors[kind], body)


@pytest.mark.parametrize("kind", DOORS)
def test_strange_content_types(doors: Doors, kind: str) -> None:
    for content_type in ("/", "text/xml", "a" * 500, "application/json; charset=base64", "\x01", "é/ü", ";;;", ", ,"):
        deliver(doors[kind], POISONS["byte order mark"], content_type=content_type)


@pytest.mark.parametrize("kind", DOORS)
def test_bombs(doors: Doors, kind: str) -> None:
    zipped = {"content-encoding": "gzip"}
    assert deliver(doors[kind], BOMB, "", "", **zipped) == 413
    assert deliver(doors[kind], BOMB[:-9], "", "", **zipped) in (400, 413)
    deliver(doors[kind], gzip.compress(BOMB), "", "", **zipped)


def test_compressed_poisons(doors: Doors) -> None:
    zipped = {"content-encoding": "gzip"}
    for body in POISONS.values():
        packed = gzip.compress(body, 1)
        deliver(doors["webhook"], packed, "", "", **zipped)
        assert deliver(doors["webhook"], packed[:-5], "", "", **zipped) in (400, 413)
        assert deliver(doors["webhook"], packed + b"x", "", "", **zipped) in (400, 413)


@pytest.mark.parametrize(
    "query", ["x=%00", "x=%ff%fe", "x=" + "9" * 5_000, "%", "a[b]=1&a=2", "x=\u202e", ";".join("ab" * 500)]
)
def test_poisoned_addresses(doors: Doors, query: str) -> None:
    for path in (f"/in/{doors['webhook'].endpoint_id}/?{query}", f"/in/{query}/", f"/in/x/{query}"):
        answer = Client(raise_request_exception=False).post(path, b"{}", content_type="application/json")
        assert answer.status_code < 500


@pytest.mark.parametrize("name", ["idempotency-key", "traceparent", "ce-id", "webhook-id", "content-encoding", "x-x"])
@pytest.mark.parametrize("value", ["\x00", "é\xff", "x" * 60_000, "", "00-zz-zz-zz", "\x1b[31m", "%00%ff"])
def test_poisoned_headers(doors: Doors, name: str, value: str) -> None:
    for kind in DOORS:
        deliver(doors[kind], POISONS["byte order mark"], "", "", **{name: value} if name != "content-encoding" else {})


# --- mutations of real messages


def mutations(sample: Sample) -> st.SearchStrategy[bytes]:
    """The sample with pieces cut, doubled, overwritten and moved, several times over."""
    original = sample.path.read_bytes()
    place = st.integers(0, max(0, len(original)))
    piece = st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            [b"\x00", b"\xff", b"null", b"NaN", b"-", b"9" * 40, b"[", b"{", b'"', b"~", b"*", b"'", b"?", b","]
        ),
    )

    def cut(body: bytes, at: int, to: int, new: bytes) -> bytes:
        return body[: min(at, to)] + new + body[max(at, to) :]

    def double(body: bytes, at: int, to: int, new: bytes) -> bytes:
        return body[:at] + body[min(at, to) : max(at, to)] + new + body[at:]

    def overwrite(body: bytes, at: int, to: int, new: bytes) -> bytes:
        return body[:at] + new + body[at + len(new) :]

    one: st.SearchStrategy[tuple[Callable[..., bytes], int, int, bytes]] = st.tuples(
        st.sampled_from([cut, double, overwrite, overwrite]), place, place, piece
    )

    def apply(steps: list[tuple[Callable[..., bytes], int, int, bytes]]) -> bytes:
        body = original
        for step, at, to, new in steps:
            body = step(body, at, to, new)
        return body

    return st.lists(one, min_size=1, max_size=4).map(apply)


@pytest.mark.parametrize("kind", DOORS)
def test_mutated_messages(doors: Doors, kind: str) -> None:
    """100 mutated real messages of each kind, the same ones on every run."""
    samples = samples_of(kind)
    assert samples, f"tests/samples/{kind} holds no sample to mutate"
    strategy = st.sampled_from(samples).flatmap(lambda one: st.tuples(st.just(one), mutations(one)))
    integration = doors[kind]

    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(mutated: tuple[Sample, bytes]) -> None:
        sample, body = mutated
        source, delivery = sample.source(), sample.delivery()
        changes: dict[str, Any] = {"settings": dict(source.settings), "time_zone": source.zone, "mapping": None}
        if source.mapping:
            slug = f"of-{samples.index(sample)}"
            changes["mapping"], _ = Mapping.objects.get_or_create(slug=slug, defaults={"spec": dict(source.mapping)})
        Integration.objects.filter(pk=integration.pk).update(**changes)
        headers = {name: value for name, value in delivery.headers.items() if name != "content-type"}
        deliver(integration, body, "", delivery.content_type, **headers)

    run()
