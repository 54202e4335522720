"""A schedule drawn anew: who saves it replaces its layers as a whole; each save is a version that can come back.

What a schedule says is kept as plain values (`told`), the same whether a page or a configuration file said it. A save
says which drawing it began with (`fingerprint`), so of two people who edit at once the second sees the first. What
was there without a version (it came from a file) becomes one before it is replaced. Overrides and swaps stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max

from apps.accounts import audit
from apps.accounts.models import Team, User
from apps.oncall.models import Layer, LayerMember, Schedule, ScheduleVersion
from apps.oncall.rotation import Loaded, loaded_of

_NOTE = 300
LAYER_FIELDS = (
    "name", "time_zone", "starts_at", "shift_length", "restrictions", "holidays", "active_from", "active_until",
)  # fmt: skip
HEAD = ("name", "position", "time_zone", "country", "subdivision", "mail_handover")


@dataclass(frozen=True, slots=True)
class WantedLayer:
    """As `models.Layer`; members in the order of their turns, perhaps one more than once."""

    members: tuple[User, ...]
    starts_at: datetime
    shift_length: timedelta
    name: str = ""
    time_zone: str = ""
    restrictions: tuple[Mapping[str, Any], ...] = ()
    holidays: str = "usual"
    active_from: datetime | None = None
    active_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """As `models.Schedule`; layers: the lowest first."""

    slug: str
    team: Team
    name: str
    layers: tuple[WantedLayer, ...]
    position: int = 0
    time_zone: str = "UTC"
    country: str = ""
    subdivision: str = ""
    mail_handover: bool = False


class Overtaken(Exception):
    """Somebody else changed or removed it since the edit began; the message is for people."""


def layers_of(schedule: Schedule) -> list[Layer]:
    """The lowest first, with their people."""
    return list(schedule.layers.order_by("position", "id").prefetch_related("members__user"))


def wanted_of(schedule: Schedule) -> Wanted:
    """What a schedule says now. Needs its team."""
    layers = tuple(
        WantedLayer(
            tuple(one.user for one in sorted(layer.members.all(), key=lambda one: one.position)),
            **{name: getattr(layer, name) for name in LAYER_FIELDS if name != "restrictions"},
            restrictions=tuple(layer.restrictions),
        )
        for layer in layers_of(schedule)
    )
    return Wanted(schedule.slug, schedule.team, layers=layers, **{name: getattr(schedule, name) for name in HEAD})


def told(wanted: Wanted) -> dict[str, Any]:
    """Plain values, for versions and the audit log. Times in ISO 8601, lengths in seconds, people by sign-in name."""
    layers = [
        {
            "name": one.name,
            "time_zone": one.time_zone,
            "starts_at": _iso(one.starts_at),
            "shift_length": one.shift_length.total_seconds(),
            "restrictions": [dict(hours) for hours in one.restrictions],
            "holidays": str(one.holidays),
            "active_from": _iso(one.active_from),
            "active_until": _iso(one.active_until),
            "members": [user.username for user in one.members],
        }
        for one in wanted.layers
    ]
    return {"team": wanted.team.slug, **{name: getattr(wanted, name) for name in HEAD}, "layers": layers}


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def fingerprint(said: Mapping[str, Any] | None) -> str:
    """Tells one drawing from another; "" for a schedule that is not there yet."""
    if said is None:
        return ""
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:24]


def from_told(slug: str, said: Mapping[str, Any], team: Team, people: Mapping[str, User]) -> Wanted:
    """The other way round. People who are not there any more are left out of their turns."""
    layers = tuple(
        WantedLayer(
            tuple(people[name] for name in one["members"] if name in people),
            datetime.fromisoformat(one["starts_at"]),
            timedelta(seconds=one["shift_length"]),
            one["name"],
            one["time_zone"],
            tuple(one["restrictions"]),
            one["holidays"],
            datetime.fromisoformat(one["active_from"]) if one["active_from"] else None,
            datetime.fromisoformat(one["active_until"]) if one["active_until"] else None,
        )
        for one in said["layers"]
    )
    return Wanted(slug, team, layers=layers, **{name: said[name] for name in HEAD})


def drawn(wanted: Wanted, now: Loaded | None) -> Loaded:
    """What the schedule would be, with the overrides it has (`now`): for a look before anything is kept."""
    schedule = Schedule(slug=wanted.slug, team=wanted.team, **{name: getattr(wanted, name) for name in HEAD})
    layers = [
        (Layer(**{name: _plain(getattr(one, name)) for name in LAYER_FIELDS}), list(one.members))
        for one in wanted.layers
    ]
    return loaded_of(schedule, layers, now.overrides if now is not None else ())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@transaction.atomic
def save(wanted: Wanted, actor: User, now: datetime, *, base: str, note: str = "") -> Schedule:
    """Keeps it. base: fingerprint of what the edit began with, "" for a new one. Raises Overtaken.

    What says the same as before changes nothing and makes no version.
    """
    row = Schedule.objects.select_for_update(of=("self",)).select_related("team").filter(slug=wanted.slug).first()
    before = None if row is None else told(wanted_of(row))
    if row is None and base:
        raise Overtaken("This schedule was removed meanwhile: what you drew is not kept.")
    if fingerprint(before) != base:
        raise Overtaken("Somebody changed this schedule since you opened it. Open it again to see what it says now.")
    after = told(wanted)
    if row is not None and before == after:
        return row
    if row is None:
        row = Schedule(slug=wanted.slug)
    elif before is not None:
        _keep_version(row, before, now)
    row.team = wanted.team
    for name in HEAD:
        setattr(row, name, getattr(wanted, name))
    row.save()
    write_layers(row, ({**_values(one), "members": one.members} for one in wanted.layers))
    _keep_version(row, after, now, actor.display_name, note)
    action = "schedule.added" if before is None else "schedule.redrawn"
    audit.record(actor, action, f"schedule:{row.slug}", before, after | {"note": note[:_NOTE]}, now)
    return row


def _values(one: WantedLayer) -> dict[str, Any]:
    return {name: _plain(getattr(one, name)) for name in LAYER_FIELDS}


def _keep_version(row: Schedule, said: Mapping[str, Any], now: datetime, author: str = "", note: str = "") -> None:
    newest = row.versions.order_by("-version").first()
    if newest is not None and newest.spec == said:
        return
    number = (row.versions.aggregate(last=Max("version"))["last"] or 0) + 1
    ScheduleVersion.objects.create(
        schedule=row, version=number, spec=said, author_name=author, note=note[:_NOTE], created_at=now
    )


def go_back(row: Schedule, version: ScheduleVersion, actor: User, now: datetime, *, base: str) -> Schedule:
    """An earlier version again, as the newest. Raises Overtaken, also when it names nobody who is still here."""
    people = {user.username: user for user in User.objects.filter(username__in=_named(version.spec))}
    team = Team.objects.filter(slug=version.spec["team"]).first() or row.team
    wanted = from_told(row.slug, version.spec, team, people)
    return save(wanted, actor, now, base=base, note=f"Version {version.version} again")


def _named(said: Mapping[str, Any]) -> set[str]:
    return {name for layer in said["layers"] for name in layer["members"]}


@transaction.atomic
def remove(row: Schedule, actor: User, now: datetime) -> None:
    """The schedule with its overrides, swaps, notes and versions; the audit log keeps what it said."""
    audit.record(actor, "schedule.removed", f"schedule:{row.slug}", told(wanted_of(row)), None, now)
    row.delete()


def write_layers(known: Schedule, layers: Iterable[Mapping[str, Any]]) -> None:
    """These layers (fields and members, the lowest first) instead of those it has; overrides and swaps stay."""
    known.layers.all().delete()
    for position, values in enumerate(layers):
        fields = {name: value for name, value in values.items() if name != "members"}
        layer = Layer.objects.create(schedule=known, position=position, **fields)
        LayerMember.objects.bulk_create(
            LayerMember(layer=layer, user=user, position=place) for place, user in enumerate(values["members"])
        )
