"""Odoo's own webhooks (automation rules): unsigned JSON that names a record. Pure.

Such a post has no signature and no identity, may come twice, late, stale or from in between a transaction, and anybody
who knows the address can send one. So it is a hint and nothing else: "look at this record". What is told of the record is
what Odoo answers when the tower asks for it; a forged hint costs one more reading, and their number is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from apps.collectors import jsonbody
from apps.flows.canonical import ParseFailure, ParseIssue

#: records read again in one round because of hints; the windows find the others
MOST_RECORDS = 200
_LARGEST = 2**53


def hint_of(document: Any, position: str = "$") -> tuple[str, int] | ParseIssue:
    """The record a post names by ``_model`` and ``_id``, or why it names none."""
    if not isinstance(document, dict):
        return ParseIssue("odoo_hook.no_record", "The post is no object: it names no record of Odoo.", position)
    model = document.get("_model", document.get("model"))
    id_ = document.get("_id", document.get("id"))
    if not isinstance(model, str) or not 0 < len(model) <= 64 or not model.replace(".", "").replace("_", "").isalnum():
        return ParseIssue(
            "odoo_hook.no_record",
            "The post does not name the model of a record (_model): it is no webhook of an Odoo automation rule.",
            f"{position}._model",
        )
    if isinstance(id_, bool) or not isinstance(id_, int) or not 0 < id_ <= _LARGEST:
        return ParseIssue("odoo_hook.no_record", "The post does not name the id of a record (_id).", f"{position}._id")
    return model, id_


def hints_of(body: bytes) -> list[tuple[str, int]]:
    """The records named by a post, or by a list of them; [] for one that cannot be read."""
    try:
        value = jsonbody.read(body).value
    except ParseFailure:
        return []
    found = [hint_of(one) for one in (value if isinstance(value, list) else [value])]
    return [one for one in found if isinstance(one, tuple)]


def gathered(bodies: Iterable[bytes], models: Sequence[str]) -> dict[str, list[int]]:
    """model -> ids named, each once, only of the models that are read, at most `MOST_RECORDS` in all."""
    found: dict[str, set[int]] = {}
    left = MOST_RECORDS
    for body in bodies:
        for model, id_ in hints_of(body):
            if model not in models or id_ in found.get(model, ()):
                continue
            if left == 0:
                return {name: sorted(ids) for name, ids in found.items()}
            found.setdefault(model, set()).add(id_)
            left -= 1
    return {name: sorted(ids) for name, ids in found.items()}
