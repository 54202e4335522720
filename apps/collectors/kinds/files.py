"""Files of rows (CSV, JSON lines, XML, Parquet), read by a mapping: stock lists, settlements, master data, statuses.

A file may be expected by a time on working days, with so many rows and with totals that agree with its trailer. Then
every file is also a flow of its own (`file-delivery`), which is met, late or missing like anything else.
See docs/collectors/files.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.collectors import jsonbody, mapping, tables
from apps.collectors.contract import Collector, RawDelivery, SourceContext
from apps.collectors.files import xmlrows
from apps.collectors.files.expected import WORKING_DAYS, Schedule, ScheduleError
from apps.collectors.files.totals import Totals
from apps.collectors.folder_settings import FolderForm
from apps.collectors.logs.formats import GZIP, unpacked
from apps.collectors.logs.xmlstream import XmlBroken
from apps.collectors.paths import Scope
from apps.core.calendars import WEEKDAYS
from apps.flows.canonical import CanonicalEvent, ParseFailure, ParseIssue, ParseResult, Reference

XML = "application/xml"
MOST_ROWS = 100_000


class FilesForm(FolderForm):
    """How the rows are written, when a file should come and what it should hold."""

    encoding = forms.ChoiceField(
        choices=[("", "find out"), *((name, name) for name in tables.ENCODINGS)], required=False
    )
    delimiter = forms.ChoiceField(
        choices=[("", "find out"), (",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")], required=False
    )
    decimal_comma = forms.BooleanField(required=False, label="Numbers are written 1.234,56")
    skip_lines = forms.IntegerField(
        required=False, min_value=0, max_value=100, label="Lines before the line with the columns' names"
    )
    row_element = forms.CharField(
        required=False,
        max_length=64,
        label="The element that is a row",
        help_text="XML: its name. JSON: the name of the list of rows",
    )
    min_rows = forms.IntegerField(required=False, min_value=0, label="At least so many rows")
    max_rows = forms.IntegerField(required=False, min_value=0, label="At most so many rows")
    trailer_mark = forms.CharField(
        required=False,
        max_length=64,
        strip=True,
        label="The trailer begins with",
        help_text="CSV: the text of its first field. JSON: the name of its object, XML: of its element",
    )
    trailer_rows = forms.CharField(
        required=False,
        max_length=64,
        label="Its field with the number of rows",
        help_text="CSV: counted from 1, the mark is 1. JSON and XML: its name",
    )
    trailer_sum = forms.CharField(required=False, max_length=64, label="Its field with the sum")
    sum_column = forms.CharField(required=False, max_length=64, label="The column that is added up")
    expected_by = forms.RegexField(
        r"^([01]\d|2[0-3]):[0-5]\d$", required=False, label="Should come by", help_text="A time of day such as 04:00"
    )
    expected_from = forms.RegexField(
        r"^([01]\d|2[0-3]):[0-5]\d$",
        required=False,
        label="May come from",
        help_text="Later than the time above: on the evening before. Usually 12 hours before it",
    )
    expected_zone = forms.CharField(required=False, max_length=64, label="In the zone", help_text="Usually this feed's")
    expected_days = forms.MultipleChoiceField(
        required=False, choices=[(day, day.title()) for day in WEEKDAYS], initial=list(WORKING_DAYS), label="On"
    )
    expected_country = forms.RegexField(
        r"^[A-Za-z]{2}$", required=False, label="Not on holidays of", help_text="A country such as DE"
    )
    expected_subdivision = forms.CharField(required=False, max_length=8, label="and its region")
    expected_closed = forms.RegexField(
        r"^(\s*\d{4}-\d{2}-\d{2})*\s*$",
        required=False,
        label="Nor on",
        help_text="Dates such as 2026-12-24, one a line",
        widget=forms.Textarea,
    )
    date_in_name = forms.CharField(
        required=False,
        max_length=120,
        label="The day in the file's name",
        help_text="stock_%Y%m%d.csv; one * for anything. Empty: by when it comes",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        try:
            Schedule.of(cleaned, "feed", "UTC")
        except ScheduleError as error:
            raise forms.ValidationError(str(error)) from None
        if cleaned.get("trailer_sum") and not cleaned.get("sum_column"):
            self.add_error("sum_column", "Say which column the trailer's sum is of.")
        wants_trailer = cleaned.get("trailer_sum") or cleaned.get("trailer_rows")
        if wants_trailer and not cleaned.get("trailer_mark"):
            self.add_error("trailer_mark", "Say how the trailer begins.")
        return cleaned


class Files(Collector):
    kind = "files"
    label = "Files (CSV, JSON lines, XML)"
    takes_mapping = True
    max_body = 32 * 1024 * 1024
    max_events = MOST_ROWS + 3
    ConfigForm = FilesForm
    content_types: ClassVar[Mapping[str, str]] = {
        ".csv": tables.CSV,
        ".tsv": tables.TSV,
        ".txt": tables.CSV,
        ".dat": tables.CSV,
        ".jsonl": tables.JSON_LINES,
        ".ndjson": tables.JSON_LINES,
        ".json": "application/json",
        ".xml": XML,
        ".parquet": tables.PARQUET,
        ".gz": GZIP,
    }

    def parse(self, delivery: RawDelivery, source: SourceContext) -> ParseResult:
        """Raises `ParseFailure` when there are no rows to read, or too many."""
        try:
            schedule = Schedule.of(source.settings, source.integration, source.zone)
        except ScheduleError as error:
            raise ParseFailure("files.settings", str(error)) from None
        if not source.mapping and schedule is None:
            sentence = (
                "This integration has no mapping, so nobody knows what the columns mean, and it says no time by which "
                "files are expected. Give it one of both, then replay."
            )
            raise ParseFailure("files.no_mapping", sentence)
        rules = mapping.compiled(source.mapping) if source.mapping else None
        reading = _Reading(unpacked(delivery, self.content_types), source.settings)
        events: list[CanonicalEvent] = []
        issues: list[ParseIssue] = []
        try:
            if rules is not None:
                context = mapping.Context(source.partner, source.zone)
                result = mapping.apply(rules, reading.scopes(issues), context, MOST_ROWS)
                events += result.events
                issues += result.issues
            else:
                for _ in reading.scopes(issues):
                    pass
        except ParseFailure as failure:
            # a file that cannot be read has come all the same, and is not as agreed
            if schedule is None:
                raise
            found = [failure.issue]
        else:
            found = reading.broken + reading.totals.issues()
            if not reading.totals.rows and not found:
                sentence = "The file has no row. If it may be so, that is all; else ask its sender."
                issues.append(ParseIssue("files.no_rows", sentence, "file", severity="warning"))
        issues += found
        if schedule is not None:
            events += _delivered(delivery, schedule, reading.totals, found, issues)
        return ParseResult(tuple(events), tuple(issues))


class _Reading:
    """The rows of one file, counted while they are read. broken: why it could not be read to its end."""

    def __init__(self, delivery: RawDelivery, settings: Mapping[str, Any]) -> None:
        self.delivery = delivery
        self.settings = settings
        self.totals = Totals(settings)
        self.broken: list[ParseIssue] = []
        self.delimiter = ","

    def scopes(self, issues: list[ParseIssue]) -> Iterator[Scope]:
        for row in self._rows():
            if self.totals.is_trailer(row, self.delimiter):
                continue
            place = f"row {self.totals.rows + 1}"
            self.totals.add(row, place)
            if self.totals.rows > MOST_ROWS:
                sentence = f"The file has more than {MOST_ROWS:,} rows; import it as an event log, or send it in parts."
                raise ParseFailure("files.too_many_rows", sentence)
            if row.values is None:
                issues.append(
                    ParseIssue("files.row", f"The row gave nothing: {row.error}.", place, jsonbody.excerpt(row.raw))
                )
                continue
            if row.garbled:
                sentence = "The row has bytes that are no text in the file's encoding; they were replaced."
                issues.append(ParseIssue("files.encoding", sentence, place, jsonbody.excerpt(row.raw), "warning"))
            yield Scope((row.values,), (place,), ", ")

    def _rows(self) -> Iterator[tables.Row]:
        media_type = self.delivery.content_type.partition(";")[0].strip().lower()
        body = self.delivery.body
        if media_type == tables.PARQUET:
            return tables.read_parquet(body)
        if media_type in (tables.JSON_LINES, "application/jsonl", "application/json"):
            name = str(self.settings.get("row_element") or "")
            is_object = media_type == "application/json" and body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
            return self._json_object(body, name) if name and is_object else tables.read_json(body)
        if media_type in (XML, "text/xml") or body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
            return self._xml(body)
        return self._csv(body, media_type)

    def _csv(self, body: bytes, media_type: str) -> Iterator[tables.Row]:
        encoding = str(self.settings.get("encoding") or "") or tables.sniff_encoding(body[:65_536])
        codec, errors = tables.decoder(encoding)
        body = _without_lines(body, codec, errors, _whole(self.settings.get("skip_lines")))
        chosen = "\t" if media_type == tables.TSV else str(self.settings.get("delimiter") or "")
        first = body[:65_536].decode(codec, "replace").lstrip("\r\n").partition("\n")[0]
        self.delimiter = chosen if len(chosen) == 1 else tables.sniff_delimiter(first)
        return tables.read_csv(body, encoding, self.delimiter)

    def _json_object(self, body: bytes, name: str) -> Iterator[tables.Row]:
        """One object with a list of rows in it, and perhaps a trailer beside the list."""
        document = jsonbody.read(body).value
        found = document.get(name) if isinstance(document, dict) else None
        if not isinstance(found, list):
            raise ParseFailure(
                "files.row_element", f"The file has no list “{jsonbody.excerpt(name, 40)}” of rows.", "$"
            )
        for value in found:
            yield tables.Row(value) if isinstance(value, dict) else tables.Row(None, "it is no JSON object")
        mark = str(self.settings.get("trailer_mark") or "")
        if mark and isinstance(document.get(mark), dict):
            yield tables.Row({mark: document[mark]})

    def _xml(self, body: bytes) -> Iterator[tables.Row]:
        name = str(self.settings.get("row_element") or "")
        if not name:
            raise ParseFailure(
                "files.row_element", "The file is XML; say in the integration's settings which element is a row."
            )
        mark = str(self.settings.get("trailer_mark") or "")
        try:
            for found, values in xmlrows.read(body, frozenset(filter(None, (name, mark)))):
                yield tables.Row({mark: values} if found == mark else values)
        except XmlBroken as error:
            sentence = f"The file breaks off here, since {error}. The rows before it were read."
            self.broken.append(ParseIssue("files.broken", sentence, error.position or "file"))


def _delivered(
    delivery: RawDelivery,
    schedule: Schedule,
    totals: Totals,
    found: list[ParseIssue],
    issues: list[ParseIssue],
) -> list[CanonicalEvent]:
    """That the file came, and whether it was as agreed."""
    arrived_at = _arrived_at(delivery)
    name = delivery.headers.get("file-name", "")
    day = schedule.day_of(name, arrived_at)
    if day is None:
        sentence = (
            f"The name “{jsonbody.excerpt(name, 80)}” holds no day like {schedule.name_form}; the file counts for none."
        )
        issues.append(ParseIssue("files.no_day", sentence, "file"))
        return []
    key = schedule.key(day)
    data: dict[str, Any] = {"day": day.isoformat(), "rows": totals.rows}
    if name:
        data["file"] = name
    if totals.settings.get("sum_column"):
        data["sum"] = str(totals.total)
    reference = Reference("file_delivery", key)
    due = {"due_by": schedule.due_at(day)} if schedule.is_due(day) else {}
    received = CanonicalEvent(
        "file.received", arrived_at, (reference,), zone=schedule.zone.key, dates=due, data=data, position="file"
    )
    if not found:
        accepted = CanonicalEvent(
            "file.accepted", arrived_at, (reference,), zone=schedule.zone.key, data=data, position="file"
        )
        return [received, accepted]
    problem = {**data, "code": found[0].code, "error": " ".join(issue.sentence for issue in found)[:500]}
    failed = CanonicalEvent(
        "hop.failed", arrived_at, (reference,), zone=schedule.zone.key, data=problem, position="file"
    )
    return [received, failed]


def _arrived_at(delivery: RawDelivery) -> datetime:
    """When the file came to lie in its folder; by another way, when we received it."""
    try:
        arrived_at = datetime.fromisoformat(delivery.headers["file-arrived"])
    except (KeyError, ValueError):
        return delivery.received_at
    return arrived_at if arrived_at.tzinfo else delivery.received_at


def _whole(value: Any) -> int:
    try:
        return max(0, int(value or 0))
    except (TypeError, ValueError):
        return 0


def _without_lines(body: bytes, codec: str, errors: str, count: int) -> bytes:
    """The body without its first lines, in the same encoding."""
    if not count:
        return body
    lines = body.decode(codec, errors).splitlines(keepends=True)
    return "".join(lines[count:]).encode(codec, errors)
