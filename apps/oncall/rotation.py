"""Who is on call: the question to the database. The reckoning is in `turns` and `layers`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Prefetch, QuerySet

from apps.accounts.models import Role, Team, User
from apps.oncall.layers import Layer as LayerPlan
from apps.oncall.layers import Plan, Shift, person_at, read_restrictions, shifts, until
from apps.oncall.models import Layer, LayerMember, Override, Schedule
from apps.oncall.turns import Cover, Rotation, handover, moment_of, turn_at, who

__all__ = [
    "Cover", "Loaded", "OnCall", "Rotation", "handover", "load", "moment_of", "on_call", "on_call_everywhere",
    "on_call_of", "turn_at", "who",
]  # fmt: skip


#: how far ahead overrides are read to say until when somebody is on call
AHEAD = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class OnCall:
    """Who is on call by a schedule, and until when; user is None if nobody is or could be called."""

    team: Team
    user: User | None
    until: datetime
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Loaded:
    """A schedule as plain values. people: by primary key. absent: those of them who cannot be called."""

    schedule: Schedule
    plan: Plan
    people: dict[int, User]
    absent: frozenset[int]
    overrides: tuple[Override, ...] = ()

    def at(self, moment: datetime) -> User | None:
        user = person_at(self.plan, moment, self.absent).user
        return None if user is None else self.people[user]

    def until(self, moment: datetime) -> datetime:
        """When who is on call at this moment ends, or the gap does."""
        return until(self.plan, moment, self.absent)

    def shifts(self, start: datetime, end: datetime) -> list[Shift]:
        return shifts(self.plan, start, end, self.absent)


def load(schedules: QuerySet[Schedule], start: datetime, end: datetime) -> list[Loaded]:
    """These schedules with the overrides that touch [start, end], in four queries however many there are.

    Who has left (inactive) or is a partner's person counts as absent.
    """
    touching = Override.objects.filter(start__lte=end, end__gt=start).select_related("user").order_by("start", "id")
    members = LayerMember.objects.select_related("user").order_by("position")
    rows = schedules.select_related("team").prefetch_related(
        Prefetch("layers", Layer.objects.order_by("position", "id").prefetch_related(Prefetch("members", members))),
        Prefetch("overrides", touching, to_attr="touching"),
    )
    return [
        loaded_of(row, [(layer, [member.user for member in layer.members.all()]) for layer in row.layers.all()], row.touching)
        for row in rows
    ]  # fmt: skip


def loaded_of(
    schedule: Schedule, layers: Sequence[tuple[Layer, Sequence[User]]], overrides: Sequence[Override]
) -> Loaded:
    """A schedule of these layers (the lowest first, each with its people in turn) and overrides; asks no database."""
    people = {user.pk: user for _, members in layers for user in members}
    people |= {override.user_id: override.user for override in overrides}
    plan = Plan(
        tuple(layer_plan(schedule, layer, [user.pk for user in members]) for layer, members in layers),
        tuple(Cover(override.user_id, override.start, override.end) for override in overrides),
        schedule.country,
        schedule.subdivision,
    )
    absent = frozenset(pk for pk, user in people.items() if not user.is_active or user.role == Role.PARTNER)
    return Loaded(schedule, plan, people, absent, tuple(overrides))


def layer_plan(schedule: Schedule, layer: Layer, members: Iterable[int]) -> LayerPlan:
    zone = layer.time_zone or schedule.time_zone
    return LayerPlan(
        Rotation(tuple(members), zone, layer.starts_at, layer.shift_length),
        read_restrictions(layer.restrictions),
        layer.holidays,
        layer.name,
        layer.active_from,
        layer.active_until,
    )


def on_call(team_id: int, at: datetime) -> list[User]:
    """The person on call for a team: a list of one, or empty if it has no schedule or nobody who could be called.

    Its schedules are asked in their order; the first with somebody answers.
    """
    for one in load(Schedule.objects.filter(team_id=team_id).order_by("position", "id"), at, at):
        if (user := one.at(at)) is not None:
            return [user]
    return []


def on_call_of(slugs: Iterable[str], at: datetime) -> dict[str, User | None]:
    """Slug of each of these schedules -> who is on call by it; schedules that are not there are left out."""
    return {one.schedule.slug: one.at(at) for one in load(Schedule.objects.filter(slug__in=set(slugs)), at, at)}


def on_call_everywhere(at: datetime, team_id: int | None = None) -> list[OnCall]:
    """Every schedule (or only this team's) and who is on call by it, by team and position."""
    schedules = Schedule.objects.order_by("team__name", "position", "id")
    if team_id is not None:
        schedules = schedules.filter(team_id=team_id)
    loaded = load(schedules, at, at + AHEAD)
    return [OnCall(one.schedule.team, one.at(at), one.until(at), one.schedule) for one in loaded]
