"""Schedules of mailed reports: added, changed, switched and removed by people or the API, each step audited."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import ApiClient, User
from apps.integrations.models import Partner
from apps.reports import sending
from apps.reports.models import Schedule

FIELDS = ("name", "roles", "extra", "formats", "partner", "day", "hour", "active")


class Wrong(Exception):
    """A schedule cannot be like that; troubles: sentences for people."""

    def __init__(self, troubles: list[str]) -> None:
        super().__init__(" ".join(troubles))
        self.troubles = troubles


def troubles_of(
    *, name: str, roles: list[str], extra: list[str], formats: list[str], partner: Partner | None, day: int, hour: int
) -> list[str]:
    """What is wrong with it, in sentences."""
    troubles = sending.check(name, roles, formats, partner is not None, extra)
    for address in extra:
        try:
            validate_email(address)
        except ValidationError:
            troubles.append(f"{address[:80]} is not an e-mail address.")
    if not 1 <= day <= 28:
        troubles.append("The day is a number from 1 to 28.")
    if not 0 <= hour <= 23:
        troubles.append("The hour is a number from 0 to 23.")
    return troubles


def add(values: Mapping[str, Any], actor: User | ApiClient, now: datetime) -> Schedule:
    """values: some of `FIELDS`. It sends what is due from now on. Raises Wrong."""
    made = Schedule(**{"day": 3, "hour": 7, **values}, created_at=now)
    _check(made)
    with transaction.atomic():
        made.save()
        audit.record(actor, "schedule.added", _subject(made), None, told(made), now)
    return made


def change(schedule: Schedule, values: Mapping[str, Any], actor: User | ApiClient, now: datetime) -> Schedule:
    """values: some of `FIELDS`; the same again changes nothing. Raises Wrong.

    Who had a month's report from it does not get it again. Switched on again it sends only what is due from now on.
    """
    with transaction.atomic():
        found = Schedule.objects.select_for_update().get(pk=schedule.pk)
        before, was_active = told(found), found.active
        for name, value in values.items():
            setattr(found, name, value)
        _check(found)
        if told(found) == before:
            return found
        if found.active and not was_active:
            found.created_at = now
        found.save()
        audit.record(actor, "schedule.changed", _subject(found), before, told(found), now)
    return found


@transaction.atomic
def remove(schedule: Schedule, actor: User | ApiClient, now: datetime) -> None:
    """What it sent stays in the archive."""
    audit.record(actor, "schedule.removed", _subject(schedule), told(schedule), None, now)
    schedule.delete()


def told(schedule: Schedule) -> dict[str, Any]:
    """As the audit record has it."""
    values = {name: getattr(schedule, name) for name in FIELDS}
    return values | {"partner": schedule.partner.slug if schedule.partner else None}


def _subject(schedule: Schedule) -> str:
    return f"report-schedule:{schedule.pk}"


def _check(one: Schedule) -> None:
    troubles = troubles_of(
        name=one.name,
        roles=one.roles,
        extra=one.extra,
        formats=one.formats,
        partner=one.partner,
        day=one.day,
        hour=one.hour,
    )
    if troubles:
        raise Wrong(troubles)
