"""Carriers' times: with an offset, without one, or a day only. Pure.

A time without an offset is the local time of the place it was scanned at, where the place tells its zone; else of the
integration's zone. A wall time that occurs twice is its first occurrence.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from apps.collectors.carriers.model import Moment, Place
from apps.collectors.carriers.zones import zone_of_place
from apps.collectors.times import EPOCH, EPOCH_MS, ISO, TimeError, read_time, zone_of

_MIDNIGHT = ("T00:00:00", " 00:00:00")


def read_moment(value: Any, zone: str, place: Place | None = None, form: str = ISO) -> Moment:
    """A time as a carrier wrote it. zone: of the integration. Raises `TimeError`, the end of a sentence."""
    if form in (EPOCH, EPOCH_MS):
        return Moment(read_time(value, form, UTC), "UTC")
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    local = (zone_of_place(place) if place else "") or zone
    if _is_day(text):
        return Moment(read_time(text, ISO, zone_of(local), date_only=True), local, assumed=True, day_only=True)
    moment = read_time(text, ISO, zone_of(local))
    written = datetime.fromisoformat(text.replace("z", "Z"))
    if written.tzinfo is None:
        return Moment(moment, local, assumed=True)
    return Moment(moment, _zone_name(written, local))


def read_day(value: Any, zone: str, place: Place | None = None) -> Moment:
    """A promised or estimated time. Midnight, with whatever offset, is how many senders write "on that day"."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text[10:19] in _MIDNIGHT and not text[19:].strip(".0").strip("zZ+-0:"):
        text = text[:10]
    return read_moment(text, zone, place)


def _is_day(text: str) -> bool:
    return len(text) in (8, 10) and "T" not in text and " " not in text and ":" not in text


def _zone_name(written: datetime, local: str) -> str:
    """The zone beside the time: the place's own if the offset is its, else the offset's name."""
    offset = written.utcoffset()
    if not offset:
        return "UTC"
    if written.astimezone(zone_of(local)).utcoffset() == offset:
        return local
    hours, rest = divmod(int(offset.total_seconds()), 3600)
    return "UTC" if rest or not -12 <= hours <= 14 else f"Etc/GMT{-hours:+d}"


__all__ = ["EPOCH", "EPOCH_MS", "ISO", "TimeError", "read_day", "read_moment"]
