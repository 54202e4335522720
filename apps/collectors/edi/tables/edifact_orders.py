"""EDIFACT messages of orders, receipts, transport instructions and invoices (UNTDID D.96A to D.21A)."""

from __future__ import annotations

from apps.collectors.edi.tables import edifact_codes as codes
from apps.collectors.edi.tables.edifact_messages import COMMON, DATES, REFERENCES, REFERENCES_OF_OTHERS
from apps.collectors.edi.tables.model import RECEIVED, Codes, Date, Datum, Message, Note, Purpose, Ref, Rule

#: 4343 Response type (BGM04)
RESPONSES: Codes = {
    "AA": "debit advice",
    "AB": "message acknowledged",
    "AC": "acknowledged, with detail and change",
    "AD": "acknowledged, with detail, no change",
    "AI": "acknowledged, changes only",
    "AP": "accepted",
    "CA": "conditionally accepted",
    "NA": "no acknowledgment needed",
    "RE": "rejected",
}
_ORDER = frozenset({"purchase_order"})
_LINES = Datum("CNT", "lines", ((1, 2),), "number", when={(1, 1): frozenset({"2"})}, top=True)
_CANCEL = ("1", "3")
#: 1225: not to be processed until it is released
_ON_HOLD = "23"
_HELD = {"purchase_order.acknowledged": "purchase_order.held"}
_REJECTED = {"purchase_order.acknowledged": "purchase_order.rejected"}

PURCHASE_ORDER = Message(
    type="ORDERS",
    name="Purchase order",
    sent_by="buyer",
    selling={
        "purchase_order.sent": "order.placed",
        "purchase_order.cancelled": "order.cancelled",
        "purchase_order.held": "order.held",
    },
    purpose=Purpose(
        "BGM",
        3,
        codes.FUNCTIONS,
        instead={
            **{c: {"purchase_order.sent": "purchase_order.cancelled"} for c in _CANCEL},
            _ON_HOLD: {"purchase_order.sent": "purchase_order.held"},
        },
    ),
    facts=(
        *COMMON,
        REFERENCES_OF_OTHERS,
        DATES,
        Ref("BGM", ((2, 1),), kind="purchase_order"),
        _LINES,
        Datum("QTY", "quantity", ((1, 2),), "sum", unit=(1, 3), when={(1, 1): frozenset({"21"})}),
    ),
    rules=(Rule("purchase_order.sent", times=("sent", "document"), needs=_ORDER),),
)

PURCHASE_ORDER_CHANGE = Message(
    type="ORDCHG",
    name="Purchase order change request",
    sent_by="buyer",
    selling={
        "purchase_order.changed": "order.changed",
        "purchase_order.cancelled": "order.cancelled",
        "purchase_order.held": "order.held",
    },
    purpose=Purpose(
        "BGM",
        3,
        codes.FUNCTIONS,
        instead={
            **{c: {"purchase_order.changed": "purchase_order.cancelled"} for c in _CANCEL},
            _ON_HOLD: {"purchase_order.changed": "purchase_order.held"},
        },
    ),
    # the number of BGM is the change's, the order's stands in RFF
    facts=(*COMMON, REFERENCES_OF_OTHERS, DATES, Datum("BGM", "change", ((2, 1),)), _LINES),
    rules=(Rule("purchase_order.changed", times=("sent", "document"), needs=_ORDER),),
)

PURCHASE_ORDER_RESPONSE = Message(
    type="ORDRSP",
    name="Purchase order response",
    sent_by="seller",
    selling=dict.fromkeys(("purchase_order.acknowledged", "purchase_order.held", "purchase_order.rejected"), ""),
    purpose=Purpose(
        "BGM",
        3,
        {**codes.FUNCTIONS, "27": "not accepted", "29": "accepted without amendment"},
        instead={_ON_HOLD: _HELD, "27": _REJECTED},
    ),
    response=Purpose("BGM", 4, RESPONSES, instead={"RE": _REJECTED}, told=False),
    facts=(
        *COMMON,
        REFERENCES_OF_OTHERS,
        DATES,
        Datum("BGM", "response_number", ((2, 1),)),
        Note("BGM", "response", 4, RESPONSES),
        _LINES,
    ),
    rules=(Rule("purchase_order.acknowledged", times=("sent",), needs=_ORDER),),
)

RECEIVING_ADVICE = Message(
    type="RECADV",
    name="Receiving advice",
    facts=(
        *COMMON,
        REFERENCES_OF_OTHERS,
        Date("DTM", value=(1, 2), form=(1, 3), qualifier=(1, 1), codes={**codes.DATES, "50": "received"}),
        Ref("BGM", ((2, 1),), kind="receiving_advice"),
        Datum("BGM", "receipt", ((2, 1),)),
        Datum("QTY", "quantity", ((1, 2),), "sum", unit=(1, 3), when={(1, 1): frozenset({"48", "194"})}),
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

INVOICE = Message(
    type="INVOIC",
    name="Invoice",
    sent_by="seller",
    selling={"invoice.received": "invoice.sent"},
    facts=(
        *COMMON,
        REFERENCES,
        DATES,
        Ref("BGM", ((2, 1),), kind="invoice"),
    ),
    rules=(Rule("invoice.received", times=("sent", "document"), needs=frozenset({"invoice"})),),
)

TRANSPORT_INSTRUCTION = Message(
    type="IFTMIN",
    name="Transport instruction",
    purpose=Purpose("BGM", 3, codes.FUNCTIONS, instead={c: {"load.tendered": "load.cancelled"} for c in _CANCEL}),
    facts=(
        *COMMON,
        REFERENCES_OF_OTHERS,
        DATES,
        Ref("BGM", ((2, 1),), kind="load"),
    ),
    rules=(Rule("load.tendered", times=("sent", "document"), needs=frozenset({"load"})),),
)

MESSAGES = (
    PURCHASE_ORDER,
    PURCHASE_ORDER_CHANGE,
    PURCHASE_ORDER_RESPONSE,
    RECEIVING_ADVICE,
    INVOICE,
    TRANSPORT_INSTRUCTION,
)
