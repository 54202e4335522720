"""Escalation policies as lists and as ladders over time, and the choices of their forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.accounts.models import Role, Team, User
from apps.core import wording
from apps.incidents.models import Severity
from apps.integrations.models import Calendar, Integration
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute
from apps.notifications.escalation_outlook import calls_of
from apps.notifications.escalation_plans import Due, Ladder, Step
from apps.notifications.escalation_targets import Called, ladder_of
from apps.notifications.models import Channel
from apps.oncall.models import Schedule

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
    rungs: list[Rung]
    height: int
    words: str
    more: int


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
    words = "; ".join(f"{one.when or 'at once'}: {one.who}" for one in rungs)
    return Picture(rungs, 34 + min(len(rungs), 3) * 34 + 4, words, len(calls) - len(shown))


def _offset(span: timedelta) -> str:
    return wording.duration(span)


def target_words(step: Step, names: dict[tuple[str, str], str]) -> list[tuple[str, bool]]:
    """Each target in words, and whether there is such a thing."""
    return [(names.get((one.kind, one.ref), one.ref), (one.kind, one.ref) in names) for one in step.targets]


def target_choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of (value, label) for the selects of a step; values are ``kind:ref``."""
    people = User.objects.filter(is_active=True).exclude(role=Role.PARTNER).order_by("first_name", "username")
    return [
        ("On call by schedule", [(f"schedule:{one.slug}", one.name) for one in Schedule.objects.order_by("name")]),
        ("Teams (who is on call, else all)", [(f"team:{one.slug}", one.name) for one in Team.objects.order_by("name")]),
        ("People", [(f"person:{one.username}", one.display_name) for one in people]),
        ("Channels", [(f"channel:{one.slug}", one.name) for one in Channel.objects.filter(enabled=True).order_by("name")]),
    ]  # fmt: skip


def target_names() -> dict[tuple[str, str], str]:
    return {
        (value.partition(":")[0], value.partition(":")[2]): label
        for _, choices in target_choices()
        for value, label in choices
    }


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
