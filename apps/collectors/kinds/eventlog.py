"""Event logs: tables in CSV, JSON lines or Parquet whose rows a mapping turns into events.

A large log comes through `manage.py import_log`, which cuts it into receipts and tells each, in its headers, which
rows it holds, and for a replay which part of time it stands for (`apps.collectors.importing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody, mapping, tables
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.paths import Scope
from apps.collectors.times import Replay
from apps.flows.canonical import ParseFailure, ParseIssue, ParseResult


class EventLogForm(forms.Form):
    """How the table is written, where that cannot be found out from the file itself."""

    encoding = forms.ChoiceField(
        choices=[("", "find out"), *((name, name) for name in tables.ENCODINGS)], required=False
    )
    delimiter = forms.ChoiceField(
        choices=[("", "find out"), (",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")],
        required=False,
    )


class EventLog(Collector):
    kind = "eventlog"
    label = "Event log (CSV, Parquet)"
    takes_mapping = True
    max_body = 16 * 1024 * 1024
    ConfigForm = EventLogForm
    content_types: ClassVar[Mapping[str, str]] = {
        ".csv": tables.CSV,
        ".tsv": tables.TSV,
        ".txt": tables.CSV,
        ".jsonl": tables.JSON_LINES,
        ".ndjson": tables.JSON_LINES,
        ".json": "application/json",
        ".parquet": tables.PARQUET,
    }

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        if not source.mapping:
            sentence = (
                "This integration has no mapping, so nobody knows what the columns mean; give it one, then replay."
            )
            raise ParseFailure("eventlog.no_mapping", sentence)
        rules = mapping.compiled(source.mapping)
        part = Part.of(delivery.headers)
        context = mapping.Context(source.partner, source.zone, part.replay, part.after, part.until, part.backfill)
        issues: list[ParseIssue] = []
        rows = scopes(rows_of(delivery, source.settings), part.numbers(), issues)
        result = mapping.apply(rules, rows, context)
        return ParseResult(result.events, (*issues, *result.issues))


@dataclass(frozen=True, slots=True)
class Part:
    """What `import_log` says about a receipt in its headers.

    rows: numbers of the rows it holds ('17-2016', '3,17'); after, until: only what happened in (after, until];
    replay: the log is told anew; backfill: it is history.
    """

    rows: str = ""
    after: datetime | None = None
    until: datetime | None = None
    replay: Replay | None = None
    backfill: bool = False

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Part:
        try:
            return cls(
                headers.get("import-rows", ""),
                _moment(headers, "import-after"),
                _moment(headers, "import-until"),
                Replay.from_headers(headers),
                "import-backfill" in headers,
            )
        except (ValueError, KeyError, OverflowError):
            raise ParseFailure("eventlog.headers", "The import-... headers of this delivery cannot be read.") from None

    def headers(self) -> dict[str, str]:
        found = {"import-rows": self.rows, **(self.replay.headers() if self.replay else {})}
        if self.after:
            found["import-after"] = self.after.isoformat()
        if self.until:
            found["import-until"] = self.until.isoformat()
        if self.backfill:
            found["import-backfill"] = "1"
        return found

    def numbers(self) -> Iterator[int]:
        """The number of each row, and on and on: a table without numbers counts from 1."""
        last = 0
        try:
            for span in filter(None, self.rows.split(",")):
                first, _, end = span.partition("-")
                for last in range(int(first), int(end or first) + 1):
                    yield last
        except ValueError:
            raise ParseFailure("eventlog.headers", "The import-rows header cannot be read.") from None
        while True:
            last += 1
            yield last


def _moment(headers: Mapping[str, str], name: str) -> datetime | None:
    if name not in headers:
        return None
    moment = datetime.fromisoformat(headers[name])
    if moment.tzinfo is None:
        raise ValueError(name)
    return moment


def rows_of(delivery: RawDelivery, settings: Mapping[str, Any]) -> Iterator[tables.Row]:
    """The rows of a delivery by its content type. Raises `ParseFailure`."""
    header = Message()
    header["content-type"] = delivery.content_type or tables.CSV
    media_type = header.get_content_type()
    if media_type == tables.PARQUET:
        return tables.read_parquet(delivery.body)
    if media_type in (tables.JSON_LINES, "application/jsonl", "application/json"):
        return tables.read_json(delivery.body)
    if media_type in (tables.CSV, tables.TSV, "text/plain", "application/csv", "application/octet-stream"):
        charset = str(header.get_param("charset") or settings.get("encoding") or "").lower()
        delimiter = "\t" if media_type == tables.TSV else str(settings.get("delimiter") or "")
        return tables.read_csv(delivery.body, charset, delimiter if len(delimiter) == 1 else "")
    raise ParseFailure(
        "eventlog.format",
        f"The format {jsonbody.excerpt(media_type, 60)} is not read; send CSV, JSON lines or Parquet.",
    )


def scopes(rows: Iterator[tables.Row], numbers: Iterator[int], issues: list[ParseIssue]) -> Iterator[Scope]:
    """Each readable row as a document of the mapping; what is wrong with the others goes to `issues`."""
    for count, (number, row) in enumerate(zip(numbers, rows, strict=False), 1):
        place = f"row {number}"
        if count > tables.MAX_ROWS:
            sentence = f"The table has more than {tables.MAX_ROWS:,} rows; import it with manage.py import_log."
            raise ParseFailure("eventlog.too_many_rows", sentence)
        if row.values is None:
            sentence = f"The row gave nothing: {row.error}."
            issues.append(ParseIssue("eventlog.row", sentence, place, jsonbody.excerpt(row.raw)))
            continue
        if row.garbled:
            sentence = "The row has bytes that are no text in the table's encoding; they were replaced."
            issues.append(ParseIssue("eventlog.encoding", sentence, place, jsonbody.excerpt(row.raw), "warning"))
        yield Scope((row.values,), (place,), ", ")
