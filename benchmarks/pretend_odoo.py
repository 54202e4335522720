"""python -m benchmarks.pretend_odoo ORDERS [--paced]: serves a pretend Odoo until its standard input ends.

Paced, it takes the time a real one takes: Odoo 19 over JSON-2, as recorded on two cores (23.8 ms for 100 orders and 88.4 ms
for 1000; 1,940 and 3,700 moves a second at the same page sizes). Else it answers as fast as it can, several times faster.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from apps.simulator.odoo_server import OdooServer
from apps.simulator.odoo_store import FORMAT, OdooStore, standard_store

KEY, LOGIN, DATABASE = "bench-key", "tower", "bench"


#: model -> seconds of a search, seconds of each record it brings
PACE = {"sale.order": (0.0166, 0.000072)}
OTHERS = (0.0270, 0.000243)


def paced(store: OdooStore) -> OdooStore:
    """The same store, as slow as a real Odoo."""
    answer = store.call

    def call(model: str, method: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        began = time.perf_counter()
        found = answer(model, method, args, named)
        if method == "search_read":
            search, record = PACE.get(model, OTHERS)
            time.sleep(max(0.0, search + record * len(found) - (time.perf_counter() - began)))
        return found

    store.call = call  # type: ignore[method-assign]
    return store


def filled(orders: int) -> OdooStore:
    """Each order with two lines, its transfer with two moves; written over the last two days, shipped half of them."""
    store = standard_store(19, DATABASE, {KEY: LOGIN})
    start = store.clock() - timedelta(days=2)
    for number in range(1, orders + 1):
        written = start + timedelta(seconds=number % 150_000)
        _order(store, number, written)
    return store


def _order(store: OdooStore, number: int, written: datetime) -> None:
    when = {"create_date": written, "write_date": written}
    name, later = f"S{number:06}", (written + timedelta(days=5)).strftime(FORMAT)
    customer, done = [number % 500 + 10, f"Customer {number % 500}"], number % 2 == 0
    lines = [number * 2 - 1, number * 2]
    order = {"id": number, "name": name, "state": "sale", "date_order": written, "commitment_date": later, **when}
    more = {"partner_id": customer, "warehouse_id": [1, "Main"], "currency_id": [1, "EUR"], "company_id": [1, "Us"]}
    store.put(
        "sale.order",
        order | more | {"amount_total": 10.0 + number, "order_line": lines, "invoice_status": "no", "locked": False},
    )
    picking = {"id": number, "name": f"WH/OUT/{number:06}", "state": "done" if done else "assigned", **when}
    links = {"sale_id": [number, name], "partner_id": customer, "picking_type_id": [2, "Delivery"]}
    dates = {"scheduled_date": later, "date_deadline": later, "date_done": written if done else False}
    kind = {"picking_type_code": "outgoing", "origin": name, "carrier_tracking_ref": f"T{number}" if done else False}
    store.put(
        "stock.picking", picking | links | dates | kind | {"carrier_id": [3, "Swift Parcel"], "backorder_ids": []}
    )
    for id_ in lines:
        product = [id_ % 900 + 1, f"[P-{id_ % 900:04}] Product {id_ % 900}"]
        line = {"id": id_, "order_id": [number, name], "product_id": product, "product_uom_qty": 5.0, **when}
        store.put("sale.order.line", line | {"qty_delivered": 0.0, "qty_invoiced": 0.0, "product_uom_id": [1, "Units"]})
        move = {"id": id_, "picking_id": [number, f"WH/OUT/{number:06}"], "product_id": product, **when}
        store.put("stock.move", move | {"state": "assigned", "product_uom_qty": 5.0, "quantity": 5.0, "picked": done})


def main() -> None:
    store = filled(int(sys.argv[1]))
    with OdooServer(paced(store) if "--paced" in sys.argv else store) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
