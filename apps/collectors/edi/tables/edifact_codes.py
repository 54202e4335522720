"""EDIFACT code lists, as far as the tower acts on them (UNTDID; numbers are its data elements)."""

from __future__ import annotations

from apps.collectors.edi.tables.model import Codes, Meaning

#: 1153 Reference qualifier -> reference kind
REFERENCES: Codes = {
    "ON": "purchase_order",
    "AAK": "despatch_advice",
    "AAU": "despatch_advice",
    "BM": "bill_of_lading",
    "MB": "bill_of_lading",
    "CN": "pro_number",
    "SRN": "load",
    "AAS": "pro_number",
    "AAM": "pro_number",
    "2I": "tracking_number",
    "AAQ": "container",
    "BN": "load",
    "BH": "bill_of_lading",
    "MWB": "pro_number",
    "HWB": "pro_number",
}

#: 2005 Date/time/period qualifier -> name of the date
DATES: Codes = {
    "137": "document",
    "2": "requested_delivery",
    "10": "ship_by",
    "11": "shipped",
    "17": "eta",
    "35": "delivered",
    "69": "promised_delivery",
    "132": "eta",
    "133": "etd",
    "358": "deliver_from",
}

#: the same inside a status report: 334 is when the status changed
STATUS_DATES: Codes = {**DATES, "334": "status", "178": "status", "186": "status", "35": "status"}

#: 3035 Party qualifier -> role
ROLES: Codes = {
    "BY": "buyer",
    "CA": "carrier",
    "CN": "consignee",
    "CZ": "shipper",
    "DP": "ship_to",
    "FW": "forwarder",
    "IV": "bill_to",
    "SE": "supplier",
    "SF": "ship_from",
    "SH": "shipper",
    "ST": "ship_to",
    "SU": "supplier",
    "UC": "consignee",
    "WH": "warehouse",
}

#: 3055 Code list responsible agency -> scheme of a party identifier
SCHEMES: Codes = {"9": "gln", "14": "gln", "16": "duns", "182": "scac", "91": "seller", "92": "buyer"}

#: 1225 Message function
FUNCTIONS: Codes = {
    "1": "cancellation",
    "3": "deletion",
    "4": "change",
    "5": "replacement",
    "7": "duplicate",
    "9": "original",
    "12": "not processed yet",
    "17": "cancelled, to be reissued",
    "23": "on hold",
    "31": "copy",
    "42": "confirmation",
    "46": "provisional",
}

_EXCEPTION = "transport.exception"
#: UN/ECE Recommendation 24 (data element 9011 up to D.00, 4405 with category 9015 = 1 since)
TRANSPORT_STATUS: dict[str, Meaning] = {
    "1": Meaning("transport.arrived", "Arrived"),
    "2": Meaning("", "Authorized to load"),
    "3": Meaning(_EXCEPTION, "Arrived in defective condition"),
    "5": Meaning("", "Begun"),
    "6": Meaning("", "Booked"),
    "7": Meaning(_EXCEPTION, "Booking cancelled"),
    "8": Meaning("", "Cleared import restrictions"),
    "9": Meaning("", "Cleared export restrictions"),
    "11": Meaning("", "Cleared by port authority"),
    "12": Meaning("", "Cleared by customs"),
    "13": Meaning("transport.picked_up", "Collected", stop="pickup"),
    "14": Meaning("", "Completed"),
    "15": Meaning("", "Consolidated"),
    "16": Meaning("transport.in_transit", "Crossed border"),
    "17": Meaning(_EXCEPTION, "Customs refusal", stop="customs"),
    "18": Meaning(_EXCEPTION, "Damaged"),
    "20": Meaning(_EXCEPTION, "Delayed"),
    "21": Meaning("delivery.completed", "Delivered", stop="delivery"),
    "22": Meaning("delivery.completed", "Delivery completed", stop="delivery"),
    "23": Meaning(_EXCEPTION, "Delivery not completed", stop="delivery"),
    "24": Meaning("transport.departed", "Departed"),
    "25": Meaning(_EXCEPTION, "Departure delay"),
    "27": Meaning("transport.departed", "Despatched"),
    "28": Meaning("", "Stripped"),
    "29": Meaning("transport.arrived", "Discharged", stop="terminal"),
    "31": Meaning("transport.in_transit", "En route"),
    "35": Meaning("transport.in_transit", "Expedited to destination"),
    "36": Meaning(_EXCEPTION, "Not found"),
    "37": Meaning("", "Found"),
    "40": Meaning("transport.arrived", "Goods at port", stop="terminal"),
    "41": Meaning("transport.in_transit", "Handover"),
    "42": Meaning("transport.in_transit", "Handover delivered"),
    "43": Meaning("transport.in_transit", "Handover received"),
    "44": Meaning(_EXCEPTION, "Ill-routed consignment reforwarded"),
    "45": Meaning("", "Informed consignee of arrival"),
    "48": Meaning("transport.in_transit", "Loaded"),
    "49": Meaning(_EXCEPTION, "Lost"),
    "50": Meaning("", "Manifested"),
    "51": Meaning(_EXCEPTION, "Means of transport damaged"),
    "52": Meaning(_EXCEPTION, "Mechanical breakdown"),
    "53": Meaning(_EXCEPTION, "No pick-up", stop="pickup"),
    "54": Meaning(_EXCEPTION, "Not identified"),
    "55": Meaning(_EXCEPTION, "Not collected", stop="pickup"),
    "56": Meaning(_EXCEPTION, "Not delivered", stop="delivery"),
    "57": Meaning(_EXCEPTION, "Not loaded"),
    "59": Meaning("", "Off loaded"),
    "62": Meaning(_EXCEPTION, "Over landed"),
    "63": Meaning(_EXCEPTION, "Package not ready", stop="pickup"),
    "64": Meaning("", "Pick-up awaited", stop="pickup"),
    "66": Meaning(_EXCEPTION, "Plundered"),
    "68": Meaning("", "Pre-informed"),
    "69": Meaning(_EXCEPTION, "Put to refuse"),
    "71": Meaning("", "Ready for transportation", stop="pickup"),
    "72": Meaning("delivery.proof_received", "Receipt fully acknowledged", stop="delivery"),
    "73": Meaning(_EXCEPTION, "Receipt partially acknowledged", stop="delivery"),
    "74": Meaning("", "Received"),
    "75": Meaning(_EXCEPTION, "Reconsigned"),
    "76": Meaning("", "Reforwarding on request"),
    "77": Meaning(_EXCEPTION, "Refused without reason given", stop="delivery"),
    "78": Meaning("", "Released"),
    "79": Meaning("transport.in_transit", "Reloaded"),
    "80": Meaning(_EXCEPTION, "Returned as instructed"),
    "81": Meaning(_EXCEPTION, "Returned as wreck"),
    "82": Meaning(_EXCEPTION, "Returned"),
    "85": Meaning(_EXCEPTION, "Short landed"),
    "86": Meaning(_EXCEPTION, "Short shipped"),
    "87": Meaning(_EXCEPTION, "Sorted wrong route"),
    "88": Meaning("", "Split"),
    "90": Meaning(_EXCEPTION, "Stopped"),
    "91": Meaning("", "Stored"),
    "97": Meaning(_EXCEPTION, "Surveyed damage"),
    "98": Meaning("transport.arrived", "Transferred in", stop="terminal"),
    "99": Meaning("transport.departed", "Transferred out", stop="terminal"),
    "100": Meaning("transport.in_transit", "Transhipment"),
    "101": Meaning(_EXCEPTION, "Transit delay"),
}

_ACCEPTED, _REJECTED = "message.acknowledged", "message.rejected"
#: 0083 Action, coded (UCI04, UCF04, UCM03)
ACTIONS: dict[str, Meaning] = {
    "1": Meaning(_ACCEPTED, "Acknowledged, this level and all lower levels"),
    "2": Meaning(_ACCEPTED, "Acknowledged, errors detected and reported"),
    "3": Meaning(_ACCEPTED, "One or more rejected on the next lower level"),
    "4": Meaning(_REJECTED, "This level and all lower levels rejected"),
    "5": Meaning(_ACCEPTED, "UNB and UNZ accepted"),
    "6": Meaning(_REJECTED, "UNB and UNZ rejected"),
    "7": Meaning(_ACCEPTED, "This level acknowledged, the next lower one if not explicitly rejected"),
    "8": Meaning(_ACCEPTED, "Interchange received"),
}

#: 4343 Response type, as far as it accepts or rejects
RESPONSE_ACTIONS: dict[str, Meaning] = {
    **{code: Meaning(_ACCEPTED, "Acknowledged") for code in ("AB", "AC", "AD", "AI")},
    "AP": Meaning(_ACCEPTED, "Accepted"),
    "CA": Meaning(_ACCEPTED, "Conditionally accepted"),
    "RE": Meaning(_REJECTED, "Rejected"),
}
#: 1225 Message function, as far as it accepts or rejects; 9 (original) says neither
FUNCTION_ACTIONS: dict[str, Meaning] = {
    "27": Meaning(_REJECTED, "Not accepted"),
    "28": Meaning(_ACCEPTED, "Accepted with amendment in heading section"),
    "29": Meaning(_ACCEPTED, "Accepted without amendment"),
    "30": Meaning(_ACCEPTED, "Accepted with amendment in detail section"),
    "44": Meaning(_ACCEPTED, "Accepted without reserves"),
    "45": Meaning(_ACCEPTED, "Accepted with reserves"),
}
#: 1001 Document name, of application acknowledgments
DOCUMENT_ACTIONS: dict[str, Meaning] = {
    "312": Meaning(_ACCEPTED, "Acknowledgement message"),
    "313": Meaning(_REJECTED, "Application error message"),
}

#: 1001 Document name, of container reports: gate (CODECO), discharge and loading (COARRI)
CONTAINER_REPORTS: dict[str, Meaning] = {
    "34": Meaning("transport.arrived", "Gate-in", stop="terminal"),
    "36": Meaning("transport.departed", "Gate-out", stop="terminal"),
    "44": Meaning("transport.arrived", "Discharged from vessel", stop="terminal"),
    "46": Meaning("transport.in_transit", "Loaded on vessel", stop="terminal"),
    "98": Meaning("transport.arrived", "Discharged from vessel", stop="terminal"),
    "270": Meaning("transport.in_transit", "Loaded on vessel", stop="terminal"),
}

#: 7365 Processing indicator, of customs responses
CUSTOMS_STATUS: dict[str, Meaning] = {
    "1": Meaning("customs.accepted", "Message content accepted", stop="customs"),
    "2": Meaning("customs.rejected", "Message content rejected with comment", stop="customs"),
    "3": Meaning("customs.rejected", "Message content rejected without comment", stop="customs"),
    "4": Meaning("customs.released", "Goods released", stop="customs"),
    "5": Meaning("customs.held", "Goods required for examination", stop="customs"),
    "6": Meaning("customs.held", "Documents to be produced", stop="customs"),
    "7": Meaning("customs.held", "Goods detained", stop="customs"),
    "8": Meaning("", "Goods may move under customs transfer", stop="customs"),
    "9": Meaning("customs.accepted", "Declaration accepted, awaiting arrival of the goods", stop="customs"),
    "10": Meaning("", "Declaration requested", stop="customs"),
    "14": Meaning("customs.rejected", "Error message", stop="customs"),
    "15": Meaning("customs.accepted", "Correction approved", stop="customs"),
    "16": Meaning("customs.rejected", "Correction not approved", stop="customs"),
    "17": Meaning("", "Message received", stop="customs"),
    "26": Meaning("customs.held", "Container quarantine", stop="customs"),
    "32": Meaning("customs.accepted", "Transaction accepted", stop="customs"),
    "33": Meaning("customs.rejected", "Transaction rejected", stop="customs"),
}

#: 0085 Syntax error, coded
SYNTAX_ERRORS: Codes = {
    "1": "UNA not supported",
    "2": "syntax version or level not supported",
    "3": "message version or release not supported",
    "4": "service segment missing or invalid",
    "5": "trailer check in error",
    "6": "data segment missing or invalid",
    "7": "interchange recipient not actual recipient",
    "8": "too many data elements in segment",
    "9": "mandatory data element missing",
    "10": "data element attribute error",
    "11": "password invalid",
    "12": "invalid value",
    "13": "missing",
    "14": "value not supported in this position",
    "15": "not supported in this position",
    "16": "too many constituents",
    "17": "no agreement",
    "18": "unspecified error",
    "19": "invalid decimal notation",
    "20": "character invalid as service character",
    "21": "invalid character(s)",
    "22": "invalid service character(s)",
    "23": "unknown interchange sender",
    "24": "too old",
    "25": "test indicator not supported",
    "26": "duplicate detected",
    "27": "security function not supported",
    "28": "references do not match",
    "29": "control count does not match number of instances received",
}
