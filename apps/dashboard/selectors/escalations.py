"""Escalation policies as lists and as ladders over time, and the choices of their forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.accounts.models import Role, Team, User
from apps.core import wording
from apps.incidents.models import Severity
from apps.integrations.models import Calendar, Integration
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute, EscalationVersion
from apps.notifications.escalation_outlook import calls_of
from apps.notifications.escalation_plans import Due, Ladder, PolicyError, Target
from apps.notifications.escalation_targets import Called, ladder_of
from apps.notifications.models import Channel
from apps.oncall.models import Schedule

#: kind and ref of a target
Key = tuple[str, str]
#: steps that a picture shows at most
MOST_DRAWN = 12


@dataclass(frozen=True, slots=True)
class Rung:
    """A step in the picture. x in percent of the whole time; y: of its words; who: in words."""

    x: str
    y: int
    when: str
    who: str
    again: bool
    anchor: str


@dataclass(frozen=True, slots=True)
class Picture:
    """missing: why some of those its steps name are not reached, in words."""

    rungs: list[Rung]
    height: int
    words: str
    more: int
    missing: list[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """broken: its steps cannot be read, so the usual routing calls."""

    row: EscalationPolicy
    ladder: Ladder | None
    picture: Picture | None
    routes: int

    @property
    def broken(self) -> bool:
        return self.ladder is None


def policies(now: datetime) -> list[Policy]:
    routes = list(EscalationRoute.objects.values_list("policy_id", flat=True))
    found = []
    for row in EscalationPolicy.objects.order_by("name"):
        ladder = ladder_of(row)
        found.append(Policy(row, ladder, picture(calls_of(ladder, now)) if ladder else None, routes.count(row.pk)))
    return found


def picture(calls: Sequence[tuple[Due, Called]]) -> Picture:
    """The steps on a line of time. Words of neighbours stand on different heights, so that they do not overlap."""
    shown = calls[:MOST_DRAWN]
    begin, end = shown[0][0].at, shown[-1][0].at
    whole = max(end - begin, timedelta(minutes=1))
    rungs = []
    for number, (due, called) in enumerate(shown):
        share = (due.at - begin) / whole
        who = ", ".join(called.names) or "nobody now"
        rungs.append(
            Rung(
                f"{2 + 94 * share:.2f}%", 34 + (number % 3) * 34, f"+{_offset(due.at - begin)}" if number else "at once" if due.at == begin and due.step == 0 else "",
                who, due.round > 0, "end" if share > 0.75 and number else "start",
            )
        )  # fmt: skip
    missing = list(dict.fromkeys(one for _, called in calls for one in called.missing))
    words = "; ".join(f"{one.when or 'at once'}: {one.who}" for one in rungs)
    return Picture(rungs, 34 + min(len(rungs), 3) * 34 + 4, words, len(calls) - len(shown), missing)


def _offset(span: timedelta) -> str:
    return wording.duration(span)


@dataclass(frozen=True, slots=True)
class Version:
    """says: its steps in words, one line each."""

    row: EscalationVersion
    says: list[str]


def versions(row: EscalationPolicy) -> list[Version]:
    """The newest fifty first."""
    names = target_names()
    return [Version(one, _in_words(ladder_of(one), names)) for one in row.versions.order_by("-version")[:50]]


def _in_words(ladder: Ladder | None, names: Mapping[Key, str]) -> list[str]:
    found = []
    for number, step in enumerate(ladder.steps if ladder else ()):
        whom = ", ".join(names.get((one.kind, one.ref)) or f"{one.ref} (gone)" for one in step.targets)
        when = f"+{_offset(step.after)}" if step.after else "" if number else "at once"
        found.append(f"{when}: {whom}")
    return found


def target_choices(ladder: Ladder | None = None) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of (value, label) for the selects of a step; values are ``kind:ref``.

    ladder: what it names is among them although it is not there any more.
    """
    people = User.objects.filter(is_active=True).exclude(role=Role.PARTNER).order_by("first_name", "username")
    channels = [
        (f"channel:{one.slug}", one.name if one.enabled else f"{one.name} (switched off)")
        for one in Channel.objects.order_by("name")
    ]
    groups = [
        ("On call by schedule", [(f"schedule:{one.slug}", one.name) for one in Schedule.objects.order_by("name")]),
        ("Teams (who is on call, else all)", [(f"team:{one.slug}", one.name) for one in Team.objects.order_by("name")]),
        ("People", [(f"person:{one.username}", one.display_name) for one in people]),
        ("Channels", channels),
    ]
    known = {value for _, choices in groups for value, _ in choices}
    gone = {f"{one.kind}:{one.ref}": one.ref for one in _targets(ladder)}
    left = [(value, f"{ref} (gone)") for value, ref in gone.items() if value not in known]
    return [*groups, ("Not there any more", left)]


def _targets(ladder: Ladder | None) -> list[Target]:
    return [target for step in ladder.steps for target in step.targets] if ladder else []


def target_names() -> dict[Key, str]:
    return {
        (value.partition(":")[0], value.partition(":")[2]): label
        for _, choices in target_choices()
        for value, label in choices
    }


def gone(ladder: Ladder) -> list[str]:
    """What its steps name and is not there any more, in words."""
    names = target_names()
    return [
        f"Step {number} names “{one.ref}”, which is not there any more: choose another or nobody."
        for number, step in enumerate(ladder.steps, 1)
        for one in step.targets
        if (one.kind, one.ref) not in names
    ]


def refuse_unknown(ladder: Ladder, before: EscalationPolicy | None) -> None:
    """Raises PolicyError for what is named and is not there, unless the policy named it before."""
    names, kept = target_names(), set(_targets(ladder_of(before)))
    for number, step in enumerate(ladder.steps, 1):
        for one in step.targets:
            if (one.kind, one.ref) not in names and one not in kept:
                raise PolicyError(f"Step {number}: there is no {one.kind} “{one.ref}”. Choose from the list.")


@dataclass(frozen=True, slots=True)
class RouteLine:
    row: EscalationRoute
    severities: str
    places: str
    hours: str


def routes() -> list[RouteLine]:
    labels = dict(Severity.choices)
    integrations = dict(Integration.objects.values_list("slug", "name"))
    teams = dict(Team.objects.values_list("slug", "name"))
    return [
        RouteLine(
            row,
            ", ".join(labels.get(one, one).lower() for one in row.severities) or "any",
            ", ".join(
                [integrations.get(one, f"{one} (gone)") for one in row.integrations]
                + [teams.get(one, f"{one} (gone)") for one in row.teams]
            )
            or "all",
            row.get_hours_display() + (f" ({row.calendar})" if row.calendar else ""),
        )
        for row in EscalationRoute.objects.select_related("policy").order_by("position", "id")
    ]


def route_choices() -> dict[str, list[tuple[str, str]]]:
    return {
        "severities": [(value, str(label)) for value, label in Severity.choices],
        "integrations": list(Integration.objects.order_by("name").values_list("slug", "name")),
        "teams": list(Team.objects.order_by("name").values_list("slug", "name")),
        "calendars": sorted(dict(Calendar.objects.order_by("version").values_list("slug", "name")).items()),
    }
