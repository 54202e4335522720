"""Karrio: its normalised tracking statuses. Source: Karrio API, "Tracker"."""

from __future__ import annotations

from apps.collectors.carriers.tables import (
    ARRIVED,
    DELIVERED,
    IN_TRANSIT,
    MANIFESTED,
    NOTHING,
    OUT,
    PICKED_UP,
    RETURNING,
    VOIDED,
    attempt,
    table,
    trouble,
)

TABLE = table(
    (NOTHING, "unknown"),
    (MANIFESTED, "pending"),
    (PICKED_UP, "picked_up"),
    (IN_TRANSIT, "in_transit"),
    (ARRIVED, "ready_for_pickup"),
    (OUT, "out_for_delivery"),
    (DELIVERED, "delivered"),
    (attempt("Delivery failed"), "delivery_failed"),
    (trouble("Delivery delayed"), "delivery_delayed"),
    (trouble("On hold"), "on_hold"),
    (RETURNING, "return_to_sender"),
    (VOIDED, "cancelled"),
)
