"""Whether something is still to come of a record: what a first load takes as history and what as awaited. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_ahead(model: str, record: Mapping[str, Any], since: str) -> bool:
    """Whether the record is open and its own date is not before ``since`` (as Odoo writes times, which sort as text).

    What is open but long overdue when the tower is connected counts as history: it is judged late, but a first load
    does not call anybody for years of forgotten orders. Invoices await nothing.
    """
    state = record.get("state")
    if model == "sale.order":
        open_ = state in ("draft", "sent", "sale") and record.get("delivery_status") != "full"
        return open_ and _at(record, "commitment_date", "date_order") >= since
    if model == "purchase.order":
        open_ = state in ("draft", "sent", "to approve", "purchase", "done") and record.get("receipt_status") != "full"
        return open_ and _at(record, "date_planned", "date_order") >= since
    if model == "stock.picking":
        return state not in ("done", "cancel") and _at(record, "date_deadline", "scheduled_date") >= since
    return False


def _at(record: Mapping[str, Any], *names: str) -> str:
    """The first of these dates that is set, '' without any."""
    return next((value for value in (record.get(name) for name in names) if isinstance(value, str)), "")
