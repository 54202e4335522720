"""Every collector kind keeps the contract, on its own samples and on everything that can be done to them."""

from __future__ import annotations

import ast
import inspect
import json
import os
import random
import re
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from django import forms

from apps.collectors.contract import COLLECTORS, Collector
from apps.flows.canonical import ParseIssue, ParseResult
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS
from tests.collectors.samples import Sample, as_json, parse, samples_of

KINDS = sorted(COLLECTORS.plugins)
SAMPLES = [pytest.param(sample, id=sample.name) for kind in KINDS for sample in samples_of(kind)]
NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
POISONS = {
    "nothing": b"",
    "blank": b" \n",
    "nul": b"\x00",
    "deep": b"[" * 1_000 + b"]" * 1_000,
    "very deep": b'{"a":' * 100_000,
    "digits": b'{"a": ' + b"9" * 4_301 + b"}",
    "infinity": b'{"a": 1e400}',
    "not a number": b'{"a": NaN}',
    "surrogate": b'{"a": "\\ud800"}',
    "escaped nul": b'{"type": "a\\u0000b"}',
    "bad utf-8": b'{"a": "\xff\xfe"}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "keys twice": b'{"a": 1, "a": 2}',
    "null": b"null",
    "list of nothing": b"[null, [], {}, 1, true, 'x']",
    "entities": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "zip": b"PK\x03\x04" + b"\x00" * 40,
    "noise": random.Random(7).randbytes(5_000),
    "year 10000": b'{"type": "order.placed", "happened_at": "10000-01-01T00:00:00Z"}',
    "year 0": b'{"type": "order.placed", "happened_at": "0000-01-01T00:00:00Z"}',
    "right to left": '{"type": "order.placed\u202e", "happened_at": "\u0661"}'.encode(),
}


@pytest.fixture(params=KINDS)
def collector(request: pytest.FixtureRequest) -> Collector:
    return COLLECTORS.get(request.param)


def test_is_described(collector: Collector) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,31}", collector.kind)
    assert collector.label
    assert collector.max_body >= 64 * 1024
    form = collector.ConfigForm({})
    assert isinstance(form, forms.Form)
    form.is_valid()
    for suffix, content_type in collector.content_types.items():
        assert suffix.startswith(".")
        assert "/" in content_type
    assert collector.has_door or collector.polls or collector.content_types, "nothing can ever reach this collector"


def test_has_samples_of_both_kinds(collector: Collector) -> None:
    results = [parse(sample) for sample in samples_of(collector.kind)]
    assert results, f"write samples into tests/samples/{collector.kind}/ (see tests/samples/README.md)"
    # a hint only says where to look
    assert any(result.events for result in results) != bool(collector.hints_for), "no sample gives an event"
    assert any(result.issues for result in results), "no sample shows how bad input is reported"


@pytest.mark.parametrize("sample", SAMPLES)
def test_reads_its_samples_as_expected(sample: Sample) -> None:
    found = json.loads(orjson.dumps(as_json(parse(sample))))
    if os.environ.get("UPDATE_SAMPLES") and sample.expected_path.exists():
        sample.expected_path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if sample.expected_path.exists():
        expected = json.loads(sample.expected_path.read_text())
        if isinstance(expected, dict) and "events" in expected:
            assert found == expected


@pytest.mark.parametrize("sample", SAMPLES)
def test_events_and_issues_are_well_formed(sample: Sample) -> None:
    first, again = parse(sample), parse(sample)
    assert first == again, "parse is no function of its input"
    well_formed(first)
    unknown = {event.type for event in first.events} - set(EVENT_TYPES)
    assert not unknown, f"not in the catalogue: {unknown}"
    assert {one.kind for event in first.events for one in event.references} <= set(REFERENCE_KINDS)
    assert all(event.position for event in first.events), "an event must say where in its receipt it stood"


@pytest.mark.parametrize("poison", sorted(POISONS))
def test_poison_gives_a_clear_answer(collector: Collector, poison: str) -> None:
    for sample in samples_of(collector.kind)[:1]:
        result = parse(sample, POISONS[poison])
        well_formed(result)


@pytest.mark.parametrize("sample", SAMPLES)
def test_mutilated_samples_raise_nothing(sample: Sample) -> None:
    """Cut, flipped and spliced bytes: events, issues or a failure with a sentence, and never another exception."""
    chance = random.Random(sample.name)
    body = sample.path.read_bytes()[:200_000]
    for _ in range(40):
        well_formed(parse(sample, mutilated(body, chance)))


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": "\udcff"}]
)
def test_nobody_gets_in_without_a_secret(collector: Collector, headers: dict[str, str]) -> None:
    if not collector.has_door:
        pytest.skip("has no door")
    for secrets in ([], [""], ["whsec_c2VjcmV0IG9mIHRoZSB0ZXN0IDMyIGJ5dGVz"]):
        verdict = collector.authenticate(headers, b"{}", secrets, NOW, {})
        assert not verdict.accepted
        assert verdict.reason


def test_parse_reads_no_clock_and_no_database() -> None:
    """Each kind's own module; what it calls is held by the tests without database access."""
    for kind in KINDS:
        module = inspect.getmodule(type(COLLECTORS.get(kind)))
        assert module is not None
        tree = ast.parse(Path(str(module.__file__)).read_text())
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"datetime.now", "timezone.now", "time.time", "datetime.utcnow", "date.today"}, kind
        imports = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not {name for name in imports if name.endswith(".models") or name == "django.db"}, kind


def mutilated(body: bytes, chance: random.Random) -> bytes:
    raw = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw) + 1)
        way = chance.randrange(5)
        if way == 0:
            del raw[at:]
        elif way == 1:
            raw[at : at + chance.randint(1, 20)] = chance.randbytes(chance.randint(0, 8))
        elif way == 2 and at < len(raw):
            raw[at] ^= 1 << chance.randrange(8)
        elif way == 3:
            raw[at:at] = raw[at : at + chance.randint(1, 200)]
        else:
            raw[at:at] = chance.choice(
                [b"\x00", b"null", b"-1e999", b"\xff", b'"', b"{", b"~", b"'", b"\r\n", b"9" * 80]
            )
    return bytes(raw)


def well_formed(result: ParseResult) -> None:
    for event in result.events:
        for moment in filter(None, (event.happened_at, event.sent_at, event.booked_at, event.received_at)):
            assert moment.tzinfo is not None
            assert moment.utcoffset() == UTC.utcoffset(None)
        assert all(moment.tzinfo is not None for moment in event.dates.values())
        assert all(one.kind and one.value for one in event.references)
        assert event.zone
        event.content_key()
    for issue in result.issues:
        clear(issue)


def clear(issue: ParseIssue) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", issue.code), issue.code
    assert issue.severity in ("error", "warning")
    assert issue.sentence.strip().endswith((".", "!", "?", ")", "”")), issue.sentence
    assert issue.sentence[0].isupper() or not issue.sentence[0].isalpha(), issue.sentence
    assert len(issue.fragment) <= 1_000
