"""What the schedule editor shows before anything is kept: two weeks as a picture and a list, gaps, and what changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.accounts.models import Role, Team, User
from apps.core import wording
from apps.dashboard.selectors.oncall import DAY, Line, Strip, bounds, joined, listed, strip, week_rows
from apps.notifications.escalation_models import EscalationPolicy
from apps.oncall.layers import Shift
from apps.oncall.models import LayerMember, Schedule, ScheduleVersion
from apps.oncall.redrawing import Wanted, drawn
from apps.oncall.rotation import Loaded, load

SPAN = 14 * DAY
#: changes and gaps named one by one at most
MOST_NAMED = 8
#: turns in the span that are drawn at most; more are no rotation of people
MOST_TURNS = 700


@dataclass(frozen=True, slots=True)
class Handed:
    """A span in which somebody else is on call than before the change. Names; "nobody" for a gap."""

    start: datetime
    end: datetime
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The next two weeks of a drawing. gap_words: how long nobody is on call in all, "" for never. changes: against
    what is kept now, the first few; more: how many besides; at_once: who is on call now changes with the save."""

    strip: Strip
    lines: list[Line]
    gaps: list[Shift]
    more_gaps: int
    gap_words: str
    changes: list[Handed]
    more: int
    at_once: Handed | None
    idle: list[str]


def teams() -> dict[str, Team]:
    return {team.slug: team for team in Team.objects.order_by("name")}


def people_for(found: Schedule | None) -> dict[str, User]:
    """Who may take turns by sign-in name: active staff, and who is in its rotations already."""
    rows = list(User.objects.filter(is_active=True).exclude(role=Role.PARTNER).order_by("first_name", "username"))
    if found is not None:
        members = LayerMember.objects.filter(layer__schedule=found).select_related("user")
        rows += [one.user for one in members if one.user not in rows]
    return {user.username: user for user in rows}


def calling(slug: str) -> list[str]:
    """Names of the escalation policies that call this schedule."""
    rows = EscalationPolicy.objects.order_by("name")
    target = {"kind": "schedule", "ref": slug}
    return [one.name for one in rows if any(target in step.get("targets", ()) for step in one.steps)]


def too_fine(wanted: Wanted) -> str:
    """A sentence when the turns are so short that two weeks of them cannot be drawn."""
    turns = sum(SPAN / one.shift_length for one in wanted.layers)
    return "" if turns <= MOST_TURNS else "These turns are too short to be drawn: make them longer, or fewer layers."


def present(found: Schedule | None, now: datetime) -> Loaded | None:
    if found is None:
        return None
    return load(Schedule.objects.filter(pk=found.pk), now - DAY, now + SPAN + DAY)[0]


def preview(wanted: Wanted, found: Schedule | None, now: datetime, reader: User) -> Preview:
    """Days begin in the schedule's own zone, which is the one people draw in."""
    zone = wording.zone(wanted.time_zone)
    kept = present(found, now)
    loaded = drawn(wanted, kept)
    start = bounds(now.astimezone(zone).date(), zone)
    end = bounds(now.astimezone(zone).date() + SPAN, zone)
    ahead = loaded.shifts(max(start, now), end)
    gaps = [one for one in joined(ahead) if one.user is None]
    lost = sum((one.end - one.start for one in gaps), timedelta())
    changes = changed(kept, loaded, now, end) if kept is not None else []
    at_once = next((one for one in changes if one.start == now), None)
    return Preview(
        strip(week_rows(loaded, start, end), start, end, now, reader, zone),
        listed(loaded, max(start, now), end, now, reader),
        gaps[:MOST_NAMED],
        max(len(gaps) - MOST_NAMED, 0),
        wording.duration(lost) if gaps else "",
        changes[:MOST_NAMED],
        max(len(changes) - MOST_NAMED, 0),
        at_once,
        _idle(wanted, loaded, start, end),
    )


def changed(before: Loaded, after: Loaded, start: datetime, end: datetime) -> list[Handed]:
    """Spans in which the two drawings call different people, neighbours of the same two joined."""
    old, new = joined(before.shifts(start, end)), joined(after.shifts(start, end))
    found: list[Handed] = []
    edges = sorted({start, *(one.start for one in (*old, *new))})
    for at, until in zip(edges, [*edges[1:], end], strict=True):
        was, becomes = _at(old, at), _at(new, at)
        if was.user == becomes.user:
            continue
        names = (_name(before, was.user), _name(after, becomes.user))
        if found and found[-1].end == at and (found[-1].before, found[-1].after) == names:
            found[-1] = Handed(found[-1].start, until, *names)
        else:
            found.append(Handed(at, until, *names))
    return found


def _at(shifts: Sequence[Shift], at: datetime) -> Shift:
    return next(one for one in shifts if one.start <= at < one.end)


def _name(loaded: Loaded, user: int | None) -> str:
    return "nobody" if user is None else loaded.people[user].display_name


def _idle(wanted: Wanted, loaded: Loaded, start: datetime, end: datetime) -> list[str]:
    """Names of layers that decide nothing in the span: an upper one covers all of their time."""
    speaking = {one.layer for one in loaded.shifts(start, end)}
    return [
        one.name or f"Layer {number + 1} from below"
        for number, one in enumerate(wanted.layers)
        if number not in speaking
    ]


def versions(found: Schedule) -> list[ScheduleVersion]:
    return list(found.versions.order_by("-version")[:50])
