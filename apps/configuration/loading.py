"""Loads configuration files: checked as a whole first, then written in one transaction, each change audited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from jsonschema import Draft202012Validator, ValidationError

from apps.accounts.models import AuditEntry, User
from apps.collectors.contract import COLLECTORS
from apps.configuration.documents import ConfigError, Document
from apps.configuration.rows import Refused
from apps.configuration.schema import CONFIG_SCHEMA, checker
from apps.configuration.sections import SECTIONS


@dataclass(frozen=True)
class Change:
    """One row that loading created, changed or gave a new version."""

    section: str
    key: str
    what: str


def check(document: Document) -> list[str]:
    """Problems of a document by the schema alone: file, line and what is expected."""
    validator = Draft202012Validator(CONFIG_SCHEMA, format_checker=checker)
    problems = [
        f"{document.where([*error.absolute_path, *_extra(error)])}: {_sentence(error)}"
        for error in sorted(validator.iter_errors(document.data), key=lambda e: [str(part) for part in e.absolute_path])
    ]
    for number, row in enumerate(document.data.get("integrations", ()) if not problems else ()):
        if row["kind"] not in COLLECTORS.plugins:
            known = ", ".join(sorted(COLLECTORS.plugins))
            place = document.where(["integrations", number, "kind"])
            problems.append(f"{place}: no collector of kind {row['kind']!r}; expected one of {known}")
    return problems


def _extra(error: ValidationError) -> list[str]:
    """An unknown key is pointed at itself, not at what holds it."""
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        unknown = sorted(set(error.instance) - set(error.schema.get("properties", {})))
        return [str(unknown[0])] if unknown else []
    return []


def _sentence(error: ValidationError) -> str:
    place = ".".join(str(part) for part in error.absolute_path) or "the file"
    if "secrets" in error.absolute_path:  # what stands there may be one: no error repeats it
        hint = error.schema.get("description", "names of secrets") if isinstance(error.schema, dict) else ""
        return f"{place}: expected {hint}"
    if error.validator == "additionalProperties":
        known = ", ".join(sorted(error.schema.get("properties", {})))
        return f"{error.message.split(' (')[-1].rstrip(')')}; {place} may have: {known}"
    if error.validator == "required":
        return f"{place}: {error.message}"
    if error.validator == "enum":
        return f"{place}: expected one of {', '.join(map(str, error.validator_value))}, found {error.instance!r}"
    hint = error.schema.get("description") if isinstance(error.schema, dict) else None
    found = repr(error.instance)
    return f"{place}: expected {hint}, found {found[:80]}" if hint else f"{place}: {error.message[:300]}"


def load(documents: Sequence[Document], now: datetime, actor: User | None = None) -> list[Change]:
    """Loads all documents or nothing. Raises `ConfigError` with every problem found."""
    problems = [problem for document in documents for problem in check(document)]
    if problems:
        raise ConfigError(problems)
    changes: list[Change] = []
    with transaction.atomic():
        for section in SECTIONS:
            for document in documents:
                for number, row in enumerate(document.data.get(section.name, ())):
                    try:
                        what = section.take(row, now)
                    except Refused as refused:
                        problems.append(f"{document.where([section.name, number, refused.field])}: {refused}")
                        continue
                    if what:
                        changes.append(Change(section.name, ".".join(str(row[name]) for name in section.key), what))
        if problems:
            raise ConfigError(problems)
        AuditEntry.objects.bulk_create(
            AuditEntry(
                at=now,
                actor=actor,
                actor_name=actor.display_name if actor else "load_config",
                action=f"config.{change.what.split()[0]}",
                subject=f"{change.section}:{change.key}",
                after={"what": change.what},
            )
            for change in changes
        )
    return changes


def export() -> dict[str, Any]:
    """Everything as one document that loads to the same."""
    sections = {section.name: list(section.export()) for section in SECTIONS}
    return {name: rows for name, rows in sections.items() if rows}
