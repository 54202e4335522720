"""EasyPost: tracker status, refined by status_detail. Source: EasyPost API reference, "Tracker object"."""

from __future__ import annotations

from apps.collectors.carriers.model import Meaning
from apps.collectors.carriers.tables import (
    ARRIVED,
    ATTEMPTED,
    DELIVERED,
    DEPARTED,
    EXCEPTION,
    IN_TRANSIT,
    LABEL,
    MANIFESTED,
    NOTHING,
    OUT,
    RETURNING,
    VOIDED,
    attempt,
    back,
    table,
    trouble,
)

STATUSES = table(
    (NOTHING, "unknown error"),
    (MANIFESTED, "pre_transit"),
    (IN_TRANSIT, "in_transit"),
    (OUT, "out_for_delivery"),
    (DELIVERED, "delivered"),
    (ARRIVED, "available_for_pickup"),
    (RETURNING, "return_to_sender"),
    (EXCEPTION, "failure"),
    (VOIDED, "cancelled"),
)

#: what a detail says while a parcel is on its way; () are those that add nothing to the status
DETAILS = table(
    (LABEL, "label_created"),
    (ARRIVED, "arrived_at_facility arrived_at_destination arrived_at_pickup_location"),
    (ARRIVED, "received_at_destination_facility received_at_origin_facility"),
    (DEPARTED, "departed_facility departed_origin_facility transferred_to_destination_carrier"),
    (OUT, "out_for_delivery"),
    (trouble("Address needs correction"), "address_correction"),
    (trouble("Information needed"), "awaiting_information"),
    (trouble("Damaged"), "damaged"),
    (trouble("Delayed"), "delayed"),
    (trouble("Delayed by weather"), "weather_delay"),
    (trouble("Delivery exception"), "delivery_exception"),
    (trouble("Transit exception"), "transit_exception"),
    (trouble("No news for a long time"), "expired"),
    (trouble("Held"), "held"),
    (trouble("Lost"), "lost"),
    (trouble("Missorted"), "missorted"),
    (trouble("Refused by the recipient"), "refused"),
    (attempt("Unable to deliver"), "unable_to_deliver"),
    (back("Returning to the sender"), "return"),
)
_ADD_NOTHING = "unknown in_transit status_update pre_transit delivered cancelled failure error"
#: statuses that say all there is to say
_FINAL = ("delivered", "out_for_delivery", "available_for_pickup", "return_to_sender", "cancelled", "unknown", "error")


def _refined(status: str, detail: str) -> Meaning:
    plain = STATUSES[status]
    told = DETAILS.get(detail, plain)
    if status in _FINAL:
        return plain
    if status == "failure":
        return told if told in (ATTEMPTED, RETURNING) or told.words else plain
    return told


TABLE = {
    **STATUSES,
    **{
        f"{status}/{detail}": _refined(status, detail)
        for status in STATUSES
        for detail in (*DETAILS, *_ADD_NOTHING.split())
    },
}
