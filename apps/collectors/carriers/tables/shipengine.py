"""ShipEngine and ShipStation: status code, refined by a status detail code. Source: ShipEngine API, "Tracking"."""

from __future__ import annotations

from apps.collectors.carriers.model import Meaning
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
    PROOF,
    RETURNING,
    VOIDED,
    attempt,
    back,
    table,
    trouble,
)

STATUSES = table(
    (NOTHING, "UN"),
    (MANIFESTED, "NY"),
    (PICKED_UP, "AC"),
    (IN_TRANSIT, "IT"),
    (ARRIVED, "SP"),
    (ATTEMPTED, "AT"),
    (DELIVERED, "DE"),
    (EXCEPTION, "EX"),
)

_CUSTOMS = "HELD_BY_CUSTOMS HELD_BY_EXPORT_CUSTOMS HELD_BY_IMPORT_CUSTOMS HELD_BY_CARRIER_FOR_CLEARANCE_PRE_PROCESSING"
DETAILS = table(
    (NOTHING, "INFORMATION PARCEL_UPDATE_NOTIFICATION PARCEL_UPDATE_NOTIFICATION_VIA_EMAIL POST_TRANSIT_STATUS"),
    (NOTHING, "PARCEL_UPDATE_NOTIFICATION_VIA_SMS AWAITING_ELECTRONIC_ADVICE COD_AMOUNT_PAID COLLECTION_REQUESTED"),
    (MANIFESTED, "ELEC_ADVICE_RECD_BY_CARRIER AWAITING_DESPATCH SHIPMENT_CREATED AWAITING_PICKUP_DROP_OFF"),
    (PICKED_UP, "COLLECTION_MADE PICKED_UP DROPPED_OFF DESPATCHED RECEIVED_BY_CARRIER RECD_BY_CARRIER_NO_ELEC_ADVICE"),
    (IN_TRANSIT, "IN_TRANSIT CUSTOMS_CLEARED CUSTOMS_PROCESSING DELIVERY_ARRANGED_WITH_RECIPIENT HUB_PROCESSING"),
    (IN_TRANSIT, "PARCEL_OVER_LABELLED PARCEL_REPACKED SUB_CONTRACTOR_EVENT SUB_CONTRACTOR_RECEIVED"),
    (IN_TRANSIT, "PARCEL_REDIRECTED DELIVERY_SCHEDULED DELIVERY_RESCHEDULED"),
    (ARRIVED, "HUB_SCAN_IN RECEIVED_LOCAL_DELIVERY_DEPOT AWAITING_COLLECTION_FROM_PICKUP_POINT COLLECT_AT_LOCAL_PO"),
    (ARRIVED, "CUSTOMER_TO_COLLECT_FROM_CARRIER DELIVERED_TO_LOCKER_COLLECTION_POINT"),
    (DEPARTED, "HUB_SCAN_OUT"),
    (OUT, "OUT_FOR_DELIVERY"),
    (ATTEMPTED, "ATTEMPTED_DELIVERY ATTEMPTED_DELIVERY_2ND ATTEMPTED_DELIVERY_3RD ATTEMPTED_DELIVERY_FINAL"),
    (attempt("Notice left"), "CUSTOMER_CARDED"),
    (attempt("Cash on delivery not paid"), "COD_AMOUNT_NOT_PAID INVALID_METHOD_OF_PAYMENT"),
    (attempt("Recipient not identified"), "CUSTOMER_IDENTIFICATION_FAILED"),
    (attempt("No access to the address"), "NO_ACCESS_TO_RECIPIENTS_ADDRESS"),
    (DELIVERED, "DELIVERED DELIVERED_SPECIFIED_SAFE_PLACE DELIVERED_TO_ALTERNATIVE_DELIVERY_LOCATION"),
    (DELIVERED, "DELIVERED_TO_NEIGHBOUR DELIVERED_TO_PO_BOX PARCEL_COLLECTED_FROM_PICKUP_POINT"),
    (Meaning(DELIVERED.event, "Damaged"), "DELIVERED_DAMAGED"),
    (trouble("Delivered in part"), "DELIVERED_IN_PART"),
    (PROOF, "PROOF_OF_DELIVERY"),
    (VOIDED, "CANCELLED CANCELLED_BEFORE_DESPATCH"),
    (trouble("Not handed over yet"), "NOT_YET_RECEIVED_BY_CARRIER"),
    (trouble("Collection failed"), "COLLECTION_FAILED"),
    (trouble("Wrong address"), "ADDRESS_QUERY"),
    (trouble("Delayed"), "CARRIER_DELAYS DELAYED_NOT_CARRIER"),
    (trouble("Held by the carrier"), "HELD_BY_CARRIER"),
    (trouble("Held in customs"), _CUSTOMS),
    (trouble("Wrong declaration"), "INCORRECT_DECLARATION"),
    (trouble("Missorted"), "MISSORTED ROUTING_ERROR"),
    (trouble("Disposed of"), "PARCEL_DISPOSED"),
    (trouble("Lost"), "PARCEL_LOST"),
    (trouble("Recipient deceased"), "NOT_DELIVERED_ADDRESSEE_DECEASED"),
    (RETURNING, "RETURN_TO_SENDER"),
    (back("Not delivered, returning to the sender"), "NOT_DELIVERED"),
    (back("Recipient moved, returning to the sender"), "CUSTOMER_MOVED"),
    (back("Prohibited goods, returning to the sender"), "HAZARDOUS_PROHIBITED"),
    (back("Not collected, returning to the sender"), "NOT_COLLECTED_FROM_PICKUP_POINT"),
    (back("Damaged, returning to the sender"), "PARCEL_DAMAGED"),
    (back("Too large or heavy, returning to the sender"), "PARCEL_OUTSIDE_OF_SERVICE_CAPABILITY"),
    (back("Refused, returning to the sender"), "REFUSED_BY_CUSTOMER"),
)

TABLE = {**STATUSES, **DETAILS}
