"""A log on disk, however large, row by row: CSV, JSON lines, Parquet, XES or OCEL 2.0, plain or gzipped.

Each row keeps the text it came from, so that the receipts it is cut into hold the file's own bytes; Parquet, XES and OCEL
cannot be cut and become JSON lines.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from apps.collectors import tables
from apps.collectors.kinds.eventlog import EventLog
from apps.collectors.logs import formats, interpretation, ocel, ocel_sqlite, xes
from apps.collectors.logs.ocel import OcelBroken
from apps.collectors.logs.xmlstream import XmlBroken
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
        #: xes, ocel-json, ocel-xml, ocel-sqlite, or '' for a table
        self.form = self._sniffed()
        if self._kind == "application/json" and not self.form:
            raise CannotRead(
                f"{path.name} is one JSON document; use manage.py ingest, or write one object a line (.jsonl)."
            )
        self.content_type = f"{tables.JSON_LINES}; log={self.form}" if self.form else tables.JSON_LINES
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
                if self.form:
                    yield from self._log_rows()
                elif self._kind == tables.PARQUET:
                    yield from self._parquet_rows()
                else:
                    yield from self._text_rows(self._file)
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise CannotRead(f"{self._path.name} cannot be read: {error}.") from None
        except ParseFailure as failure:
            raise CannotRead(f"{self._path.name}: {failure.issue.sentence}") from None
        except (XmlBroken, OcelBroken) as error:
            place = f" at {error.position}" if error.position else ""
            raise CannotRead(f"{self._path.name} cannot be read on, since {error}{place}.") from None
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
        raw: Any = _plain(file)
        sample = raw.read(_SAMPLE)
        encoding = str(self._settings.get("encoding") or "")
        if self._kind == tables.JSON_LINES:
            encoding = "utf-8"
        codec, errors = tables.decoder(encoding or tables.sniff_encoding(sample))
        self._codec, self._errors = codec.removesuffix("-sig"), errors
        raw.seek(0)
        with io.TextIOWrapper(io.BufferedReader(raw), codec, errors, newline="") as text:
            yield from self._json_rows(text) if self._kind == tables.JSON_LINES else self._csv_rows(text)

    def _sniffed(self) -> str:
        if self._kind in (tables.JSON_LINES, tables.PARQUET, tables.TSV):
            return ""
        try:
            with self._path.open("rb") as file:
                return formats.sniff(_plain(file).read(formats.HEAD))
        except (OSError, EOFError, zlib.error) as error:
            raise CannotRead(f"{self._path.name} cannot be read: {error}.") from None

    def explains_itself(self) -> bool:
        """Whether its rows can be read without a mapping: a log, or a table with the column names of one."""
        if self.form:
            return True
        try:
            first = next(self.rows(), None)
        except CannotRead:
            return False
        return first is not None and first.row.values is not None and interpretation.knows(first.row.values)

    def _log_rows(self) -> Iterator[LogRow]:
        readers: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
            "xes": lambda: xes.read(self._pieces()),
            "ocel-json": lambda: ocel.read_json(self._pieces),
            "ocel-xml": lambda: ocel.read_xml(self._pieces),
            "ocel-sqlite": self._sqlite_rows,
        }
        for number, values in enumerate(readers[self.form](), 1):
            yield LogRow(number, formats.line(values), tables.Row(values))

    def _pieces(self) -> Iterator[bytes]:
        """The unpacked bytes from the start; called again, from the start again."""
        file = self._file
        assert file is not None
        file.seek(0)
        unpacked = _plain(file)
        while piece := unpacked.read(formats.HEAD):
            yield piece

    def _sqlite_rows(self) -> Iterator[dict[str, Any]]:
        assert self._file is not None
        if self._file.read(2) != _GZIP:
            yield from ocel_sqlite.read_file(self._path)
            return
        self._file.seek(0)
        with tempfile.NamedTemporaryFile(suffix=".sqlite") as unpacked:
            shutil.copyfileobj(_plain(self._file), unpacked)
            unpacked.flush()
            yield from ocel_sqlite.read_file(Path(unpacked.name))

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


def _plain(file: IO[bytes]) -> Any:
    """A file, unpacked while it is read if it is packed."""
    packed = file.read(2) == _GZIP
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file


def _after(first: str, rest: io.TextIOWrapper) -> Iterator[str]:
    yield first
    yield from rest


def _line(values: dict[str, Any]) -> str:
    try:
        return orjson.dumps(values).decode() + "\n"
    except TypeError:  # a lone surrogate
        return json.dumps(values) + "\n"
