"""Versions of working calendars: a save makes a new one; what a change does to open deadlines is shown before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts import audit
from apps.accounts.models import ApiClient, User
from apps.core.calendars import WorkingCalendar
from apps.flows.sets import raw_cursor
from apps.integrations.models import Calendar
from apps.sla.derivation import derive
from apps.sla.rules import Book, CalendarRow
from apps.sla.stored import FLOW_COLUMNS, states_of

#: of more open flows the newest are looked at
MOST_FLOWS = 2_000
SHOWN = 50
_OPEN = f"""
SELECT {FLOW_COLUMNS} FROM flows_flow f LEFT JOIN integrations_partner p ON p.id = f.partner_id
WHERE f.status = 'open' ORDER BY f.id DESC LIMIT %b::int
"""


class Overtaken(Exception):
    """Somebody saved a newer version since the edit began."""

    def __init__(self, newest: Calendar) -> None:
        super().__init__(newest.version)
        self.newest = newest


@dataclass(frozen=True, slots=True)
class Moved:
    """A deadline that the changed calendar moves. now_due: None when it is expected no longer."""

    flow_id: int
    label: str
    milestone: str
    was_due: datetime | None
    now_due: datetime | None


@dataclass(slots=True)
class Effect:
    """What a changed calendar does to open deadlines. late: overdue by the changed one, and not by today's.

    relieved: the other way round. cut_short: only the newest `MOST_FLOWS` open flows were looked at.
    """

    flows: int = 0
    deadlines: int = 0
    moved: int = 0
    late: int = 0
    relieved: int = 0
    cut_short: bool = False
    samples: list[Moved] = field(default_factory=list)


def newest_of(slug: str) -> Calendar | None:
    return Calendar.objects.filter(slug=slug).order_by("-version").first()


def effect(book: Book, slug: str, name: str, spec: Mapping[str, Any], now: datetime) -> Effect:
    """Judges the open flows by today's book and by one with this calendar in it. Writes nothing.

    Raises `CalendarError` for a spec that cannot be read.
    """
    WorkingCalendar.from_spec(spec)
    version = max((row.version for row in book.calendars if row.slug == slug), default=0) + 1
    row = CalendarRow(slug, version, name, spec, now.astimezone(UTC))
    after = Book(
        book.rules, (*book.calendars, row), book.partners, book.definitions, book.integrations, book.standstills
    )
    found = Effect()
    with raw_cursor() as cursor:
        cursor.execute(_OPEN, [MOST_FLOWS], binary=True)
        states = states_of(cursor, cursor.fetchall())
    for state in states:
        found.flows += 1
        was = {draft.milestone: draft for draft in derive(state, book) if draft.settled_at is None}
        becomes = {draft.milestone: draft for draft in derive(state, after) if draft.settled_at is None}
        found.deadlines += len(was)
        for milestone in sorted({*was, *becomes}):
            before, then = was.get(milestone), becomes.get(milestone)
            was_due, now_due = before.due_at if before else None, then.due_at if then else None
            if was_due == now_due:
                continue
            found.moved += 1
            found.late += now_due is not None and now_due < now and not (was_due is not None and was_due < now)
            found.relieved += was_due is not None and was_due < now and not (now_due is not None and now_due < now)
            if len(found.samples) < SHOWN:
                label = book.definitions[state.definition_id].label_of(milestone)
                found.samples.append(Moved(state.flow_id, state.label, label, was_due, now_due))
    found.cut_short = len(states) == MOST_FLOWS
    return found


def save(
    slug: str, name: str, spec: Mapping[str, Any], actor: User | ApiClient, now: datetime, *, base: int, note: str = ""
) -> Calendar:
    """The calendar's next version. base: the version the edit began with (0: none).

    Raises `CalendarError` for a spec that cannot be read and `Overtaken`. What is the same as the newest makes none.
    """
    WorkingCalendar.from_spec(spec)
    try:
        with transaction.atomic():
            newest = Calendar.objects.select_for_update().filter(slug=slug).order_by("-version").first()
            if newest is not None and newest.version != base:
                raise Overtaken(newest)
            if newest is not None and newest.name == name and newest.spec == spec:
                return newest
            made = Calendar.objects.create(
                slug=slug,
                version=newest.version + 1 if newest else 1,
                name=name,
                spec=dict(spec),
                author_name=audit.name_of(actor),
                note=note[:300],
            )
            before = {"version": newest.version, "name": newest.name, "spec": newest.spec} if newest else None
            after = {"version": made.version, "name": name, "spec": made.spec, "note": made.note}
            audit.record(actor, "calendar.saved", f"calendar:{slug}", before, after, now)
    except IntegrityError:  # the same version, saved twice at the same moment
        other = newest_of(slug)
        if other is None:
            raise
        raise Overtaken(other) from None
    return made
