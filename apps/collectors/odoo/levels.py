"""Stock levels (stock.quant): how much of a product lies where. Pure.

Every change of a level follows from a transfer that is told by itself, so levels are kept (in their receipts) and
remembered, and give events only where the settings ask for it: `stock.adjusted`, by change of content, with what it was.
"""

from __future__ import annotations

from apps.collectors.odoo.rows import Row, plain
from apps.collectors.odoo.story import Facts, Lens, Reading, Story, common_data

QUANT_FIELDS = (
    "product_id",
    "location_id",
    "lot_id",
    "package_id",
    "quantity",
    "reserved_quantity",
    "company_id",
    "write_date",
)


def read_level(row: Row, previous: Facts | None, lens: Lens, position: str) -> Reading:
    """stock.quant: one product in one place (of one lot, in one package)."""
    story = Story("stock.quant", row, previous, lens, position)
    facts: Facts = {
        "quantity": plain(row.number("quantity")),
        "reserved": plain(row.number("reserved_quantity")),
        **{
            name: link[1]
            for name in ("product", "location", "lot", "package")
            if (link := row.link(f"{name}_id")) is not None
        },
    }
    story.facts = dict(facts)
    if lens.stock_events and story.changed(("quantity",)):
        story.data = common_data(story, facts["quantity"], "quantity") | facts
        was = {"was": {"quantity": story.previous.get("quantity")}}
        story.tell("stock.adjusted", f"quantity={facts['quantity']}", data=was, anywhere=True)
    return story.close()
