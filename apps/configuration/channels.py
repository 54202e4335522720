"""Channels of messages: rows from a configuration file and back. No secret stands in a file.

A file names an environment variable for each secret (``token: ${TOWER_CHANNEL_NIGHTS_TOKEN}``). Set when the file is
loaded, its value is kept, encrypted; not set, the secret that is kept stays as it is. A channel without a secret it
needs is kept switched off and says so. Whether the tower switched a channel off because it fails is its health, not
its configuration: no file says it, and loading an unchanged row leaves it off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django import forms

from apps.accounts.models import Team
from apps.configuration.rows import Refused, Row, find_maybe, lean
from apps.configuration.schema_parts import SLUG, TEXT
from apps.configuration.schema_parts import rows as _rows
from apps.core.secrets import SecretUnreadable
from apps.incidents.models import Severity
from apps.notifications import keeping
from apps.notifications.contract import CHANNELS
from apps.notifications.contract import Channel as Plugin
from apps.notifications.fields import AddressField
from apps.notifications.models import Channel

PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: beginning of why a channel is off that has no secret yet
NO_SECRET = "Its secret is not there yet"
RESERVED = (keeping.OWN_MAIL, "add")

SCHEMA: dict[str, Any] = _rows(
    ["slug", "name", "kind"],
    {
        "slug": SLUG,
        "name": TEXT,
        "kind": {"type": "string"},
        "team": SLUG,
        "listens": {"type": "boolean"},
        "min_severity": {"enum": Severity.values},
        "enabled": {"type": "boolean"},
        "settings": {"type": "object", "description": "what the kind asks for (docs/notifications.md)"},
        "secrets": {
            "type": "object",
            "additionalProperties": {
                "type": "string",
                "pattern": "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$",
                "description": "the name of an environment variable such as ${TOWER_CHANNEL_NIGHTS_TOKEN}, never the secret itself",
            },
        },
    },
)


def channel(row: Row, now: datetime) -> str:
    """'created', 'changed' or ''."""
    plugin = _plugin(row)
    known = Channel.objects.filter(slug=row["slug"]).first()
    if known is not None and known.kind != row["kind"]:
        raise Refused(
            "kind", f"{known.name} is a channel of kind {known.kind!r}; remove it first or choose another slug"
        )
    one = known or Channel(slug=row["slug"], kind=row["kind"], enabled=True)
    given = _given(row, plugin, one)
    values = {
        "name": row["name"],
        "team": find_maybe(Team, row, "team"),
        "listens": row.get("listens", False),
        "min_severity": row.get("min_severity", Severity.NORMAL),
        "config": _config(row, plugin, one, given),
    }
    missing = [secret for secret in plugin.secrets if secret.required and secret.name not in {**one.hints, **given}]
    different = [name for name, value in values.items() if known is None or getattr(one, name) != value]
    switched = _switch(one, row.get("enabled", True), bool(different or given), missing, row, now)
    if known is not None and not (different or given or switched):
        return ""
    for name, value in values.items():
        setattr(one, name, value)
    keeping.save(one, given, None, now)
    return "created" if known is None else "changed"


def _plugin(row: Row) -> Plugin:
    plugin = CHANNELS.plugins.get(row["kind"])
    if plugin is None:
        known = ", ".join(sorted(CHANNELS.plugins))
        raise Refused("kind", f"no channel of kind {row['kind']!r}; expected one of {known}")
    if row["slug"] in RESERVED:
        raise Refused("slug", f"{row['slug']!r} is taken by the tower itself; choose another short name")
    return plugin


def _given(row: Row, plugin: Plugin, one: Channel) -> dict[str, str]:
    """The secrets that the environment holds and that differ from those kept."""
    names = {secret.name for secret in plugin.secrets}
    said: Mapping[str, str] = row.get("secrets", {})
    if unknown := sorted(set(said) - names):
        expected = f"expected one of {', '.join(sorted(names))}" if names else "this kind has none"
        raise Refused("secrets", f"no secret {unknown[0]!r}; {expected}")
    found = {}
    for name, text in said.items():
        match = PLACEHOLDER.fullmatch(text)
        if match and (value := os.environ.get(match[1], "").strip()):
            found[name] = value
    try:
        kept = keeping.kept_secrets(one)
    except SecretUnreadable:
        kept = {}
    return {name: value for name, value in found.items() if kept.get(name) != value}


def _config(row: Row, plugin: Plugin, one: Channel, given: Mapping[str, str]) -> dict[str, Any]:
    """The settings as the kind's own form keeps them; what no form knows stays."""
    said = {
        name: ", ".join(value) if isinstance(value, list) else value for name, value in row.get("settings", {}).items()
    }
    blank = plugin.ConfigForm()
    if unknown := sorted(set(said) - set(blank.fields)):
        expected = f"expected some of {', '.join(blank.fields)}" if blank.fields else "this kind has none"
        raise Refused("settings", f"no setting {unknown[0]!r}; {expected}")
    usual = {name: one.initial for name, one in blank.fields.items() if one.required and one.initial is not None}
    form = plugin.ConfigForm(usual | said)
    if not form.is_valid():
        wrong = "; ".join(f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items())
        raise Refused("settings", f"settings of kind {row['kind']}: {wrong}")
    _same_house(form, one, given)
    unknown_kept = {name: value for name, value in one.config.items() if name not in form.fields}
    return unknown_kept | {name: value for name, value in form.cleaned_data.items() if value not in ("", None, [])}


def _same_house(form: forms.Form, one: Channel, given: Mapping[str, str]) -> None:
    """A kept secret does not follow to another address, as on the page."""
    for name, field in form.fields.items():
        moved = isinstance(field, AddressField) and one.config.get(name) not in (None, form.cleaned_data[name])
        if moved and (left := sorted(set(one.hints) - set(given))):
            raise Refused(
                "settings",
                f"{name} leads to another address, and {left[0]!r} was kept for the former one: set the environment "
                "variable that `secrets` names, so that it goes to nobody by mistake",
            )


def _switch(one: Channel, wanted: bool, mended: bool, missing: list[Any], row: Row, now: datetime) -> bool:
    """Sets whether it is on; True if that changes it. What the tower switched off stays so until something is mended."""
    because = ""
    if wanted and missing:
        names = ", ".join(variable(row["slug"], secret.name) for secret in missing)
        wanted, because = False, f"{NO_SECRET}: enter it here, or set {names} and load the file again."
    elif wanted and not one.enabled and one.disabled_because and not mended:
        return False
    if one.enabled == wanted and (wanted or one.disabled_because == because):
        return False
    if not wanted and not because and not one.enabled and one.disabled_because:
        return False  # off already, for a reason people should go on seeing
    one.enabled, one.disabled_because = wanted, because
    one.disabled_at = None if wanted else now
    return True


def variable(slug: str, secret: str) -> str:
    """The environment variable an export names for a secret."""
    return "TOWER_CHANNEL_" + re.sub(r"[^A-Z0-9]", "_", f"{slug}_{secret}".upper())


def channels() -> Iterable[dict[str, Any]]:
    for one in Channel.objects.order_by("slug").select_related("team"):
        plugin = CHANNELS.plugins.get(one.kind)
        if plugin is None:
            continue  # a kind that is not installed here could not be loaded here either
        fields = plugin.ConfigForm().fields
        yield lean(
            {
                "slug": one.slug,
                "name": one.name,
                "kind": one.kind,
                "team": one.team.slug if one.team else None,
                "listens": one.listens,
                "min_severity": str(one.min_severity),
                "enabled": one.enabled or bool(one.disabled_because),
                "settings": {name: value for name, value in one.config.items() if name in fields},
                "secrets": {secret.name: f"${{{variable(one.slug, secret.name)}}}" for secret in plugin.secrets},
            },
            {"listens": False, "min_severity": Severity.NORMAL.value, "enabled": True},
        )
