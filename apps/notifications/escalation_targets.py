"""Which policy an incident follows, and whom the targets of a step mean at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.accounts.models import Role, User
from apps.core.calendars import WorkingCalendar
from apps.incidents.models import Incident
from apps.integrations.models import Calendar
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute, EscalationVersion
from apps.notifications.escalation_plans import Ladder, PolicyError, Step, read
from apps.oncall.models import Schedule
from apps.oncall.rotation import Loaded, load

Hours = EscalationRoute.Hours
#: so far ahead overrides are read, for steps that come later
AHEAD = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Called:
    """Whom a step calls. users: primary keys; channels: slugs; names: in words, for timelines; missing: what is
    nobody at the moment (a gap in a schedule, a person who left)."""

    users: tuple[int, ...] = ()
    channels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def anybody(self) -> bool:
        return bool(self.users or self.channels)

    def as_targets(self) -> dict[str, list[int] | list[str]]:
        return {"users": list(self.users), "channels": list(self.channels)}


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
    """Says whom targets mean at `now`; asks for everything once, however many incidents."""

    def __init__(self, now: datetime, steps: Iterable[Step]) -> None:
        self.now = now
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
        staff = User.objects.filter(is_active=True).exclude(role=Role.PARTNER)
        self._people = {user.username: user for user in staff.filter(username__in=refs["person"])}
        self._members: dict[str, list[User]] = {}
        if refs["team"]:
            for user in staff.filter(teams__slug__in=refs["team"]).prefetch_related("teams").distinct().order_by("pk"):
                for team in user.teams.all():
                    self._members.setdefault(team.slug, []).append(user)

    def call(self, step: Step, at: datetime | None = None) -> Called:
        """Whom this step calls at `at` (default: now)."""
        at = at or self.now
        users: dict[int, str] = {}
        channels: list[str] = []
        missing: list[str] = []
        for target in step.targets:
            if target.kind == "channel":
                channels.append(target.ref)
                continue
            found = self._users(target.kind, target.ref, at)
            if not found:
                missing.append(target.ref)
            users |= {user.pk: user.display_name for user in found}
        return Called(tuple(users), tuple(channels), (*users.values(), *channels), tuple(missing))

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
