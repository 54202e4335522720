"""Shippo: tracking status, refined by substatus. Source: Shippo API, "Tracking statuses" and "Tracking substatuses"."""

from __future__ import annotations

from apps.collectors.carriers.tables import (
    ARRIVED,
    ATTEMPTED,
    DELIVERED,
    DEPARTED,
    EXCEPTION,
    IN_TRANSIT,
    MANIFESTED,
    NOTHING,
    OUT,
    PICKED_UP,
    RETURNING,
    attempt,
    back,
    table,
    trouble,
)

TABLE = table(
    (NOTHING, "UNKNOWN UNKNOWN/other"),
    (MANIFESTED, "PRE_TRANSIT PRE_TRANSIT/information_received"),
    (IN_TRANSIT, "TRANSIT TRANSIT/other TRANSIT/delivery_scheduled TRANSIT/delivery_rescheduled"),
    (IN_TRANSIT, "TRANSIT/package_processed TRANSIT/package_processing TRANSIT/package_forwarded"),
    (PICKED_UP, "TRANSIT/package_accepted"),
    (ARRIVED, "TRANSIT/package_arrived TRANSIT/pickup_available"),
    (DEPARTED, "TRANSIT/package_departed"),
    (OUT, "TRANSIT/out_for_delivery"),
    (ATTEMPTED, "TRANSIT/delivery_attempted"),
    (attempt("Notice left"), "TRANSIT/notice_left"),
    (attempt("Location not accessible"), "TRANSIT/location_inaccessible"),
    (trouble("Wrong address"), "TRANSIT/address_issue"),
    (trouble("The carrier must be contacted"), "TRANSIT/contact_carrier"),
    (trouble("Delayed"), "TRANSIT/delayed"),
    (trouble("Damaged"), "TRANSIT/package_damaged"),
    (trouble("Held"), "TRANSIT/package_held"),
    (trouble("Delivery must be arranged anew"), "TRANSIT/reschedule_delivery"),
    (DELIVERED, "DELIVERED DELIVERED/delivered DELIVERED/other"),
    (RETURNING, "RETURNED RETURNED/return_to_sender RETURNED/other"),
    (back("Not collected, returning to the sender"), "RETURNED/package_unclaimed"),
    (EXCEPTION, "FAILURE FAILURE/other"),
    (trouble("Undeliverable"), "FAILURE/package_undeliverable"),
    (trouble("Disposed of"), "FAILURE/package_disposed"),
    (trouble("Lost"), "FAILURE/package_lost"),
)
