"""How each section of a configuration file becomes rows, and rows become a section again.

A section knows its rows' key, loads one row and exports all. Versioned things (calendars, mappings, flows, rules) get a
new version only when their content differs from the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Max, Model
from django.utils.dateparse import parse_datetime, parse_duration
from django.utils.duration import duration_iso_string

from apps.accounts.models import Team, User
from apps.flows.models import FlowDefinition
from apps.integrations.models import Calendar, Integration, Partner, PartnerAccess, PartnerIdentifier, System
from apps.integrations.models import Mapping as MappingRow
from apps.oncall.models import Schedule, ScheduleMember
from apps.sla.models import SlaRule

Row = Mapping[str, Any]


class Refused(Exception):
    """A row names something that does not exist. field: the key in the row; the text says what is expected."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True)
class Section:
    """name: of the section; key: fields that tell its rows apart; load returns whether the row changed anything."""

    name: str
    key: tuple[str, ...]
    load: Callable[[Row], str]
    export: Callable[[], Iterable[dict[str, Any]]]


def _one(model: type[Model], field: str, value: str, **lookup: Any) -> Any:
    found = model._default_manager.filter(**lookup).first()
    if found is None:
        raise Refused(
            field, f"there is no {model._meta.verbose_name} {value!r}; define it in this file or load it first"
        )
    return found


def _maybe(model: type[Model], row: Row, field: str) -> Any:
    value = row.get(field)
    return None if value is None else _one(model, field, value, slug=value)


def _save(model: type[Model], keys: dict[str, Any], values: dict[str, Any]) -> str:
    """'created', 'changed' or ''."""
    found = model._default_manager.filter(**keys).first()
    if found is None:
        model._default_manager.create(**keys, **values)
        return "created"
    different = [name for name, value in values.items() if getattr(found, name) != value]
    if not different:
        return ""
    for name in different:
        setattr(found, name, values[name])
    found.save(update_fields=different)
    return "changed"


def _version(model: type[Model], slug: str, values: dict[str, Any]) -> str:
    """A new version if the newest one of this slug says something else."""
    newest = model._default_manager.filter(slug=slug).order_by("-version").first()
    if newest is not None and all(getattr(newest, name) == value for name, value in values.items()):
        return ""
    number = 1 if newest is None else newest.version + 1  # type: ignore[attr-defined]
    model._default_manager.create(slug=slug, version=number, **values)
    return "created" if number == 1 else f"version {number}"


def _newest(model: type[Any]) -> list[Any]:
    last = model.objects.values("slug").annotate(last=Max("version")).values_list("slug", "last")
    wanted = set(last)
    return sorted((row for row in model.objects.all() if (row.slug, row.version) in wanted), key=lambda row: row.slug)


def _lean(row: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty or the default: an export says only what was said."""
    return {k: v for k, v in row.items() if v not in (None, "", [], {}) and defaults.get(k, object()) != v}


def _team(row: Row) -> str:
    values = {"name": row["name"], "email": row.get("email", ""), "time_zone": row.get("time_zone", "UTC")}
    return _save(Team, {"slug": row["slug"]}, values)


def _teams() -> Iterable[dict[str, Any]]:
    for team in Team.objects.order_by("slug"):
        yield _lean(
            {"slug": team.slug, "name": team.name, "email": team.email, "time_zone": team.time_zone},
            {"time_zone": "UTC"},
        )


def _calendar(row: Row) -> str:
    return _version(Calendar, row["slug"], {"name": row["name"], "spec": row["spec"]})


def _calendars() -> Iterable[dict[str, Any]]:
    for calendar in _newest(Calendar):
        yield {"slug": calendar.slug, "name": calendar.name, "spec": calendar.spec}


def _partner(row: Row) -> str:
    if row.get("calendar"):
        _one(Calendar, "calendar", row["calendar"], slug=row["calendar"])
    outcome = _save(
        Partner,
        {"slug": row["slug"]},
        {
            "name": row["name"],
            "kind": row["kind"],
            "time_zone": row.get("time_zone", "UTC"),
            "calendar": row.get("calendar", ""),
            "email": row.get("email", ""),
            "active": row.get("active", True),
        },
    )
    partner = Partner.objects.get(slug=row["slug"])
    wanted = {(scheme, value) for scheme, values in row.get("identifiers", {}).items() for value in values}
    known = set(partner.identifiers.values_list("scheme", "value"))
    for scheme, value in sorted(known - wanted):
        partner.identifiers.filter(scheme=scheme, value=value).delete()
    for scheme, value in sorted(wanted - known):
        taken = PartnerIdentifier.objects.filter(scheme=scheme, value=value).first()
        if taken is not None:
            raise Refused("identifiers", f"{scheme} {value} already belongs to partner {taken.partner.slug!r}")
        PartnerIdentifier.objects.create(partner=partner, scheme=scheme, value=value)
    return outcome or ("changed" if wanted != known else "")


def _partners() -> Iterable[dict[str, Any]]:
    for partner in Partner.objects.order_by("slug").prefetch_related("identifiers"):
        identifiers: dict[str, list[str]] = {}
        for one in sorted(partner.identifiers.all(), key=lambda i: (i.scheme, i.value)):
            identifiers.setdefault(one.scheme, []).append(one.value)
        yield _lean(
            {
                "slug": partner.slug,
                "name": partner.name,
                "kind": str(partner.kind),
                "time_zone": partner.time_zone,
                "calendar": partner.calendar,
                "email": partner.email,
                "active": partner.active,
                "identifiers": identifiers,
            },
            {"time_zone": "UTC", "active": True},
        )


def _system(row: Row) -> str:
    values = {
        "name": row["name"],
        "kind": row["kind"],
        "partner": _maybe(Partner, row, "partner"),
        "base_url": row.get("base_url", ""),
    }
    return _save(System, {"slug": row["slug"]}, values)


def _systems() -> Iterable[dict[str, Any]]:
    for system in System.objects.order_by("slug").select_related("partner"):
        partner = system.partner.slug if system.partner else None
        yield _lean(
            {
                "slug": system.slug,
                "name": system.name,
                "kind": system.kind,
                "partner": partner,
                "base_url": system.base_url,
            },
            {},
        )


def _mapping(row: Row) -> str:
    return _version(MappingRow, row["slug"], {"name": row.get("name", ""), "spec": row["spec"]})


def _mappings() -> Iterable[dict[str, Any]]:
    for mapping in _newest(MappingRow):
        yield _lean({"slug": mapping.slug, "name": mapping.name, "spec": mapping.spec}, {})


_INTEGRATION_DEFAULTS = {
    "criticality": "normal",
    "latency_class": "real_time",
    "environment": "production",
    "time_zone": "UTC",
    "lifecycle": "live",
    "enabled": True,
}


def _span(text: str | None) -> timedelta | None:
    return None if text is None else parse_duration(text)


def _integration(row: Row) -> str:
    mapping = None
    if row.get("mapping"):
        _one(MappingRow, "mapping", row["mapping"], slug=row["mapping"])
        mapping = MappingRow.objects.filter(slug=row["mapping"]).order_by("-version").first()
    values = {
        "name": row["name"],
        "kind": row["kind"],
        "partner": _maybe(Partner, row, "partner"),
        "system": _maybe(System, row, "system"),
        "team": _maybe(Team, row, "team"),
        "mapping": mapping,
        "settings": row.get("settings", {}),
        "latency_tolerance": _span(row.get("latency_tolerance")),
        "stale_after": _span(row.get("stale_after")),
        "contract_version": row.get("contract_version", ""),
        "zone": row.get("zone", ""),
        **{name: row.get(name, default) for name, default in _INTEGRATION_DEFAULTS.items()},
    }
    return _save(Integration, {"slug": row["slug"]}, values)


def _integrations() -> Iterable[dict[str, Any]]:
    rows = Integration.objects.order_by("slug").select_related("partner", "system", "team", "mapping")
    for one in rows:
        yield _lean(
            {
                "slug": one.slug,
                "name": one.name,
                "kind": one.kind,
                "partner": one.partner.slug if one.partner else None,
                "system": one.system.slug if one.system else None,
                "team": one.team.slug if one.team else None,
                "mapping": one.mapping.slug if one.mapping else None,
                "settings": one.settings,
                "criticality": str(one.criticality),
                "latency_class": str(one.latency_class),
                "latency_tolerance": _iso(one.latency_tolerance),
                "stale_after": _iso(one.stale_after),
                "contract_version": one.contract_version,
                "environment": str(one.environment),
                "zone": one.zone,
                "time_zone": one.time_zone,
                "lifecycle": str(one.lifecycle),
                "enabled": one.enabled,
            },
            _INTEGRATION_DEFAULTS,
        )


def _iso(span: timedelta | None) -> str | None:
    return None if span is None else duration_iso_string(span)


def _flow(row: Row) -> str:
    spec = {name: value for name, value in row.items() if name not in ("slug", "name", "owner")}
    known = {milestone["name"] for milestone in spec["milestones"]}
    if len(known) < len(spec["milestones"]):
        raise Refused("milestones", "two milestones have the same name")
    for name in spec.get("completed_by", ()):
        if name not in known:
            raise Refused("completed_by", f"{name!r} is none of the milestones: {', '.join(sorted(known))}")
    newest = FlowDefinition.objects.filter(slug=row["slug"]).order_by("-version").first()
    owner = _maybe(Team, row, "owner")
    if newest is not None and newest.spec == spec and newest.name == row["name"]:
        if newest.owner != owner:
            newest.owner = owner
            newest.save(update_fields=["owner"])
            return "changed"
        return ""
    FlowDefinition.objects.filter(slug=row["slug"], active=True).update(active=False)
    return _version(FlowDefinition, row["slug"], {"name": row["name"], "spec": spec, "owner": owner, "active": True})


def _flows() -> Iterable[dict[str, Any]]:
    for flow in _newest(FlowDefinition):
        head = {"slug": flow.slug, "name": flow.name, **({"owner": flow.owner.slug} if flow.owner else {})}
        yield {**head, **flow.spec}


def _rule(row: Row) -> str:
    flow = FlowDefinition.objects.filter(slug=row["flow"]).order_by("-version").first()
    if flow is None:
        raise Refused("flow", f"there is no flow {row['flow']!r}; load its definition first")
    names = [milestone["name"] for milestone in flow.spec["milestones"]]
    if row["milestone"] not in names:
        raise Refused("milestone", f"{row['milestone']!r} is none of the milestones of {flow.slug}: {', '.join(names)}")
    values = {
        "name": row["name"],
        "flow_slug": row["flow"],
        "milestone": row["milestone"],
        "position": row.get("position", 100),
        "severity": row.get("severity", "normal"),
        "target": Decimal(str(row.get("target", 98))),
        "lifecycle": row.get("lifecycle", "active"),
        "spec": row["spec"],
    }
    return _version(SlaRule, row["slug"], values)


def _rules() -> Iterable[dict[str, Any]]:
    for rule in _newest(SlaRule):
        target = int(rule.target) if rule.target == int(rule.target) else float(rule.target)
        yield _lean(
            {
                "slug": rule.slug,
                "name": rule.name,
                "flow": rule.flow_slug,
                "milestone": rule.milestone,
                "position": rule.position,
                "severity": str(rule.severity),
                "target": target,
                "lifecycle": str(rule.lifecycle),
                "spec": rule.spec,
            },
            {"position": 100, "severity": "normal", "target": 98, "lifecycle": "active"},
        )


def _user(row: Row) -> str:
    if (row["role"] == "partner") != bool(row.get("partner")):
        raise Refused("role", "a user of role partner needs 'partner', and only such a user may have one")
    names = ("first_name", "last_name", "email", "phone")
    values = {name: row.get(name, "") for name in names}
    values |= {"role": row["role"], "time_zone": row.get("time_zone", "UTC"), "is_staff": row["role"] == "admin"}
    outcome = _save(User, {"username": row["username"]}, values)
    user = User.objects.get(username=row["username"])
    if outcome == "created":
        user.set_unusable_password()
        user.save(update_fields=["password"])
    teams = {_one(Team, "teams", slug, slug=slug) for slug in row.get("teams", ())}
    if set(user.teams.all()) != teams:
        user.teams.set(teams)
        outcome = outcome or "changed"
    partner = _maybe(Partner, row, "partner")
    known = PartnerAccess.objects.filter(user=user).first()
    if partner is None and known is not None:
        known.delete()
        return outcome or "changed"
    if partner is not None and (known is None or known.partner != partner):
        PartnerAccess.objects.update_or_create(user=user, defaults={"partner": partner})
        return outcome or "changed"
    return outcome


def _users() -> Iterable[dict[str, Any]]:
    for user in User.objects.order_by("username").prefetch_related("teams").select_related("partner_access__partner"):
        access = getattr(user, "partner_access", None)
        yield _lean(
            {
                "username": user.username,
                "first_name": user.first_name,
                "last_name": user.last_name,
                "email": user.email,
                "role": str(user.role),
                "teams": sorted(team.slug for team in user.teams.all()),
                "partner": access.partner.slug if access else None,
                "time_zone": user.time_zone,
                "phone": user.phone,
            },
            {"time_zone": "UTC"},
        )


def _schedule(row: Row) -> str:
    starts = parse_datetime(row["starts_at"])
    if starts is None or starts.tzinfo is None:
        raise Refused("starts_at", "expected a time with its offset, such as 2026-01-05T08:00:00+01:00")
    team = _one(Team, "team", row["team"], slug=row["team"])
    values = {
        "name": row["name"],
        "time_zone": row.get("time_zone", "UTC"),
        "starts_at": starts,
        "shift_length": parse_duration(row["shift_length"]),
    }
    outcome = _save(Schedule, {"team": team}, values)
    schedule = Schedule.objects.get(team=team)
    members = [_one(User, "members", name, username=name) for name in row["members"]]
    if [member.user for member in schedule.members.select_related("user")] != members:
        schedule.members.all().delete()
        ScheduleMember.objects.bulk_create(
            ScheduleMember(schedule=schedule, user=user, position=place) for place, user in enumerate(members)
        )
        return outcome or "changed"
    return outcome


def _stamp(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _schedules() -> Iterable[dict[str, Any]]:
    for one in Schedule.objects.order_by("team__slug").select_related("team").prefetch_related("members__user"):
        yield _lean(
            {
                "team": one.team.slug,
                "name": one.name,
                "time_zone": one.time_zone,
                "starts_at": _stamp(one.starts_at),
                "shift_length": _iso(one.shift_length),
                "members": [member.user.username for member in one.members.all()],
            },
            {"time_zone": "UTC"},
        )


#: in the order they must be loaded
SECTIONS = [
    Section("teams", ("slug",), _team, _teams),
    Section("calendars", ("slug",), _calendar, _calendars),
    Section("partners", ("slug",), _partner, _partners),
    Section("systems", ("slug",), _system, _systems),
    Section("mappings", ("slug",), _mapping, _mappings),
    Section("integrations", ("slug",), _integration, _integrations),
    Section("flows", ("slug",), _flow, _flows),
    Section("rules", ("slug",), _rule, _rules),
    Section("users", ("username",), _user, _users),
    Section("schedules", ("team",), _schedule, _schedules),
]
