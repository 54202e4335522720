"""On-call schedules: rows from a configuration file and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime, parse_duration

from apps.accounts.models import Team, User
from apps.configuration.rows import Refused, Row, find, iso, lean, save
from apps.core.calendar_specs import CalendarError, holidays_of
from apps.oncall.layers import SHORTEST_TURN, RestrictionError, read_restrictions
from apps.oncall.models import Layer, Schedule
from apps.oncall.redrawing import layers_of, write_layers

#: a year for which every country's holidays are known: an unknown country is an error at once
SAMPLE_YEAR = 2024


def schedule(row: Row) -> str:
    """One rotation, or `layers`; what a file no longer says about a schedule goes."""
    team = find(Team, "team", row["team"], slug=row["team"])
    country, subdivision = row.get("country", ""), row.get("subdivision", "")
    if country:
        try:
            holidays_of(country, subdivision, SAMPLE_YEAR)
        except CalendarError as error:
            raise Refused("country", str(error)) from None
    layers = [_layer(one) for one in row.get("layers") or [_single(row)]]
    slug = row.get("slug", row["team"])
    taken = Schedule.objects.filter(slug=slug).exclude(team=team).select_related("team").first()
    if taken is not None:
        raise Refused("slug" if "slug" in row else "team", f"schedule {slug!r} belongs to team {taken.team.slug!r}")
    values = {
        "team": team,
        "name": row["name"],
        "position": row.get("position", 0),
        "time_zone": row.get("time_zone", "UTC"),
        "country": country,
        "subdivision": subdivision,
        "mail_handover": row.get("mail_handover", False),
    }
    outcome = save(Schedule, {"slug": slug}, values)
    known = Schedule.objects.get(slug=slug)
    if [_said(layer) for layer in layers_of(known)] == layers:
        return outcome
    write_layers(known, layers)
    return outcome or "changed"


def _single(row: Row) -> Row:
    return {name: row[name] for name in ("starts_at", "shift_length", "members")}


def _layer(row: Row) -> dict[str, Any]:
    """A layer's values, checked. members are users."""
    length = parse_duration(row["shift_length"])
    if length is None or length < SHORTEST_TURN:
        raise Refused("shift_length", "a turn lasts at least 10 minutes")
    try:
        read_restrictions(row.get("hours", []))
    except RestrictionError as error:
        raise Refused("layers", str(error)) from None
    return {
        "name": row.get("name", ""),
        "time_zone": row.get("time_zone", ""),
        "starts_at": _moment(row, "starts_at"),
        "shift_length": length,
        "restrictions": row.get("hours", []),
        "holidays": row.get("holidays", "usual"),
        "active_from": _moment(row, "active_from"),
        "active_until": _moment(row, "active_until"),
        "members": [find(User, "members", name, username=name) for name in row["members"]],
    }


def _moment(row: Row, name: str) -> datetime | None:
    if name not in row:
        return None
    moment = parse_datetime(row[name])
    if moment is None or moment.tzinfo is None:
        raise Refused(name, "expected a time with its offset, such as 2026-01-05T08:00:00+01:00")
    return moment


def _said(layer: Layer) -> dict[str, Any]:
    names = (
        "name", "time_zone", "starts_at", "shift_length", "restrictions", "holidays", "active_from", "active_until",
    )  # fmt: skip
    return {name: getattr(layer, name) for name in names} | {"members": [one.user for one in layer.members.all()]}


def _stamp(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat().replace("+00:00", "Z")


def schedules() -> Iterable[dict[str, Any]]:
    for one in Schedule.objects.order_by("team__slug", "position", "slug").select_related("team"):
        layers = [_exported(layer) for layer in layers_of(one)]
        head = {
            "slug": one.slug if one.slug != one.team.slug else None,
            "team": one.team.slug,
            "name": one.name,
            "position": one.position,
            "time_zone": one.time_zone,
            "country": one.country,
            "subdivision": one.subdivision,
            "mail_handover": one.mail_handover,
        }
        simple = len(layers) == 1 and set(layers[0]) == {"starts_at", "shift_length", "members"}
        body = layers[0] if simple else {"layers": layers}
        yield lean(head | body, {"time_zone": "UTC", "position": 0, "mail_handover": False})


def _exported(layer: Layer) -> dict[str, Any]:
    said = _said(layer)
    length: timedelta = said["shift_length"]
    return lean(
        {
            "name": said["name"],
            "time_zone": said["time_zone"],
            "starts_at": _stamp(said["starts_at"]),
            "shift_length": iso(length),
            "members": [user.username for user in said["members"]],
            "hours": said["restrictions"],
            "holidays": str(said["holidays"]),
            "active_from": _stamp(said["active_from"]),
            "active_until": _stamp(said["active_until"]),
        },
        {"holidays": "usual"},
    )
