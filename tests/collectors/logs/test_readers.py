"""XES and OCEL readers: what is odd in them, where they break, what they refuse, and that pieces make no difference."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors.logs import formats, ocel, ocel_sqlite, xes
from apps.collectors.logs.jsonstream import JsonBroken, members
from apps.collectors.logs.ocel import OcelBroken
from apps.collectors.logs.xmlstream import XmlBroken, XmlStream

SAMPLES = Path(__file__).resolve().parent.parent.parent / "samples" / "eventlog"
XES = (SAMPLES / "purchases.xes").read_bytes()
OCEL_JSON = (SAMPLES / "shipments.jsonocel").read_bytes()
OCEL_XML = (SAMPLES / "shipments_xml.xmlocel").read_bytes()
LOGS = Path(django_settings.BASE_DIR).parent / "shared" / "data" / "process_logs"


def pieces(body: bytes, size: int = 7) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@given(st.integers(1, 300))
@settings(deadline=None, max_examples=20)
def test_pieces_of_any_size_give_the_same_rows(size: int) -> None:
    assert list(xes.read(pieces(XES, size))) == list(xes.read(iter([XES])))
    assert list(ocel.read_json(lambda: pieces(OCEL_JSON, size))) == list(ocel.read_json(lambda: iter([OCEL_JSON])))
    assert list(ocel.read_xml(lambda: pieces(OCEL_XML, size))) == list(ocel.read_xml(lambda: iter([OCEL_XML])))


@given(st.integers(0, len(XES) - 10))
@settings(deadline=None, max_examples=30)
def test_a_log_that_is_cut_off_gives_what_was_whole(cut: int) -> None:
    whole = [row["event"] for row in xes.read(iter([XES]))]
    found: list[Any] = []
    with pytest.raises(XmlBroken) as broken:
        found.extend(row["event"] for row in xes.read(pieces(XES[:cut])))
    assert found == whole[: len(found)]
    assert len(found) == XES[:cut].count(b"</event>")
    assert broken.value.position.startswith("line ")


@given(st.integers(0, len(OCEL_JSON) - 3))
@settings(deadline=None, max_examples=30)
def test_json_that_is_cut_off_gives_what_was_whole(cut: int) -> None:
    whole = [row["id"] for row in ocel.read_json(lambda: iter([OCEL_JSON]))]
    found: list[Any] = []
    with pytest.raises(OcelBroken):
        found.extend(row["id"] for row in ocel.read_json(lambda: pieces(OCEL_JSON[:cut])))
    assert found == whole[: len(found)]


def test_values_are_typed_and_nested_attributes_left_aside() -> None:
    log = b"""<x:log xmlns:x="u"><x:trace><x:event>
    <int key="i" value="7"/><int key="huge" value="99999999999999999999999"/><int key="bad" value="seven"/>
    <float key="f" value="1.5"><string key="unit" value="kg"/></float><float key="inf" value="INF"/>
    <boolean key="b" value="true"/><id key="id" value="x"/><date key="d" value="2026-03-02"/>
    <list key="l"><string key="1" value="a"/><int key="2" value="2"/></list><unknown key="u" value="v"/>
    </x:event></x:trace><x:event><string key="concept:name" value="alone"/></x:event></x:log>"""
    first, second = xes.read(iter([log]))
    assert first["event"] == {
        **{"i": 7, "huge": "99999999999999999999999", "bad": "seven", "f": 1.5, "inf": "INF"},
        **{"b": True, "id": "x", "d": "2026-03-02", "l": ["a", 2]},
    }
    assert second == {"case": {}, "number": 0, "event": {"concept:name": "alone"}}


@pytest.mark.parametrize(
    "head",
    [
        b'<!DOCTYPE log [<!ENTITY a "b">]>',
        b'<!DOCTYPE log SYSTEM "file:///etc/passwd">',
        b'<!DOCTYPE l [<!ENTITY % x SYSTEM "http://127.0.0.1/x">%x;]>',
    ],
)
def test_document_types_and_entities_are_refused(head: bytes) -> None:
    with pytest.raises(XmlBroken, match="document type"):
        list(xes.read(iter([head + b"<log><trace><event/></trace></log>"])))


def test_nesting_without_end_and_unknown_encodings_are_refused() -> None:
    stream = XmlStream(lambda name, attributes: None, lambda name: None)
    with pytest.raises(XmlBroken, match="more than 64 deep"):
        stream.feed(b"<a>" * 100)
    with pytest.raises(XmlBroken):
        list(xes.read(iter([b'<?xml version="1.0" encoding="klingon"?><log/>'])))
    with pytest.raises(XmlBroken, match="root is <html>"):
        list(xes.read(iter([b"<html/>"])))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda one: st.lists(one) | st.dictionaries(st.text(), one),
    ),
    st.integers(1, 9),
)
@settings(deadline=None, max_examples=50)
def test_members_are_those_of_the_document(value: Any, size: int) -> None:
    document = {"events": [value, value], "objects": {"a": value, "b": 1}, "x": value, "n": 12}
    body = json.dumps(document).encode()
    found = list(members(pieces(body, size), frozenset({"events", "objects"})))
    assert found == [
        *[
            ("events", value),
            ("events", value),
            ("objects", ("a", value)),
            ("objects", ("b", 1)),
            ("x", value),
            ("n", 12),
        ]
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"a"',
        b'{"a":1,}',
        b'{"a":1}x',
        b"{1:2}",
        b'{"a":NaN}',
        b'{"e":[1',
        b"\xff{}",
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_broken_json_is_told_with_its_place(body: bytes) -> None:
    with pytest.raises(JsonBroken) as broken:
        list(members(iter([body]), frozenset({"e"})))
    assert broken.value.position.startswith("character ")


def database(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as made:
        for statement in statements:
            made.execute(statement)
    made.close()
    return path


TABLES = (
    "CREATE TABLE event (ocel_id TEXT, ocel_type TEXT)",
    "CREATE TABLE event_map_type (ocel_type TEXT, ocel_type_map TEXT)",
    "CREATE TABLE object (ocel_id TEXT, ocel_type TEXT)",
    "CREATE TABLE event_object (ocel_event_id TEXT, ocel_object_id TEXT, ocel_qualifier TEXT)",
    "INSERT INTO event_map_type VALUES ('Load truck', 'Load')",
    "INSERT INTO object VALUES ('T-9', 'truck')",
    "INSERT INTO event VALUES ('e1', 'Load truck'), ('e2', 'Load truck')",
    "INSERT INTO event_object VALUES ('e2', 'T-9', 'on'), ('e1', 'gone', ''), ('e1', 'T-9', 'on')",
)
LOAD = "CREATE TABLE event_Load (ocel_id TEXT, ocel_time TIMESTAMP, dock INTEGER, hot BOOLEAN)"


def test_sqlite_is_read_from_disk_and_from_memory(tmp_path: Path) -> None:
    rows = "INSERT INTO event_Load VALUES ('e2', '2026-03-02T09:00:00Z', NULL, 0), ('e1', '2026-03-02 08:00:00', 4, 1)"
    path = database(tmp_path / "log.sqlite", *TABLES, LOAD, rows)
    found = list(ocel_sqlite.read_file(path))
    assert found == list(ocel_sqlite.read_bytes(path.read_bytes()))
    assert found[0] == {
        "id": "e1",
        "type": "Load truck",
        "time": "2026-03-02 08:00:00",
        "attributes": {"dock": 4, "hot": True},
        "objects": {"": [{"id": "gone", "qualifier": ""}], "truck": [{"id": "T-9", "qualifier": "on"}]},
    }
    assert found[1]["attributes"] == {"hot": False}


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        ((), "no table 'event'"),
        (TABLES, "no table 'event_Load'"),
        ((*TABLES, "CREATE VIEW event_Load AS SELECT 'e1' AS ocel_id, randomblob(1000000000) AS x"), "no table"),
    ],
)
def test_a_database_that_is_no_log_is_told(tmp_path: Path, statements: tuple[str, ...], why: str) -> None:
    with pytest.raises(OcelBroken, match=why):
        list(ocel_sqlite.read_file(database(tmp_path / "log.sqlite", *statements)))


def test_damaged_databases_are_told(tmp_path: Path) -> None:
    body = database(tmp_path / "log.sqlite", *TABLES, LOAD).read_bytes()
    for broken in (b"", b"SQLite format 3\x00", body[:3000], body[:100] + b"\xff" * (len(body) - 100)):
        with pytest.raises(OcelBroken):
            list(ocel_sqlite.read_bytes(broken))


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (XES, "xes"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- a <log> --><log><trace>", "xes"),
        (OCEL_XML, "ocel-xml"),
        (b"<log><events>", "ocel-xml"),
        (OCEL_JSON, "ocel-json"),
        (b'{"$schema": "x", "objectTypes": [', "ocel-json"),
        (b'{"order": "A", "at": "2026"}', ""),
        (b"order,at\n", ""),
        (b"<orders/>", ""),
        (b"", ""),
    ],
)
def test_logs_are_known_by_their_first_bytes(head: bytes, form: str) -> None:
    assert formats.sniff(head[: formats.HEAD]) == form


@pytest.mark.skipif(not LOGS.exists(), reason=f"needs {LOGS}")
@pytest.mark.parametrize(("name", "count"), [("10_orders.xes.gz", 154), ("helpdesk.xes.gz", 21_348)])
def test_logs_of_others_are_read_whole(name: str, count: int) -> None:
    with gzip.open(LOGS / name) as file:
        assert sum(1 for _ in xes.read(iter(lambda: file.read(65_536), b""))) == count
