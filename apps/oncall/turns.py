"""Whose turn it is: one rotation on the wall clock of a zone. Pure; `layers` lays several over each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Rotation:
    """Members (ids) take turns of `shift` on the wall clock of `zone`; the first turn begins at `starts_at` (aware;
    in an hour that comes twice: at the first time clocks show it).

    Turns are laid out on the wall clock, so a hand-over at 09:00 stays at 09:00 when the clocks change; the turn over
    that night is an hour longer or shorter. A hand-over whose wall time is skipped happens at the moment of the
    change, one whose wall time comes twice at the first of the two. The rotation also runs backwards before its start.
    """

    members: tuple[int, ...]
    zone: str
    starts_at: datetime
    shift: timedelta


@dataclass(frozen=True, slots=True)
class Cover:
    """Somebody takes over from start (inclusive) to end (exclusive)."""

    user: int
    start: datetime
    end: datetime


def who(
    rotation: Rotation, overrides: Sequence[Cover], at: datetime, absent: Collection[int] = frozenset()
) -> int | None:
    """The one person on call at `at`; None only if there is nobody to choose from.

    An override wins over the rotation; of several the one that starts last, then the one given last. absent: people
    who cannot be called; the next in turn stands in for them.
    """
    covering = [cover for cover in overrides if cover.start <= at < cover.end and cover.user not in absent]
    if covering:
        latest = max(cover.start for cover in covering)
        return [cover for cover in covering if cover.start == latest][-1].user
    if not rotation.members:
        return None
    turn = turn_at(rotation, at)
    in_turn = (rotation.members[(turn + step) % len(rotation.members)] for step in range(len(rotation.members)))
    return next((member for member in in_turn if member not in absent), None)


def turn_at(rotation: Rotation, at: datetime) -> int:
    """Number of the turn that runs at `at`; turn 0 begins at `starts_at`."""
    zone = ZoneInfo(rotation.zone)
    first = wall_of(rotation.starts_at, zone)
    turn = (wall_of(at, zone) - first) // rotation.shift
    # the wall clock runs back once a year: then it shows less than the turn that has begun already
    while moment_of(first + (turn + 1) * rotation.shift, zone) <= at:
        turn += 1
    while moment_of(first + turn * rotation.shift, zone) > at:
        turn -= 1
    return turn


def handover(rotation: Rotation, turn: int) -> datetime:
    """The moment a turn begins (UTC)."""
    zone = ZoneInfo(rotation.zone)
    return moment_of(wall_of(rotation.starts_at, zone) + turn * rotation.shift, zone)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment (UTC) at which clocks in the zone show `wall` (naive) or later."""
    before = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if wall_of(before, zone) == wall:
        return before
    # skipped: the clocks jump over it somewhere between the readings by the new and by the old offset
    early = int(wall.replace(tzinfo=zone, fold=1).timestamp())
    late = int(before.timestamp()) + 1
    while late - early > 1:
        middle = (early + late) // 2
        if wall_of(datetime.fromtimestamp(middle, UTC), zone) >= wall:
            late = middle
        else:
            early = middle
    return datetime.fromtimestamp(late, UTC)


def wall_of(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)
