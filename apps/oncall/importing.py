"""A calendar file (iCalendar, RFC 5545) as overrides of a schedule: its events say who is on call when.

An event means a person by an attendee's e-mail address, or by its summary: a sign-in name, an e-mail address or a full
name, perhaps after a colon ("On call: Mara Lind"). Repeating events are laid out a year ahead. Importing the same
calendar again replaces what it said before; events of unknown people are reported and change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import recurring_ical_events
from django.db import transaction
from icalendar import Calendar

from apps.accounts import audit
from apps.accounts.models import Role, User
from apps.oncall.models import Override, Schedule

AHEAD = timedelta(days=366)
MOST_BYTES, MOST_EVENTS, MOST_SHIFTS = 1_000_000, 2_000, 3_000
FINEST = ("SECONDLY", "MINUTELY", "HOURLY")
DAY = timedelta(days=1)


class CalendarFileError(ValueError):
    """The file cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One occurrence: who (as the file says it) and the span, in UTC. person: a key of `people`, None if unknown."""

    said: str
    start: datetime
    end: datetime
    person: int | None


@dataclass(slots=True)
class Imported:
    """unknown: who could not be matched, each once, in the words of the file."""

    name: str
    added: int = 0
    removed: int = 0
    unknown: list[str] = field(default_factory=list)


def people_by_name() -> dict[str, int]:
    """What a file may call somebody (folded) -> primary key; a full name that two people share means neither."""
    found: dict[str, int] = {}
    shared: set[str] = set()
    for user in User.objects.filter(is_active=True).exclude(role=Role.PARTNER):
        for name in {user.username, user.email, user.get_full_name()} - {""}:
            key = name.casefold()
            if found.setdefault(key, user.pk) != user.pk:
                shared.add(key)
    return {name: pk for name, pk in found.items() if name not in shared}


def read(body: bytes, people: Mapping[str, int], zone: str, now: datetime) -> tuple[str, list[Entry]]:
    """The calendar's name and its occurrences of the year ahead, in order. zone: of whole days and floating times.

    Pure. Raises CalendarFileError.
    """
    if len(body) > MOST_BYTES:
        raise CalendarFileError(f"The file is larger than {MOST_BYTES // 1000} kB: export a shorter span.")
    try:
        calendar = Calendar.from_ical(body)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CalendarFileError(f"This is not an iCalendar file: {str(error)[:120] or type(error).__name__}") from None
    if getattr(calendar, "name", None) != "VCALENDAR":
        raise CalendarFileError("This is not an iCalendar file: it begins with no BEGIN:VCALENDAR.")
    events = calendar.walk("VEVENT")
    if not events:
        raise CalendarFileError("The calendar has no events.")
    if len(events) > MOST_EVENTS:
        raise CalendarFileError(f"The calendar has more than {MOST_EVENTS:,} events: export a shorter span.")
    for event in events:
        try:
            _check(event)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, CalendarFileError):
                raise
            raise CalendarFileError(f"An event cannot be read: {str(error)[:160]}") from None
    name = str(calendar.get("X-WR-CALNAME", "") or "calendar")[:200]
    return name, _entries(calendar, people, ZoneInfo(zone), now)


def _check(event: Any) -> None:
    """Refuses what would be laid out wrongly: repeats by the hour, and times of a zone that nobody knows here."""
    rules = event.get("RRULE")
    for rule in rules if isinstance(rules, list) else [rules]:
        if rule and str((rule.get("FREQ") or [""])[0]).upper() in FINEST:
            raise CalendarFileError("An event repeats more often than daily: nobody is on call like that.")
    for name in ("DTSTART", "DTEND"):
        said = event.get(name)
        zone = said.params.get("TZID") if said is not None and hasattr(said, "params") else None
        if zone and isinstance(said.dt, datetime) and said.dt.tzinfo is None:
            raise CalendarFileError(
                f"Its times are in the zone “{str(zone)[:60]}”, which is unknown here: export the calendar with its "
                "time zones, or in UTC."
            )


def _entries(calendar: Calendar, people: Mapping[str, int], zone: ZoneInfo, now: datetime) -> list[Entry]:
    try:
        found = recurring_ical_events.of(calendar).between(now, now + AHEAD)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise CalendarFileError(f"An event's times cannot be read: {str(error)[:160]}") from None
    if len(found) > MOST_SHIFTS:
        raise CalendarFileError(f"The calendar has more than {MOST_SHIFTS:,} shifts in a year.")
    entries = []
    for event in found:
        start, end = event.get("DTSTART"), event.get("DTEND")
        if start is None:
            continue
        begins = _moment(start.dt, zone)
        ends = (
            _moment(end.dt, zone)
            if end is not None
            else begins + (DAY if not isinstance(start.dt, datetime) else 0 * DAY)
        )
        if ends > begins and str(event.get("STATUS", "")).upper() != "CANCELLED":
            said, person = _person(event, people)
            entries.append(Entry(said, begins, ends, person))
    return sorted(entries, key=lambda one: (one.start, one.end, one.said))


def _moment(value: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo is not None else value.replace(tzinfo=zone)).astimezone(UTC)


def _person(event: Any, people: Mapping[str, int]) -> tuple[str, int | None]:
    attendees = event.get("ATTENDEE") or []
    for attendee in attendees if isinstance(attendees, list) else [attendees]:
        if (pk := people.get(str(attendee).lower().removeprefix("mailto:").casefold())) is not None:
            return str(attendee), pk
    summary = " ".join(str(event.get("SUMMARY", "")).split())
    for words in (summary, summary.rpartition(":")[2].strip(), summary.rpartition(" - ")[2].strip()):
        if (pk := people.get(words.casefold())) is not None:
            return summary, pk
    return summary or "(an event without a title)", None


@transaction.atomic
def apply(schedule: Schedule, name: str, entries: Iterable[Entry], actor: User, now: datetime) -> Imported:
    """Writes the known people's shifts as overrides, instead of what this calendar said before from now on."""
    entries = list(entries)
    outcome = Imported(name, unknown=sorted({one.said for one in entries if one.person is None}))
    before = Override.objects.filter(schedule=schedule, source="ics", source_name=name)
    before.filter(start__lt=now, end__gt=now).update(end=now)
    outcome.removed = before.filter(start__gte=now).delete()[0]
    rows = [
        Override(
            schedule=schedule, user_id=one.person, start=max(one.start, now), end=one.end, source="ics",
            source_name=name, reason=one.said[:200], author_name=actor.display_name,
        )
        for one in entries
        if one.person is not None and one.end > now
    ]  # fmt: skip
    outcome.added = len(Override.objects.bulk_create(rows))
    after = {"calendar": name, "added": outcome.added, "unknown": outcome.unknown[:50]}
    audit.record(actor, "oncall.calendar_imported", f"schedule:{schedule.slug}", None, after, now)
    return outcome
