"""A log on disk, however large, row by row: CSV, JSON lines or Parquet, plain or gzipped.

Each row keeps the text it came from, so that the receipts it is cut into hold the file's own bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from apps.collectors import tables
from apps.collectors.kinds.eventlog import EventLog
from apps.flows.canonical import ParseFailure

_SAMPLE = 256 * 1024
_GZIP = b"\x1f\x8b"
_NO_ROW = tables.Row(None, "it is no JSON object")


class CannotRead(Exception):
    """The file is no log that can be read; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """number: from 1, header and blank lines aside; text: as it stands in the file, with its line end."""

    number: int
    text: str
    row: tables.Row


class LogFile:
    """An open log. content_type: of the receipts it is cut into; head: the header line they repeat."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        self._settings = settings
        name = path.name.lower().removesuffix(".gz")
        self._kind = EventLog.content_types.get(Path(name).suffix, tables.CSV)
        if self._kind == "application/json":
            raise CannotRead(
                f"{path.name} is one JSON document; use manage.py ingest, or write one object a line (.jsonl)."
            )
        self.content_type = tables.JSON_LINES
        self.head = ""
        self._codec, self._errors = "utf-8", "surrogateescape"
        self._file: IO[bytes] | None = None
        self._size = 1
        self._done = 0.0

    def rows(self) -> Iterator[LogRow]:
        """Every row, once. Raises `CannotRead`."""
        try:
            with self._path.open("rb") as self._file:
                self._size = max(1, self._path.stat().st_size)
                if self._kind == tables.PARQUET:
                    yield from self._parquet_rows()
                else:
                    yield from self._text_rows(self._file)
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise CannotRead(f"{self._path.name} cannot be read: {error}.") from None
        except ParseFailure as failure:
            raise CannotRead(f"{self._path.name}: {failure.issue.sentence}") from None
        self._done = 1.0

    @property
    def progress(self) -> float:
        """Share of the file that has been read, 0 to 1."""
        if self._kind != tables.PARQUET and self._file is not None and not self._file.closed:
            return min(1.0, self._file.tell() / self._size)
        return self._done

    def body(self, rows: Sequence[LogRow] | Sequence[str]) -> bytes:
        """The bytes of a receipt with these rows (or their texts): the header line and each row as it stood."""
        texts = [row if isinstance(row, str) else row.text for row in rows]
        lines = [
            text if text.endswith(("\n", "\r")) else f"{text}\n" for text in ([self.head] if self.head else []) + texts
        ]
        return "".join(lines).encode(self._codec, self._errors)

    def _text_rows(self, file: IO[bytes]) -> Iterator[LogRow]:
        packed = file.read(2) == _GZIP
        file.seek(0)
        raw: Any = gzip.GzipFile(fileobj=file) if packed else file
        sample = raw.read(_SAMPLE)
        encoding = str(self._settings.get("encoding") or "")
        if self._kind == tables.JSON_LINES:
            encoding = "utf-8"
        codec, errors = tables.decoder(encoding or tables.sniff_encoding(sample))
        self._codec, self._errors = codec.removesuffix("-sig"), errors
        raw.seek(0)
        with io.TextIOWrapper(io.BufferedReader(raw), codec, errors, newline="") as text:
            yield from self._json_rows(text) if self._kind == tables.JSON_LINES else self._csv_rows(text)

    def _csv_rows(self, text: io.TextIOWrapper) -> Iterator[LogRow]:
        # peek at the header for the delimiter, as the collector will do with every part
        first = text.readline()
        while first and not first.strip():
            first = text.readline()
        delimiter = "\t" if self._kind == tables.TSV else str(self._settings.get("delimiter") or "")
        lines = tables.records(_after(first, text), delimiter or tables.sniff_delimiter(first))
        record = next(lines, None)
        names = tables.header_of(record)
        self.head = record.raw if record else ""
        self.content_type = f"{self._kind}; charset={self._codec}"
        for number, record in enumerate(lines, 1):
            yield LogRow(number, record.raw, tables.row_of(record, names))

    def _json_rows(self, text: io.TextIOWrapper) -> Iterator[LogRow]:
        number = 0
        for line in text:
            if not line.strip():
                continue
            number += 1
            row = next(tables.read_json(line.encode("utf-8", "surrogateescape")), _NO_ROW)
            yield LogRow(number, line, row)

    def _parquet_rows(self) -> Iterator[LogRow]:
        table = pq.ParquetFile(self._file)
        total = max(1, table.metadata.num_rows)
        number = 0
        for batch in table.iter_batches(batch_size=2_000):
            for values in batch.to_pylist():
                number += 1
                plain = tables.plain_row(values)
                yield LogRow(number, _line(plain), tables.Row(plain))
            self._done = number / total


def _after(first: str, rest: io.TextIOWrapper) -> Iterator[str]:
    yield first
    yield from rest


def _line(values: dict[str, Any]) -> str:
    try:
        return orjson.dumps(values).decode() + "\n"
    except TypeError:  # a lone surrogate
        return json.dumps(values) + "\n"
