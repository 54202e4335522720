"""Objectives and contract terms kept from a page or the API: checked and written as a configuration file's rows are.

What is kept is the row a file would have, so that an export after it loads to the same. Each change leaves the row before
and after it in the audit record: that is its history, and the way back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Model
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from apps.accounts import audit
from apps.accounts.models import ApiClient, AuditEntry, User
from apps.configuration import reports
from apps.configuration.report_schema import CONTRACT_TERMS, OBJECTIVES
from apps.configuration.rows import Refused, Row
from apps.reports.models import ContractTerm, Objective

RESERVED = ("add", "new")


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of agreement. section: its name in files; word: for people and for the audit record."""

    section: str
    word: str
    model: type[Model]
    schema: Mapping[str, Any]
    load: Callable[[Row], str]
    row_of: Callable[[Any], dict[str, Any]]


OBJECTIVE = Kind("objectives", "objective", Objective, OBJECTIVES, reports.objective, reports.objective_row)
TERM = Kind("contract_terms", "contract_term", ContractTerm, CONTRACT_TERMS, reports.term, reports.term_row)


class Wrong(Exception):
    """The row cannot be kept. field: the key it is about, '' for the whole."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class Overtaken(Exception):
    """Somebody changed it since the edit began."""


class Entry(NamedTuple):
    """One change. row: as it was after it, None where that is not known (a file, read before it was told so)."""

    id: int
    at: datetime
    actor: str
    row: dict[str, Any] | None
    changed: list[tuple[str, Any, Any]]


def current(kind: Kind, slug: str) -> dict[str, Any] | None:
    """The row as a file would have it; None when there is none."""
    found = kind.model._default_manager.filter(slug=slug).first()
    return None if found is None else kind.row_of(found)


def stamp(row: Row | None) -> str:
    """Of what an edit began with; '' for nothing."""
    if row is None:
        return ""
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()[:32]


def check(kind: Kind, row: Row) -> None:
    """Raises Wrong for what the schema of files refuses."""
    problem = best_match(Draft202012Validator(kind.schema["items"]).iter_errors(row))
    if problem is None:
        return
    place = next((str(part) for part in problem.absolute_path), "")
    schema = problem.schema if isinstance(problem.schema, dict) else {}
    if problem.validator == "required":
        place = next((name for name in problem.validator_value if name not in problem.instance), "")
        raise Wrong(place, "This is needed.")
    if problem.validator == "enum":
        raise Wrong(place, f"Choose one of {', '.join(map(str, problem.validator_value))}.")
    if problem.validator in ("exclusiveMinimum", "exclusiveMaximum", "minimum", "maximum"):
        words = {
            "exclusiveMinimum": "above",
            "exclusiveMaximum": "below",
            "minimum": "at least",
            "maximum": "at most",
        }
        raise Wrong(place, f"This is to be {words[problem.validator]} {problem.validator_value:,}.")
    hint = schema.get("description")
    raise Wrong(place, f"Expected {hint}." if hint else f"{problem.message[:200]}.")


def tried(kind: Kind, row: Row) -> Any:
    """The unsaved row of the database this would become. Raises Wrong. Writes nothing."""
    check(kind, row)
    try:
        with transaction.atomic():
            kind.load(row)
            made = kind.model._default_manager.get(slug=row["slug"])
            transaction.set_rollback(True)
    except Refused as refused:
        raise Wrong(refused.field, _sentence(str(refused))) from None
    return made


def keep(
    kind: Kind, row: Row, actor: User | ApiClient | None, now: datetime, *, base: str
) -> tuple[dict[str, Any], bool]:
    """Writes it; (the row as it is now, whether anything changed). base: `stamp` of what the edit began with.

    Raises Wrong and Overtaken. The moment a term begins and ends to count is its own: valid_from, valid_until.
    """
    check(kind, row)
    if row["slug"] in RESERVED:
        raise Wrong("slug", "This short name is taken by the pages themselves; choose another.")
    try:
        with transaction.atomic():
            list(kind.model._default_manager.select_for_update().filter(slug=row["slug"]))
            before = current(kind, row["slug"])
            if stamp(before) != base:
                raise Overtaken
            what = kind.load(row)
            after = current(kind, row["slug"])
            assert after is not None
            if what:
                verb = "added" if before is None else "changed"
                audit.record(actor, f"{kind.word}.{verb}", f"{kind.section}:{row['slug']}", before, after, now)
    except Refused as refused:
        raise Wrong(refused.field, _sentence(str(refused))) from None
    return after, bool(what)


def history(kind: Kind, slug: str, most: int = 50) -> list[Entry]:
    """Its changes, the newest first; those by files and by people."""
    entries = AuditEntry.objects.filter(subject=f"{kind.section}:{slug}").order_by("-at", "-id")[:most]
    return [
        Entry(
            one.pk,
            one.at,
            one.actor_name,
            one.after if "slug" in (one.after or {}) else None,
            list(_differences(one.before, one.after)),
        )
        for one in entries
    ]


def _differences(before: Any, after: Any) -> Iterable[tuple[str, Any, Any]]:
    if not isinstance(after, dict) or "slug" not in after or not isinstance(before, dict):
        return
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
