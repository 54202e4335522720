"""Compares all ids and write_dates with what is remembered: finds deletions, and what was committed after the overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from apps.collectors.models import OdooRecord
from apps.collectors.odoo.answers import OdooError, Trouble
from apps.collectors.odoo.followed import FOLLOWED
from apps.collectors.odoo.gathering import Gatherer, check_page
from apps.collectors.odoo.memory import Mark

#: ids compared at once
COMPARED = 1000
#: so many known records gone at once, and more than half: rather lost rights than deletions
MANY = 10
#: body, model, what to remember
Batch = tuple[bytes, str, list[Mark]]


def compare(gatherer: Gatherer, model: str, after: int, since: str) -> tuple[list[Batch], int | None]:
    """Batches of what differs in the next range of ids, and the id the range ended with (None: it was the last).

    since: records written before it are none of ours. Raises `OdooError`; what looks like lost rights is noted in the
    gatherer's ``refused``, and nothing counts as deleted then.
    """
    domain: list[Any] = [["id", ">", after], ["write_date", ">=", since], *map(list, FOLLOWED[model].domain)]
    rows = gatherer.client.search_read(model, domain, ["write_date"], COMPARED)
    check_page(model, rows, after)
    last = rows[-1]["id"] if len(rows) >= COMPARED else None
    known = gatherer.memory.between(model, after, last)
    missed = [
        row["id"] for row in rows if row["id"] not in known or known[row["id"]].write_date != gatherer.written(row)
    ]
    batches: list[Batch] = []
    for at in range(0, len(missed), gatherer.limit):
        body, marks = gatherer.changed(model, gatherer.by_ids(model, missed[at : at + gatherer.limit]))
        batches.append((body, model, marks))
    shown = {row["id"] for row in rows}
    gone = [record for id_, record in sorted(known.items()) if id_ not in shown]
    if len(gone) > MANY and len(gone) * 2 > len(known) and not gatherer.settings.accept_mass_deletion:
        gatherer.refused[model] = OdooError(
            Trouble.RIGHTS,
            f"Odoo no longer shows {len(gone)} of {len(known)} known records: the tower's user has probably lost "
            "rights. Nothing was noted as deleted; if they really were deleted, allow it in the settings.",
        )
    elif gone:
        batches.append(deletions(gatherer, model, gone))
    return batches, last


def deletions(gatherer: Gatherer, model: str, gone: Sequence[OdooRecord]) -> Batch:
    """The batch that tells of records Odoo no longer shows; master data go without a word."""
    deleted = [{"id": record.record_id, "known": record.facts} for record in gone]
    marks = [
        Mark(one.record_id, one.content_hash, one.write_date, {**one.facts, "deleted": True}, deleted=True)
        for one in gone
    ]
    if FOLLOWED[model].master:
        return b"", model, marks
    return orjson.dumps(gatherer.document(model) | {"records": [], "deleted": deleted}), model, marks
