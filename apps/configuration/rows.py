"""What the sections share: finding, saving and versioning rows, and exporting only what was said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Max, Model
from django.utils.duration import duration_iso_string

Row = Mapping[str, Any]


class Refused(Exception):
    """A row names something that does not exist. field: the key in the row; the text says what is expected."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def find(model: type[Model], field: str, value: str, **lookup: Any) -> Any:
    found = model._default_manager.filter(**lookup).first()
    if found is None:
        raise Refused(
            field, f"there is no {model._meta.verbose_name} {value!r}; define it in this file or load it first"
        )
    return found


def find_maybe(model: type[Model], row: Row, field: str) -> Any:
    value = row.get(field)
    return None if value is None else find(model, field, value, slug=value)


def save(model: type[Model], keys: dict[str, Any], values: dict[str, Any]) -> str:
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


def save_version(model: type[Model], slug: str, values: dict[str, Any]) -> str:
    """A new version if the newest one of this slug says something else."""
    newest = model._default_manager.filter(slug=slug).order_by("-version").first()
    if newest is not None and all(getattr(newest, name) == value for name, value in values.items()):
        return ""
    number = 1 if newest is None else newest.version + 1  # type: ignore[attr-defined]
    model._default_manager.create(slug=slug, version=number, **values)
    return "created" if number == 1 else f"version {number}"


def newest_of(model: type[Any]) -> list[Any]:
    last = model.objects.values("slug").annotate(last=Max("version")).values_list("slug", "last")
    wanted = set(last)
    return sorted((row for row in model.objects.all() if (row.slug, row.version) in wanted), key=lambda row: row.slug)


def lean(row: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty or the default: an export says only what was said."""
    return {k: v for k, v in row.items() if v not in (None, "", [], {}) and defaults.get(k, object()) != v}


def iso(span: timedelta | None) -> str | None:
    return None if span is None else duration_iso_string(span)
