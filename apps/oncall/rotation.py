"""Who is on call: a pure core over plain values, and the question to the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Prefetch

from apps.accounts.models import Role, Team, User
from apps.oncall.models import Override, Schedule, ScheduleMember


@dataclass(frozen=True, slots=True)
class Rotation:
    """Members (ids) take turns of `shift` on the wall clock of `zone`; the first turn begins at `starts_at` (aware).

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
    first = _wall(rotation.starts_at, zone)
    turn = (_wall(at, zone) - first) // rotation.shift
    # the wall clock runs back once a year: then it shows less than the turn that has begun already
    while moment_of(first + (turn + 1) * rotation.shift, zone) <= at:
        turn += 1
    while moment_of(first + turn * rotation.shift, zone) > at:
        turn -= 1
    return turn


def handover(rotation: Rotation, turn: int) -> datetime:
    """The moment a turn begins (UTC)."""
    zone = ZoneInfo(rotation.zone)
    return moment_of(_wall(rotation.starts_at, zone) + turn * rotation.shift, zone)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment (UTC) at which clocks in the zone show `wall` (naive) or later."""
    before = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _wall(before, zone) == wall:
        return before
    # skipped: the clocks jump over it somewhere between the readings by the new and by the old offset
    early = int(wall.replace(tzinfo=zone, fold=1).timestamp())
    late = int(before.timestamp()) + 1
    while late - early > 1:
        middle = (early + late) // 2
        if _wall(datetime.fromtimestamp(middle, UTC), zone) >= wall:
            late = middle
        else:
            early = middle
    return datetime.fromtimestamp(late, UTC)


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def on_call(team_id: int, at: datetime) -> list[User]:
    """The person on call for a team: a list of one, or empty if the team has no schedule or nobody who could be called.

    Who has left (inactive) or is a partner's person counts as absent.
    """
    return [one.user for one in on_call_everywhere(at, team_id) if one.user is not None]


@dataclass(frozen=True, slots=True)
class OnCall:
    """Who is on call for a team, and until when; user is None if nobody could be called."""

    team: Team
    user: User | None
    until: datetime


def on_call_everywhere(at: datetime, team_id: int | None = None) -> list[OnCall]:
    """Every team with a schedule (or only this one) and who is on call for it, in three queries.

    Who has left (inactive) or is a partner's person counts as absent.
    """
    running = Override.objects.filter(start__lte=at, end__gt=at).select_related("user").order_by("start", "id")
    schedules = Schedule.objects.select_related("team").order_by("team__name")
    schedules = schedules.prefetch_related(
        Prefetch("members", ScheduleMember.objects.select_related("user").order_by("position")),
        Prefetch("overrides", running, to_attr="running"),
    )
    if team_id is not None:
        schedules = schedules.filter(team_id=team_id)
    return [_on_call(schedule, list(schedule.members.all()), schedule.running, at) for schedule in schedules]


def _on_call(schedule: Schedule, members: Sequence[ScheduleMember], covers: Sequence[Override], at: datetime) -> OnCall:
    people = {member.user_id: member.user for member in members} | {cover.user_id: cover.user for cover in covers}
    rotation = Rotation(
        tuple(member.user_id for member in members), schedule.time_zone, schedule.starts_at, schedule.shift_length
    )
    absent = {pk for pk, user in people.items() if not user.is_active or user.role == Role.PARTNER}
    chosen = who(rotation, [Cover(cover.user_id, cover.start, cover.end) for cover in covers], at, absent)
    ends = [cover.end for cover in covers if cover.user_id == chosen]
    return OnCall(
        schedule.team,
        people.get(chosen) if chosen is not None else None,
        max(ends) if ends else handover(rotation, turn_at(rotation, at) + 1),
    )
