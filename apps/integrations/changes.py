"""Adds, changes and switches integrations: each leaves an audit row and a change marker that incidents show beside them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from apps.accounts import audit
from apps.accounts.models import User
from apps.integrations.models import ChangeMarker, Integration

#: fields that the record of a change shows, as plain values
FIELDS = (
    "slug", "name", "kind", "settings", "criticality", "latency_class", "latency_tolerance", "stale_after",
    "contract_version", "environment", "time_zone", "lifecycle", "enabled",
)  # fmt: skip
LINKS = ("partner", "system", "team", "mapping")


def facts(integration: Integration) -> dict[str, Any]:
    """What is agreed about an integration, as plain values."""
    values = {name: getattr(integration, name) for name in FIELDS}
    return values | {name: str(link) if (link := getattr(integration, name)) else None for name in LINKS}


def save(
    integration: Integration, actor: User | None, now: datetime, before: Mapping[str, Any] | None = None
) -> list[str]:
    """Writes a new integration (before: None) or a changed one (before: its `facts`). Returns what changed."""
    after = facts(integration)
    changed = [name for name, value in after.items() if before is None or before.get(name) != value]
    if before is not None and not changed:
        return []
    with transaction.atomic():
        integration.save()
        if before is None:
            _note(integration, actor, now, "integration.added", "Integration added", None, after)
        else:
            words = ", ".join(name.replace("_", " ") for name in changed)
            old = {name: before.get(name) for name in changed}
            _note(
                integration, actor, now, "integration.changed", f"Changed: {words}", old, {n: after[n] for n in changed}
            )
    return changed


def switch(integration: Integration, enabled: bool, actor: User | None, now: datetime) -> bool:
    """Turns an integration on or off; its door and its poller obey within a second. False if it was so already."""
    with transaction.atomic():
        if not Integration.objects.filter(pk=integration.pk, enabled=not enabled).update(enabled=enabled):
            return False
        action, text = ("integration.enabled", "Turned on") if enabled else ("integration.disabled", "Turned off")
        _note(integration, actor, now, action, text, {"enabled": not enabled}, {"enabled": enabled})
    return True


def _note(
    integration: Integration,
    actor: User | None,
    now: datetime,
    action: str,
    text: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    audit.record(actor, action, f"integration:{integration.slug}", before, after, now)
    name = actor.display_name if actor else "The tower"
    ChangeMarker.objects.create(at=now, integration=integration, kind=action, text=text[:300], actor_name=name)
