"""FedEx: scan event types, which are also its status codes. Source: FedEx Track API, "Tracking status codes"."""

from __future__ import annotations

from apps.collectors.carriers.tables import (
    ARRIVED,
    DELIVERED,
    DEPARTED,
    IN_TRANSIT,
    MANIFESTED,
    NOTHING,
    OUT,
    PICKED_UP,
    VOIDED,
    attempt,
    back,
    table,
    trouble,
)

TABLE = table(
    (MANIFESTED, "OC OX MD IN"),
    (NOTHING, "EP AP RD RC"),
    (PICKED_UP, "PU PX DO"),
    (ARRIVED, "AR AA AC AF AX FD HL HP OF PL SF"),
    (DEPARTED, "DP EA EO LO PF"),
    (IN_TRANSIT, "IT IX TR OW PM CC"),
    (OUT, "OD AD ED"),
    (DELIVERED, "DL"),
    (attempt("Delivery exception"), "DE"),
    (trouble("Shipment exception"), "SE"),
    (trouble("Delayed in customs"), "CD CP"),
    (trouble("Delayed"), "DY DD"),
    (trouble("Pick-up delayed"), "PY"),
    (trouble("Hold at location requested"), "HA"),
    (back("Returning to the sender"), "RS RT RTS"),
    (VOIDED, "CA"),
)
