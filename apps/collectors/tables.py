"""Rows of CSV, JSON lines and Parquet as plain JSON objects; the same from a whole body and from a stream. Pure.

A row that is broken costs itself, not its neighbours. Rows are numbered from 1, the header and blank lines aside.
"""

from __future__ import annotations

import base64
import codecs
import csv
import io
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from apps.collectors import jsonbody
from apps.flows.canonical import ParseFailure

CSV, TSV, JSON_LINES, PARQUET = (
    "text/csv",
    "text/tab-separated-values",
    "application/x-ndjson",
    "application/vnd.apache.parquet",
)
#: the likelier one first: a comma may well stand inside a name
DELIMITERS = "\t;|,"
ENCODINGS = (
    "utf-8",
    "utf-16",
    "cp1252",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-15",
    "cp1250",
    "cp1251",
    "cp850",
    "shift_jis",
)
_CODECS = frozenset(codecs.lookup(name).name for name in ENCODINGS)
#: of one body; larger logs go through `manage.py import_log`, which cuts them
MAX_ROWS = 50_000
MAX_COLUMNS = 2_000
_MAX_PARQUET = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """One line (or several, inside quotes) of CSV. fields: None if it cannot be read; error says why."""

    raw: str
    fields: list[str] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as an object, or why it is none."""

    values: dict[str, Any] | None
    error: str = ""
    raw: str = ""
    #: it had bytes that are no text in the file's encoding
    garbled: bool = False


def sniff_encoding(sample: bytes) -> str:
    """The encoding of a text by its byte order mark, or UTF-8 if it is that, or else Western European."""
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        # a sample may end within a character
        sample.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 4:
            return "cp1252"
    return "utf-8"


def sniff_delimiter(header: str) -> str:
    """The delimiter that stands most often in the header line, outside quotes."""
    outside = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def decoder(encoding: str) -> tuple[str, str]:
    """Codec and error handling under which any bytes can be read, and written again as they were where possible.

    Raises `ParseFailure` for an encoding we do not know.
    """
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        name = ""
    if name in ("utf-8", "ascii"):
        return "utf-8-sig", "surrogateescape"
    if name not in _CODECS:
        raise ParseFailure("eventlog.encoding", f"The encoding “{jsonbody.excerpt(encoding, 40)}” is not read.")
    return name, "replace"


def records(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    """CSV records with the text they came from. Of one that cannot be read only the first line is lost: a quote that
    is never closed does not swallow the rows below it."""
    waiting: deque[str] = deque()
    taken: list[str] = []
    more = iter(lines)

    def feed() -> Iterator[str]:
        while True:
            line = waiting.popleft() if waiting else next(more, None)
            if line is None:
                return
            taken.append(line)
            yield line

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(taken[0], None, str(error))
            waiting.extendleft(reversed(taken[1:]))
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        else:
            if any(field.strip() for field in fields):
                yield Record("".join(taken), fields)
        taken.clear()


def header_of(record: Record | None) -> list[str]:
    """The column names of a table. Raises `ParseFailure`."""
    if record is None:
        raise ParseFailure(
            "eventlog.empty", "The table is empty; a header line with the names of the columns was expected."
        )
    names = [name.strip() for name in record.fields or ()]
    excerpt = jsonbody.excerpt(record.raw)
    if record.fields is None:
        raise ParseFailure("eventlog.header", f"The header line cannot be read: {record.error}.", "header", excerpt)
    twice = sorted({name for name in names if name and names.count(name) > 1}) if len(names) <= MAX_COLUMNS else []
    if twice:
        sentence = f"The column “{jsonbody.excerpt(twice[0], 60)}” stands twice in the header."
        raise ParseFailure("eventlog.header", sentence, "header", excerpt)
    if len(names) > MAX_COLUMNS or not any(names):
        raise ParseFailure(
            "eventlog.header", f"The header names no column, or more than {MAX_COLUMNS}.", "header", excerpt
        )
    return names


def row_of(record: Record, names: list[str]) -> Row:
    if record.fields is None:
        return Row(None, f"it cannot be read ({record.error})", record.raw)
    if len(record.fields) != len(names):
        return Row(None, f"it has {len(record.fields)} fields where the header has {len(names)}", record.raw)
    garbled = any("\ud800" <= letter <= "\udfff" for letter in record.raw) if not record.raw.isascii() else False
    values = dict(zip(names, record.fields, strict=True))
    if garbled:
        values = {
            name: value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name, value in values.items()
        }
    return Row(values, raw=record.raw, garbled=garbled)


def read_csv(body: bytes, encoding: str = "", delimiter: str = "") -> Iterator[Row]:
    """The rows of a CSV body. encoding and delimiter: '' to find out. Raises `ParseFailure` for the header."""
    codec, errors = decoder(encoding or sniff_encoding(body))
    text = body.decode(codec, errors)
    first = text.lstrip("\r\n").partition("\n")[0]
    lines = records(io.StringIO(text, newline=""), delimiter or sniff_delimiter(first))
    names = header_of(next(lines, None))
    for record in lines:
        yield row_of(record, names)


def read_json(body: bytes) -> Iterator[Row]:
    """The rows of JSON lines, or of one JSON list of objects."""
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"[":
        document = jsonbody.read(body).value
        for value in document if isinstance(document, list) else ():
            yield Row(value) if isinstance(value, dict) else Row(None, "it is no JSON object", jsonbody.excerpt(value))
        return
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            value = jsonbody.read(line).value
        except ParseFailure as failure:
            yield Row(None, f"it is no JSON ({failure.issue.sentence.rstrip('.')})", jsonbody.excerpt(line))
        else:
            yield Row(value) if isinstance(value, dict) else Row(None, "it is no JSON object", jsonbody.excerpt(line))


def read_parquet(body: bytes) -> Iterator[Row]:
    """The rows of a Parquet file that is small enough to be one delivery. Raises `ParseFailure`."""
    try:
        table = pq.ParquetFile(pa.BufferReader(body))
        metadata = table.metadata
        size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
        if metadata.num_rows > MAX_ROWS or size > _MAX_PARQUET or metadata.num_columns > MAX_COLUMNS:
            raise ParseFailure(
                "eventlog.too_many_rows",
                f"The file holds {metadata.num_rows:,} rows; import it with manage.py import_log, which cuts it.",
            )
        for batch in table.iter_batches(batch_size=2_000):
            for values in batch.to_pylist():
                yield Row(plain_row(values))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise ParseFailure(
            "eventlog.parquet", "The body is no Parquet file that can be read.", "", jsonbody.excerpt(str(error))
        ) from None


def plain_row(values: dict[str, Any]) -> dict[str, Any]:
    """A row of Parquet values as JSON values: times in ISO 8601, decimals and long numbers as text."""
    return {str(name): plain_value(value) for name, value in values.items()}


def plain_value(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(name): plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(inner) for inner in value]
    return str(value)
