"""Rows of tables: the same from a body and from a file, and a broken row costs only itself."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.collectors import tables
from apps.collectors.logfiles import CannotRead, LogFile
from apps.flows.canonical import ParseFailure

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=12)
TABLES = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=8)
)


def written(rows: list[list[str]], delimiter: str = ",") -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue()


@given(TABLES, st.sampled_from(tables.DELIMITERS))
@settings(deadline=None)
def test_reads_what_csv_writes_and_keeps_the_text(rows: list[list[str]], delimiter: str) -> None:
    text = written(rows, delimiter)
    found = list(tables.records(io.StringIO(text, newline=""), delimiter))
    assert [record.fields for record in found] == [row for row in rows if any(cell.strip() for cell in row)]
    assert "".join(record.raw for record in found) in text or len(found) < len(rows)


@given(st.text('"ab,;\n\r', max_size=60), st.sampled_from(",;"))
@settings(max_examples=500, deadline=None)
def test_whatever_the_quotes_no_line_is_lost_in_silence(text: str, delimiter: str) -> None:
    found = list(tables.records(io.StringIO(text, newline=""), delimiter))
    kept = "".join(record.raw for record in found)
    blank = [line for line in io.StringIO(text, newline="") if not line.replace(delimiter, "").replace('"', "").strip()]
    assert len(kept) + sum(map(len, blank)) >= len(text)
    assert all(record.fields is not None or record.error for record in found)


def test_a_quote_that_is_never_closed_costs_one_line() -> None:
    body = b'a,b\n1,"2\n3,4\n5,6\n'
    assert [row.values for row in tables.read_csv(body)] == [None, {"a": "3", "b": "4"}, {"a": "5", "b": "6"}]
    huge = b"a,b\n" + b'1,"' + b"x" * 140_000 + b"\n3,4\n"
    assert [row.values for row in tables.read_csv(huge)] == [None, {"a": "3", "b": "4"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", list(tables.DELIMITERS))
def test_finds_out_encoding_and_delimiter(encoding: str, delimiter: str) -> None:
    body = written([["Größe", "Straße, Nr"], ["né", 'x "y" z']], delimiter).encode(encoding)
    assert [row.values for row in tables.read_csv(body)] == [{"Größe": "né", "Straße, Nr": 'x "y" z'}]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "eventlog.empty"),
        (b"\n\n", "eventlog.empty"),
        (b"a,b,a\n1,2,3\n", "eventlog.header"),
        (b'"a,b\n', "eventlog.header"),
        (b"a," * 3_000 + b"\n", "eventlog.header"),
    ],
)
def test_a_header_must_be_one(body: bytes, code: str) -> None:
    with pytest.raises(ParseFailure) as failure:
        list(tables.read_csv(body))
    assert failure.value.issue.code == code


def test_encodings_are_a_list() -> None:
    for name in ("rot13", "unicode_escape", "hex", "idna", "\0", "x" * 100):
        with pytest.raises(ParseFailure) as failure:
            list(tables.read_csv(b"a,b\n1,2\n", name))
        assert failure.value.issue.code == "eventlog.encoding"


ARROW: dict[str, list[Any]] = {
    "id": [1, 2],
    "at": [datetime(2026, 1, 1, 8), None],
    "utc": [datetime(2026, 1, 1, 8, tzinfo=UTC), None],
    "day": [date(2026, 1, 2), None],
    "price": [Decimal("1.50"), None],
    "share": [0.5, float("nan")],
    "raw": [b"abc", b"\xff"],
    "tags": [["a", "b"], []],
}


def parquet(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=1)
    return out.getvalue()


def test_parquet_values_become_json_values() -> None:
    first, second = (row.values for row in tables.read_parquet(parquet(**ARROW)))
    assert first == {
        "id": 1,
        "at": "2026-01-01T08:00:00",
        "utc": "2026-01-01T08:00:00+00:00",
        "day": "2026-01-02",
        "price": "1.50",
        "share": 0.5,
        "raw": "abc",
        "tags": ["a", "b"],
    }
    assert second is not None
    assert (second["share"], second["raw"]) == (None, "/w==")


def test_a_parquet_body_too_large_for_one_delivery_says_so() -> None:
    with pytest.raises(ParseFailure, match="import_log"):
        list(tables.read_parquet(_many()))


def _many() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": pa.array(range(tables.MAX_ROWS + 1))}), out)
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.jsonl", "log.parquet"])
def test_a_file_cut_into_bodies_gives_the_same_rows(tmp_path: Path, name: str, packed: bool) -> None:
    rows = [{"n": str(number), "text": f'ü "{number}"\nsecond line', "more": "a;b"} for number in range(7)]
    table = [list(rows[0]), *(list(row.values()) for row in rows)]
    bodies = {
        "log.csv": written(table, ";").encode("cp1252"),
        "log.tsv": written(table, "\t").encode(),
        "log.jsonl": "\n\n".join(json.dumps(row) for row in rows).encode(),
        "log.parquet": parquet(**{key: [row[key] for row in rows] for key in rows[0]}),
    }
    path = tmp_path / (name + (".gz" if packed and name != "log.parquet" else ""))
    path.write_bytes(gzip.compress(bodies[name]) if path.suffix == ".gz" else bodies[name])
    log = LogFile(path, {})
    found = list(log.rows())
    assert [one.row.values for one in found] == rows
    assert [one.number for one in found] == list(range(1, 8))
    assert log.progress == 1.0
    for part in (found[:3], found[3:]):
        body = log.body(part)
        if log.content_type == tables.JSON_LINES:
            again = tables.read_json(body)
        else:
            delimiter = "\t" if log.content_type.startswith(tables.TSV) else ""
            again = tables.read_csv(body, log.content_type.partition("charset=")[2], delimiter)
        assert [row.values for row in again] == [one.row.values for one in part]


def test_bytes_that_are_no_text_stay_as_they_are(tmp_path: Path) -> None:
    line = b"x\xff\xfey,2\n"
    path = tmp_path / "log.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 70_000 + line)
    log = LogFile(path, {"encoding": "utf-8"})
    last = list(log.rows())[-1]
    assert last.row.garbled
    assert log.body([last]) == b"a,b\n" + line


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("log.csv", b"", "empty"),
        ("log.csv.gz", b"\x1f\x8b\x08nothing", "cannot be read"),
        ("log.parquet", b"PAR1 nothing PAR1", "cannot be read"),
        ("log.json", b"[]", "ingest"),
        ("missing.csv", None, "No such file"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CannotRead, match=complaint):
        list(LogFile(tmp_path / name, {}).rows())
