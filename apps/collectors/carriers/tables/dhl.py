"""DHL: status codes of the unified API, refined by DHL Express checkpoint codes where the division sends them.

Sources: DHL Shipment Tracking Unified API; DHL Express, "Checkpoint codes".
"""

from __future__ import annotations

from apps.collectors.carriers.tables import (
    ARRIVED,
    DELIVERED,
    DEPARTED,
    EXCEPTION,
    IN_TRANSIT,
    MANIFESTED,
    NOTHING,
    OUT,
    PICKED_UP,
    attempt,
    back,
    table,
    trouble,
)

STATUSES = table(
    (MANIFESTED, "pre-transit"),
    (IN_TRANSIT, "transit"),
    (DELIVERED, "delivered"),
    (EXCEPTION, "failure"),
    (NOTHING, "unknown"),
)

CHECKPOINTS = table(
    (PICKED_UP, "PU SA"),
    (DEPARTED, "DF FD"),
    (ARRIVED, "AF AR CC"),
    (IN_TRANSIT, "PL TR IC CR RR BR BN RW AD SC"),
    (OUT, "WC"),
    (DELIVERED, "OK"),
    (attempt("Recipient not at home"), "NH"),
    (attempt("Closed on arrival"), "CA"),
    (attempt("Delivery cycle missed"), "MD"),
    (trouble("Wrong address"), "BA"),
    (trouble("Delayed in customs"), "CD UD"),
    (trouble("Recipient moved"), "CM"),
    (trouble("Delivered damaged"), "DD"),
    (trouble("Disposed of"), "DS"),
    (trouble("Held until paid"), "HP"),
    (trouble("Missorted"), "MC MS"),
    (trouble("Not arrived"), "NA"),
    (trouble("On hold"), "OH"),
    (trouble("Delivered in part"), "PD"),
    (trouble("Refused by the recipient"), "RD"),
    (trouble("Stopped"), "SS"),
    (back("Returning to the sender"), "RT"),
)

#: "delivered" and "unknown" say all there is to say, whatever the checkpoint
TABLE = {
    **STATUSES,
    **{
        f"{status}/{code}": meaning if status in ("delivered", "unknown") else CHECKPOINTS[code]
        for status, meaning in STATUSES.items()
        for code in CHECKPOINTS
    },
}
