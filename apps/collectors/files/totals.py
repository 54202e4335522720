"""Control totals: what a file says about itself in its trailer, and what was agreed, against what it holds. Pure."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.collectors import jsonbody, tables
from apps.flows.canonical import ParseIssue


@dataclass
class Totals:
    """Counts rows, adds a column up, keeps the trailer aside; `issues` says what differs."""

    settings: Mapping[str, Any]
    rows: int = 0
    total: Decimal = Decimal(0)
    trailer: Any = None
    trailer_position: str = ""
    unreadable: list[str] = field(default_factory=list)

    def is_trailer(self, row: tables.Row, delimiter: str) -> bool:
        """Whether a row is the trailer; then it is kept, and is no row of the file. The last one counts."""
        mark = str(self.settings.get("trailer_mark") or "")
        if not mark:
            return False
        fields: Any
        if row.values is None:
            fields = next(csv.reader([row.raw], delimiter=delimiter), []) if row.raw else []
        elif mark in row.values and isinstance(row.values[mark], dict):
            self.trailer = row.values[mark]
            return True
        else:
            fields = list(row.values.values())
        if not fields or str(fields[0]).strip() != mark:
            return False
        self.trailer = dict(row.values) if row.values is not None else {}
        self.trailer |= {str(number): value for number, value in enumerate(fields, 1)}
        return True

    def add(self, row: tables.Row, position: str) -> None:
        self.rows += 1
        column = str(self.settings.get("sum_column") or "")
        if not column:
            return
        number = self._number(row.values.get(column)) if row.values is not None else None
        if number is None:
            self.unreadable.append(position)
        else:
            self.total += number

    def _number(self, value: Any) -> Decimal | None:
        if self.settings.get("decimal_comma") and isinstance(value, str):
            value = value.replace(".", "").replace(",", ".")
        return as_number(value)

    def issues(self) -> list[ParseIssue]:
        found = []
        least, most = as_number(self.settings.get("min_rows")), as_number(self.settings.get("max_rows"))
        if (least is not None and self.rows < least) or (most is not None and self.rows > most):
            bounds = [f"{word} {one:,}" for word, one in (("at least", least), ("at most", most)) if one is not None]
            agreed = " and ".join(bounds)
            found.append(
                ParseIssue("files.row_count", f"The file has {self.rows:,} rows; {agreed} were agreed.", "file")
            )
        return found + self._against_trailer()

    def _against_trailer(self) -> list[ParseIssue]:
        wanted = {
            "rows": (str(self.settings.get("trailer_rows") or ""), Decimal(self.rows), "rows"),
            "sum": (
                str(self.settings.get("trailer_sum") or ""),
                self.total,
                str(self.settings.get("sum_column") or ""),
            ),
        }
        if not any(name for name, _, _ in wanted.values()):
            return []
        if self.trailer is None:
            mark = jsonbody.excerpt(self.settings.get("trailer_mark") or "", 40)
            sentence = f"The file has no trailer “{mark}”, so nobody can say that it is whole."
            return [ParseIssue("files.no_trailer", sentence, "file")]
        found = []
        for name, counted, what in wanted.values():
            if not name:
                continue
            told = self._number(self.trailer.get(name))
            shown = jsonbody.excerpt(self.trailer)
            if told is None:
                sentence = f"The trailer's field {name} holds no number to compare with."
                found.append(ParseIssue("files.control_total", sentence, "trailer", shown))
            elif told != counted:
                meant = f"{told:,} rows" if what == "rows" else f"{told:,} as the sum of {what}"
                sentence = f"The trailer says {meant}, the file holds {counted:,}: something is missing or doubled."
                if what != "rows" and self.unreadable:
                    sentence += (
                        f" {len(self.unreadable):,} rows have no number there, the first at {self.unreadable[0]}."
                    )
                found.append(ParseIssue("files.control_total", sentence, "trailer", shown))
        return found


def as_number(value: Any) -> Decimal | None:
    """A number as written in files: with a point, blanks aside; None if it is none, or an absurd one."""
    if value is None or isinstance(value, bool) or value == "":
        return None
    try:
        number = Decimal(str(value).strip().replace("\u00a0", "").replace(" ", ""))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 30 else None
