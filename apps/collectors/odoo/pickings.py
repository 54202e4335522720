"""Transfers (stock.picking with its stock.move rows) as events. Pure.

What a transfer means depends on where it goes: a shipment to a customer, a receipt from a supplier, a return of either,
or a step inside the warehouse. Internal transfers that belong to no order say nothing about a flow and give no events.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apps.collectors.gs1.keys import check_digit
from apps.collectors.odoo.rows import Row, plain
from apps.collectors.odoo.story import Facts, Lens, Reading, Story, common_data, iso, reference
from apps.flows.canonical import Reference

PICKING_FIELDS = (
    "name",
    "state",
    "picking_type_id",
    "picking_type_code",
    "partner_id",
    "origin",
    "scheduled_date",
    "date_deadline",
    "date_done",
    "backorder_id",
    "backorder_ids",
    "return_id",
    "sale_id",
    "purchase_id",
    "carrier_id",
    "carrier_tracking_ref",
    "company_id",
    "create_date",
    "write_date",
)
MOVE_FIELDS = ("state", "picking_id", "product_id", "product_uom_qty", "quantity", "picked", "write_date")
MOVE_LINE_FIELDS = (
    "move_id",
    "picking_id",
    "product_id",
    "quantity",
    "picked",
    "lot_id",
    "lot_name",
    "result_package_id",
    "state",
    "write_date",
)
#: packages and lots an event names
MOST_PACKED = 50

STATES = frozenset({"draft", "waiting", "confirmed", "assigned", "done", "cancel"})
#: codes of other apps' operations that are no transfers of an order
IGNORED_CODES = frozenset({"mrp_operation", "repair_operation"})
KNOWN_CODES = frozenset({"incoming", "outgoing", "internal", "dropship"}) | IGNORED_CODES
#: role of a warehouse's own picking types -> what a done transfer of it means
STEP_DONE = {"pick": "pick.completed", "pack": "pack.completed", "store": "goods.put_away"}

SHIP, RECEIVE, RETURN, GIVE_BACK, STEP, NONE = "ship", "receive", "return", "give_back", "step", ""


@dataclass(frozen=True, slots=True)
class Quantities:
    """Sums over the moves that are not cancelled. picked: somebody marked every one of them as picked."""

    lines: int
    demand: Decimal
    quantity: Decimal
    short_lines: int
    picked: bool
    any_picked: bool

    @property
    def full(self) -> bool:
        return self.short_lines == 0


def read_picking(row: Row, previous: Facts | None, lens: Lens, position: str) -> Reading:
    """stock.picking with its moves attached as ``moves``."""
    moves = [move for move in row.rows("moves") if move.text("state") != "cancel"]
    lines = row.rows("move_lines")
    stamps = [stamp for stamp in (move.time("write_date") for move in (*moves, *lines)) if stamp]
    story = Story("stock.picking", row, previous, lens, position)
    story.written = max([story.written, *stamps])  # a move's quantity does not touch its picking
    state, name, code = row.text("state"), row.text("name"), row.text("picking_type_code")
    role = lens.roles.get((row.link("picking_type_id") or (0, ""))[0], "")
    meaning = _meaning(row, code, role)
    tracking = _tracking(row)
    amounts = _quantities(moves)
    story.facts = {
        "state": state,
        "name": name,
        "meaning": meaning,
        "tracking": tracking,
        "scheduled": iso(row.time("scheduled_date")),
        "deadline": iso(row.time("date_deadline")),
        "allocation": _allocation(story.previous, state, amounts),
        "picked": amounts.picked,
        "short": _is_short(row, state, amounts),
        "created": bool(story.previous.get("created")),
    }
    if code not in KNOWN_CODES and story.previous.get("code") != code:
        story.warn(
            "odoo.unknown_value",
            f"The transfer {name} has the operation type '{code}' ({lens.label('picking_type_code', code)}), "
            "which the tower does not know; it gives no events.",
            f"stock.picking {row.id} picking_type_code={code}",
        )
    story.facts["code"] = code
    if meaning != NONE:
        _describe(story, row, meaning, role, tracking, amounts)
        _packed(story, lines, meaning)
        _steps(story, meaning, role, state, name, amounts)
    return story.close()


def _meaning(row: Row, code: str, role: str) -> str:
    """What the transfer is for. Goods that come in for a sales order, or go out for a purchase, are going back."""
    for_sale, for_purchase = row.link("sale_id") is not None, row.link("purchase_id") is not None
    if code == "dropship":
        return SHIP
    if code == "outgoing":
        return GIVE_BACK if for_purchase and not for_sale else SHIP
    if code == "incoming":
        back = for_sale or row.link("return_id") is not None
        return RETURN if back and not for_purchase else RECEIVE
    if code == "internal" and (for_sale or for_purchase):
        return STEP
    return NONE


def _tracking(row: Row) -> list[str]:
    """Several parcels of one shipment stand in one field, separated by commas or blanks, by carrier."""
    parts = re.split(r"[,;+\s]+", row.text("carrier_tracking_ref"))
    return list(dict.fromkeys(part for part in parts if part))


def _quantities(moves: list[Row]) -> Quantities:
    demand = [move.number("product_uom_qty") for move in moves]
    got = [move.number("quantity") for move in moves]
    picked = [move.flag("picked") for move in moves]
    return Quantities(
        lines=len(moves),
        demand=sum(demand, Decimal(0)),
        quantity=sum(got, Decimal(0)),
        short_lines=sum(g < d for g, d in zip(got, demand, strict=True)),
        picked=bool(moves) and all(picked),
        any_picked=any(picked),
    )


def _allocation(previous: Facts, state: str, amounts: Quantities) -> str:
    """none, part or full. Odoo calls a transfer ready ("assigned") though only a part of it is reserved.

    Once somebody picks, a move's quantity is what was counted and no longer what is reserved: then the last word stays.
    """
    before = str(previous.get("allocation") or "none")
    if state in ("done", "cancel") or state not in STATES:
        return before
    if state != "assigned":
        return "none"
    if amounts.any_picked and before != "none":
        return before
    return "full" if amounts.full else "part"


def _is_short(row: Row, state: str, amounts: Quantities) -> bool:
    """Less than ordered was picked: counted so, or sent off leaving a backorder behind."""
    if state == "done":
        return bool(row.raw.get("backorder_ids"))
    return state not in ("cancel", "draft") and amounts.picked and not amounts.full


def _describe(story: Story, row: Row, meaning: str, role: str, tracking: list[str], amounts: Quantities) -> None:
    """References, dates, parties and data that every event of the transfer carries."""
    lens, name = story.lens, row.text("name")
    sale = reference("sales_order", lens.name("sale.order", row.link("sale_id")))
    purchase = reference("purchase_order", lens.name("purchase.order", row.link("purchase_id")))
    scheduled, deadline = row.time("scheduled_date"), row.time("date_deadline")
    if meaning == SHIP:
        labels = [ref for one in tracking for ref in reference("tracking_number", one)]
        story.references = (*sale, *purchase, *reference("picking", name), *labels)
        ship_by = deadline or scheduled
        story.dates |= {"ship_by": ship_by} if ship_by else {}
        story.dates |= {"scheduled_ship": scheduled} if scheduled else {}
    elif meaning == RECEIVE:
        story.references = (*purchase, *reference("picking", name))
        story.dates |= {"scheduled_receipt": scheduled} if scheduled else {}
    elif meaning == STEP:
        # a step is no shipment of its own: as a picking it would be awaited at the door for ever
        story.references = (*sale, *purchase, *reference("warehouse_task", name))
    else:
        story.references = (*sale, *purchase, *reference("return_order", name))
        story.dates |= {"return_expected": scheduled} if scheduled else {}
    if meaning == RECEIVE and row.link("partner_id"):
        story.parties["supplier"] = f"odoo:{(row.link('partner_id') or (0, ''))[0]}"
    story.data = common_data(story, row.text("state")) | {
        "operation": row.text("picking_type_code"),
        "lines": amounts.lines,
        "demand": plain(amounts.demand),
        "quantity": plain(amounts.quantity),
    }
    for field_, key in (("backorder_id", "backorder_of"), ("return_id", "return_of")):
        link = row.link(field_)
        if link:
            story.data[key] = lens.name("stock.picking", link)
    carrier = row.link("carrier_id")
    if carrier and meaning == SHIP:
        story.parties["carrier"] = f"odoo_carrier:{carrier[0]}"
        story.data["carrier"] = lens.names.get("delivery.carrier", {}).get(carrier[0]) or carrier[1]
    if role:
        story.data["step"] = role
    if tracking and meaning != SHIP:
        story.data["tracking"] = tracking  # a parcel that comes back must not be awaited at the customer's


def _packed(story: Story, lines: list[Row], meaning: str) -> None:
    """Packages and lots as the move lines name them. A package that is called by its SSCC is that handling unit."""
    packages = [link[1] for line in lines if (link := line.link("result_package_id"))]
    lots = [link[1] if (link := line.link("lot_id")) else line.text("lot_name") for line in lines]
    for key, names in (("packages", packages), ("lots", lots)):
        named = list(dict.fromkeys(name for name in names if name))[:MOST_PACKED]
        if named:
            story.data[key] = named
    if meaning in (SHIP, RECEIVE):
        codes = dict.fromkeys(code for name in packages if (code := sscc_of(name)))
        story.references += tuple(ref for code in codes for ref in reference("sscc", code))


def sscc_of(name: str) -> str:
    """The SSCC a package is named by (18 digits with their check digit, also behind the application identifier 00)."""
    digits = name.strip().removeprefix("(00)")
    if len(digits) == 20 and digits.startswith("00"):
        digits = digits[2:]
    if not re.fullmatch(r"[0-9]{18}", digits):
        return ""
    return digits if check_digit(digits[:17]) == digits[17] else ""


def _steps(story: Story, meaning: str, role: str, state: str, name: str, amounts: Quantities) -> None:
    before, told = story.previous.get("state"), len(story.events)
    story.facts["created"] = True
    if not story.previous.get("created"):
        created = "return.authorized" if meaning == RETURN else "picking.created"
        story.tell(created, "created", story.own_time("create_date"), dated=False)
    if meaning == SHIP:
        _labels(story, name)
    if meaning in (SHIP, STEP) and state in STATES:
        _tell_allocation(story)
    if meaning in (SHIP, STEP):
        _tell_picking(story, meaning, state, amounts)
    if state == "done" and before != "done":
        _tell_done(story, meaning, role, name)
    elif state == "cancel" and before != "cancel":
        story.tell("picking.cancelled", "state=cancel", story.own_time("", "cancel"))
    elif state not in STATES and before != state:
        story.unknown("state", state, "picking.changed", f"The transfer {name}")
    elif len(story.events) == told and state not in ("done", "cancel"):
        changed = story.changed(("state", "scheduled", "deadline"))
        if changed:
            was = {one: story.previous.get(one) for one in changed}
            story.tell("picking.changed", "changed:" + ",".join(changed), data={"changed": changed, "was": was})


def _labels(story: Story, name: str) -> None:
    """A tracking number that appears is a label made, one that goes is a label voided."""
    now, before = story.facts["tracking"], list(story.previous.get("tracking") or ())
    others = [ref for ref in story.references if ref.kind != "tracking_number"]

    def of(numbers: list[str]) -> list[Reference]:
        return [*others, *(ref for one in numbers for ref in reference("tracking_number", one))]

    gone = [one for one in before if one not in now]
    new = [one for one in now if one not in before]
    if gone:
        story.tell("label.voided", "voided:" + ",".join(gone), references=of(gone), data={"picking": name})
    if new:
        story.tell("label.created", "label:" + ",".join(new), references=of(new), data={"picking": name})


def _tell_allocation(story: Story) -> None:
    now, before = story.facts["allocation"], str(story.previous.get("allocation") or "none")
    if now == before:
        return
    if now == "full":
        story.tell("stock.allocated", "allocation=full")
    elif before == "full":
        story.tell("stock.unallocated", f"allocation={now}", data={"partly": now == "part"})
    elif now == "part":
        story.tell("stock.partly_allocated", "allocation=part")
    else:
        story.tell("stock.unallocated", "allocation=none")


def _tell_picking(story: Story, meaning: str, state: str, amounts: Quantities) -> None:
    """Counted at the shelf, before the transfer is done."""
    if story.facts["short"] and not story.previous.get("short"):
        data: dict[str, Any] = {}
        if state != "done":  # a done transfer's demand was lowered to what went; the rest is its backorder's
            data = {"short_lines": amounts.short_lines, "missing": plain(amounts.demand - amounts.quantity)}
        story.tell("pick.short", "short", data=data)
    ready = amounts.picked and amounts.full and state not in ("done", "cancel")
    was_ready = story.previous.get("picked") and not story.previous.get("short")
    if meaning == SHIP and ready and not was_ready:
        story.tell("pick.completed", "picked")


def _tell_done(story: Story, meaning: str, role: str, name: str) -> None:
    done = story.own_time("date_done")
    if meaning in (SHIP, GIVE_BACK):
        story.tell("shipment.dispatched", "state=done", done)
    elif meaning == RECEIVE:
        story.tell("goods.received", "state=done", done)
    elif meaning == RETURN:
        story.tell("return.received", "state=done", done)
        origin = story.lens.name("stock.picking", story.row.link("return_id"))
        if origin:
            # the same fact for the shipment it came from, dated as the return
            refs = [*story.references, *reference("picking", origin)]
            story.tell("shipment.returned", "returned", done, references=refs)
    elif role in STEP_DONE:
        story.tell(STEP_DONE[role], "state=done", done)
    else:
        story.tell("picking.changed", "state=done", done, data={"changed": ["state"]})
