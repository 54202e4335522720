"""Which models of an Odoo are followed, by which fields, and how each of them is read.

record      gives events; its own rows are read (orders, transfers, invoices, EDI exchanges)
lead        a row that changed only leads to a new reading of what it belongs to (lines, moves)
level       kept and remembered, and told only where the settings ask for it (stock)
master      only remembered, so that events can name partners and carriers
Not every version and installation has every field: the reader asks for those that exist (`fields_get`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.collectors.odoo.exchanges import EXCHANGE_FIELDS, JOB_FIELDS
from apps.collectors.odoo.invoices import INVOICE_FIELDS
from apps.collectors.odoo.levels import QUANT_FIELDS
from apps.collectors.odoo.masters import CARRIER_FIELDS, PARTNER_FIELDS
from apps.collectors.odoo.orders import PURCHASE_FIELDS, PURCHASE_LINE_FIELDS, SALE_FIELDS, SALE_LINE_FIELDS
from apps.collectors.odoo.pickings import MOVE_FIELDS, MOVE_LINE_FIELDS, PICKING_FIELDS


@dataclass(frozen=True, slots=True)
class Followed:
    """How a model is read. leads_to, by: what a row of it belongs to, and the field that says so;
    attached: (key, model, field) of rows read together with each record; domain: which records count;
    whole: the first load reads all of them, however long ago they were written."""

    fields: tuple[str, ...]
    leads_to: str = ""
    by: str = ""
    attached: tuple[tuple[str, str, str], ...] = ()
    domain: tuple[tuple[str, str, Any], ...] = ()
    master: bool = False
    whole: bool = False


FOLLOWED: dict[str, Followed] = {
    "delivery.carrier": Followed(CARRIER_FIELDS, master=True, whole=True),
    # of persons the tower keeps no master data
    "res.partner": Followed(PARTNER_FIELDS, domain=(("is_company", "=", True),), master=True, whole=True),
    "sale.order": Followed(SALE_FIELDS, attached=(("order_lines", "sale.order.line", "order_id"),)),
    "purchase.order": Followed(PURCHASE_FIELDS, attached=(("order_lines", "purchase.order.line", "order_id"),)),
    "stock.picking": Followed(
        PICKING_FIELDS,
        attached=(("moves", "stock.move", "picking_id"), ("move_lines", "stock.move.line", "picking_id")),
    ),
    "stock.move": Followed(MOVE_FIELDS, "stock.picking", "picking_id"),
    "account.move": Followed(INVOICE_FIELDS),
    "sale.order.line": Followed(SALE_LINE_FIELDS, "sale.order", "order_id"),
    "purchase.order.line": Followed(PURCHASE_LINE_FIELDS, "purchase.order", "order_id"),
    "stock.move.line": Followed(MOVE_LINE_FIELDS, "stock.picking", "picking_id"),
    "stock.quant": Followed(QUANT_FIELDS, whole=True),
    "edi.exchange.record": Followed(EXCHANGE_FIELDS),
    # no write_date: followed by what is open, see `OdooReader`
    "queue.job": Followed(JOB_FIELDS),
}
#: the two models state history is read from; they are no records of their own
HISTORY = "mail.tracking.value"
JOBS = "queue.job"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a model has of the fields we want, and the labels of its selections."""

    fields: tuple[str, ...]
    labels: dict[str, dict[str, str]]


def schema_of(found: Mapping[str, Mapping[str, Any]]) -> Schema:
    """From the answer of fields_get."""
    return Schema(tuple(found), {name: _labels(spec) for name, spec in found.items()})


def _labels(spec: Mapping[str, Any]) -> dict[str, str]:
    pairs = spec.get("selection")
    if not isinstance(pairs, list):
        return {}
    return {str(pair[0]): str(pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2}


def needed(models: Sequence[str]) -> list[str]:
    """These models and what their rows lead to, each once, in the order they are read."""
    wanted = set(models) | {FOLLOWED[one].leads_to for one in models if one in FOLLOWED}
    if "stock.picking" in wanted:
        wanted.add("stock.move")  # a transfer says nothing about reservation without its moves
    return [name for name in FOLLOWED if name in wanted]
