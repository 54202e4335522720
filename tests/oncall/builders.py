"""Schedules for tests."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from apps.accounts.models import Team, User
from apps.oncall.models import Layer, LayerMember, Schedule


def layer_of(
    schedule: Schedule, starts_at: datetime, shift_length: timedelta, users: list[User], **options: Any
) -> Layer:
    """One more layer, above those it has."""
    options.setdefault("position", schedule.layers.count())
    layer = Layer.objects.create(schedule=schedule, starts_at=starts_at, shift_length=shift_length, **options)
    LayerMember.objects.bulk_create(
        LayerMember(layer=layer, user=user, position=place) for place, user in enumerate(users)
    )
    return layer


def rotation_of(
    team: Team, name: str, starts_at: datetime, shift_length: timedelta, users: list[User], **options: Any
) -> Schedule:
    """A schedule of one layer around the clock."""
    options.setdefault("slug", team.slug)
    schedule = Schedule.objects.create(team=team, name=name, **options)
    layer_of(schedule, starts_at, shift_length, users)
    return schedule
