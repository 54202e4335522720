"""Invoices, vendor bills and credit notes as events. Pure."""

from __future__ import annotations

import re

from apps.collectors.odoo.rows import Row, plain
from apps.collectors.odoo.story import Facts, Lens, Reading, Story, common_data, reference
from apps.flows.canonical import Reference

INVOICE_FIELDS = (
    "name",
    "move_type",
    "state",
    "payment_state",
    "partner_id",
    "invoice_origin",
    "invoice_date",
    "invoice_date_due",
    "amount_total",
    "currency_id",
    "company_id",
    "create_date",
    "write_date",
)
INVOICES = {"out_invoice": "sales_order", "in_invoice": "purchase_order"}
REFUNDS = {"out_refund": "sales_order", "in_refund": "purchase_order"}
#: other bookings: no matter of orders and their invoices
IGNORED = frozenset({"entry", "out_receipt", "in_receipt"})
PAYMENT_STATES = frozenset({"", "not_paid", "in_payment", "paid", "partial", "reversed", "blocked", "invoicing_legacy"})


def read_invoice(row: Row, previous: Facts | None, lens: Lens, position: str) -> Reading:
    """account.move: draft, posted, cancel, and payment_state beside it. A date without time stays text in the data."""
    story = Story("account.move", row, previous, lens, position)
    state, payment, kind = row.text("state"), row.text("payment_state"), row.text("move_type")
    story.facts = {"state": state, "payment": payment, "name": row.text("name"), "kind": kind}
    if kind in IGNORED:
        return story.close()
    name = row.text("name").strip("/")  # a draft's name is False, before 19 "/"
    story.references = (*reference("invoice", name), *_origins(row, kind))
    story.data = common_data(story, state) | {
        "move_type": kind,
        "payment_state": payment,
        "amount": plain(row.number("amount_total")),
        "invoice_date": row.day("invoice_date"),
        "payment_due": row.day("invoice_date_due"),
    }
    currency = row.link("currency_id")
    if currency:
        story.data["currency"] = currency[1]
    words = f"The invoice {name or row.id}"
    if kind in INVOICES:
        _invoice_steps(story, state, payment, words)
    elif kind in REFUNDS:
        if state == "posted" and story.previous.get("state") != "posted":
            story.tell("refund.posted", "state=posted", story.own_time("", "posted"))
    else:
        story.warn(
            "odoo.unknown_value",
            f"{words} has the type '{kind}' ({lens.label('move_type', kind)}), which the tower does not know.",
            f"account.move {row.id} move_type={kind}",
        )
    return story.close()


def _invoice_steps(story: Story, state: str, payment: str, words: str) -> None:
    before = story.previous.get("state")
    if not story.known:
        story.tell("invoice.created", "created", story.own_time("create_date"), dated=False)
    if state == "posted" and before != "posted":
        story.tell("invoice.posted", "state=posted", story.own_time("", "posted"))
    elif state == "cancel" and before != "cancel":
        story.tell("invoice.cancelled", "state=cancel", story.own_time("", "cancel"))
    elif state == "draft" and before in ("posted", "cancel"):
        story.tell("invoice.created", "state=draft", data={"reopened": True})
    elif state not in ("draft", "posted", "cancel") and before != state:
        story.unknown("state", state, "order.changed", words)
    if payment == "paid" and story.previous.get("payment") != "paid":
        story.tell("invoice.paid", "payment_state=paid")
    elif payment not in PAYMENT_STATES and story.previous.get("payment") != payment:
        story.unknown("payment_state", payment, "order.changed", words)


def _origins(row: Row, kind: str) -> list[Reference]:
    """Odoo joins the names of the invoiced orders with commas."""
    target = INVOICES.get(kind) or REFUNDS.get(kind)
    if target is None:
        return []
    names = [part.strip() for part in re.split(r"[,;]", row.text("invoice_origin"))]
    return [ref for part in dict.fromkeys(names) for ref in reference(target, part)]
