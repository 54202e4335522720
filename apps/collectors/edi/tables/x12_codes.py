"""X12 code lists, as far as the tower acts on them (ASC X12.3 data element dictionary; numbers are its elements)."""

from __future__ import annotations

from apps.collectors.edi.tables.model import Codes, Meaning

#: 128 Reference Identification Qualifier -> reference kind
REFERENCES: Codes = {
    "PO": "purchase_order",
    "BM": "bill_of_lading",
    "MB": "bill_of_lading",
    "CN": "pro_number",
    "2I": "tracking_number",
    "08": "tracking_number",
    "OC": "container",
    "SI": "load",
    "LO": "load",
    "BN": "load",
}

#: 88 Marks and Numbers Qualifier -> reference kind (GM: SSCC-18 with application identifier 00)
MARKS: Codes = {"GM": "sscc", "AA": "sscc", "CP": "tracking_number"}

#: 374 Date/Time Qualifier -> name of the date
DATES: Codes = {
    "002": "requested_delivery",
    "010": "ship_by",
    "011": "shipped",
    "017": "eta",
    "035": "delivered",
    "038": "ship_by",
    "067": "eta",
    "068": "ship_by",
    "371": "eta",
    "139": "eta",
}

#: 98 Entity Identifier Code -> role
ROLES: Codes = {
    "BY": "buyer",
    "OB": "buyer",
    "BT": "bill_to",
    "CA": "carrier",
    "CN": "consignee",
    "DE": "depositor",
    "MA": "ship_to",
    "SE": "supplier",
    "SF": "ship_from",
    "SH": "shipper",
    "ST": "ship_to",
    "SU": "supplier",
    "VN": "supplier",
    "WH": "warehouse",
}

#: 66 Identification Code Qualifier -> scheme of a party identifier
SCHEMES: Codes = {"1": "duns", "9": "duns4", "2": "scac", "02": "scac", "UL": "gln", "91": "seller", "92": "buyer"}

#: 353 Transaction Set Purpose Code
PURPOSES: Codes = {
    "00": "original",
    "01": "cancellation",
    "03": "deletion",
    "04": "change",
    "05": "replacement",
    "06": "confirmation",
    "07": "duplicate",
    "14": "advance notification",
    "18": "reissue",
    "22": "information copy",
}

#: 40 Equipment Description Code: those whose number is a container's (ISO 6346)
CONTAINERS = frozenset({"20", "40", "2B", "4B", "CC", "CN", "CU", "CW", "CX", "CZ", "IX", "OC", "RC"})

#: 1650 Shipment Status Code (AT701)
SHIPMENT_STATUS: dict[str, Meaning] = {
    "A3": Meaning("transport.exception", "Shipment returned to shipper"),
    "A7": Meaning("transport.exception", "Refused by consignee", stop="delivery"),
    "A9": Meaning("transport.exception", "Shipment damaged"),
    "AF": Meaning("transport.departed", "Carrier departed pick-up location with shipment", stop="pickup"),
    "AG": Meaning("transport.eta_changed", "Estimated delivery", date="eta", stop="delivery"),
    "AH": Meaning("delivery.attempted", "Attempted delivery", stop="delivery"),
    "AI": Meaning("transport.exception", "Shipment has been reconsigned"),
    "AJ": Meaning("", "Tendered for delivery", stop="delivery"),
    "AM": Meaning("transport.in_transit", "Loaded on truck"),
    "AN": Meaning("transport.in_transit", "Diverted to air carrier"),
    "AP": Meaning("transport.exception", "Delivery not completed", stop="delivery"),
    "AR": Meaning("transport.arrived", "Rail arrival at destination intermodal ramp", stop="terminal"),
    "AV": Meaning("transport.arrived", "Available for delivery", stop="terminal"),
    "B6": Meaning(
        "transport.eta_changed", "Estimated to arrive at carrier terminal", date="eta_terminal", stop="terminal"
    ),
    "BA": Meaning("transport.in_transit", "Connecting line or cartage pick-up"),
    "BC": Meaning("transport.in_transit", "Storage in transit"),
    "C1": Meaning(
        "transport.eta_changed", "Estimated to depart terminal location", date="etd_terminal", stop="terminal"
    ),
    "CA": Meaning("transport.exception", "Shipment cancelled"),
    "CD": Meaning("transport.departed", "Carrier departed delivery location", stop="delivery"),
    "CL": Meaning("transport.in_transit", "Trailer closed out"),
    "CP": Meaning("transport.picked_up", "Completed loading at pick-up location", stop="pickup"),
    "D1": Meaning("delivery.completed", "Completed unloading at delivery location", stop="delivery"),
    "I1": Meaning("transport.arrived", "In-gate", stop="terminal"),
    "J1": Meaning("transport.in_transit", "Delivered to connecting line"),
    "K1": Meaning("transport.arrived", "Arrived at customs", stop="customs"),
    "L1": Meaning("", "Loading", stop="pickup"),
    "OA": Meaning("transport.departed", "Out-gate", stop="terminal"),
    "OO": Meaning("transport.exception", "Paperwork received, did not receive shipment or equipment"),
    "P1": Meaning("transport.departed", "Departed terminal location", stop="terminal"),
    "PR": Meaning("transport.exception", "Customs hold at in-bond location", stop="customs"),
    "R1": Meaning("transport.in_transit", "Received from prior carrier"),
    "RL": Meaning("transport.departed", "Rail departure from origin intermodal ramp", stop="terminal"),
    "S1": Meaning("transport.arrived", "Trailer spotted at consignee's location", stop="delivery"),
    "SD": Meaning("transport.exception", "Shipment delayed"),
    "X1": Meaning("transport.arrived", "Arrived at delivery location", stop="delivery"),
    "X2": Meaning("transport.eta_changed", "Estimated arrival at consignee's location", date="eta", stop="delivery"),
    "X3": Meaning("transport.arrived", "Arrived at pick-up location", stop="pickup"),
    "X4": Meaning("transport.arrived", "Arrived at terminal location", stop="terminal"),
    "X5": Meaning("transport.arrived", "Arrived at delivery location loading dock", stop="delivery"),
    "X6": Meaning("transport.in_transit", "En route to delivery location"),
    "X8": Meaning("transport.arrived", "Arrived at pick-up location loading dock", stop="pickup"),
    "XB": Meaning("", "Shipment acknowledged"),
}

#: 1652 Shipment Appointment Status Code (AT703): agreed, not happened; the tower has no event for appointments
APPOINTMENT_STATUS: dict[str, Meaning] = {
    "AA": Meaning("", "Pick-up appointment", stop="pickup"),
    "AB": Meaning("", "Delivery appointment", stop="delivery"),
    "AC": Meaning("", "Estimated delivery appointment", stop="delivery"),
    "ED": Meaning("", "Deliver no earlier than", stop="delivery"),
    "EP": Meaning("", "Pick-up no earlier than", stop="pickup"),
    "LD": Meaning("", "Deliver no later than", stop="delivery"),
    "LP": Meaning("", "Pick-up no later than", stop="pickup"),
    "X9": Meaning("", "Delivery appointment secured", stop="delivery"),
    "XA": Meaning("", "Pick-up appointment secured", stop="pickup"),
}

#: 157 Shipment Status Code (B403 of 315, Q501 of 322): what happens to containers at ports, terminals and ramps
EQUIPMENT_STATUS: dict[str, Meaning] = {
    "A": Meaning("transport.arrived", "Arrived"),
    "A1": Meaning("customs.held", "Agriculture hold", stop="customs"),
    "A2": Meaning("customs.released", "Agriculture released", stop="customs"),
    "A3": Meaning("customs.rejected", "Agriculture refused entry", stop="customs"),
    "AA": Meaning("", "Pick-up appointment", stop="pickup"),
    "AC": Meaning("", "Awaiting clearance", stop="customs"),
    "AD": Meaning("", "Delivery appointment", stop="delivery"),
    "AE": Meaning("transport.in_transit", "Loaded on vessel", stop="terminal"),
    "AF": Meaning("transport.departed", "Departed pick-up location", stop="pickup"),
    "AG": Meaning("transport.eta_changed", "Estimated delivery", date="eta", stop="delivery"),
    "AH": Meaning("delivery.attempted", "Attempted delivery", stop="delivery"),
    "AI": Meaning("transport.exception", "Shipment has been reconsigned"),
    "AJ": Meaning("", "Tendered for delivery", stop="delivery"),
    "AL": Meaning("transport.in_transit", "Loaded on rail", stop="terminal"),
    "AM": Meaning("transport.in_transit", "Loaded on truck"),
    "AN": Meaning("transport.in_transit", "Delivered to air carrier"),
    "AO": Meaning("transport.in_transit", "Loaded on barge", stop="terminal"),
    "AP": Meaning("transport.in_transit", "Loaded on feeder vessel", stop="terminal"),
    "AR": Meaning("transport.arrived", "Rail arrival at destination intermodal ramp", stop="terminal"),
    "AV": Meaning("transport.arrived", "Available for delivery", stop="terminal"),
    "AW": Meaning("", "Awaiting export", stop="terminal"),
    "B": Meaning("transport.exception", "Bad order: equipment inoperative or damaged"),
    "BC": Meaning("transport.in_transit", "Storage in transit"),
    "C": Meaning(
        "transport.eta_changed", "Estimated to depart terminal location", date="etd_terminal", stop="terminal"
    ),
    "CA": Meaning("transport.exception", "Shipment cancelled"),
    "CD": Meaning("transport.departed", "Carrier departed delivery location", stop="delivery"),
    "CO": Meaning("transport.picked_up", "Cargo received at contractual place of receipt", stop="pickup"),
    "CR": Meaning("", "Carrier release"),
    "CT": Meaning("customs.released", "Customs released", stop="customs"),
    "CU": Meaning("customs.released", "Carrier and customs release", stop="customs"),
    "D": Meaning("delivery.completed", "Completed unloading at delivery location", stop="delivery"),
    "EE": Meaning("", "Empty equipment dispatched", stop="terminal"),
    "I": Meaning("transport.arrived", "In-gate", stop="terminal"),
    "J": Meaning("transport.in_transit", "Delivered to connecting line"),
    "K": Meaning("transport.arrived", "Arrived at customs", stop="customs"),
    "OA": Meaning("transport.departed", "Out-gate", stop="terminal"),
    "P": Meaning("transport.departed", "Departed terminal location", stop="terminal"),
    "PA": Meaning("customs.held", "Customs hold, intensive examination", stop="customs"),
    "PB": Meaning("customs.held", "Customs hold, insufficient paperwork", stop="customs"),
    "PC": Meaning("customs.held", "Customs hold, discrepancy in paperwork", stop="customs"),
    "R": Meaning("transport.in_transit", "Received from prior carrier"),
    "RD": Meaning("", "Container returned", stop="terminal"),
    "RL": Meaning("transport.departed", "Rail departure from origin intermodal ramp", stop="terminal"),
    "UR": Meaning("transport.arrived", "Unloaded from a rail car", stop="terminal"),
    "UV": Meaning("transport.arrived", "Unloaded from vessel", stop="terminal"),
    "VA": Meaning("transport.arrived", "Vessel arrival", stop="terminal"),
    "VD": Meaning("transport.departed", "Vessel departure", stop="terminal"),
    "X1": Meaning("transport.arrived", "Arrived at delivery location", stop="delivery"),
    "X3": Meaning("transport.arrived", "Arrived at pick-up location", stop="pickup"),
    "X4": Meaning("transport.arrived", "Arrived at terminal location", stop="terminal"),
    "X6": Meaning("transport.in_transit", "En route to delivery location"),
}

_ACCEPTED, _REJECTED = "message.acknowledged", "message.rejected"
#: 717 Transaction Set Acknowledgment Code (AK501, IK501)
TRANSACTION_ACK: dict[str, Meaning] = {
    "A": Meaning(_ACCEPTED, "Accepted"),
    "E": Meaning(_ACCEPTED, "Accepted, but errors were noted"),
    "M": Meaning(_REJECTED, "Rejected: message authentication code failed"),
    "P": Meaning(_ACCEPTED, "Partially accepted, at least one transaction set was rejected"),
    "R": Meaning(_REJECTED, "Rejected"),
    "W": Meaning(_REJECTED, "Rejected: assurance failed validity tests"),
    "X": Meaning(_REJECTED, "Rejected: content after decryption could not be analyzed"),
}
#: 715 Functional Group Acknowledge Code (AK901)
GROUP_ACK: dict[str, Meaning] = dict(TRANSACTION_ACK)

#: 110 Application Acknowledgment Code (OTI01): of a batch (B), an item (I), a group (G) or a transaction (T)
APPLICATION_ACK: dict[str, Meaning] = {
    f"{of}{code}": meaning
    for of in "BGIT"
    for code, meaning in (
        ("A", Meaning(_ACCEPTED, "Accepted")),
        ("C", Meaning(_ACCEPTED, "Accepted with changes of its data")),
        ("E", Meaning(_ACCEPTED, "Accepted with errors")),
        ("P", Meaning(_ACCEPTED, "Accepted in part")),
        ("R", Meaning(_REJECTED, "Rejected")),
    )
}

#: I17 Interchange Acknowledgment Code (TA104)
INTERCHANGE_ACK: dict[str, Meaning] = {
    "A": Meaning(_ACCEPTED, "Interchange accepted, no errors"),
    "E": Meaning(_ACCEPTED, "Interchange accepted, but errors were noted"),
    "R": Meaning(_REJECTED, "Interchange rejected"),
}
#: I18 Interchange Note Code (TA105)
INTERCHANGE_NOTES: Codes = {
    "000": "no error",
    "001": "interchange control numbers in header and trailer do not match",
    "002": "standard as noted in the control standards identifier is not supported",
    "003": "version of the controls is not supported",
    "004": "segment terminator is invalid",
    "005": "invalid interchange ID qualifier for sender",
    "006": "invalid interchange sender ID",
    "007": "invalid interchange ID qualifier for receiver",
    "008": "invalid interchange receiver ID",
    "009": "unknown interchange receiver ID",
    "022": "invalid control structure",
    "023": "improper (premature) end of file",
    "025": "duplicate interchange control number",
}

#: 718 Transaction Set Syntax Error Code (AK502 to AK506)
TRANSACTION_ERRORS: Codes = {
    "1": "transaction set not supported",
    "2": "transaction set trailer missing",
    "3": "control numbers in header and trailer do not match",
    "4": "number of included segments does not match actual count",
    "5": "one or more segments in error",
    "6": "missing or invalid transaction set identifier",
    "7": "missing or invalid transaction set control number",
    "23": "transaction set control number not unique within the functional group",
}
#: 716 Functional Group Syntax Error Code (AK905 to AK909)
GROUP_ERRORS: Codes = {
    "1": "functional group not supported",
    "2": "functional group version not supported",
    "3": "functional group trailer missing",
    "4": "group control numbers in header and trailer do not agree",
    "5": "number of included transaction sets does not match actual count",
    "6": "group control number violates syntax",
}
#: 720 Segment Syntax Error Code (AK304)
SEGMENT_ERRORS: Codes = {
    "1": "unrecognized segment",
    "2": "unexpected segment",
    "3": "mandatory segment missing",
    "4": "loop occurs over maximum times",
    "5": "segment exceeds maximum use",
    "6": "segment not in defined transaction set",
    "7": "segment not in proper sequence",
    "8": "segment has data element errors",
}
#: 723 Data Element Syntax Error Code (AK403)
ELEMENT_ERRORS: Codes = {
    "1": "mandatory data element missing",
    "2": "conditional required data element missing",
    "3": "too many data elements",
    "4": "data element too short",
    "5": "data element too long",
    "6": "invalid character in data element",
    "7": "invalid code value",
    "8": "invalid date",
    "9": "invalid time",
    "10": "exclusion condition violated",
}
