"""CSV for spreadsheets: texts from outside never become formulas there."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import StreamingHttpResponse

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


def download(name: str, rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Rows as a CSV file, sent while they are read."""
    return StreamingHttpResponse(
        lines(rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "private, no-store"},
    )
