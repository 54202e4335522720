"""The pretend house's Odoo: invoices of the network's own orders, as they are posted and paid. See `odoo_server`."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Any

from apps.simulator.faults import BERLIN
from apps.simulator.formats.shops import number_of
from apps.simulator.odoo_store import OdooStore, standard_store
from apps.simulator.world import CARRIERS, Message

MODEL = "account.move"
#: local hour at which customers' payments of the day before are booked
PAID_AT = time(10, 30)


def empty_books(key: str) -> OdooStore:
    """An Odoo 19 that knows the house's carriers and takes this API key."""
    store = standard_store(19, "harbor-and-pine", {key: "tower"})
    for number, (slug, scac) in enumerate(sorted(CARRIERS.items()), 1):
        name = slug.replace("-", " ").title()
        carrier = {"name": name, "delivery_type": scac.lower(), "active": True, "company_id": [1, "Harbor & Pine"]}
        store.put("delivery.carrier", {"id": number, "write_date": "2026-01-05 08:00:00", **carrier})
    return store


class Books:
    """Books what happened when its time has come: an invoice is posted, and paid on the next morning."""

    def __init__(self, store: OdooStore) -> None:
        self.store = store
        self._waiting: list[tuple[datetime, int, str, dict[str, Any]]] = []

    def plan(self, messages: Iterable[Message]) -> None:
        """What is to be booked of these messages; others are left out."""
        for message in messages:
            if message.what == "invoice.posted":
                facts, own = message.facts, number_of(message.facts["order"])
                heapq.heappush(self._waiting, (message.at, own, "not_paid", facts))
                heapq.heappush(self._waiting, (paid_at(message.at), own, "paid", facts))

    def book(self, now: datetime) -> list[int]:
        """Books all that is due; the ids of the invoices that changed."""
        changed = []
        while self._waiting and self._waiting[0][0] <= now:
            at, own, payment, facts = heapq.heappop(self._waiting)
            self.store.put(MODEL, _invoice(at, own, payment, facts))
            changed.append(own)
        return changed


def paid_at(posted: datetime) -> datetime:
    day = posted.astimezone(BERLIN).date() + timedelta(days=1)
    return datetime.combine(day, PAID_AT, tzinfo=BERLIN).astimezone(posted.tzinfo)


def _invoice(at: datetime, own: int, payment: str, facts: dict[str, Any]) -> dict[str, Any]:
    day = at.astimezone(BERLIN).date()
    row = {
        "id": own,
        "write_date": at,
        "state": "posted",
        "payment_state": payment,
    }
    if payment == "not_paid":
        row |= {
            "name": f"INV/{facts['order']}",
            "move_type": "out_invoice",
            "create_date": at,
            "invoice_origin": facts["order"],
            "invoice_date": day.isoformat(),
            "invoice_date_due": (day + timedelta(days=14)).isoformat(),
            "partner_id": [own, "Customer"],
            "currency_id": [1, "EUR"],
            "company_id": [1, "Harbor & Pine"],
            "amount_total": facts["value"],
        }
    return row
