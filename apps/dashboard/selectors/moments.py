"""Times that people type into forms, in their own zone. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from zoneinfo import ZoneInfo

from apps.oncall.turns import moment_of


def typed(text: str, zone: tzinfo) -> datetime | None:
    """The moment of a ``datetime-local`` field (2026-03-02T09:00) in a zone, in UTC; None if it is no time.

    A time the clocks skip is the moment of the change; one that comes twice is the first.
    """
    try:
        wall = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if wall.tzinfo is not None:
        return wall.astimezone(UTC)
    return moment_of(wall.replace(second=0, microsecond=0), zone if isinstance(zone, ZoneInfo) else ZoneInfo("UTC"))


def shown(at: datetime, zone: tzinfo) -> str:
    """What a ``datetime-local`` field shows of a moment."""
    return f"{at.astimezone(zone):%Y-%m-%dT%H:%M}"


def day_of(text: str) -> date | None:
    try:
        day = date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None
    return day if 2000 <= day.year <= 2100 else None
