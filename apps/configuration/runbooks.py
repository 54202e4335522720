"""Runbooks from a configuration file and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.configuration.rows import Row, find_maybe, lean, save
from apps.incidents.models import Runbook
from apps.integrations.models import Integration

#: a runbook's fields in the file, for the schema
PROPERTIES: dict[str, Any] = {
    "slug": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
    "title": {"type": "string", "minLength": 1, "maxLength": 200},
    "kind": {"type": "string", "maxLength": 64, "description": "kind of incident; without it every kind"},
    "integration": {"type": "string", "description": "slug; without it any"},
    "text": {"type": "string", "minLength": 1, "maxLength": 20000, "description": "what to do (docs/incidents.md)"},
}
RUNBOOKS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["slug", "title", "text"],
        "additionalProperties": False,
        "properties": PROPERTIES,
    },
}


def runbook(row: Row) -> str:
    values = {
        "title": row["title"],
        "kind": row.get("kind", ""),
        "integration": find_maybe(Integration, row, "integration"),
        "text": row["text"],
    }
    return save(Runbook, {"slug": row["slug"]}, values)


def runbooks() -> Iterable[dict[str, Any]]:
    for one in Runbook.objects.select_related("integration").order_by("slug"):
        yield lean(
            {
                "slug": one.slug,
                "title": one.title,
                "kind": one.kind,
                "integration": one.integration.slug if one.integration else "",
                "text": one.text,
            },
            {},
        )
