"""CSV and XLSX for spreadsheets: texts from outside never become formulas there."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

from django.http import StreamingHttpResponse
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

#: what makes a spreadsheet read a text as a formula (OWASP, CSV injection)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: Any) -> Any:
    """A value as a cell: nothing is empty, numbers stay numbers, a text that looks like a formula gets a quote before it."""
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value


class _Echo:
    """A file that gives back what is written, so that lines can be sent as they are made."""

    def write(self, value: str) -> str:
        return value


def lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """CSV lines (RFC 4180) of these rows; the first begins with a byte order mark, which Excel needs to see UTF-8."""
    writer = csv.writer(_Echo())
    for number, row in enumerate(rows):
        yield ("\ufeff" if number == 0 else "") + writer.writerow([cell(value) for value in row])


def document_rows(document: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    """A report's document as rows of one CSV: its figures, then table after table, each with its name before it."""
    yield ["report", document["title"]]
    yield ["as of", document["as_of"], "zone", document["zone"]]
    yield ["sentence", document["sentence"]]
    for name, value in document["figures"].items():
        yield ["figure", name, *(_pairs(value) if isinstance(value, dict) else [value])]
    for table in document["tables"]:
        yield []
        yield ["table", table["title"]]
        yield [column["label"] for column in table["columns"]]
        yield from table["rows"]


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{value} {name}" for name, value in values.items()]


def csv_bytes(document: Mapping[str, Any]) -> bytes:
    return "".join(lines(document_rows(document))).encode()


#: unit of a column -> number format of Excel
_FORMATS = {"percent": "0.00", "count": "#,##0", "seconds": "#,##0", "money": "#,##0.00", "days": "0.0"}
_BAD_IN_TITLES = str.maketrans(dict.fromkeys("[]:*?/\\", " "))


def xlsx_bytes(document: Mapping[str, Any]) -> bytes:
    """A workbook: a first sheet with the sentence and the figures, one sheet for each table. No cell is a formula."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Report"
    _write(sheet, 1, [document["title"]], bold=True)
    _write(sheet, 2, [document["sentence"]])
    _write(sheet, 3, [f"As of {document['as_of']}, days counted in {document['zone']}"])
    for number, tile in enumerate(document["tiles"], 5):
        _write(sheet, number, [tile["label"], tile["value"], tile["note"]])
    sheet.column_dimensions["A"].width = 28
    for table in document["tables"]:
        if table["rows"]:
            _sheet(book, table)
    into = BytesIO()
    book.save(into)
    return into.getvalue()


def _sheet(book: Workbook, table: Mapping[str, Any]) -> None:
    sheet = book.create_sheet(table["title"].translate(_BAD_IN_TITLES)[:31])
    _write(sheet, 1, [column["label"] for column in table["columns"]], bold=True)
    for number, row in enumerate(table["rows"], 2):
        _write(sheet, number, row, [column["unit"] for column in table["columns"]])
    sheet.freeze_panes = "B2"
    for number, column in enumerate(table["columns"], 1):
        widest = max(len(str(row[number - 1])) for row in table["rows"])
        sheet.column_dimensions[get_column_letter(number)].width = min(max(widest, len(column["label"])) + 2, 60)


def _write(sheet: Any, row: int, values: Sequence[Any], units: Sequence[str] = (), *, bold: bool = False) -> None:
    for number, value in enumerate(values, 1):
        place = sheet.cell(row=row, column=number)
        unit = units[number - 1] if units else "text"
        if value is None:
            continue
        if unit == "money":
            value = float(value)
        if isinstance(value, str):
            place.value = ILLEGAL_CHARACTERS_RE.sub("", value)
            place.data_type = "s"  # a text that begins with = stays a text
        else:
            place.value = value
            place.number_format = _FORMATS.get(unit, "General")
        if bold:
            place.font = Font(bold=True)


def download(name: str, rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Rows as a CSV file, sent while they are read."""
    return StreamingHttpResponse(
        lines(rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "private, no-store"},
    )
