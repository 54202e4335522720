"""What is told beside the stories, and changes nothing of what is due: mails, calls, logs, containers, files. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.simulator.formats.choosing import bucket

#: percent of the orders with each
MAILED, RATED, LOGGED = 12, 8, 5
#: percent of Nordtex's purchases that travel in a container of their own
IN_CONTAINERS = 60
GATEWAY_HOURS = (2, 8, 14, 20)
#: of local time: the stock list on working days, the returns desk's log each day
STOCK_AT, DESK_AT = 3.5, 18.5


@dataclass(frozen=True, slots=True)
class Aside:
    integration: str
    what: str
    at: datetime
    facts: dict[str, Any]


def of_order(facts: dict[str, Any], created: datetime, released: datetime, leaves: datetime) -> Iterator[Aside]:
    """The middleware's line, a question for rates, the mail that says the goods are on their way."""
    order = facts["order"]
    if bucket(f"log {order}") < LOGGED:
        yield Aside("middleware-messages", "workflow", created + timedelta(seconds=1), facts)
    if bucket(f"rate {order}") < RATED:
        yield Aside("carrier-calls", "rate_call", released + timedelta(minutes=1), facts)
    if bucket(f"mail {order}") < MAILED:
        mailed = leaves + timedelta(minutes=5)
        told = {**facts, "mailed_at": mailed}
        yield Aside("customer-mail", "mail_sent", mailed, told)
        yield Aside("customer-mail", "mail_delivered", mailed + timedelta(seconds=20), told)


def of_purchase(facts: dict[str, Any], departs: datetime) -> Iterator[Aside]:
    """The container of a supplier across the sea leaves its gate and is loaded."""
    if facts["supplier"] == "nordtex" and bucket(f"container {facts['purchase']}") < IN_CONTAINERS:
        yield Aside("fjord-line-containers", "container_left", departs + timedelta(minutes=30), facts)
        yield Aside("fjord-line-containers", "container_loaded", departs + timedelta(hours=4), facts)
