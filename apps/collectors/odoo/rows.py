"""Reads fields of an Odoo record as the types they should have. Odoo writes an empty value of any type as False."""

from __future__ import annotations

import hashlib
import math
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

#: computed anew at every read, or only a stamp: says nothing about a change
VOLATILE = frozenset({"write_date", "__last_update", "expected_date", "display_name"})
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class BadRow(ValueError):
    """A field does not hold what it should."""

    def __init__(self, field: str, value: Any, wanted: str) -> None:
        super().__init__(f"The field '{field}' holds {str(value)[:80]!r} where {wanted} was expected.")
        self.field = field


class Row:
    """One record. Missing fields read as empty: a version or an installation may not have them."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw

    @property
    def id(self) -> int:
        value = self.raw.get("id")
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise BadRow("id", value, "a positive number")
        return value

    def text(self, name: str) -> str:
        value = self.raw.get(name)
        if value is None or value is False:
            return ""
        if not isinstance(value, str):
            raise BadRow(name, value, "text")
        return value.strip()

    def time(self, name: str) -> datetime | None:
        """Odoo's datetimes are UTC without saying so."""
        text = self.text(name)
        return time_of(name, text) if text else None

    def day(self, name: str) -> str:
        """A date as ``YYYY-MM-DD``: it has no zone, so it stays text."""
        text = self.text(name)
        if text and not _DAY.fullmatch(text):
            raise BadRow(name, text, "a date")
        return text

    def link(self, name: str) -> tuple[int, str] | None:
        """A many2one: (id, display name)."""
        value = self.raw.get(name)
        if value is None or value is False:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return value, ""
        if isinstance(value, list) and len(value) == 2 and type(value[0]) is int and isinstance(value[1], str):
            return value[0], value[1]
        raise BadRow(name, value, "a link (id and name)")

    def number(self, name: str) -> Decimal:
        value = self.raw.get(name)
        if value is None or value is False:
            return Decimal(0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadRow(name, value, "a number")
        return Decimal(str(value))

    def flag(self, name: str) -> bool:
        value = self.raw.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise BadRow(name, value, "yes or no")
        return value

    def rows(self, name: str) -> list[Row]:
        """Records attached by the reader (``moves``, ``move_lines``, ``order_lines``)."""
        value = self.raw.get(name) or []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise BadRow(name, value, "a list of records")
        return [Row(one) for one in value]


def time_of(name: str, text: str) -> datetime:
    """Raises BadRow."""
    if _TIME.fullmatch(text):
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            pass
    raise BadRow(name, text, "a date and time")


def plain(number: Decimal) -> str:
    """A number without exponent and without zeros that say nothing."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def content_hash(record: Mapping[str, Any]) -> uuid.UUID:
    """What makes a record another one: stored values, links by id (a renamed partner is no change of the order)."""
    return uuid.UUID(bytes=hashlib.sha256(orjson.dumps(_normal(record), option=orjson.OPT_SORT_KEYS)).digest()[:16])


def _normal(record: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in record.items():
        if name in VOLATILE:
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict):  # attached rows
            found[name] = [_normal(one) if isinstance(one, dict) else one for one in value]
        elif isinstance(value, list) and len(value) == 2 and type(value[0]) is int and isinstance(value[1], str):
            found[name] = value[0]
        else:
            found[name] = value
    return found
