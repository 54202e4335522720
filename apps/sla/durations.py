"""Durations as rules write them: ISO 8601 (`P2D`, `PT4H30M`, `P1DT2H`, `P1W`). Pure.

Months and years have no fixed length and are refused.
"""

from __future__ import annotations

import re
from datetime import timedelta

_ISO = re.compile(
    r"^P(?:(?P<weeks>\d{1,4})W)?(?:(?P<days>\d{1,5})D)?"
    r"(?:T(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,10})S)?)?$"
)
#: the same as a pattern of JSON Schema
PATTERN = r"^P(?!$)(\d{1,4}W)?(\d{1,5}D)?(T(?=\d)(\d{1,6}H)?(\d{1,8}M)?(\d{1,10}S)?)?$"
DAYS_PATTERN = r"^P\d{1,4}D$"
HOURS_PATTERN = r"^PT(?=\d)(\d{1,6}H)?(\d{1,8}M)?(\d{1,10}S)?$"


def parse_duration(text: str) -> timedelta:
    """The length of an ISO 8601 duration of weeks to whole seconds. ValueError says what is wrong."""
    match = _ISO.match(text) if isinstance(text, str) else None
    parts = {name: int(value) for name, value in match.groupdict().items() if value} if match else {}
    if not parts or str(text).endswith("T"):
        raise ValueError(f"{text!r} is not a duration; write it like PT4H, P2D or P1DT12H (no months or years)")
    return timedelta(**parts)


def parse_days(text: str) -> int:
    """The count of a duration in whole days (`P2D`); the rest is refused: half a working day is not a day."""
    match = _ISO.match(text) if isinstance(text, str) else None
    if match is None or match["days"] is None or any(match[part] for part in ("weeks", "hours", "minutes", "seconds")):
        raise ValueError(f"{text!r} is not a number of days; write it like P2D")
    return int(match["days"])


def in_words(text: str, what: str = "") -> str:
    """`P2D` -> '2 days', with what='working' '2 working days'; `PT0S` -> 'at once'."""
    match = _ISO.match(text)
    assert match is not None, text
    words = []
    for unit in ("weeks", "days", "hours", "minutes", "seconds"):
        if match[unit] and (count := int(match[unit])):
            name = unit[:-1] if count == 1 else unit
            words.append(f"{count} {what + ' ' if what else ''}{name}")
    return " ".join(words) or "no time"


def span_in_words(span: timedelta) -> str:
    """A length of time as people say it, in its two largest units: '2 d 4 h', '35 min', '12 s'."""
    seconds = int(abs(span).total_seconds())
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")) if n]
    return " ".join(parts[:2]) or "0 s"
