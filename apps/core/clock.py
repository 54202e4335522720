"""The clock. Only views, tasks and commands read it (`now`); everything below them is told what time it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

SECOND = timedelta(seconds=1)


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def whole_second(moment: datetime) -> datetime:
    """The second a moment lies in. Deadlines are judged by the second: 23:59:59.7 is still 23:59:59."""
    return moment.replace(microsecond=0) if moment.microsecond else moment


def parse_moment(text: str) -> datetime:
    """An ISO 8601 moment as people type it on a command line; without an offset it is UTC.

    Raises ValueError with a sentence that says what is expected.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write it like 2026-03-04T16:00:00+01:00 or 2026-03-04") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
