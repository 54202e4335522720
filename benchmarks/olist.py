"""Reads Olist orders as cases of a stage: from approval, or from hand-over to the carrier, until delivered.

Late is delivered on a calendar day after the promised one. Only delivered orders are scored, as in the published
protocol; the files at hand hold every order that was not delivered, but a twentieth of the delivered ones.
"""

from __future__ import annotations

import csv
import gzip
import math
from datetime import datetime, timedelta
from pathlib import Path

from apps.anomalies.risk.features import Case

DAY = 86400.0
ZERO = datetime(2016, 1, 1)


def folder(base: Path) -> Path:
    """Where the data lies beside the project."""
    return base.parent / "shared" / "data" / "olist"


def _read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _day(text: str) -> float | None:
    if not text:
        return None
    return (datetime.fromisoformat(text) - ZERO).total_seconds() / DAY


def cases(path: Path, stage: str) -> list[Case]:
    """stage: approval or hand-over. In order of their start."""
    orders = _read(path / "orders.csv.gz") + _read(path / "orders_head_minute.csv.gz")
    state_of = {row["customer_id"]: row["customer_state"] for row in _read(path / "customers.csv.gz")}
    seller_state = {row["seller_id"]: row["seller_state"] for row in _read(path / "sellers.csv.gz")}
    items: dict[str, tuple[str, float]] = {}
    for row in _read(path / "order_items.csv.gz"):
        seller, value = items.get(row["order_id"], (row["seller_id"], 0.0))
        items[row["order_id"]] = (seller, value + float(row["price"]))
    found: dict[str, Case] = {}
    for row in orders:
        made = _case(row, stage, state_of, seller_state, items)
        if made is not None:
            found.setdefault(row["order_id"], made)
    return sorted(found.values(), key=lambda case: case.start)


def _case(
    row: dict[str, str],
    stage: str,
    state_of: dict[str, str],
    seller_state: dict[str, str],
    items: dict[str, tuple[str, float]],
) -> Case | None:
    if row["order_status"] != "delivered":
        return None
    name = "order_approved_at" if stage == "approval" else "order_delivered_carrier_date"
    start, done = _day(row[name]), _day(row["order_delivered_customer_date"])
    opened, promised = _day(row["order_purchase_timestamp"]), _day(row["order_estimated_delivery_date"])
    if start is None or done is None or opened is None or promised is None or done <= start:
        return None
    seller, value = items.get(row["order_id"], ("", 0.0))
    state = state_of.get(row.get("customer_id", ""), "")
    at, due = ZERO + timedelta(days=start), ZERO + timedelta(days=math.floor(promised))
    return Case(
        start=start, due=math.floor(promised) + 1.0, opened=opened, done=done,
        lane=f"{seller_state.get(seller, '')}>{state}" if seller or state else "", partner=seller,
        site=state, value=value, hour=at.hour + at.minute / 60, weekday=at.weekday(), due_weekday=due.weekday(),
    )  # fmt: skip
