"""DCSA Track & Trace: what its codes mean to the tower. Tables; pure.

Source: DCSA OpenAPI, T&T 2.3, event domain 2.0 (T&T 2.x) and 3.2 (the 3.0 beta). A code that is in no table is reported,
never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OBSERVED, WITHDRAWN, FORECAST = "goods.observed", "event.withdrawn", "transport.eta_changed"


@dataclass(frozen=True, slots=True)
class Meaning:
    """event: what it is when it happened; date: what its time is called while it is expected."""

    event: str
    words: str
    date: str = ""


#: transportEventTypeCode
TRANSPORT: Mapping[str, Meaning] = {
    "ARRI": Meaning("transport.arrived", "Arrived", "eta"),
    "DEPA": Meaning("transport.departed", "Departed", "etd"),
    "OMIT": Meaning("transport.exception", "Port call omitted", "omission"),
}
#: equipmentEventTypeCode
EQUIPMENT: Mapping[str, Meaning] = {
    "LOAD": Meaning("transport.in_transit", "Loaded", "loading"),
    "DISC": Meaning("transport.in_transit", "Discharged", "discharge"),
    "GTIN": Meaning("transport.arrived", "Gated in", "gate_in"),
    "GTOT": Meaning("transport.departed", "Gated out", "gate_out"),
    "STUF": Meaning(OBSERVED, "Stuffed", "stuffing"),
    "STRP": Meaning("goods.unloaded", "Stripped", "stripping"),
    "PICK": Meaning("transport.picked_up", "Picked up", "pick_up"),
    "DROP": Meaning(OBSERVED, "Dropped off", "drop_off"),
    "INSP": Meaning(OBSERVED, "Inspected", "inspection"),
    "RSEA": Meaning(OBSERVED, "Resealed", "resealing"),
    "RMVD": Meaning(OBSERVED, "Removed", "removal"),
    "AVPU": Meaning(OBSERVED, "Available for pick-up", "available_for_pick_up"),
    "AVDO": Meaning(OBSERVED, "Available for drop-off", "available_for_drop_off"),
    "CROS": Meaning("transport.in_transit", "Crossed a border", "crossing"),
    "WAYP": Meaning("transport.in_transit", "Passed a waypoint", "waypoint"),
    "CUSS": Meaning(OBSERVED, "Selected by customs for a scan", "customs_scan"),
    "CUSI": Meaning(OBSERVED, "Selected by customs for inspection", "customs_inspection"),
    "CUSR": Meaning("customs.released", "Released by customs", "customs_release"),
}
#: shipmentEventTypeCode; what it means depends on the document
SHIPMENT_WORDS: Mapping[str, str] = {
    "RECE": "received", "DRFT": "drafted", "PENA": "pending approval", "PENU": "pending update",
    "PENC": "pending confirmation", "REJE": "rejected", "APPR": "approved", "ISSU": "issued", "SURR": "surrendered",
    "SUBM": "submitted", "VOID": "void", "CONF": "confirmed", "REQS": "requested", "CMPL": "completed",
    "HOLD": "on hold", "RELS": "released", "CANC": "cancelled", "ADJU": "adjusted",
}  # fmt: skip
#: (documentTypeCode, shipmentEventTypeCode) -> event type
SHIPMENT: Mapping[tuple[str, str], str] = {
    **{(document, "CONF"): "load.accepted" for document in ("CBR", "BKG")},
    **{(document, "REJE"): "load.declined" for document in ("CBR", "BKG")},
    **{(document, code): "load.cancelled" for document in ("CBR", "BKG") for code in ("CANC", "VOID")},
    **{(document, "APPR"): "customs.accepted" for document in ("CUS", "CUC")},
    **{(document, "HOLD"): "customs.held" for document in ("CUS", "CUC")},
    **{(document, "RELS"): "customs.released" for document in ("CUS", "CUC")},
    **{(document, "REJE"): "customs.rejected" for document in ("CUS", "CUC")},
}
#: documentTypeCode, documentReferenceType or referenceType -> reference kind; others stay in the event's data
REFERENCES: Mapping[str, str] = {
    "BKG": "booking",
    "CBR": "load",
    "TRD": "bill_of_lading",
    "EQ": "container",
    "PO": "purchase_order",
}
CODES = {
    "TRANSPORT": "transportEventTypeCode",
    "EQUIPMENT": "equipmentEventTypeCode",
    "SHIPMENT": "shipmentEventTypeCode",
}
CLASSIFIERS = {"ACT": "actual", "EST": "estimated", "PLN": "planned", "REQ": "requested"}
#: fields of a transport call worth keeping -> their name in the event's data
CALL = {
    "transportCallReference": "transport_call", "transportCallID": "transport_call", "modeOfTransport": "mode",
    "carrierServiceCode": "service", "exportVoyageNumber": "voyage", "carrierExportVoyageNumber": "voyage",
    "carrierVoyageNumber": "voyage", "importVoyageNumber": "import_voyage", "UNLocationCode": "un_locode",
    "facilityCode": "facility", "facilityTypeCode": "facility_type", "licencePlate": "licence_plate",
    "transportCallSequenceNumber": "call_number",
}  # fmt: skip
