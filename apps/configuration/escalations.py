"""Escalation policies and which incidents follow which: rows from a configuration file and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.utils.dateparse import parse_duration

from apps.accounts.models import Team, User
from apps.configuration.rows import Refused, Row, find, iso, lean, save
from apps.integrations.models import Calendar, Integration
from apps.notifications.escalation_models import EscalationPolicy, EscalationRoute
from apps.notifications.escalation_plans import PolicyError, read
from apps.oncall.models import Schedule

PAUSE = timedelta(minutes=30)


def policy(row: Row) -> str:
    steps = [
        {"after": step.get("after", 0), "targets": [_target(one) for one in step["targets"]]} for step in row["steps"]
    ]
    pause = _span(row, "pause") or PAUSE
    try:
        read(steps, row.get("repeat", 0), pause)
    except PolicyError as error:
        raise Refused("steps", str(error)) from None
    values = {
        "name": row["name"],
        "steps": steps,
        "repeat": row.get("repeat", 0),
        "pause": pause,
        "lapse_after": _span(row, "lapse_after"),
        "remind_every": _span(row, "remind_every"),
    }
    return save(EscalationPolicy, {"slug": row["slug"]}, values)


def _target(said: dict[str, str]) -> dict[str, str]:
    """{"schedule": "nights"} as the policy keeps it; what it names must be there (channels are set up on their page)."""
    [(kind, ref)] = said.items()
    if kind == "person":
        find(User, "steps", ref, username=ref)
    elif kind in ("schedule", "team"):
        find(Schedule if kind == "schedule" else Team, "steps", ref, slug=ref)
    return {"kind": kind, "ref": ref}


def _span(row: Row, name: str) -> timedelta | None:
    return parse_duration(row[name]) if name in row else None


def policies() -> Iterable[dict[str, Any]]:
    for one in EscalationPolicy.objects.order_by("slug"):
        steps = [
            {"after": step.get("after", 0), "targets": [{said["kind"]: said["ref"]} for said in step["targets"]]}
            for step in one.steps
        ]
        yield lean(
            {
                "slug": one.slug,
                "name": one.name,
                "steps": steps,
                "repeat": one.repeat,
                "pause": iso(one.pause),
                "lapse_after": iso(one.lapse_after),
                "remind_every": iso(one.remind_every),
            },
            {"repeat": 0, "pause": iso(PAUSE)},
        )


def route(row: Row) -> str:
    for name, model in (("integrations", Integration), ("teams", Team)):
        for slug in row.get(name, ()):
            find(model, name, slug, slug=slug)
    hours, calendar = row.get("hours", "any"), row.get("calendar", "")
    if (hours != "any") != bool(calendar):
        raise Refused("hours", "working hours need a 'calendar', and a calendar needs 'hours: working' or 'hours: off'")
    if calendar:
        find(Calendar, "calendar", calendar, slug=calendar)
    values = {
        "policy": find(EscalationPolicy, "policy", row["policy"], slug=row["policy"]),
        "severities": row.get("severities", []),
        "integrations": row.get("integrations", []),
        "teams": row.get("teams", []),
        "hours": hours,
        "calendar": calendar,
    }
    return save(EscalationRoute, {"position": row["position"]}, values)


def routes() -> Iterable[dict[str, Any]]:
    for one in EscalationRoute.objects.select_related("policy").order_by("position", "id"):
        yield lean(
            {
                "position": one.position,
                "policy": one.policy.slug,
                "severities": one.severities,
                "integrations": one.integrations,
                "teams": one.teams,
                "hours": str(one.hours),
                "calendar": one.calendar,
            },
            {"hours": "any"},
        )
