"""Teams, calendars, partners, systems, mappings and integrations: rows from a configuration file and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.utils.dateparse import parse_duration

from apps.accounts.models import Team
from apps.collectors.contract import COLLECTORS
from apps.collectors.mapping import compile_mapping
from apps.collectors.mapping_rules import MappingError
from apps.configuration.rows import Refused, Row, find, find_maybe, iso, lean, newest_of, save, save_version
from apps.core.calendars import CalendarError, WorkingCalendar
from apps.integrations.models import Calendar, Integration, Partner, PartnerIdentifier, System
from apps.integrations.models import Mapping as MappingRow


def team(row: Row) -> str:
    values = {"name": row["name"], "email": row.get("email", ""), "time_zone": row.get("time_zone", "UTC")}
    return save(Team, {"slug": row["slug"]}, values)


def teams() -> Iterable[dict[str, Any]]:
    for team in Team.objects.order_by("slug"):
        yield lean(
            {"slug": team.slug, "name": team.name, "email": team.email, "time_zone": team.time_zone},
            {"time_zone": "UTC"},
        )


def calendar(row: Row) -> str:
    try:
        WorkingCalendar.from_spec(row["spec"])
    except CalendarError as problem:
        raise Refused("spec", str(problem)) from None
    return save_version(Calendar, row["slug"], {"name": row["name"], "spec": row["spec"]})


def calendars() -> Iterable[dict[str, Any]]:
    for calendar in newest_of(Calendar):
        yield {"slug": calendar.slug, "name": calendar.name, "spec": calendar.spec}


def partner(row: Row) -> str:
    if row.get("calendar"):
        find(Calendar, "calendar", row["calendar"], slug=row["calendar"])
    outcome = save(
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


def partners() -> Iterable[dict[str, Any]]:
    for partner in Partner.objects.order_by("slug").prefetch_related("identifiers"):
        identifiers: dict[str, list[str]] = {}
        for one in sorted(partner.identifiers.all(), key=lambda i: (i.scheme, i.value)):
            identifiers.setdefault(one.scheme, []).append(one.value)
        yield lean(
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


def system(row: Row) -> str:
    values = {
        "name": row["name"],
        "kind": row["kind"],
        "partner": find_maybe(Partner, row, "partner"),
        "base_url": row.get("base_url", ""),
    }
    return save(System, {"slug": row["slug"]}, values)


def systems() -> Iterable[dict[str, Any]]:
    for system in System.objects.order_by("slug").select_related("partner"):
        partner = system.partner.slug if system.partner else None
        yield lean(
            {
                "slug": system.slug,
                "name": system.name,
                "kind": system.kind,
                "partner": partner,
                "base_url": system.base_url,
            },
            {},
        )


def mapping(row: Row) -> str:
    try:
        compile_mapping(row["spec"])
    except MappingError as problem:
        raise Refused("spec", str(problem)) from None
    outcome = save_version(MappingRow, row["slug"], {"name": row.get("name", ""), "spec": row["spec"]})
    if outcome.startswith("version"):
        # whoever reads by this mapping reads by its newest version from now on
        newest = MappingRow.objects.filter(slug=row["slug"]).order_by("-version").first()
        Integration.objects.filter(mapping__slug=row["slug"]).update(mapping=newest)
    return outcome


def mappings() -> Iterable[dict[str, Any]]:
    for mapping in newest_of(MappingRow):
        yield lean({"slug": mapping.slug, "name": mapping.name, "spec": mapping.spec}, {})


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


def integration(row: Row) -> str:
    mapping = None
    if row.get("mapping"):
        find(MappingRow, "mapping", row["mapping"], slug=row["mapping"])
        mapping = MappingRow.objects.filter(slug=row["mapping"]).order_by("-version").first()
    form = COLLECTORS.get(row["kind"]).ConfigForm(row.get("settings", {}))
    if not form.is_valid():
        wrong = "; ".join(f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items())
        raise Refused("settings", f"settings of kind {row['kind']}: {wrong}")
    values = {
        "name": row["name"],
        "kind": row["kind"],
        "partner": find_maybe(Partner, row, "partner"),
        "system": find_maybe(System, row, "system"),
        "team": find_maybe(Team, row, "team"),
        "mapping": mapping,
        "settings": row.get("settings", {}),
        "latency_tolerance": _span(row.get("latency_tolerance")),
        "stale_after": _span(row.get("stale_after")),
        "contract_version": row.get("contract_version", ""),
        "zone": row.get("zone", ""),
        **{name: row.get(name, default) for name, default in _INTEGRATION_DEFAULTS.items()},
    }
    return save(Integration, {"slug": row["slug"]}, values)


def integrations() -> Iterable[dict[str, Any]]:
    rows = Integration.objects.order_by("slug").select_related("partner", "system", "team", "mapping")
    for one in rows:
        yield lean(
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
                "latency_tolerance": iso(one.latency_tolerance),
                "stale_after": iso(one.stale_after),
                "contract_version": one.contract_version,
                "environment": str(one.environment),
                "zone": one.zone,
                "time_zone": one.time_zone,
                "lifecycle": str(one.lifecycle),
                "enabled": one.enabled,
            },
            _INTEGRATION_DEFAULTS,
        )
