"""Which policy an incident follows, and whom the targets of a step mean at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.accounts.models import Role, User
from apps.core.calendars import WorkingCalendar
from apps.incidents.models import Incident, Severity
from apps.integrations.models import Calendar
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute, EscalationVersion
from apps.notifications.escalation_plans import Ladder, PolicyError, Step, Target, read
from apps.notifications.models import Channel
from apps.notifications.routing import place_of
from apps.notifications.ways import Ways
from apps.oncall.models import Schedule
from apps.oncall.rotation import Loaded, load

Hours = EscalationRoute.Hours
#: so far ahead overrides are read, for steps that come later
AHEAD = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Called:
    """Whom a step reaches. users: primary keys; channels: slugs; names: of both, in words, for timelines.

    missing: why each of the others it names is not reached (a gap in a schedule, a person who left, no address that
    works, a channel that is switched off), in words. by_choice: of these, people who want to hear nothing of it.
    """

    users: tuple[int, ...] = ()
    channels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    by_choice: tuple[int, ...] = ()

    @property
    def anybody(self) -> bool:
        return bool(self.users or self.channels)

    @property
    def targets(self) -> dict[str, list[int] | list[str]] | None:
        """For the row that calls. None: it reaches nobody, so the usual routing calls; who chose to hear nothing is
        named all the same, since then nobody else is asked."""
        if not self.anybody and not self.by_choice:
            return None
        return {"users": list(self.users if self.anybody else self.by_choice), "channels": list(self.channels)}


class Routes:
    """The ordered list of routes, read once. `now`: for working hours."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.rows = list(EscalationRoute.objects.select_related("policy").order_by("position", "id"))
        self._working: dict[str, bool | None] = {}

    def policy_of(self, incident: Incident) -> EscalationPolicy | None:
        """The policy of the first route that fits; None: the usual routing, and nobody else later. Needs the
        incident's team and integration loaded."""
        route = self.route_of(
            incident.severity,
            incident.integration.slug if incident.integration else "",
            incident.team.slug if incident.team else "",
        )
        return route.policy if route else None

    def route_of(self, severity: str, integration: str, team: str) -> EscalationRoute | None:
        for route in self.rows:
            if (
                (not route.severities or severity in route.severities)
                and (not route.integrations or integration in route.integrations)
                and (not route.teams or team in route.teams)
                and self._hours(route)
            ):
                return route
        return None

    def _hours(self, route: EscalationRoute) -> bool:
        if route.hours == Hours.ANY:
            return True
        working = self._is_working(route.calendar)
        return working is not None and working is (route.hours == Hours.WORKING)

    def _is_working(self, slug: str) -> bool | None:
        """None when there is no such calendar: then neither hours fit, and the next route is asked."""
        if slug not in self._working:
            row = Calendar.objects.filter(slug=slug).order_by("-version").first()
            self._working[slug] = WorkingCalendar.from_spec(row.spec).is_working(self.now) if row else None
        return self._working[slug]


def ladder_of(policy: EscalationPolicy | EscalationVersion | None) -> Ladder | None:
    """Its steps; None without one, or when they cannot be read (then the usual routing calls)."""
    if policy is None:
        return None
    try:
        return read(policy.steps, policy.repeat, policy.pause)
    except PolicyError:
        return None


class Resolver:
    """Says whom targets mean at `now` and which of them can be reached; asks for everything once, however many
    incidents."""

    def __init__(self, now: datetime, steps: Iterable[Step]) -> None:
        self.now = now
        self._ways = Ways(now)
        refs: dict[str, set[str]] = {"schedule": set(), "person": set(), "team": set(), "channel": set()}
        for step in steps:
            for target in step.targets:
                refs[target.kind].add(target.ref)
        wanted = Schedule.objects.filter(slug__in=refs["schedule"]) | Schedule.objects.filter(
            team__slug__in=refs["team"]
        )
        schedules = load(wanted.distinct().order_by("position", "id"), now, now + AHEAD)
        self._schedules: dict[str, Loaded] = {one.schedule.slug: one for one in schedules}
        self._of_team: dict[str, list[Loaded]] = {}
        for one in schedules:
            self._of_team.setdefault(one.schedule.team.slug, []).append(one)
        people = User.objects.exclude(role=Role.PARTNER).filter(username__in=refs["person"])
        self._people = {user.username: user for user in people}
        self._members: dict[str, list[User]] = {}
        if refs["team"]:
            staff = User.objects.filter(is_active=True).exclude(role=Role.PARTNER)
            for user in staff.filter(teams__slug__in=refs["team"]).prefetch_related("teams").distinct().order_by("pk"):
                for team in user.teams.all():
                    self._members.setdefault(team.slug, []).append(user)
        channels = Channel.objects.filter(slug__in=refs["channel"]) if refs["channel"] else ()
        self._channels = {row.slug: row for row in channels}

    def call(self, step: Step, severity: str = "", at: datetime | None = None) -> Called:
        """Whom this step reaches at `at` (default: now). severity: of the incident; "": whatever people chose."""
        at = at or self.now
        users: dict[int, str] = {}
        channels: dict[str, str] = {}
        missing: list[str] = []
        by_choice: list[int] = []
        for target in step.targets:
            if target.kind == "channel":
                if problem := self._unheard(target.ref):
                    missing.append(problem)
                else:
                    channels[target.ref] = self._channels[target.ref].name
                continue
            found = self._users(target.kind, target.ref, at)
            if not found:
                missing.append(self._nobody(target))
            nowhere = {user.pk for user in self._ways.without_address(found)}
            for user in found:
                if not user.is_active:
                    missing.append(f"{user.display_name} has left")
                elif user.pk in nowhere:
                    missing.append(f"{user.display_name} has no address that works")
                elif severity and self._ways.silent(user, severity, at):
                    missing.append(
                        f"{user.display_name} wants no news of {Severity(severity).label.lower()} severity at this hour"
                    )
                    by_choice.append(user.pk)
                else:
                    users[user.pk] = user.display_name
        names = (*users.values(), *channels.values())
        return Called(tuple(users), tuple(channels), names, tuple(dict.fromkeys(missing)), tuple(by_choice))

    def _unheard(self, slug: str) -> str:
        """Why a channel takes no call; "" if it does."""
        row = self._channels.get(slug)
        if row is None:
            return f"there is no channel “{slug}”"
        if not row.enabled:
            return f"the channel {row.name} is switched off"
        return "" if place_of(row) else f"the channel {row.name} is no place of its own"

    def _nobody(self, target: Target) -> str:
        if target.kind == "person":
            return f"there is no “{target.ref}”"
        if target.kind == "team":
            return f"nobody belongs to the team “{target.ref}”"
        known = self._schedules.get(target.ref)
        return f"nobody is on call by {known.schedule.name}" if known else f"there is no schedule “{target.ref}”"

    def _users(self, kind: str, ref: str, at: datetime) -> Sequence[User]:
        """A team means who is on call for it; without a schedule of its own (or in its gap) all its members."""
        if kind == "person":
            return [self._people[ref]] if ref in self._people else []
        if kind == "schedule":
            user = self._schedules[ref].at(at) if ref in self._schedules else None
            return [user] if user else []
        for one in self._of_team.get(ref, ()):
            if (user := one.at(at)) is not None:
                return [user]
        return self._members.get(ref, [])
