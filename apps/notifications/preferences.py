"""What one person wants to hear, when and how. Pure: no database, no clock.

A person chooses per severity, for the day and for quiet hours: at once by some methods, when quiet hours end, in the
daily digest, or not at all. What is critical always comes at once: nobody can make that silent by mistake.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from types import MappingProxyType
from typing import Any

from apps.incidents.models import Severity

#: the mailbox of the account, which everybody has
EMAIL = "email"
DIGEST_AT = time(8, 0)


class How(enum.StrEnum):
    NOW = "now"
    LATER = "later"
    DIGEST = "digest"
    NEVER = "never"


class When(enum.StrEnum):
    DAY = "day"
    QUIET = "quiet"


WORDS: Mapping[How, str] = MappingProxyType(
    {
        How.NOW: "At once",
        How.LATER: "When quiet hours end",
        How.DIGEST: "In the daily digest",
        How.NEVER: "Not at all",
    }
)


@dataclass(frozen=True, slots=True)
class Rule:
    """by: keys of methods, "email" or ``m<id>``."""

    how: How = How.NOW
    by: tuple[str, ...] = (EMAIL,)


@dataclass(frozen=True, slots=True)
class Preferences:
    """zone: of all the times. quiet_from and quiet_until: both or none; from 22:00 until 07:00 spans midnight."""

    zone: tzinfo = UTC
    quiet_from: time | None = None
    quiet_until: time | None = None
    digest_at: time = DIGEST_AT
    rules: Mapping[tuple[str, str], Rule] = field(default_factory=dict)

    def rule(self, severity: str, when: str, *, called: bool = False) -> Rule:
        found = self.rules.get((severity, when)) or (Rule() if called else default(severity))
        return found if found.how == How.NOW or severity != Severity.CRITICAL else Rule(How.NOW, found.by)


@dataclass(frozen=True, slots=True)
class Decision:
    """held_until: None for at once. `how` NEVER: nothing is sent."""

    how: How
    by: tuple[str, ...]
    held_until: datetime | None = None


def default(severity: str) -> Rule:
    """For a person who has chosen nothing: everything at once by e-mail, what is low in the digest."""
    return Rule(How.DIGEST if severity == Severity.LOW else How.NOW)


def decide(preferences: Preferences, severity: str, now: datetime, *, called: bool = False) -> Decision:
    """When and by what a piece of news of this severity goes to the person.

    called: a policy calls them by name or duty; then only what they chose themselves holds it back, no default.
    """
    ends = quiet_ends(preferences, now)
    rule = preferences.rule(severity, When.DAY if ends is None else When.QUIET, called=called)
    if rule.how == How.DIGEST:
        return Decision(rule.how, rule.by, next_time(preferences.digest_at, preferences.zone, now))
    if rule.how == How.LATER:
        return Decision(rule.how, rule.by, ends)
    return Decision(rule.how, rule.by)


def quiet_ends(preferences: Preferences, now: datetime) -> datetime | None:
    """When the quiet hours that run now end; None outside them."""
    begin, end = preferences.quiet_from, preferences.quiet_until
    if begin is None or end is None or begin == end:
        return None
    ends = next_time(end, preferences.zone, now)
    day = ends.astimezone(preferences.zone).date()
    begins = _at(begin, preferences.zone, day if begin < end else day - timedelta(days=1))
    return ends if begins <= now < ends else None


def next_time(of_day: time, zone: tzinfo, now: datetime) -> datetime:
    """The next moment, later than `now`, when clocks in the zone show this time of day.

    A time that is skipped that night counts at the change; one that comes twice counts the first time.
    """
    today = now.astimezone(zone).date()
    for days in range(-1, 3):
        moment = _at(of_day, zone, today + timedelta(days=days))
        if moment > now:
            return moment
    raise AssertionError("a day has a morning")


def _at(of_day: time, zone: tzinfo, day: date) -> datetime:
    local = datetime.combine(day, of_day, zone)
    moment = local.astimezone(UTC)
    back = moment.astimezone(zone)
    if back.replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # skipped: fold 0 reads the old offset and lands behind the gap, as far as the wished time lies in it
    before, after = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    low, high = moment - abs(after - before), moment
    offset = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, high)
    return high.replace(microsecond=0)


def read_rules(stored: Mapping[str, Any]) -> dict[tuple[str, str], Rule]:
    """From ``{"high": {"day": {"how": "now", "by": ["email"]}}}``; what cannot be read is left out (the default counts)."""
    found: dict[tuple[str, str], Rule] = {}
    for severity in Severity.values:
        for when in When:
            one = stored.get(severity) if isinstance(stored, Mapping) else None
            one = one.get(when.value) if isinstance(one, Mapping) else None
            if not isinstance(one, Mapping) or one.get("how") not in list(How):
                continue
            by = one.get("by")
            keys = tuple(str(key) for key in by) if isinstance(by, list) else ()
            found[severity, when.value] = Rule(How(one["how"]), keys or (EMAIL,))
    return found


def write_rules(rules: Mapping[tuple[str, str], Rule]) -> dict[str, dict[str, dict[str, Any]]]:
    """The form `read_rules` reads."""
    stored: dict[str, dict[str, dict[str, Any]]] = {}
    for (severity, when), rule in rules.items():
        stored.setdefault(severity, {})[when] = {"how": rule.how.value, "by": list(rule.by)}
    return stored
