"""X12 transaction sets of orders, warehouses, loads and invoices (ASC X12 004010)."""

from __future__ import annotations

from apps.collectors.edi.tables import x12_codes as codes
from apps.collectors.edi.tables.model import (
    RECEIVED,
    Codes,
    Date,
    Datum,
    Meaning,
    Message,
    Note,
    Purpose,
    Ref,
    Rule,
    Status,
)
from apps.collectors.edi.tables.x12_messages import COMMON

#: 432 Date Qualifier (G6201) -> name of the date
G62_DATES: Codes = {
    "02": "requested_delivery",
    "10": "ship_by",
    "11": "shipped",
    "17": "eta",
    "38": "ship_by",
    "54": "deliver_by",
    "70": "scheduled_delivery",
}
#: 587 Acknowledgment Type (BAK02)
ACKNOWLEDGMENTS: Codes = {
    "AC": "acknowledged, with detail and change",
    "AD": "acknowledged, with detail, no change",
    "AE": "acknowledged, with exception detail only",
    "AH": "acknowledged, hold status",
    "AK": "acknowledged, no detail or change",
    "AP": "acknowledged, product replenishment",
    "AT": "accepted",
    "RD": "rejected, with detail",
    "RF": "rejected, with exception detail only",
    "RJ": "rejected, no detail",
}
#: 587 -> what an acknowledgment becomes that accepts nothing
DECIDED: dict[str, dict[str, str]] = {
    "AH": {"purchase_order.acknowledged": "purchase_order.held"},
    **{code: {"purchase_order.acknowledged": "purchase_order.rejected"} for code in ("RD", "RF", "RJ")},
}
#: 558 Reservation Action Code (B104)
RESERVATIONS: dict[str, Meaning] = {
    "A": Meaning("load.accepted", "Reservation accepted"),
    "D": Meaning("load.declined", "Reservation cancelled"),
}
#: 473 Order Status Code (W0501)
ORDER_STATUS: Codes = {
    "B": "backorder original",
    "C": "confirmation",
    "D": "deletion",
    "F": "cancellation",
    "L": "line item replacement",
    "N": "original",
    "R": "change",
    "T": "resubmission",
}

_G62 = Date("G62", value=2, time=4, zone=5, qualifier=1, codes=G62_DATES)
_LINES = Datum("CTT", "lines", (1,), "number", top=True)
_ORDER = frozenset({"purchase_order"})
_WAREHOUSE = frozenset({"warehouse_order", "purchase_order"})
_LOAD = frozenset({"load"})

PURCHASE_ORDER = Message(
    type="850",
    name="Purchase order",
    sent_by="buyer",
    selling={"purchase_order.sent": "order.placed", "purchase_order.cancelled": "order.cancelled"},
    purpose=Purpose("BEG", 1, codes.PURPOSES, instead={"01": {"purchase_order.sent": "purchase_order.cancelled"}}),
    facts=(
        *COMMON,
        Ref("BEG", (3,), kind="purchase_order"),
        Date("BEG", value=5, name="document"),
        _LINES,
        Datum("PO1", "quantity", (2,), "sum", unit=3),
    ),
    rules=(Rule("purchase_order.sent", times=("sent", "document"), needs=_ORDER),),
)

PURCHASE_ORDER_CHANGE = Message(
    type="860",
    name="Purchase order change request",
    sent_by="buyer",
    selling={"purchase_order.changed": "order.changed", "purchase_order.cancelled": "order.cancelled"},
    purpose=Purpose("BCH", 1, codes.PURPOSES, instead={"01": {"purchase_order.changed": "purchase_order.cancelled"}}),
    facts=(
        *COMMON,
        Ref("BCH", (3,), kind="purchase_order"),
        Date("BCH", value=6, name="document"),
        _LINES,
    ),
    rules=(Rule("purchase_order.changed", times=("sent", "document"), needs=_ORDER),),
)

PURCHASE_ORDER_ACKNOWLEDGMENT = Message(
    type="855",
    name="Purchase order acknowledgment",
    sent_by="seller",
    selling=dict.fromkeys(("purchase_order.acknowledged", "purchase_order.held", "purchase_order.rejected"), ""),
    purpose=Purpose("BAK", 1, codes.PURPOSES),
    response=Purpose("BAK", 2, ACKNOWLEDGMENTS, instead=DECIDED, told=False),
    facts=(
        *COMMON,
        Ref("BAK", (3,), kind="purchase_order"),
        Note("BAK", "response", 2, ACKNOWLEDGMENTS),
        _LINES,
    ),
    rules=(Rule("purchase_order.acknowledged", times=("sent",), needs=_ORDER),),
)

RECEIVING_ADVICE = Message(
    type="861",
    name="Receiving advice",
    purpose=Purpose("BRA", 3, codes.PURPOSES, instead={"01": {"goods.received": ""}}),
    facts=(
        *COMMON,
        Date("BRA", value=2, time=6, name="document"),
        Date("DTM", value=2, time=3, zone=4, qualifier=1, codes={"050": "received"}),
        Ref("BRA", (1,), kind="receiving_advice"),
        Datum("BRA", "receipt", (1,)),
        Datum("RCD", "quantity", (2,), "sum", unit=3),
    ),
    rules=(
        Rule(
            "goods.received",
            per="purchase_order",
            times=("received", "document"),
            needs=RECEIVED,
        ),
    ),
)

WAREHOUSE_ORDER = Message(
    type="940",
    name="Warehouse shipping order",
    purpose=Purpose(
        "W05", 1, ORDER_STATUS, instead={code: {"warehouse_order.sent": "warehouse_order.cancelled"} for code in "DF"}
    ),
    facts=(
        *COMMON,
        _G62,
        Ref("W05", (2,), kind="warehouse_order"),
        Ref("W05", (3,), kind="purchase_order"),
        Datum("W66", "routing", (5,)),
        Datum("W66", "scac", (10,)),
        Datum("W01", "quantity", (1,), "sum", unit=2),
    ),
    rules=(Rule("warehouse_order.sent", times=("sent",), needs=_WAREHOUSE),),
)

TRANSFER_ADVICE = Message(
    type="943",
    name="Warehouse stock transfer shipment advice",
    facts=(
        *COMMON,
        _G62,
        Ref("W06", (2,), kind="warehouse_order"),
        Ref("W06", (5,), kind="bill_of_lading"),
        Date("W06", value=3, name="document"),
        Datum("W27", "scac", (2,)),
        Datum("W04", "quantity", (1,), "sum", unit=2),
    ),
    rules=(Rule("warehouse_order.sent", times=("sent",), needs=_WAREHOUSE),),
)

TRANSFER_RECEIPT = Message(
    type="944",
    name="Warehouse stock transfer receipt advice",
    facts=(
        *COMMON,
        _G62,
        Ref("W17", (4,), kind="warehouse_order"),
        Date("W17", value=2, name="document"),
        Datum("W17", "receipt", (3,)),
        Datum("W07", "quantity", (1,), "sum", unit=2),
    ),
    rules=(Rule("goods.received", times=("document", "sent"), needs=_WAREHOUSE),),
)

SHIPPING_ADVICE = Message(
    type="945",
    name="Warehouse shipping advice",
    facts=(
        *COMMON,
        _G62,
        Ref("W06", (2,), kind="warehouse_order"),
        Ref("W06", (4,), kind="load"),
        Ref("W06", (6,), kind="purchase_order"),
        Date("W06", value=3, name="document"),
        Datum("W27", "scac", (2,)),
        Datum("W12", "quantity", (3,), "sum", unit=5),
    ),
    rules=(Rule("shipment.dispatched", times=("shipped", "document", "sent"), needs=_WAREHOUSE, below=True),),
)

LOAD_TENDER = Message(
    type="204",
    name="Motor carrier load tender",
    purpose=Purpose("B2A", 1, codes.PURPOSES, instead={"01": {"load.tendered": "load.cancelled"}}),
    facts=(
        *COMMON,
        _G62,
        Ref("B2", (4,), kind="load"),
        Datum("B2", "scac", (2,)),
    ),
    rules=(Rule("load.tendered", times=("sent",), needs=_LOAD),),
)

TENDER_RESPONSE = Message(
    type="990",
    name="Response to a load tender",
    facts=(
        *COMMON,
        Ref("B1", (2,), kind="load"),
        Datum("B1", "scac", (1,)),
    ),
    rules=(Rule(status=Status("B1", 4, "B104", RESERVATIONS), times=("sent",), needs=_LOAD),),
)

INVOICE = Message(
    type="810",
    name="Invoice",
    sent_by="seller",
    selling={"invoice.received": "invoice.sent"},
    facts=(
        *COMMON,
        Ref("BIG", (2,), kind="invoice"),
        Ref("BIG", (4,), kind="purchase_order"),
        Date("BIG", value=1, name="document"),
    ),
    rules=(Rule("invoice.received", times=("sent", "document"), needs=frozenset({"invoice"})),),
)

MESSAGES = (
    PURCHASE_ORDER,
    PURCHASE_ORDER_CHANGE,
    PURCHASE_ORDER_ACKNOWLEDGMENT,
    RECEIVING_ADVICE,
    WAREHOUSE_ORDER,
    TRANSFER_ADVICE,
    TRANSFER_RECEIPT,
    SHIPPING_ADVICE,
    LOAD_TENDER,
    TENDER_RESPONSE,
    INVOICE,
)
