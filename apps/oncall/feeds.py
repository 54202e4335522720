"""Schedules as iCalendar feeds behind secret addresses, for the calendars people look at anyway (RFC 5545).

An address carries a token that is computed, not stored: HMAC over what it opens and a version. Raising the version
makes the address that was given out useless.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import F
from django.utils.crypto import constant_time_compare, salted_hmac
from icalendar import Calendar, Event

from apps.accounts.models import User
from apps.oncall.models import PersonalFeed, Schedule
from apps.oncall.rotation import Loaded, load

BACK, AHEAD = timedelta(days=30), timedelta(days=180)
PRODUCT = "-//Control tower//On-call//EN"


def schedule_token(schedule: Schedule) -> str:
    return _token(f"schedule:{schedule.slug}:{schedule.feed_version}")


def person_token(user: User) -> str:
    """Version 1 until it is renewed the first time: reading an address writes nothing."""
    known = PersonalFeed.objects.filter(user=user).values_list("version", flat=True).first()
    return _token(f"person:{user.pk}:{known or 1}")


def _token(what: str) -> str:
    return salted_hmac("apps.oncall.feeds", what, algorithm="sha256").hexdigest()[:43]


def schedule_for(slug: str, token: str) -> Schedule | None:
    """The schedule this token opens; None for a wrong one and for a missing schedule alike."""
    schedule = Schedule.objects.filter(slug=slug).first()
    known = schedule_token(schedule) if schedule else _token("nothing")
    return schedule if constant_time_compare(token, known) and schedule else None


def person_for(user_id: int, token: str) -> User | None:
    """The person this token opens; nobody who has left."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    known = person_token(user) if user else _token("nothing")
    return user if constant_time_compare(token, known) else None


def renew_schedule(schedule: Schedule) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(feed_version=F("feed_version") + 1)


def renew_person(user: User) -> None:
    feed, _ = PersonalFeed.objects.get_or_create(user=user)
    PersonalFeed.objects.filter(pk=feed.pk).update(version=F("version") + 1)


def schedule_feed(schedule: Schedule, now: datetime) -> bytes:
    """Everybody's shifts of one schedule, gaps included, from a month ago to half a year ahead."""
    loaded = load(Schedule.objects.filter(pk=schedule.pk), now - BACK, now + AHEAD)
    return _calendar(f"On call: {schedule.name}", loaded, None, now)


def person_feed(user: User, now: datetime) -> bytes:
    """One person's shifts over all schedules."""
    loaded = load(Schedule.objects.order_by("slug"), now - BACK, now + AHEAD)
    return _calendar(f"On call: {user.display_name}", loaded, user.pk, now)


def _calendar(name: str, loaded: list[Loaded], only: int | None, now: datetime) -> bytes:
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", name)
    calendar.add("refresh-interval", timedelta(hours=1))
    host = urlsplit(settings.BASE_URL).hostname or "localhost"
    for one in loaded:
        for shift in one.shifts(now - BACK, now + AHEAD):
            if only is not None and shift.user != only:
                continue
            who = one.people[shift.user].display_name if shift.user is not None else "nobody"
            event = Event()
            event.add("uid", f"{one.schedule.slug}-{shift.user or 0}-{shift.start:%Y%m%dT%H%M%SZ}@{host}")
            event.add("dtstamp", now)
            event.add("dtstart", shift.start)
            event.add("dtend", shift.end)
            event.add("summary", f"{one.schedule.name}: {who}" if only is None else f"On call: {one.schedule.name}")
            event.add("transp", "TRANSPARENT")
            if shift.user is None:
                event.add("description", "A gap: nobody is on call.")
            calendar.add_component(event)
    return calendar.to_ical()
