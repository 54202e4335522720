"""State history from mail.tracking.value: when a record really entered a state, where the tower's user may read it.

Odoo keeps labels ("Ready") in the language of whoever made the change, not codes, and one entry for a transaction. An entry
counts if both its labels are labels of the model's states in the pinned language; a label two states share says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.collectors.odoo.client import OdooClient
from apps.collectors.odoo.rows import BadRow, Row

#: messages and values read at once, and messages read of one batch at most
PAGE = 1000
MOST = 5000
VALUES = ("mail_message_id", "old_value_char", "new_value_char", "create_date")

Entries = dict[str, list[list[str]]]


def read_history(client: OdooClient, model: str, ids: Sequence[int], labels: Mapping[str, str]) -> Entries:
    """record id (as text) -> [state, time as Odoo writes it], the oldest first. Raises `OdooError`."""
    codes = codes_of(labels)
    owners = _messages(client, model, ids) if codes else {}
    found: list[tuple[int, int, str, str]] = []
    messages = sorted(owners)
    for at in range(0, len(messages), PAGE):
        domain = [["mail_message_id", "in", messages[at : at + PAGE]], ["new_value_char", "!=", False]]
        for value in _pages(client, "mail.tracking.value", domain, VALUES):
            entry = entry_of(value, codes)
            owner = owners.get(_link(value.get("mail_message_id")))
            if entry and owner:
                found.append((owner, value["id"], *entry))
    entries: Entries = {}
    for owner, _, state, when in sorted(found, key=lambda one: (one[0], one[3], one[1])):
        entries.setdefault(str(owner), []).append([state, when])
    return entries


def codes_of(labels: Mapping[str, str]) -> dict[str, str]:
    """label -> state, without labels that several states share."""
    names = list(labels.values())
    return {label: code for code, label in labels.items() if names.count(label) == 1}


def entry_of(value: Mapping[str, Any], codes: Mapping[str, str]) -> tuple[str, str] | None:
    """(state entered, when) of one tracking value; None if it is no change between two known states."""
    row = Row(value)
    try:
        old, new, when = row.text("old_value_char"), row.text("new_value_char"), row.time("create_date")
    except BadRow:
        return None
    if old not in codes or new not in codes or old == new or when is None:
        return None
    return codes[new], f"{when:%Y-%m-%d %H:%M:%S}"


def _messages(client: OdooClient, model: str, ids: Sequence[int]) -> dict[int, int]:
    """message id -> record id."""
    domain = [["model", "=", model], ["res_id", "in", list(ids)]]
    rows = _pages(client, "mail.message", domain, ("res_id",))
    return {row["id"]: owner for row in rows if (owner := _link(row.get("res_id")))}


def _pages(client: OdooClient, model: str, domain: list[Any], fields: Sequence[str]) -> list[dict[str, Any]]:
    """All rows by id, at most `MOST`."""
    found: list[dict[str, Any]] = []
    after = 0
    while len(found) < MOST:
        rows = client.search_read(model, [*domain, ["id", ">", after]], fields, PAGE)
        found += rows
        if len(rows) < PAGE or rows[-1]["id"] <= after:
            break
        after = rows[-1]["id"]
    return found


def _link(value: Any) -> int:
    """An id, alone (many2one_reference) or with its name; 0 for neither."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
