"""Versions of mappings: a save makes a new one, for every integration that reads by it; nothing is ever overwritten."""

from __future__ import annotations

from collections.abc import Mapping as Document
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts import audit
from apps.accounts.models import User
from apps.collectors.mapping_rules import compile_mapping
from apps.integrations.models import ChangeMarker, Integration, Mapping

_TEXT = 300


class Overtaken(Exception):
    """Somebody saved a newer version since this one was begun. newest: that version."""

    def __init__(self, newest: Mapping) -> None:
        super().__init__(f"{newest} was saved meanwhile")
        self.newest = newest


def newest_of(slug: str) -> Mapping | None:
    return Mapping.objects.filter(slug=slug).order_by("-version").first()


def slug_of(integration: Integration) -> str:
    """The mapping an integration's edits belong to: its own, or a new one under its short name that nobody has."""
    if integration.mapping is not None:
        return integration.mapping.slug
    taken = set(Mapping.objects.filter(slug__startswith=integration.slug[:56]).values_list("slug", flat=True))
    slug, number = integration.slug, 2
    while slug in taken:
        slug, number = f"{integration.slug[:56]}-{number}", number + 1
    return slug


def save(
    integration: Integration,
    spec: Document[str, Any],
    source: str,
    actor: User,
    now: datetime,
    *,
    base: int = 0,
    note: str = "",
) -> Mapping:
    """Keeps a mapping as its next version; every integration that reads by it goes on with that one.

    spec must be sound (raises `MappingError`); source: its text, comments included; base: the version the edit began
    with (0: none). Raises `Overtaken` when a newer one was saved since. What is the same as the newest makes no version.
    """
    compile_mapping(spec)
    slug = slug_of(integration)
    try:
        with transaction.atomic():
            newest = Mapping.objects.filter(slug=slug).order_by("-version").select_for_update().first()
            if newest is not None and newest.version != base:
                raise Overtaken(newest)
            if newest is not None and newest.spec == spec and newest.source == source:
                _use(integration, newest)
                return newest
            made = Mapping.objects.create(
                slug=slug,
                version=newest.version + 1 if newest else 1,
                name=newest.name if newest else integration.name,
                spec=dict(spec),
                source=source,
                author_name=actor.display_name,
                note=note[:_TEXT],
            )
            _use(integration, made)
            _record(made, newest, actor, now)
    except IntegrityError:  # the first version, saved twice at the same moment
        other = newest_of(slug)
        if other is None:
            raise
        raise Overtaken(other) from None
    return made


def go_back(integration: Integration, version: int, actor: User, now: datetime) -> Mapping:
    """An earlier version again, as the newest. Raises `Mapping.DoesNotExist`."""
    newest = newest_of(slug_of(integration))
    earlier = Mapping.objects.get(slug=slug_of(integration), version=version)
    base = newest.version if newest else 0
    return save(integration, earlier.spec, earlier.source, actor, now, base=base, note=f"Version {version} again")


def _use(integration: Integration, mapping: Mapping) -> None:
    Integration.objects.filter(mapping__slug=mapping.slug).update(mapping=mapping)
    Integration.objects.filter(pk=integration.pk).update(mapping=mapping)
    integration.mapping = mapping


def _record(made: Mapping, before: Mapping | None, actor: User, now: datetime) -> None:
    """One audit row, and a marker on every integration it concerns."""
    old = {"version": before.version, "spec": before.spec} if before else None
    new = {"version": made.version, "spec": made.spec, "note": made.note}
    audit.record(actor, "mapping.saved", f"mapping:{made.slug}", old, new, now)
    text = f"Mapping {made.slug} version {made.version}{f': {made.note}' if made.note else ''}"
    ChangeMarker.objects.bulk_create(
        ChangeMarker(at=now, integration_id=pk, kind="mapping.saved", text=text[:_TEXT], actor_name=actor.display_name)
        for pk in Integration.objects.filter(mapping=made).values_list("pk", flat=True)
    )
