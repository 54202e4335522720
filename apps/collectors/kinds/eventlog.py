"""Event logs: tables in CSV, JSON lines or Parquet whose rows a mapping turns into events, and XES and OCEL 2.0 logs,
which need none.

A large log comes through `manage.py import_log`, which cuts it into receipts and tells each, in its headers, which
rows it holds, and for a replay which part of time it stands for (`apps.collectors.importing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from itertools import chain
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody, mapping, tables
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.folder_settings import FolderForm
from apps.collectors.logs import formats, interpretation
from apps.collectors.paths import Scope
from apps.collectors.times import Replay
from apps.flows.canonical import ParseFailure, ParseIssue, ParseResult
from apps.flows.catalogue import EVENT_TYPES, REFERENCE_KINDS


class EventLogForm(FolderForm):
    """How the table is written, where that cannot be found out from the file itself."""

    encoding = forms.ChoiceField(
        choices=[("", "find out"), *((name, name) for name in tables.ENCODINGS)], required=False
    )
    delimiter = forms.ChoiceField(
        choices=[("", "find out"), (",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")],
        required=False,
    )
    case_kind = forms.ChoiceField(
        label="A case of an XES log is",
        choices=[("", "a case of its own"), *((kind, label) for kind, (label, _) in REFERENCE_KINDS.items())],
        required=False,
        help_text="Without a mapping: the reference kind of its cases",
    )
    activities = forms.CharField(
        label="Activities of XES and OCEL logs",
        required=False,
        widget=forms.Textarea,
        help_text="Without a mapping, one a line: Record Goods Receipt = goods.received. “ignore” leaves one out; * is "
        "every other. Without a line here an activity is kept under its own name",
    )
    objects = forms.CharField(
        label="Object types of OCEL logs",
        required=False,
        widget=forms.Textarea,
        help_text="Without a mapping, one a line: Purchase Order = purchase_order. “ignore” leaves one out",
    )

    def clean_activities(self) -> str:
        return self._known("activities", EVENT_TYPES, "event type")

    def clean_objects(self) -> str:
        return self._known("objects", REFERENCE_KINDS, "reference kind")

    def _known(self, name: str, names: Mapping[str, Any], what: str) -> str:
        text = str(self.cleaned_data.get(name) or "")
        for left, right in interpretation.pairs(text).items():
            if right not in names and right != interpretation.IGNORE:
                raise forms.ValidationError(f"{left}: there is no {what} {right!r}.")
        return text


class EventLog(Collector):
    kind = "eventlog"
    label = "Event log (CSV, Parquet, XES, OCEL)"
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
        ".xes": formats.XES,
        ".jsonocel": formats.OCEL_JSON,
        ".xmlocel": formats.OCEL_XML,
        ".sqlite": formats.OCEL_SQLITE,
        ".xml": "application/xml",
        ".gz": formats.GZIP,
    }

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        delivery = formats.unpacked(delivery, self.content_types)
        form = formats.form_of(delivery)
        part = Part.of(delivery.headers)
        context = mapping.Context(source.partner, source.zone, part.replay, part.after, part.until, part.backfill)
        issues: list[ParseIssue] = []
        rows = formats.rows(form, delivery.body) if form else rows_of(delivery, source.settings)
        if not form and not source.mapping:
            rows = self_explaining(rows)
        result = reader_of(source).read(scopes(rows, part.numbers(), issues), context)
        return ParseResult(result.events, (*issues, *result.issues))


def self_explaining(rows: Iterator[tables.Row]) -> Iterator[tables.Row]:
    """Rows whose column names say what they mean without a mapping. Raises `ParseFailure` for all others."""
    first = next(rows, None)
    if first is None or first.values is None or not interpretation.knows(first.values):
        sentence = "This integration has no mapping, so nobody knows what the columns mean; give it one, then replay."
        raise ParseFailure("eventlog.no_mapping", sentence)
    return chain((first,), rows)


@dataclass(frozen=True, slots=True)
class LogReader:
    """What rows mean for an integration: read makes events of them; most: events one row may give."""

    read: Callable[[Iterable[Scope], mapping.Context], ParseResult]
    most: int


def reader_of(source: SourceContext) -> LogReader:
    """By the integration's mapping; without one as XES and OCEL rows. Raises `ParseFailure` for a wrong mapping."""
    if source.mapping:
        rules = mapping.compiled(source.mapping)
        return LogReader(lambda rows, context: mapping.apply(rules, rows, context), len(rules.rules))
    defaults = interpretation.Defaults.of(source.settings, source.integration)
    return LogReader(lambda rows, context: interpretation.apply(defaults, rows, context), 1)


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
        f"The format {jsonbody.excerpt(media_type, 60)} is not read; send CSV, JSON lines, Parquet, XES or OCEL 2.0.",
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
