"""Sales orders and purchase orders as events. Pure."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from apps.collectors.odoo.rows import Row, plain
from apps.collectors.odoo.story import Facts, Lens, Reading, Story, common_data, iso, reference

SALE_FIELDS = (
    "name",
    "state",
    "locked",
    "partner_id",
    "client_order_ref",
    "date_order",
    "commitment_date",
    "effective_date",
    "delivery_status",
    "invoice_status",
    "warehouse_id",
    "amount_total",
    "currency_id",
    "order_line",
    "company_id",
    "create_date",
    "write_date",
)
PURCHASE_FIELDS = (
    "name",
    "state",
    "locked",
    "acknowledged",
    "partner_id",
    "partner_ref",
    "origin",
    "date_order",
    "date_approve",
    "date_planned",
    "effective_date",
    "receipt_status",
    "amount_total",
    "currency_id",
    "order_line",
    "company_id",
    "create_date",
    "write_date",
)
SALE_LINE_FIELDS = (
    "order_id",
    "product_id",
    "product_uom_qty",
    "qty_delivered",
    "qty_invoiced",
    "product_uom_id",
    "product_uom",
    "display_type",
    "write_date",
)
PURCHASE_LINE_FIELDS = (
    "order_id",
    "product_id",
    "product_qty",
    "qty_received",
    "qty_invoiced",
    "date_planned",
    "product_uom_id",
    "product_uom",
    "display_type",
    "write_date",
)
#: lines an event carries; the receipt has them all
MOST_LINES = 50


def read_sale(row: Row, previous: Facts | None, lens: Lens, position: str) -> Reading:
    """sale.order: draft, sent, sale, cancel; locked is a flag beside the state."""
    story = Story("sale.order", row, previous, lens, position)
    state, name = row.text("state"), row.text("name")
    channel = row.text("client_order_ref")
    story.references = tuple(reference("sales_order", name))
    if lens.channel_orders:
        # a reference people type freely ("urgent") would make one flow of all orders that carry it
        story.references += tuple(reference("channel_order", channel, lens.channel_issuer))
    promised = row.time("commitment_date")
    if promised:
        story.dates["promised_delivery"] = promised
    _party(story, "customer", "odoo", row.link("partner_id"))
    _party(story, "warehouse", "odoo_warehouse", row.link("warehouse_id"))
    items, lines, ordered = _items(row, "product_uom_qty", "qty_delivered", "delivered")
    story.data = common_data(story, state) | _money(row) | _lines(row) | ordered | _company(story, "customer")
    story.data |= {"customer": (row.link("partner_id") or (0, ""))[1], "delivery_status": row.text("delivery_status")}
    story.data |= {"locked": row.flag("locked"), "customer_reference": channel}
    story.facts = {
        "state": state,
        "name": name,
        "channel": channel,
        "promised": iso(promised),
        "locked": row.flag("locked"),
        "amount": plain(row.number("amount_total")),
        "items": items,
    }
    before = story.previous.get("state")
    if not story.known:
        story.tell("order.created", "created", story.own_time("create_date"), dated=False)
    if state == "sale" and before != "sale":
        story.tell("order.confirmed", "state=sale", story.own_time("date_order", "sale"), data=lines)
    elif state == "cancel" and before != "cancel":
        passed = story.entered("sale") if before != "sale" else None
        if passed:  # confirmed and cancelled between two readings
            story.tell("order.confirmed", "state=sale", passed, data=lines, written=passed)
        story.tell("order.cancelled", "state=cancel", story.own_time("", "cancel"))
    elif state in ("draft", "sent") and before == "cancel":
        story.tell("order.created", f"state={state}", data={"reopened": True})
    elif state not in ("draft", "sent", "sale", "cancel") and before != state:
        story.unknown("state", state, "order.changed", f"The order {name}")
    else:
        _tell_changes(story, "order.changed", ("state", "promised", "locked", "channel", "amount", "items"), lines)
    return story.close()


def read_purchase(row: Row, previous: Facts | None, lens: Lens, position: str) -> Reading:
    """purchase.order: draft, sent, to approve, purchase, cancel; until 18 also done, which means locked."""
    story = Story("purchase.order", row, previous, lens, position)
    state, name = row.text("state"), row.text("name")
    locked = row.flag("locked") or state == "done"
    story.references = tuple(reference("purchase_order", name))
    planned = row.time("date_planned")
    if planned:
        story.dates["expected_receipt"] = planned
    _party(story, "supplier", "odoo", row.link("partner_id"))
    items, lines, ordered = _items(row, "product_qty", "qty_received", "received")
    story.data = common_data(story, state) | _money(row) | _lines(row) | ordered | _company(story, "supplier")
    story.data |= {"supplier": (row.link("partner_id") or (0, ""))[1], "receipt_status": row.text("receipt_status")}
    story.data |= {"locked": locked, "supplier_reference": row.text("partner_ref")}
    story.facts = {
        # locked is a fact of its own, so that 18's "done" is no other state than 19's "purchase"
        "state": "purchase" if state == "done" else state,
        "name": name,
        "planned": iso(planned),
        "locked": locked,
        "acknowledged": row.flag("acknowledged"),
        "supplier_reference": row.text("partner_ref"),
        "amount": plain(row.number("amount_total")),
        "items": items,
    }
    told = _purchase_steps(story, story.facts["state"], name, lines)
    if story.facts["acknowledged"] and not story.previous.get("acknowledged"):
        story.tell("purchase_order.acknowledged", "acknowledged")
        told = True
    if not told:
        names = ("state", "planned", "locked", "supplier_reference", "amount", "items")
        _tell_changes(story, "purchase_order.changed", names, lines)
    return story.close()


def _purchase_steps(story: Story, state: str, name: str, lines: dict[str, Any]) -> bool:
    """Tells what the state says; whether anything was told of it beyond the creation."""
    before = story.previous.get("state")
    if not story.known:
        story.tell("purchase_order.created", "created", story.own_time("create_date"), dated=False)
    approved = story.row.time("date_approve")
    if state == "purchase" and before != "purchase":
        story.tell("purchase_order.confirmed", "state=purchase", story.own_time("date_approve", "purchase"), data=lines)
    elif state == "cancel" and before != "cancel":
        if approved and before != "purchase" and (story.last is None or approved >= story.last.replace(microsecond=0)):
            # approved and cancelled between two readings
            story.tell("purchase_order.confirmed", "state=purchase", story.own_time("date_approve"))
        story.tell("purchase_order.cancelled", "state=cancel", story.own_time("", "cancel"))
    elif state == "sent" and before != "sent":
        story.tell("purchase_order.sent", "state=sent", story.own_time("", "sent"))
    elif state == "draft" and before == "cancel":
        story.tell("purchase_order.created", "state=draft", data={"reopened": True})
    elif state not in ("draft", "sent", "to approve", "purchase", "cancel") and before != state:
        story.unknown("state", state, "purchase_order.changed", f"The purchase order {name}")
    else:
        return False
    return True


def _tell_changes(story: Story, type_: str, names: tuple[str, ...], lines: dict[str, Any]) -> None:
    changed = story.changed(names)
    if "items" in changed and not (story.previous.get("items") and story.facts["items"]):
        changed.remove("items")  # the lines became readable, or unreadable: no change of the order
    if changed:
        # of the lines only a fingerprint is remembered
        was = {name: story.previous.get(name) for name in changed if name != "items"}
        told = lines if "items" in changed else {}
        story.tell(type_, "changed:" + ",".join(changed), data={"changed": changed, "was": was, **told})


def _items(row: Row, ordered: str, done: str, word: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Of the attached lines: a fingerprint of what is ordered ('' without lines), the lines as an event carries them,
    and sums. A line without product is a heading or a note."""
    lines = [line for line in row.rows("order_lines") if line.link("product_id")]
    if not lines:
        return "", {}, {}
    listed = [
        {
            "line": line.id,
            "product": (line.link("product_id") or (0, ""))[1],
            "quantity": plain(line.number(ordered)),
            word: plain(line.number(done)),
            "unit": (line.link("product_uom_id") or line.link("product_uom") or (0, ""))[1],
        }
        for line in lines
    ]
    what = sorted((line.id, (line.link("product_id") or (0, ""))[0], plain(line.number(ordered))) for line in lines)
    fingerprint = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
    sums = {
        "ordered": plain(sum((line.number(ordered) for line in lines), Decimal(0))),
        word: plain(sum((line.number(done) for line in lines), Decimal(0))),
    }
    return fingerprint, {"order_lines": listed[:MOST_LINES]}, sums


def _company(story: Story, role: str) -> dict[str, Any]:
    """Identities of the other side, where its master data are read."""
    link = story.row.link("partner_id")
    known = story.lens.companies.get(link[0]) if link else None
    return {f"{role}_ids": dict(known)} if known else {}


def _party(story: Story, role: str, scheme: str, link: tuple[int, str] | None) -> None:
    if link:
        story.parties[role] = f"{scheme}:{link[0]}"


def _money(row: Row) -> dict[str, Any]:
    currency = row.link("currency_id")
    found: dict[str, Any] = {"value": plain(row.number("amount_total"))}
    if currency:
        found["currency"] = currency[1]
    return found


def _lines(row: Row) -> dict[str, Any]:
    lines = row.raw.get("order_line")
    return {"lines": len(lines)} if isinstance(lines, list) else {}
