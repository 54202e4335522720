"""Cursors of pages by keyset: a moment and an id, so that page 400 costs as page 1."""

from __future__ import annotations

from datetime import datetime

_BIGGEST = 2**63 - 1


def cursor(at: datetime, pk: int) -> str:
    return f"{at.isoformat()}_{pk}"


def read(text: str) -> tuple[datetime, int] | None:
    """The moment and the id; None for what is no cursor of ours, which then means the first page."""
    moment, _, number = text.partition("_")
    try:
        at, pk = datetime.fromisoformat(moment), int(number)
    except ValueError:
        return None
    return (at, pk) if at.tzinfo is not None and 0 <= pk <= _BIGGEST else None
